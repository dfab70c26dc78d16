"""`tfds build tfds_builders/cpsc2018`: both forms, labels, splits, faults."""

import csv
import json
import shutil
import subprocess
import sys
import zlib

import numpy as np
import pytest
import wfdb
from scipy import io
from sklearn.model_selection import train_test_split

from fgclep_jax.errors import InputError
from fgclep_jax.signals import published, reader
from tests import tfds_builds, wfdb_files

# TFDS itself calls a method that protobuf has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:label:DeprecationWarning")

NAME = "cpsc2018"
DUMMY = tfds_builds.BUILDERS / NAME / "dummy_data"
# Positives of the published files: train, validation, test.
POSITIVES = {
  "AFIB": (873, 98, 250),
  "VPC": (501, 56, 143),
  "NORM": (649, 85, 184),
  "1AVB": (504, 63, 155),
  "CRBBB": (1359, 141, 357),
  "STE": (170, 12, 38),
  "PAC": (442, 54, 120),
  "CLBBB": (172, 15, 49),
  "STD": (644, 63, 162),
}


@pytest.fixture(scope="module")
def dummy(tmp_path_factory):
  folder = tmp_path_factory.mktemp("dummy")
  process = tfds_builds.command(NAME, DUMMY, folder)
  assert process.returncode == 0, process.stderr[-2000:]
  assert "cpsc2018: 8 of 6877 records, partial" in process.stdout
  assert "cpsc2018: read 8, kept 8, flag age_over_89 1" in process.stdout
  assert "occur twice 0, across splits 0" in process.stdout
  return tfds_builds.load(NAME, folder)


def names_of(example, metadata, kind="labels"):
  order = metadata["class_names"]["cpsc"]
  return {order[i] for i in np.flatnonzero(example[kind]["cpsc"])}


def test_dummy_fields(dummy):
  examples, metadata, folder = dummy
  assert {split: len(part) for split, part in examples.items()} == {
    "train": 5,
    "validation": 2,
    "test": 1,
  }
  train = examples["train"]
  for part in examples.values():
    for record_id, example in part.items():
      raw = io.loadmat(DUMMY / "TrainingSet" / f"{record_id}.mat")
      millivolts = raw["ECG"][0, 0]["data"]
      assert np.abs(example["ecg"] - millivolts * 1000).max() < 1e-6
      assert example["sampling_rate"] == 500
      assert example["patient_id"] == b""
      assert example["statements"] == example["features"] == []
      assert example["labelled"]["cpsc"]
  assert (train["A0002"]["age"], train["A0002"]["sex"]) == (49, 1)
  assert train["A0008"]["sex"] == 0
  assert np.isnan(train["A0004"]["age"])  # -1
  assert np.isnan(train["A0005"]["age"])  # empty
  assert train["A0006"]["age"] == 90
  assert b"age_over_89" in train["A0006"]["quality"]["flags"]
  assert names_of(train["A0004"], metadata) == {"PAC"}  # named twice
  assert names_of(train["A0005"], metadata) == {"1AVB", "CRBBB", "STD"}
  assert names_of(examples["test"]["A0009"], metadata) == {"STE", "STD"}
  assert metadata["partial"] is True
  assert metadata["patient_disjoint"] is None
  counts = json.loads((folder / "build.json").read_text())
  assert counts["read"] == counts["kept"] == 8


def test_dummy_data_come_from_their_script(tmp_path):
  script = DUMMY.parent / "make_dummy_data.py"
  subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
  old = {p.relative_to(DUMMY) for p in DUMMY.rglob("*") if p.is_file()}
  assert old == {
    p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()
  }
  table = "REFERENCE.csv"
  assert (tmp_path / table).read_bytes() == (DUMMY / table).read_bytes()
  for path in sorted(old):
    if path.suffix == ".mat":  # compressed by whatever zlib is there
      a, b = (io.loadmat(p / path)["ECG"][0, 0] for p in (DUMMY, tmp_path))
      np.testing.assert_array_equal(a["data"], b["data"])


