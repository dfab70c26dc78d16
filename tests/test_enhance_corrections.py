"""The reviewer's sheet and the corrections made in it."""

import csv

import pytest

from fgclep_jax.enhance import candidates, corrections
from fgclep_jax.enhance.backends import Failure
from fgclep_jax.enhance.cache import Cache
from fgclep_jax.errors import InputError
from fgclep_jax.reports import knowledge
from fgclep_jax.reports.classify import classify
from tests.enhance_fakes import Fixed, named

LBBB, AF = "Left bundle branch block", "Atrial fibrillation"


@pytest.fixture
def cache(tmp_path):
  with Cache(tmp_path / "answers") as opened:
    yield opened


def rows_of(path):
  with open(path, encoding="utf-8", newline="") as file:
    return list(csv.DictReader(file))


def sheet(path, rows):
  with open(path, "w", encoding="utf-8", newline="") as file:
    writer = csv.DictWriter(file, corrections.COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(rows)
  return path


def test_sheet_by_falling_frequency(cache, tmp_path):
  technical = "Lead(s) unsuitable for analysis: V1"
  records = {LBBB: 3, f"Possible {LBBB.lower()}": 4, AF: 5, technical: 6}
  backend = named("rSR' pattern in V1", "QRS duration > 120 ms")
  found = candidates.propose(records, backend, cache)
  path = tmp_path / "sheet.csv"
  corrections.write_sheet(path, found, records)
  rows = rows_of(path)
  assert [int(row["records"]) for row in rows] == [7, 6, 5]
  first = rows[0]
  assert first["finding"] == classify(LBBB).finding
  assert first["class"] == "diagnosis"
  assert first["features"] == "QRS duration > 120 ms"
  assert first["refused"] == "rSR' pattern in V1: contradicted"
  missing = knowledge.misses(first["finding"], ("QRS duration > 120 ms",))
  assert first["missing"] == "; ".join(missing)
  assert rows[1]["features"] == rows[1]["missing"] == ""
  # As written it corrects nothing.
  assert corrections.read(path) == {}


def test_corrections_win_and_stay_with_another_model(cache, tmp_path):
  rows = [
    {
      "finding": classify(LBBB).finding,
      "add": "left axis deviation; ST depression in I and aVL",
      "remove": "flat T waves", "reviewer": "A. B.", "date": "2026-01-02",
    },
    {"finding": classify(AF).finding, "no_feature": "x"},
    {"finding": "sinus bradycardia"},
  ]  # fmt: skip
  changes = corrections.read(sheet(tmp_path / "sheet.csv", rows))
  assert len(changes) == 2
  lines = [LBBB, AF, f"Probable {LBBB}"]
  backend = named("flat T waves", "QRS duration > 120 ms")
  for model in ("model", "another"):
    backend.model_hash = model
    found = candidates.propose(lines, backend, cache, corrections=changes)
    expected = (
      "QRS duration > 120 ms", "left axis deviation",
      "ST depression in I and aVL",
    )  # fmt: skip
    assert found.features[LBBB] == found.features[lines[2]] == expected
    assert found.features[AF] == ()
    assert found.corrected == frozenset(lines)
    assert found.provenance["corrections_hash"] == changes.hash
  other = corrections.read(sheet(tmp_path / "sheet.csv", rows[:1]))
  assert other.hash != changes.hash
  assert changes.hash == corrections.Corrections(reversed(changes.items())).hash


def test_corrections_hold_without_an_answer(cache):
  change = corrections.Correction(add=("flat T waves",))
  changes = corrections.Corrections({classify(LBBB).finding: change})
  backend = Fixed(lambda finding: Failure("gone"))
  found = candidates.propose([LBBB], backend, cache, corrections=changes)
  assert found.features[LBBB] == ("flat T waves",)


@pytest.mark.parametrize(
  ("row", "message"),
  [
    ({"finding": "lbbb", "add": "magic waves"}, "no waveform feature 'magic"),
    ({"finding": "lbbb", "remove": "Flat T waves"}, "no waveform feature"),
    ({"finding": "", "add": "flat T waves"}, "without a finding"),
    ({"finding": "lbbb", "no_feature": "maybe"}, "write x or nothing"),
    (
      {"finding": "lbbb", "no_feature": "x", "add": "flat T waves"},
      "to be added and to be left out",
    ),
    (
      {"finding": "lbbb", "add": "flat T waves", "remove": "flat T waves"},
      "to be added and to be left out",
    ),
    ({"finding": "normal ecg", "add": "flat T waves"}, "is normal; only"),
    ({"finding": "afib", "no_feature": "x"}, "corrected twice"),
  ],
)
def test_bad_corrections_are_told_by_line(tmp_path, row, message):
  first = {"finding": "afib", "add": "flat T waves"}
  path = sheet(tmp_path / "sheet.csv", [first, {"finding": "lvh"}, row])
  with pytest.raises(InputError, match=f"line 4: .*{message}"):
    corrections.read(path)


def test_what_is_no_sheet(tmp_path):
  path = tmp_path / "sheet.csv"
  with pytest.raises(InputError, match="cannot be read"):
    corrections.read(path)
  path.write_bytes(b"\xff\xfe\x00finding")
  with pytest.raises(InputError, match="cannot be read"):
    corrections.read(path)
  path.write_text("statement,add\n")
  with pytest.raises(InputError, match="no column 'finding'"):
    corrections.read(path)


def test_cells_cannot_become_formulas(cache, tmp_path):
  lines = ["=cmd() atrial fibrillation", "@sum left bundle branch block"]
  backend = named("=1+1", "@x\x1b[31m\u202e", "flat T waves")
  found = candidates.propose(lines, backend, cache)
  path = tmp_path / "sheet.csv"
  corrections.write_sheet(path, found, dict.fromkeys(lines, 1))
  rows = rows_of(path)
  for row in rows:
    for cell in row.values():
      assert not cell.startswith(("=", "+", "-", "@"))
      assert cell.isprintable()
  # The reviewer's file finds its way back to the finding.
  for row in rows:
    row["no_feature"] = "x"
  changes = corrections.read(sheet(path, rows))
  assert set(changes) == {classify(line).finding for line in lines}
