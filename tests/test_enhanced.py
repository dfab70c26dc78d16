"""The config `enhanced`: features joined by record id, nobody forgotten."""

import json
import os
import shutil
import sys

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from fgclep_jax.errors import InputError
from fgclep_jax.reports import enhanced
from tests import tfds_builds

# TFDS itself calls a method that protobuf has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:label:DeprecationWarning")

ROWS = (
  ("1", "flat T waves", True),
  ("2", "absent P waves", True),
  ("1", "absent P waves", False),
  ("1", "pacing spikes", True),
)


def write(folder, rows=ROWS, judged=("1", "2", "3"), **columns):
  """Writes both tables; returns the path of the first."""
  names = ("record_id", "feature", "kept")
  table = {name: [row[i] for row in rows] for i, name in enumerate(names)}
  table |= {"model_hash": ["m"] * len(rows), "source": [None] * len(rows)}
  path = folder / enhanced.FILE
  parquet.write_table(pa.table(table | columns), path)
  parquet.write_table(
    pa.table({"record_id": pa.array(judged, pa.string())}),
    folder / enhanced.RECORDS_FILE,
  )
  return str(path)


def test_features_in_stored_order(tmp_path):
  found = enhanced.read(write(tmp_path), ["1", "2", "3"])
  assert found.features_of("1") == ["flat T waves", "pacing spikes"]
  assert found.features_of("2") == ["absent P waves"]
  assert found.features_of("3") == []  # judged, nothing kept
  assert found.metadata["features_kept"] == 3
  assert found.metadata["features_dropped"] == 1
  assert found.metadata["records_judged"] == 3
  assert found.metadata["provenance"] == {"model_hash": ["m"], "source": []}


def test_tables_of_another_dataset_are_refused(tmp_path):
  path = write(tmp_path)
  about = {"dataset": "simulated_ecg", "data": {"seed": 1}}
  table = parquet.read_table(path).replace_schema_metadata(
    {b"fgclep": json.dumps(about).encode()}
  )
  parquet.write_table(table, path)
  ids = ["1", "2", "3"]
  same = {"dataset": "simulated_ecg", "seed": 1}
  assert enhanced.read(path, ids, expect=same).total == 3
  for name, other in (("dataset", "ptb_xl"), ("seed", 2)):
    with pytest.raises(InputError, match=f"made for {name}"):
      enhanced.read(path, ids, expect=same | {name: other})


@pytest.mark.parametrize("seed", range(3))
def test_many_lines_against_plain_lists(seed, tmp_path):
  """Several row groups, so that no code means the same in all of them."""
  rng = np.random.default_rng(seed)
  judged = [f"r{number}" for number in rng.permutation(40)]
  names = [f"feature {number}" for number in range(9)]
  rows = [
    (str(record), names[code], bool(rng.random() < 0.7))
    for record in rng.permutation(judged[:30])
    for code in rng.permutation(9)[: rng.integers(1, 6)]
  ]
  rng.shuffle(rows)
  path = write(tmp_path, rows, judged)
  parquet.write_table(parquet.read_table(path), path, row_group_size=7)
  found = enhanced.read(path, judged)
  for record in judged:
    expected = [name for r, name, kept in rows if r == record and kept]
    assert found.features_of(record) == expected
  kept = sum(kept for _, _, kept in rows)
  assert len(found.codes) == found.metadata["features_kept"] == kept > 20
  assert found.metadata["features_dropped"] == len(rows) - kept > 5


def test_numbers_and_large_strings_are_taken_as_text(tmp_path):
  path = write(tmp_path, record_id=pa.array([1, 2, 1, 1], pa.int64()))
  assert enhanced.read(path, ["1"]).features_of("2") == ["absent P waves"]
  path = write(tmp_path, record_id=pa.array(list("1211"), pa.large_string()))
  assert enhanced.read(path, ["1"]).features_of("2") == ["absent P waves"]