@pytest.fixture
def builder(monkeypatch):
  return tfds_builds.module(NAME, monkeypatch)


@pytest.fixture
def archive(tmp_path):
  """A copy of the dummy archive, to be damaged."""
  return shutil.copytree(DUMMY, tmp_path / "raw")


def write_wfdb(folder, record_id, seed=0, samples=600, dx="164889003"):
  adc = wfdb_files.random_adc(np.random.default_rng(seed), length=samples)
  comments = ("Age: 74", "Sex: Female", f"Dx: {dx}", "Rx: Unknown")
  wfdb_files.write_record(
    folder, record_id, adc, rate=500, token="16+24", suffix="mat",
    comments=comments,
  )  # fmt: skip
  return adc


def write_splits(folder, lines, classes):
  """Writes icbeb_*.csv; lines: file -> [(record id, class names)]."""
  folder.mkdir(parents=True)
  for name, members in lines.items():
    with open(folder / f"icbeb_{name}.csv", "w", newline="") as file:
      writer = csv.writer(file)
      writer.writerow(("patient_id", "ecg_id", "filename", *classes))
      for number, (key, found) in enumerate(members):
        values = [int(c in found) for c in classes]
        writer.writerow((number, number, key, *values))


def test_challenge_form_with_published_splits(builder, tmp_path):
  raw = tmp_path / "raw"
  given = {
    "A0001": "164889003",
    "A0004": "59118001,164931005",
    "A0005": "426783006,999",
    "A0009": "164884008",
  }
  adc = {
    key: write_wfdb(raw / "g1", key, seed, 600 + seed, dx)
    for seed, (key, dx) in enumerate(given.items())
  }
  write_wfdb(raw / "g2", "A0010", 0, 600, "284470004")  # as A0001
  lines = {
    "train": [("A0001", ["AFIB"]), ("A0009", ["VPC"])],
    "val": [("A0005", ["NORM"])],
    "test": [("A0004", ["CRBBB", "STE"]), ("A0010", ["PAC"])],
  }
  write_splits(raw / "merl/finetune/icbeb", lines, builder.labels.CLASSES)
  examples, metadata, folder = tfds_builds.build(builder, raw, tmp_path / "o")
  split = {"train": "train", "val": "validation", "test": "test"}
  for name, members in lines.items():
    part = examples[split[name]]
    assert part.keys() == {key for key, _ in members}
    for key, expected in members:
      for kind in ("labels", "labels_merl"):
        assert names_of(part[key], metadata, kind) == set(expected)
      if key in adc:
        np.testing.assert_array_equal(part[key]["ecg"], adc[key])
      assert (part[key]["age"], part[key]["sex"]) == (74, 1)
  flags = examples["validation"]["A0005"]["quality"]["flags"]
  assert b"unknown_code" in flags
  assert metadata["split_protocol"].startswith("published files")
  [same] = (folder / "same_signals.jsonl").read_text().splitlines()
  assert json.loads(same) == [
    {"split": "train", "record_id": "A0001"},
    {"split": "test", "record_id": "A0010"},
  ]


def test_split_files_are_checked(builder, tmp_path):
  classes = builder.labels.CLASSES
  lines = {
    "train": [("A0001", ["AFIB"])],
    "val": [("A0002", ["STD"])],
    "test": [("A0003", [])],
  }
  folder = tmp_path / "merl" / "icbeb"
  write_splits(folder, lines, classes)

  def read():
    name = builder.archive._file_name
    return published.read_splits(tmp_path, "icbeb", classes, name)

  assert {k: row.split for k, row in read().items()} == {
    "A0001": "train",
    "A0002": "validation",
    "A0003": "test",
  }
  path = folder / "icbeb_val.csv"
  text = path.read_text()
  for old, new, expected in (
    ("A0002", "A0001", "1 records of icbeb occur twice, first A0001"),
    ("A0002", "../A2", "line 2: filename"),
    ("VPC,NORM", "NORM,VPC", "last columns"),
    ("STD", "STX", "no column 'STD'"),
    (",1\n", ",2\n", "0 or 1 expected"),
  ):
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=expected):
      read()
  path.unlink()
  with pytest.raises(InputError, match=r"no icbeb_val\.csv beside"):
    read()
  shutil.copytree(folder, tmp_path / "merl" / "again")
  with pytest.raises(InputError, match=r"icbeb_train\.csv 2 times"):
    read()
  assert published.read_splits(tmp_path, "other", classes, None) is None


