"""`tfds build tfds_builders/chapman_ningbo`: headers, labels, splits."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import wfdb
from scipy import io

from fgclep_jax.errors import InputError
from fgclep_jax.signals import challenge, published, reader
from tests import tfds_builds

# TFDS itself calls a method that protobuf has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:label:DeprecationWarning")

NAME = "chapman_ningbo"
DUMMY = tfds_builds.BUILDERS / NAME / "dummy_data"
# Positives of train, validation, test in the published files ...
MERL = """AQW 433/46/112 UW 45/3/10 SR 5154/571/1404 WPW 34/5/14 2AVB 31/3/4
AT 115/15/42 VB 665/82/169 ARS 365/53/114 STTC 610/81/186 SA 2075/217/536
STE 295/30/93 VPB 174/20/43 TWO 806/85/232 STTU 97/14/36 ALS 641/70/210
APB 497/52/136 2AVB1 13/2/1 PRIE 20/1/8 CCR 87/16/38 CR 141/25/50
AF 3383/383/987 AVB 662/82/169 QTIE 137/16/32 LBBB 143/24/42 VEB 15/1/5
SVT 434/51/128 RBBB 394/46/93 1AVB 510/66/126 STDD 307/29/91 MI 36/6/15
AFIB 992/124/297 TWC 3288/389/968 PWC 73/3/11 ERV 180/18/68 RVH 20/4/5
LVH 83/8/22 ST 4553/504/1281 JEB 17/3/5"""
# ... and by whole codes, where that differs.
EXACT = """2AVB 18/1/3 VB 3/0/0 SA 1549/163/395 CR 54/9/12 AF 2391/259/690
AVB 123/14/39 ST 3720/404/1030"""


def counts(text):
  words = text.split()
  numbers = (tuple(map(int, w.split("/"))) for w in words[1::2])
  return dict(zip(words[::2], numbers, strict=True))


@pytest.fixture(scope="module")
def dummy(tmp_path_factory):
  folder = tmp_path_factory.mktemp("dummy")
  process = tfds_builds.command(NAME, DUMMY, folder)
  assert process.returncode == 0, process.stderr[-2000:]
  assert "chapman_ningbo: 10 of 45152 records, partial" in process.stdout
  assert "chapman_ningbo: read 10, kept 10" in process.stdout
  return tfds_builds.load(NAME, folder)


def names_of(example, metadata, kind="labels"):
  order = metadata["class_names"]["csn"]
  return {order[i] for i in np.flatnonzero(example[kind]["csn"])}


def test_dummy_splits_and_people(dummy):
  examples, metadata, folder = dummy
  assert {split: sorted(part) for split, part in examples.items()} == {
    "train": ["JS00001", "JS00004", "JS01052", "JS20000"],
    "validation": ["JS00006", "JS20004"],
    "test": ["JS00008", "JS10890"],
    "unlabelled": ["JS00002", "JS20010"],
  }
  for split, part in examples.items():
    for example in part.values():
      assert example["labelled"]["csn"] == (split != "unlabelled")
      assert example["patient_id"] == b""
      assert example["statements"] == example["features"] == []
  ages = {
    k: (e["age"], e["sex"]) for p in examples.values() for k, e in p.items()
  }
  assert ages["JS00001"] == (85, 0)
  assert ages["JS00006"] == (90, 1)
  assert np.isnan(ages["JS00008"][0])
  assert ages["JS00008"][1] == -1
  assert metadata["partial"] is True
  flags = json.loads((folder / "build.json").read_text())["flags"]
  assert flags == {
    "age_over_89": 1,
    "header_repaired": 1,
    "invalid_kept": 1,
    "lead_flat": 1,
    "length_other": 10,
    "unknown_code": 1,
  }


def test_dummy_signals_equal_the_files(dummy):
  for part in dummy[0].values():
    for key, example in part.items():
      [path] = (DUMMY / "WFDBRecords").rglob(f"{key}.mat")
      raw = np.fromfile(path, "<i2", offset=24).reshape(-1, 12).T
      runs = example["quality"]["invalid_runs"]
      if key == "JS10890":  # the file's "no value" becomes 0 and is noted
        assert runs.tolist() == [[3, 100, 100]]
        raw = np.where(raw == -32768, 0, raw)
      else:
        assert not len(runs)
      np.testing.assert_array_equal(example["ecg"], raw)


def test_dummy_labels(dummy):
  examples, metadata, _ = dummy
  train, unlabelled = examples["train"], examples["unlabelled"]
  assert names_of(train["JS00001"], metadata) == {"AFIB", "RBBB"}
  merl = {"AFIB", "AF", "RBBB"}
  assert names_of(train["JS00001"], metadata, "labels_merl") == merl
  assert names_of(train["JS00004"], metadata) == {"TWC"}
  assert train["JS00004"]["dx"] == [b"426177001", b"164934002"]
  assert names_of(train["JS20000"], metadata) == set()  # LVQRSAL
  assert names_of(train["JS20000"], metadata, "labels_merl") == {"SA"}
  merl = {"1AVB", "AVB", "VB"}
  assert names_of(examples["test"]["JS00008"], metadata, "labels_merl") == merl
  codes = unlabelled["JS00002"]["codes"]
  assert [metadata["code_names"][i] for i in np.flatnonzero(codes)] == ["SB"]
  assert len(codes) == len(metadata["codes"]) == 55
  assert unlabelled["JS20010"]["dx"] == [b"426783006", b"55827005"]
  assert names_of(unlabelled["JS20010"], metadata) == {"SR"}


def test_dummy_data_come_from_their_script(tmp_path):
  script = DUMMY.parent / "make_dummy_data.py"
  subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
  files = [path for path in DUMMY.rglob("*") if path.is_file()]
  assert len(files) == 25
  for path in files:
    made = (tmp_path / path.relative_to(DUMMY)).read_bytes()
    if path.suffix != ".parquet":  # which names its writer's version
      assert made == path.read_bytes()


@pytest.fixture
def builder(monkeypatch):
  return tfds_builds.module(NAME, monkeypatch)


@pytest.fixture
def archive(tmp_path):
  """A copy of the dummy archive, to be damaged."""
  return shutil.copytree(DUMMY, tmp_path / "raw")


def test_without_published_files(archive, builder, tmp_path):
  shutil.rmtree(archive / "merl")
  examples, metadata, _ = tfds_builds.build(builder, archive, tmp_path / "out")
  records = {k: e for part in examples.values() for k, e in part.items()}
  for split, part in examples.items():
    for key in part:
      assert builder.labels.own_split(key) == split
  assert metadata["split_protocol"].startswith("hash of the record id")
  assert len(records) == 10
  assert names_of(records["JS00001"], metadata, "labels_merl") == {
    "AFIB",
    "AF",
    "RBBB",
  }
  members = {k for k, e in records.items() if e["labelled"]["csn"]}
  # SB alone is no class, and a code outside the table rules a record out.
  assert records.keys() - members == {"JS00002", "JS20010"}


def test_own_splits_are_stable(builder):
  found = [builder.labels.own_split(f"JS{i:05d}") for i in range(1, 45153)]
  shares = [found.count(split) / len(found) for split in published.SPLITS]
  np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.005)
  assert found[:6] == ["train"] * 5 + ["test"]


def test_label_tables(builder, shared):
  labels = builder.labels
  path = shared / "chapman_ningbo" / "ConditionNames_SNOMED-CT.csv"
  with open(path, encoding="utf-8-sig", newline="") as file:
    table = [(row[0], row[2]) for row in list(csv.reader(file))[1:]]
  assert dict(table) == labels.CODE_OF
  first = {}
  for acronym, code in table:
    first.setdefault(code, acronym)
  assert {c: acronym for c, (acronym, _) in labels.CODES.items()} == first
  assert (len(table), len(labels.CODES), len(labels.CLASSES)) == (63, 55, 38)
  words = [words for _, words in labels.CODES.values()]
  assert len(set(words)) == 55


def test_label_logic_on_the_published_tables(builder, shared):
  """All 23,026 records, both label sets, from the tables alone."""
  labels = builder.labels
  rows = published.read_splits(
    shared, "chapman", labels.CLASSES, builder.archive._record_id
  )
  published.check_sizes(rows, labels.SPLIT_SIZES, "chapman")
  merl = {split: np.zeros(38, int) for split in published.SPLITS}
  exact = {split: np.zeros(38, int) for split in published.SPLITS}
  without = dict.fromkeys(published.SPLITS, 0)
  for row in rows.values():
    codes = labels.codes_of(row.entry["diagnose"])
    substring = labels.substring(labels.diagnose(codes))
    np.testing.assert_array_equal(substring, row.labels)
    found = labels.exact(codes)
    assert (found <= row.labels).all()
    merl[row.split] += row.labels
    exact[row.split] += found
    without[row.split] += not found.any()
  expected = counts(MERL)
  for found in (merl, exact):
    assert {
      name: tuple(int(part[i]) for part in found.values())
      for i, name in enumerate(labels.CLASSES)
    } == expected
    expected = expected | counts(EXACT)
  assert list(without.values()) == [116, 12, 19]


def test_real_records(builder, shared, tmp_path):
  raw = tmp_path / "raw"
  raw.mkdir()
  records = shared / "chapman_ningbo" / "WFDBRecords"
  (raw / "WFDBRecords").symlink_to(records)
  (raw / "merl").symlink_to(shared / "merl")
  examples, metadata, _ = tfds_builds.build(builder, raw, tmp_path / "out")
  assert sum(map(len, examples.values())) == 20
  assert list(examples["test"]) == ["JS00008"]
  flat = {}
  for split, part in examples.items():
    for key, example in part.items():
      [path] = records.rglob(f"{key}.mat")
      np.testing.assert_array_equal(example["ecg"], io.loadmat(path)["val"])
      record = wfdb.rdrecord(str(path.with_suffix("")))
      assert np.abs(example["ecg"] - record.p_signal.T * 1000).max() <= 1
      flat[key] = int(example["quality"]["lead_flat"].sum())
      flags = example["quality"]["flags"]
      assert b"diagnose_differs" not in flags
      if split != "unlabelled":
        merl = names_of(example, metadata, "labels_merl")
        assert names_of(example, metadata) <= merl
  assert {k: n for k, n in flat.items() if n} == {
    "JS20004": 3,
    "JS20008": 3,
    "JS45542": 6,
    "JS45544": 5,
  }
  members = [k for s in published.SPLITS for k in examples.get(s, ())]
  assert len(members) == 6


def test_a_real_header_with_fused_lines(builder, shared, tmp_path):
  """As JS01052 and JS23074 are published; rebuilt on a sound record."""
  source = shared / "chapman_ningbo" / "WFDBRecords" / "01" / "010"
  for ending in (".hea", ".mat"):
    shutil.copy(source / f"JS00001{ending}", tmp_path)
  path = tmp_path / "JS00001.hea"
  sound = reader.read_record(path)
  lines = path.read_text().split("\n")
  tail = lines[1].split("1000/mV ")[1]

  def fuse(first):
    path.write_text("\n".join([first, *lines[2:]]))
    return builder.archive.read_header(str(tmp_path / "JS00001"))

  for middle in ("00/mV ", "JS00001.mat 16+24 1000/mV "):
    header, repaired = fuse(f"JS00001 12 500 5000{middle}{tail}")
    assert repaired
    found = reader.read_record(path, header=header)
    np.testing.assert_array_equal(found.signal, sound.signal)
    assert found.comments == sound.comments
    assert challenge.read_comments(found.comments).codes == (
      "164889003",
      "59118001",
      "164934002",
    )
  # The checksum catches a repair that does not fit.
  header, _ = fuse(f"JS00001 12 500 500000/mV {tail.replace('21756', '21757')}")
  with pytest.raises(reader.RecordError, match="checksum"):
    reader.read_record(path, header=header)
  for first in ("JS00001 12 500 5000", "JS00001 12 500 5000 x I", ""):
    with pytest.raises(reader.RecordError) as caught:
      fuse(first)
    assert caught.value.reason == "bad_header"


@pytest.mark.parametrize(
  ("comments", "expected"),
  [
    (("Dx: 1,,2,",), ("1", "2")),
    (("Dx:2 , 1,2",), ("2", "1")),
    (("Dx: Unknown",), ()),
    ((), ()),
  ],
)
def test_codes_of_comments(comments, expected):
  assert challenge.read_comments(comments).codes == expected


def test_people_of_comments():
  read = challenge.read_comments
  found = read(("Age: 61", "Sex: female", "free text"))
  assert (found.age, found.sex) == (61, 1)
  found = read(("Age: NaN", "Sex: Unknown"))
  assert np.isnan(found.age)
  assert found.sex == -1
  assert read(("Sex: M",)).sex == 0


def test_records_are_found_by_id(tmp_path):
  for place in ("a/b/JS00002.hea", "a/JS00002.mat", "c/JS00001.mat", "x.hea"):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).touch()
  with pytest.raises(InputError, match=r"1 records .* first JS00002"):
    challenge.find_records(tmp_path, r"JS\d{5}", "a tree")
  (tmp_path / "a/JS00002.mat").unlink()
  (tmp_path / "c" / "loop").symlink_to(tmp_path)
  found = challenge.find_records(tmp_path, r"JS\d{5}", "a tree")
  assert list(found.items()) == [
    ("JS00001", (os.path.join("c", "JS00001"), {".mat"})),
    ("JS00002", (os.path.join("a", "b", "JS00002"), {".hea"})),
  ]


def test_a_test_record_without_samples(
  archive, builder, tmp_path, capsys, monkeypatch
):
  (archive / "WFDBRecords/00/000/JS00008.mat").unlink()
  line = tfds_builds.refused(builder, capsys, archive, tmp_path / "out")
  assert "record JS00008 of test cannot be read" in line
  monkeypatch.setenv("FGCLEP_ALLOW_MISSING", "1")
  monkeypatch.setenv("FGCLEP_MAX_SKIP_RATE", "0.1")
  examples, _, folder = tfds_builds.build(builder, archive, tmp_path / "out")
  assert list(examples["test"]) == ["JS10890"]
  skipped = json.loads((folder / "skipped.jsonl").read_text())
  assert (skipped["record_id"], skipped["reason"]) == (
    "JS00008",
    "missing_file",
  )


def test_a_test_record_without_any_file(archive, builder, tmp_path, capsys):
  for path in (archive / "WFDBRecords/00/000").glob("JS00008.*"):
    path.unlink()
  line = tfds_builds.refused(builder, capsys, archive, tmp_path / "out")
  assert "1 records of validation and test have no files" in line


def test_an_unknown_acronym_in_a_split_file(archive, builder):
  path = archive / "merl/data_split/chapman/chapman_val.csv"
  path.write_text(path.read_text().replace("12,SR", "12,SRX"))
  with pytest.raises(InputError, match=r"line 2: acronym 'SRX'"):
    builder.archive.open_archive(str(archive))


def test_findings_other_than_the_published_are_marked(
  archive, builder, tmp_path
):
  path = archive / "WFDBRecords/00/000/JS00008.hea"
  path.write_text(path.read_text().replace("270492004", "426783006"))
  examples, metadata, _ = tfds_builds.build(builder, archive, tmp_path / "out")
  found = examples["test"]["JS00008"]
  assert b"diagnose_differs" in found["quality"]["flags"]
  assert names_of(found, metadata) == {"SR"}
  assert names_of(found, metadata, "labels_merl") == {"1AVB", "AVB", "VB"}