def test_records_without_a_line(tmp_path):
  path = write(tmp_path)
  with pytest.raises(InputError, match="2 of 4 records of the dataset"):
    enhanced.read(path, ["1", "2", "4", "5"])
  # A few may be records that cannot be read: refused when one can.
  found = enhanced.read(path, ["1", "2", "4"], max_unjudged=0.5)
  with pytest.raises(InputError, match=r"1 of 3 records .* first '4': run"):
    found.features_of("4")


@pytest.mark.parametrize(
  ("rows", "judged", "columns", "expected"),
  [
    (ROWS, "122", {}, "1 records occur more than once, first '2'"),
    ((*ROWS, ROWS[0]), "123", {}, "1 features of a record occur more than"),
    (ROWS, "13", {}, "1 records are not in enhanced_records.parquet"),
    (ROWS, "123", {"feature": ["a", "b", "", "d"]}, "'feature' has empty"),
    (ROWS, "123", {"kept": [True, None, True, True]}, "'kept' has empty"),
    (ROWS, "123", {"kept": ["yes", "x", "y", "z"]}, "cannot be read"),
    (ROWS, "123", {"feature": [["a"]] * 4}, "cannot be read"),
    (ROWS, "123", {"record_id": [{"a": "1"}] * 4}, "cannot be read"),
  ],
)
def test_refused_tables(tmp_path, rows, judged, columns, expected):
  path = write(tmp_path, rows, tuple(judged), **columns)
  with pytest.raises(InputError, match=expected) as caught:
    enhanced.read(path, ["1", "2", "3"])
  assert "\n" not in str(caught.value)


def test_refused_files(tmp_path):
  path = tmp_path / enhanced.FILE
  with pytest.raises(InputError, match=r"no file .*enhanced\.parquet: the"):
    enhanced.read(str(path), ["1"])
  write(tmp_path)
  (tmp_path / enhanced.RECORDS_FILE).unlink()
  with pytest.raises(InputError, match=r"no file .*enhanced_records\.parquet"):
    enhanced.read(str(path), ["1"])
  write(tmp_path)
  parquet.write_table(pa.table({"record_id": ["1"]}), path)
  with pytest.raises(InputError, match="no column 'feature', 'kept'"):
    enhanced.read(str(path), ["1"])
  path.write_bytes(b"PAR1 and then nothing")
  with pytest.raises(InputError, match="cannot be read") as caught:
    enhanced.read(str(path), ["1"])
  assert "\n" not in str(caught.value)


def test_location(monkeypatch):
  monkeypatch.delenv("FGCLEP_ENHANCED", raising=False)
  assert enhanced.location("raw") == os.path.join("raw", "enhanced.parquet")
  assert enhanced.location(lambda: "x") == os.path.join("x", enhanced.FILE)
  monkeypatch.setenv("FGCLEP_ENHANCED", "other.parquet")
  assert enhanced.location("raw") == "other.parquet"


def test_pyarrow_is_only_imported_to_read(tmp_path):
  code = (
    "import fgclep_jax.reports.enhanced, sys; print('pyarrow' in sys.modules)"
  )
  process = tfds_builds.subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert process.stdout.strip() == "False"


# Dataset -> a split, a record of its dummy data, statements, features.
BUILT = {
  "cpsc2018": (
    "validation",
    "A0003",
    [b"atrial fibrillation", b"right bundle branch block"],
    [b"absent P waves", b"irregular RR intervals"],
  ),
  "chapman_ningbo": (
    "train",
    "JS00001",
    [b"atrial fibrillation", b"right bundle branch block"],
    [b"absent P waves", b"rSR' pattern in V1"],
  ),
}