def test_records_absent_from_an_incomplete_archive():
  expected = {f"A{i}": "train" for i in range(8)} | {"B": "test"}
  absent = published.absent_records
  assert absent(expected, ["A0"], "raw", False) == []  # a sample
  found = set(expected) - {"A3"}
  assert absent(expected, found, "raw", False) == ["A3"]
  with pytest.raises(InputError, match="1 records of validation and test"):
    absent(expected, found - {"B"}, "raw", False)
  assert absent(expected, found - {"B"}, "raw", True) == ["A3", "B"]


REFERENCE_EDITS = [
  ("A0002,1,,", "A0002,10,,", "First_label '10': 1 to 9"),
  ("A0002,1,,", "A0002,,,", "record A0002 has no class"),
  ("A0002,1,,", "A0001,1,,", "record A0001 occurs twice"),
  ("A0002,1,,", "A0002x,1,,", "Recording 'A0002x'"),
  ("A0002,1,,", "A9999,1,,", "1 of 8 records of"),
  ("Third_label", "Third", "no column 'Third_label'"),
]


@pytest.mark.parametrize(("old", "new", "expected"), REFERENCE_EDITS)
def test_damaged_reference(old, new, expected, archive, builder):
  path = archive / "REFERENCE.csv"
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new, 1))
  with pytest.raises(InputError) as caught:
    builder.archive.open_archive(str(archive))
  assert expected in str(caught.value)
  assert "\n" not in str(caught.value)


def test_other_layouts_of_the_reference(archive, builder):
  """TrainingSet1..3, the table in one of them, numbers written as floats."""
  expected = builder.archive.read_reference(str(archive))
  path = archive / "REFERENCE.csv"
  text = path.read_text().replace("A0005,3,5,8", "A0005,3.0,5.0,8.0")
  path.unlink()
  for number in (1, 2, 3):
    (archive / f"TrainingSet{number}").mkdir()
  (archive / "TrainingSet").rename(archive / "TrainingSet2" / "part")
  path = archive / "TrainingSet3" / "REFERENCE.csv"
  path.write_text("\ufeff" + text, encoding="utf-8")
  found = builder.archive.open_archive(str(archive))
  assert {row.record_id: row.classes for row in found.rows} == expected


def test_a_record_in_two_folders(archive, builder):
  shutil.copytree(archive / "TrainingSet", archive / "TrainingSet1")
  with pytest.raises(InputError, match="8 records lie in two folders"):
    builder.archive.open_archive(str(archive))


def test_a_missing_record_of_the_test_split(
  archive, builder, tmp_path, capsys, monkeypatch
):
  (archive / "TrainingSet/A0009.mat").unlink()
  line = tfds_builds.refused(builder, capsys, archive, tmp_path / "out")
  assert "1 records of validation and test" in line
  assert "FGCLEP_ALLOW_MISSING=1" in line
  monkeypatch.setenv("FGCLEP_ALLOW_MISSING", "1")
  monkeypatch.setenv("FGCLEP_MAX_SKIP_RATE", "0.2")
  examples, _, folder = tfds_builds.build(builder, archive, tmp_path / "out")
  assert list(examples) == ["train", "validation"]
  skipped = json.loads((folder / "skipped.jsonl").read_text())
  assert (skipped["record_id"], skipped["reason"]) == ("A0009", "missing_file")


