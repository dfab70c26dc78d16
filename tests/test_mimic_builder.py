"""`tfds build tfds_builders/mimic_iv_ecg`: join, statements, faults, splits."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import wfdb

from fgclep_jax.errors import InputError
from fgclep_jax.signals import contract
from tests import mimic_tree, tfds_builds, wfdb_files

# TFDS itself calls a method that protobuf has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:label:DeprecationWarning")

NAME = "mimic_iv_ecg"
DUMMY = tfds_builds.BUILDERS / NAME / "dummy_data"


@pytest.fixture(scope="module")
def dummy(tmp_path_factory):
  folder = tmp_path_factory.mktemp("dummy")
  process = tfds_builds.command(NAME, DUMMY, folder)
  assert process.returncode == 0, process.stderr[-2000:]
  assert "mimic_iv_ecg: 11 of 800035 records, partial" in process.stdout
  assert "mimic_iv_ecg: read 11, kept 11, flag " in process.stdout
  assert "measurements without record 1," in process.stdout
  return tfds_builds.load(NAME, folder)


@pytest.fixture
def builder(monkeypatch):
  return tfds_builds.module(NAME, monkeypatch)


@pytest.fixture
def archive(tmp_path):
  """A copy of the dummy archive, to be damaged."""
  return shutil.copytree(DUMMY, tmp_path / "raw")


def all_of(examples):
  return {key: e for part in examples.values() for key, e in part.items()}


def texts(values):
  return [value.decode() for value in values]


def split_by_hash(subject):
  digest = hashlib.sha256(f"mimic_iv_ecg/{subject}".encode()).hexdigest()
  share = int(digest[:16], 16) / 16**16
  return "train" if share < 0.9 else "validation" if share < 0.95 else "test"


def test_dummy_fields(dummy):
  examples, metadata, folder = dummy
  assert {split: len(part) for split, part in examples.items()} == {
    "train": 7,
    "validation": 2,
    "test": 2,
  }
  found = all_of(examples)
  for key, example in found.items():
    [path] = (DUMMY / "files").rglob(f"{key}.dat")
    raw = np.fromfile(path, "<i2").reshape(-1, 12).T * 5
    raw[[4, 5]] = raw[[5, 4]]  # the files have aVF before aVL
    np.testing.assert_array_equal(example["ecg"], raw)
    record = wfdb.rdrecord(str(path.with_suffix("")))
    scale = 1000 if record.units[0] == "mV" else 1
    rows = [record.sig_name.index(name) for name in contract.leads.LEADS]
    physical = record.p_signal.T[rows] * scale
    np.testing.assert_allclose(example["ecg"], physical, atol=1e-6)
    assert example["sampling_rate"] == 500
    assert example["features"] == []
  second = found["40000012"]
  assert texts(second["statements"]) == ["Sinus rhythm", "bigeminal PVCs"]
  assert texts(second["quality"]["lines"]) == ["Borderline ECG"]
  assert second["patient_id"] == b"10000001"
  assert texts(found["40000011"]["statements"]) == [
    "Sinus rhythm",
    "Normal ECG",
  ]
  for key in ("40000014", "40000015"):
    assert b"no_statements" in found[key]["quality"]["flags"]
  assert metadata["partial"] is True
  assert metadata["measurement_units"]["rate"] == "1/min"
  counts = json.loads((folder / "build.json").read_text())
  assert (counts["kept"], counts["max_skip_rate"]) == (11, 0.02)


def test_dummy_people(dummy):
  found = all_of(dummy[0])
  assert (found["40000011"]["age"], found["40000011"]["sex"]) == (55, 1)
  old = found["40000018"]  # 91 means over 89
  assert (old["age"], old["sex"]) == (90, 0)
  assert b"age_over_89" in old["quality"]["flags"]
  assert np.isnan(found["40000013"]["age"])
  assert found["40000013"]["sex"] == -1


def test_dummy_measurements(dummy):
  found = all_of(dummy[0])["40000013"]["measurements"]
  expected = dict(zip(mimic_tree.MEASURED, [np.nan] * 9, strict=True))
  expected |= {"rr_interval": 600, "qrs_onset": 40, "qrs_end": 130}
  expected |= {"t_end": 380, "qrs_axis": -45, "t_axis": 120, "pr": np.nan}
  expected |= {"qrs": 90, "qt": 340, "rate": 100}
  assert found == pytest.approx(expected, nan_ok=True)


def test_dummy_data_come_from_their_script(tmp_path):
  script = DUMMY.parent / "make_dummy_data.py"
  subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
  files = [path for path in DUMMY.rglob("*") if path.is_file()]
  assert len(files) == 2 * 11 + 5
  for path in files:
    made = (tmp_path / path.relative_to(DUMMY)).read_bytes()
    if path.suffix != ".parquet":  # which names its writer's version
      assert made == path.read_bytes()


def test_enhanced(builder, archive, tmp_path, capsys):
  examples, metadata, _ = tfds_builds.build(
    builder, archive, tmp_path / "out", "enhanced"
  )
  found = all_of(examples)
  assert texts(found["40000013"]["features"]) == [
    "absent P waves",
    "irregular RR intervals",
  ]
  assert texts(found["40000013"]["statements"]) == ["Atrial fibrillation"]
  assert sum(len(example["features"]) for example in found.values()) == 2
  assert metadata["enhanced"]["records_judged"] == 11
  (archive / "enhanced.parquet").unlink()
  line = tfds_builds.refused(
    builder, capsys, archive, tmp_path / "no", "enhanced"
  )
  assert "enhanced.parquet" in line


def check_planted(planted, examples, metadata, folder):
  """Every fault counted exactly, and no wrong example."""
  found = all_of(examples)
  assert found.keys() == planted.kept.keys()
  for split, part in examples.items():
    for key, example in part.items():
      check_example(example, planted.kept[key])
      assert split == split_by_hash(example["patient_id"].decode())
  counts = json.loads((folder / "build.json").read_text())
  assert counts["dropped"] == planted.dropped
  assert counts["flags"] == planted.flags
  assert counts["kept"] == len(planted.kept)
  assert counts["read"] == planted.join["records_listed"]
  assert metadata["join"] == planted.join
  assert metadata["partial"] is True
  lines = (folder / "skipped.jsonl").read_text().splitlines()
  skipped = [json.loads(line) for line in lines]
  assert {r["record_id"]: r["reason"] for r in skipped} == planted.dropped_ids
  assert len(skipped) == planted.dropped.total()


def check_example(example, kept):
  assert example["patient_id"] == str(kept.subject).encode()
  assert np.abs(example["ecg"] - kept.signal).max() <= 0.5
  quality = example["quality"]
  assert quality["invalid_runs"].tolist() == kept.runs
  assert quality["n_invalid"] == sum(run[2] for run in kept.runs)
  assert quality["n_clipped"] == 0
  assert not quality["lead_missing"].any()
  assert quality["lead_flat"].any() == ("lead_flat" in kept.flags)
  assert set(texts(quality["flags"])) == kept.flags
  assert texts(quality["lines"]) == kept.lines
  assert texts(example["statements"]) == kept.statements
  values = example["measurements"]
  own = kept.values
  expected = own | {
    "pr": own["qrs_onset"] - own["p_onset"],
    "qrs": own["qrs_end"] - own["qrs_onset"],
    "qt": own["t_end"] - own["qrs_onset"],
    "rate": 60000 / own["rr_interval"],
  }
  assert values == pytest.approx(expected, rel=1e-6, nan_ok=True)
  assert np.isnan(example["age"])
  assert example["sex"] == -1


@pytest.mark.core
def test_planted_faults(builder, tmp_path, monkeypatch):
  planted = mimic_tree.write(tmp_path / "raw", 300, each=2)
  monkeypatch.setenv("FGCLEP_MAX_SKIP_RATE", "0.2")
  built = tfds_builds.build(builder, tmp_path / "raw", tmp_path / "out")
  check_planted(planted, *built)


def test_the_limit_of_dropped_records(builder, tmp_path, capsys):
  planted = mimic_tree.write(tmp_path / "raw", 60, each=1)
  line = tfds_builds.refused(
    builder, capsys, tmp_path / "raw", tmp_path / "out"
  )
  dropped, read = planted.dropped.total(), planted.join["records_listed"]
  assert f"{dropped} of {read} records dropped" in line
  assert "limit of 2.00%" in line


@pytest.mark.slow
def test_planted_faults_in_5000_records(builder, tmp_path):
  planted = mimic_tree.write(tmp_path / "raw", 5000, each=5, seed=1)
  built = tfds_builds.build(builder, tmp_path / "raw", tmp_path / "out")
  check_planted(planted, *built)


def test_the_sample_row(builder, shared, tmp_path):
  """The one real row, on a synthetic waveform: 130 / 88 / 348 ms, 91/min."""
  raw = tmp_path / "raw"
  raw.mkdir()
  for table in ("record_list.csv", "machine_measurements.csv"):
    shutil.copy(shared / NAME / table, raw)
  with open(raw / "record_list.csv", newline="") as file:
    [row] = csv.DictReader(file)
  adc = wfdb_files.random_adc(np.random.default_rng(2), length=5000, high=200)
  wfdb_files.write_record(
    (raw / row["path"]).parent, row["study_id"], adc, mimic_tree.ORDER, 500,
    "200.0(0)/mV",
  )  # fmt: skip
  examples, metadata, _ = tfds_builds.build(builder, raw, tmp_path / "out")
  [(key, example)] = all_of(examples).items()
  values = example["measurements"]
  assert key == row["study_id"]
  assert [values[name] for name in ("pr", "qrs", "qt")] == [130, 88, 348]
  assert round(float(values["rate"])) == 91
  assert values["rr_interval"] == 659
  assert values["t_axis"] == 79
  assert texts(example["statements"]) == [
    "Sinus rhythm",
    "Possible right atrial abnormality",
  ]
  assert texts(example["quality"]["lines"]) == ["Borderline ECG"]
  assert list(example["quality"]["flags"]) == []
  assert metadata["join"]["records_listed"] == 1


def test_order_and_content_do_not_depend_on_the_tables_order(builder, tmp_path):
  mimic_tree.write(tmp_path, 60)
  first = builder.archive.open_archive(str(tmp_path))
  for table in ("record_list.csv", "machine_measurements.csv"):
    head, *lines = (tmp_path / table).read_text().splitlines()
    lines = np.random.default_rng(4).permutation(lines).tolist()
    (tmp_path / table).write_text("\n".join([head, *lines]))
  second = builder.archive.open_archive(str(tmp_path))
  assert first.record_ids() == second.record_ids()
  assert first.dropped == second.dropped
  assert first.counts == second.counts
  for split in builder.archive.SPLITS:
    pairs = zip(first.rows(split), second.rows(split), strict=True)
    for one, two in pairs:
      assert (one.study, one.statements, one.lines) == (
        two.study,
        two.statements,
        two.lines,
      )
      np.testing.assert_array_equal(one.values, two.values)
  subject = first.subject.tolist()
  assert subject == sorted(subject)


def test_splits(builder):
  """Shares as documented, and no subject in two splits."""
  archive = builder.archive
  subjects = np.arange(10_000_000, 10_020_000)
  split = archive.split_of(subjects)
  shares = np.bincount(split) / len(split)
  np.testing.assert_allclose(shares, [0.9, 0.05, 0.05], atol=0.005)
  for subject, index in zip(subjects[:300], split[:300], strict=True):
    assert archive.SPLITS[index] == split_by_hash(subject)
  archive.check_disjoint(subjects, split)
  mixed = np.array([1, 2, 1])
  with pytest.raises(InputError, match="1 subjects are in two splits, first 1"):
    archive.check_disjoint(mixed, np.array([0, 1, 2]))


def test_a_sample_of_the_archive(archive, builder, tmp_path):
  """The whole list with a few folders: the others are not counted as lost."""
  with open(archive / "record_list.csv", "a") as file:
    for study in range(41000000, 41000040):
      place = f"files/p1900/p19000000/s{study}/{study}"
      file.write(f"19000000,{study},{study},2180-01-01 00:00:00,{place}\n")
  examples, metadata, folder = tfds_builds.build(
    builder, archive, tmp_path / "out"
  )
  assert len(all_of(examples)) == 11
  assert metadata["join"]["records_not_downloaded"] == 40
  counts = json.loads((folder / "build.json").read_text())
  assert counts["read"] == counts["kept"] == 11


def test_folders_lost_from_an_archive(archive, builder, tmp_path, capsys):
  shutil.rmtree(archive / "files/p1000/p10000002")
  line = tfds_builds.refused(builder, capsys, archive, tmp_path / "out")
  assert "1 of 11 records dropped" in line
  assert "(missing_file 1)" in line
  shutil.rmtree(archive / "files")
  line = tfds_builds.refused(builder, capsys, archive, tmp_path / "out")
  assert "no records of record_list.csv found" in line


def test_a_complete_archive(builder, tmp_path, monkeypatch, capsys):
  """Compared with what others count; here the release has 11 records."""
  monkeypatch.setattr(builder.archive, "RECORDS", 11)
  _, metadata, _ = tfds_builds.build(builder, DUMMY, tmp_path)
  assert metadata["partial"] is False
  printed = capsys.readouterr().out
  # Of the 11 reports two have fewer; the one without a record counts too.
  assert "reports of at least 4 words 9, elsewhere reported 771693" in printed
  assert "records kept 11, elsewhere reported 787677" in printed
  assert "partial" not in printed


TABLE_EDITS = [
  ("record_list.csv", "10000002,40000013,", "1000000x,40000013,", "line 4"),
  ("record_list.csv", ",path", ",place", "no column 'path'"),
  ("machine_measurements.csv", "study_id", "study", "no column 'study_id'"),
  ("machine_measurements.csv", ",40000021,", ",,", "line 3: study_id ''"),
  ("machine_measurements.csv", "report_17", "report_18", "'report_17'"),
  ("patients.csv", "10000008", "10000001", "subject 10000001 occurs twice"),
  ("patients.csv", "2180", "", "line 2: invalid literal"),
]


@pytest.mark.parametrize(("table", "old", "new", "expected"), TABLE_EDITS)
def test_damaged_tables(table, old, new, expected, archive, builder):
  path = archive / table
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new, 1))
  with pytest.raises(InputError) as caught:
    builder.archive.open_archive(str(archive))
  assert expected in str(caught.value)
  assert "\n" not in str(caught.value)


def test_a_table_without_lines(archive, builder):
  for table in ("machine_measurements.csv", "record_list.csv"):
    path = archive / table
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(InputError, match=rf"{table}: no "):
      builder.archive.open_archive(str(archive))


PATHS = [
  "files/../../40000013",
  "/files/p1000/p10000002/s40000013/40000013",
  "files/p1000/p10000002/s40000013/40000012",
  "files/p1000/p10000001/s40000011/40000011",
  "files/p1000/p10000002/s40000013/40000013.dat",
  "",
]


@pytest.mark.parametrize("path", PATHS)
def test_paths_that_lead_elsewhere(path, archive, builder):
  table = archive / "record_list.csv"
  good = "files/p1000/p10000002/s40000013/40000013"
  table.write_text(table.read_text().replace(good, path))
  found = builder.archive.open_archive(str(archive))
  assert found.dropped == (("40000013", path, "bad_path"),)
  assert len(found) == 10


def test_cleaning_of_measurements(builder):
  clean = builder.measurements.clean
  rows = np.zeros((4, 9), np.float32)
  rows[0] = [0, 5000, 5000.5, -0.5, 29999, np.nan, 360, -360, 360.5]
  rows[1] = [np.inf, -np.inf, 1, 1, 1, 1, -361, 29999, np.nan]
  bad = np.isnan(clean(rows))
  assert np.flatnonzero(bad[0]).tolist() == [2, 3, 4, 5, 8]
  assert np.flatnonzero(bad[1]).tolist() == [0, 1, 6, 7, 8]
  assert not bad[2:].any()
  values = builder.measurements.example(clean(rows)[2])  # all 0
  assert np.isnan([values[name] for name in ("pr", "qrs", "qt", "rate")]).all()


def test_a_report_that_differs_makes_a_conflict(archive, builder):
  """Same measurements, another text: which one is right is unknown."""
  path = archive / "machine_measurements.csv"
  text = path.read_text()
  [line] = [s for s in text.splitlines() if ",40000011," in s]
  path.write_text(text + line.replace("Normal ECG", "Abnormal ECG") + "\n")
  found = builder.archive.open_archive(str(archive))
  assert [d[0::2] for d in found.dropped] == [("40000011", "conflicting_study")]
  path.write_text(text + line + "\n")  # the same again
  found = builder.archive.open_archive(str(archive))
  assert not found.dropped
  assert found.counts["measurements_repeated"] == 1


def test_people_over_89(builder):
  numbers = [[7], [0], [91], [2150]]
  kinds = (np.int64, np.int8, np.int16, np.int16)
  columns = [np.array(v, k) for v, k in zip(numbers, kinds, strict=True)]
  find = builder.archive.people.People(*columns).find
  assert find(7, 2151) == (90, True, 0)
  for subject, year, sex in ((7, 2149, 0), (7, 0, 0), (8, 2150, -1)):
    age, over_89, found = find(subject, year)
    assert np.isnan(age)
    assert (over_89, found) == (False, sex)


def test_memory_of_the_tables(builder, tmp_path):
  """Bytes a record, so that 800,035 records fit: no object each."""
  count, subject = 20000, 10_000_001
  place = builder.tables.layout
  lines = [",".join(mimic_tree.LISTED)]
  measured = [",".join(mimic_tree.COLUMNS)]
  for study in range(40_000_000, 40_000_000 + count):
    lines.append(f"{subject},{study},{study},2180,{place(subject, study)}")
    report = ",".join(line[0] for line in mimic_tree.LINES[3:8])
    measured.append(
      f"{subject},{study},1,2180,{report}{13 * ','},a,b,800,40,150,180,270,"
      "560,50,30,40"
    )
  (tmp_path / "record_list.csv").write_text("\n".join(lines))
  (tmp_path / "machine_measurements.csv").write_text("\n".join(measured))
  os.makedirs(tmp_path / "files" / "p1000" / f"p{subject}")
  del lines, measured
  tracemalloc.start()
  found = builder.archive.open_archive(str(tmp_path))
  kept, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert len(found) == count
  assert kept / count < 200
  assert peak / count < 500