@pytest.mark.parametrize("name", BUILT)
def test_build_of_a_set_without_text(name, monkeypatch, tmp_path, capsys):
  split, key, statements, features = BUILT[name]
  dummy = tfds_builds.BUILDERS / name / "dummy_data"
  builder = tfds_builds.module(name, monkeypatch)
  found, metadata, _ = tfds_builds.build(
    builder, dummy, tmp_path / "enhanced", "enhanced"
  )
  plain, _, _ = tfds_builds.build(builder, dummy, tmp_path / "original")
  assert found[split][key]["statements"] == statements
  assert found[split][key]["features"] == features
  assert metadata["enhanced"]["records_judged"] == sum(map(len, found.values()))
  for part, examples in plain.items():
    assert examples.keys() == found[part].keys()
    for record_id, example in examples.items():
      other = found[part][record_id]
      assert example["statements"] == example["features"] == []
      np.testing.assert_array_equal(example["ecg"], other["ecg"])
  # Without the tables, and with one record forgotten.
  raw = shutil.copytree(dummy, tmp_path / "raw")
  judged = parquet.read_table(raw / enhanced.RECORDS_FILE)
  parquet.write_table(judged[1:], raw / enhanced.RECORDS_FILE)
  parquet.write_table(
    parquet.read_table(raw / enhanced.FILE)[:0], raw / enhanced.FILE
  )
  for limit in ("0.01", "0.5"):  # found at once, and when it is reached
    monkeypatch.setenv("FGCLEP_MAX_SKIP_RATE", limit)
    line = tfds_builds.refused(
      builder, capsys, raw, tmp_path / limit, "enhanced"
    )
    assert f"1 of {len(judged)} records of the dataset are not in" in line


def test_real_command_without_the_tables(tmp_path):
  raw = tmp_path / "raw"
  raw.mkdir()
  shutil.copytree(
    tfds_builds.BUILDERS / "cpsc2018/dummy_data/TrainingSet", raw / "T"
  )
  shutil.copy(tfds_builds.BUILDERS / "cpsc2018/dummy_data/REFERENCE.csv", raw)
  process = tfds_builds.command("cpsc2018", raw, tmp_path / "o", "enhanced")
  assert process.returncode == 2
  line = tfds_builds.only_line("cpsc2018", process.stderr)
  assert str(raw / "enhanced.parquet") in line
  assert "FGCLEP_ENHANCED" in line


def test_ptb_xl(monkeypatch, tmp_path, capsys):
  builder = tfds_builds.module("ptb_xl", monkeypatch)
  dummy = tfds_builds.BUILDERS / "ptb_xl" / "dummy_data"
  line = tfds_builds.refused(builder, capsys, dummy, tmp_path, "enhanced")
  assert str(dummy / "enhanced.parquet") in line
  judged = [f"{number:05d}" for number in range(1, 13)]
  path = write(tmp_path, [("00009", "PR interval > 200 ms", True)], judged)
  monkeypatch.setenv("FGCLEP_ENHANCED", path)
  found, metadata, _ = tfds_builds.build(
    builder, dummy, tmp_path / "out", "enhanced"
  )
  example = found["validation"]["00009"]
  assert example["features"] == [b"PR interval > 200 ms"]
  assert example["statements"] == [b"sinus rhythm", b"first degree a-v block"]
  assert found["train"]["00001"]["features"] == []
  assert metadata["enhanced"]["features_kept"] == 1


def test_simulated(monkeypatch, tmp_path, capsys):
  builder = tfds_builds.module("simulated_ecg", monkeypatch)
  monkeypatch.setenv("FGCLEP_SIMULATED_RECORDS", "3")
  monkeypatch.setenv("FGCLEP_SIMULATED_RATE", "100")
  line = tfds_builds.refused(
    builder, capsys, tmp_path / "none", tmp_path, "enhanced"
  )
  assert "enhanced.parquet and enhanced_records.parquet" in line
  judged = [f"S{number:08d}" for number in range(3)]
  path = write(tmp_path, [(judged[1], "flat T waves", True)], judged[:2])
  monkeypatch.setenv("FGCLEP_ENHANCED", path)
  line = tfds_builds.refused(
    builder, capsys, tmp_path / "none", tmp_path, "enhanced"
  )
  assert "1 of 3 records" in line
  write(tmp_path, [(judged[1], "flat T waves", True)], judged)
  found, _, _ = tfds_builds.build(
    builder, tmp_path / "none", tmp_path / "out", "enhanced"
  )
  features = {k: e["features"] for p in found.values() for k, e in p.items()}
  assert features == {
    judged[0]: [],
    judged[1]: [b"flat T waves"],
    judged[2]: [],
  }