def test_a_damaged_struct_of_the_test_split(archive, builder, tmp_path, capsys):
  path = archive / "TrainingSet/A0009.mat"
  path.write_bytes(path.read_bytes()[:-100])
  line = tfds_builds.refused(builder, capsys, archive, tmp_path / "out")
  assert "record A0009 of test cannot be read" in line


def test_too_many_damaged_training_records(archive, builder, tmp_path, capsys):
  (archive / "TrainingSet/A0002.mat").write_bytes(b"")
  line = tfds_builds.refused(builder, capsys, archive, tmp_path / "out")
  assert "1 of 8 records dropped" in line


def test_no_records(builder, tmp_path, capsys):
  (tmp_path / "raw").mkdir()
  (tmp_path / "raw" / "readme").touch()
  line = tfds_builds.refused(
    builder, capsys, tmp_path / "raw", tmp_path / "out"
  )
  assert "no records found" in line
  assert "REFERENCE.csv" in line


def test_odd_structs(builder, tmp_path):
  read = builder.mat_struct.read_struct
  path = tmp_path / "A0001.mat"
  rng = np.random.default_rng(3)
  data = wfdb_files.random_adc(rng, length=600) / 1000

  def write(**fields):
    fields = {"sex": "Male", "age": 50, "data": data} | fields
    io.savemat(path, {"ECG": fields})
    return read(path)

  gap = data.copy()
  gap[2, 100:103] = np.nan
  found = write(data=gap)
  assert found.quality.n_invalid == 3
  assert found.quality.flags == ("invalid_repaired",)
  ramp = np.interp([1, 2, 3], [0, 4], gap[2, [99, 103]] * 1000)
  assert np.abs(found.signal[2, 100:103] - ramp).max() <= 0.5
  assert write(sex="x").sex == -1
  for fields, reason in (
    ({"data": data[:11]}, "bad_length"),
    ({"data": data[:, :400]}, "too_short"),
    ({"data": "text"}, "bad_length"),
    ({"age": "old"}, "bad_header"),
  ):
    with pytest.raises(reader.RecordError) as caught:
      write(**fields)
    assert caught.value.reason == reason
  with pytest.raises(reader.RecordError, match="No such file"):
    read(tmp_path / "absent.mat")
  # A few kilobytes that would expand to gigabytes.
  bomb = zlib.compress(bytes(1 << 27), 9)
  head = np.array([15, len(bomb)], "<u4").tobytes()
  path.write_bytes(bytes(128) + head + bomb)
  with pytest.raises(reader.RecordError, match="expands too far"):
    read(path)


def published_labels(shared, split):
  path = f"merl/data_split/icbeb/icbeb_{published.FILES[split]}.csv"
  with open(shared / path, newline="") as file:
    return list(csv.DictReader(file))


def test_own_splits_follow_the_described_rule(builder, shared):
  """Sizes as published; members only over the publishers' own order."""

  def rule(ids):
    train, test = train_test_split(ids, test_size=0.2, random_state=42)
    train, val = train_test_split(train, test_size=0.1, random_state=42)
    return {"train": set(train), "validation": set(val), "test": set(test)}

  split_of = builder.labels.own_splits()
  own = {
    split: {key for key, found in split_of.items() if found == split}
    for split in published.SPLITS
  }
  assert own == rule(sorted(split_of))
  rows = {split: published_labels(shared, split) for split in own}
  files = {s: {row["filename"] for row in found} for s, found in rows.items()}
  sizes = [len(own[split]) for split in own]
  assert sizes == [len(files[s]) for s in own] == [4950, 551, 1376]
  shared_members = [len(own[split] & files[split]) for split in own]
  assert shared_members == [3551, 40, 282]
  counter = {
    int(row["ecg_id"]): row["filename"] for s in rows for row in rows[s]
  }
  assert rule([counter[number] for number in sorted(counter)]) == files


def test_reference_equals_the_published_labels(builder, shared):
  """On the tables alone: all 6,877 records, both label sets."""
  classes = builder.archive.read_reference(str(shared / "cpsc2018"))
  assert len(classes) == builder.labels.RECORDS
  assert [
    sum(len(found) == n for found in classes.values()) for n in (1, 2, 3)
  ] == [6401, 470, 6]
  merl = published.read_splits(
    shared, "icbeb", builder.labels.CLASSES, builder.archive._file_name
  )
  published.check_sizes(merl, builder.labels.SPLIT_SIZES, "icbeb")
  assert merl.keys() == classes.keys()
  positives = {split: np.zeros(9, int) for split in published.SPLITS}
  for key, row in merl.items():
    exact = builder.labels.multi_hot(classes[key])
    np.testing.assert_array_equal(exact, row.labels)
    positives[row.split] += exact
  for index, name in enumerate(builder.labels.CLASSES):
    assert POSITIVES[name] == tuple(
      found[index] for found in positives.values()
    )


def test_codes_agree_with_the_reference(builder, shared):
  """The Challenge's headers of five records, and its counts of all."""
  classes = builder.archive.read_reference(str(shared / "cpsc2018"))
  for path in sorted((shared / "cinc2021" / "cpsc_2018").glob("*.hea")):
    remarks = builder.challenge.read_comments(reader.read_header(path).comments)
    found = {builder.labels.CODES[code] for code in remarks.codes}
    assert found == classes[path.stem]
  counted = {}
  for name in ("scored", "unscored"):
    with open(shared / "snomed" / f"dx_mapping_{name}.csv") as file:
      for row in csv.DictReader(file):
        code = builder.labels.CODES.get(row["SNOMEDCTCode"])
        if int(row["CPSC"]):
          counted[code] = int(row["CPSC"])
  assert counted == {name: sum(found) for name, found in POSITIVES.items()}


def test_real_structs(builder, shared, tmp_path):
  raw = tmp_path / "raw"
  raw.mkdir()
  (raw / "TrainingSet").symlink_to(shared / "cpsc2018" / "TrainingSet")
  (raw / "REFERENCE.csv").symlink_to(shared / "cpsc2018" / "REFERENCE.csv")
  (raw / "merl").symlink_to(shared / "merl")
  examples, metadata, _ = tfds_builds.build(builder, raw, tmp_path / "out")
  assert metadata["partial"] is True
  assert list(examples["test"]) == ["A1984"]
  records = {k: v for part in examples.values() for k, v in part.items()}
  with open(raw / "REFERENCE.csv", newline="") as file:
    people = {row["Recording"]: row for row in csv.DictReader(file)}
  for key in ("A1980", "A1982", "A1984", "A1986", "A1988"):
    struct = io.loadmat(raw / "TrainingSet" / f"{key}.mat")["ECG"][0, 0]
    error = np.abs(records[key]["ecg"] - struct["data"] * 1000).max()
    assert error <= 0.5 + 1e-9
    assert records[key]["age"] == float(people[key]["age"])
    assert records[key]["sex"] == ["Male", "Female"].index(people[key]["sex"])
    exact = records[key]["labels"]["cpsc"]
    np.testing.assert_array_equal(exact, records[key]["labels_merl"]["cpsc"])
  lengths = sorted(e["ecg"].shape[1] for e in records.values())
  assert lengths == [5000, 5000, 9500, 21500, 27157]


def test_real_challenge_records(builder, shared, tmp_path):
  raw = shared / "cinc2021"  # other sources beside them are left alone
  examples, _, _ = tfds_builds.build(builder, raw, tmp_path)
  records = {k: v for part in examples.values() for k, v in part.items()}
  assert sorted(records) == ["A0001", "A0003", "A0005", "A0007", "A0009"]
  for key, example in records.items():
    record = wfdb.rdrecord(str(raw / "cpsc_2018" / key))
    assert np.abs(example["ecg"] - record.p_signal.T * 1000).max() <= 1
    assert example["labels"]["cpsc"].sum() >= 1
