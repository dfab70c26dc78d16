"""`tfds build tfds_builders/ptb_xl`, as a user runs it."""

import csv
import importlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
import wfdb

from fgclep_jax.errors import InputError
from tests.conftest import ROOT

# TFDS itself calls a method that protobuf has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:label:DeprecationWarning")

BUILDER = ROOT / "tfds_builders" / "ptb_xl"
DUMMY = BUILDER / "dummy_data"
FOLDERS = {"super": "super_class", "sub": "sub_class"}
FILES = {"train": "train", "validation": "val", "test": "test"}
SETTINGS = ("FGCLEP_PTBXL_RATE", "FGCLEP_ALLOW_MISSING", "FGCLEP_MAX_SKIP_RATE")


def build(manual_dir, data_dir, **environment):
  """Runs the command; returns the finished process."""
  inherited = {k: v for k, v in os.environ.items() if k not in SETTINGS}
  command = [
    *(sys.executable, "-m", "tensorflow_datasets.scripts.cli.main", "build"),
    *(str(BUILDER), "--config", "original", "--manual_dir", str(manual_dir)),
    *("--data_dir", str(data_dir), "--file_format", "array_record"),
  ]
  return subprocess.run(
    command,
    env=inherited | {"PYTHONPATH": str(ROOT), **environment},
    capture_output=True,
    text=True,
    timeout=300,
  )


def load(data_dir):
  """Returns split -> record id -> example, and the dataset's folder."""
  folder = data_dir / "ptb_xl" / "original" / "1.0.0"
  dataset = tfds.builder_from_directory(folder)
  examples = {
    split: {e["record_id"].decode(): e for e in dataset.as_data_source(split)}
    for split in dataset.info.splits
  }
  return examples, folder


@pytest.fixture(scope="module")
def dummy(tmp_path_factory):
  folder = tmp_path_factory.mktemp("dummy")
  process = build(DUMMY, folder)
  assert process.returncode == 0, process.stderr[-2000:]
  assert "ptb_xl: read 12, kept 12" in process.stdout
  return load(folder)


def test_dummy_splits_and_fields(dummy):
  examples, folder = dummy
  assert {split: len(part) for split, part in examples.items()} == {
    "train": 8,
    "validation": 2,
    "test": 2,
  }
  train = examples["train"]
  assert train["00001"]["patient_id"] == b"7"
  assert train["00001"]["sampling_rate"] == 100
  assert train["00001"]["statements"] == [b"sinus rhythm", b"normal ecg"]
  assert train["00002"]["statements"] == [b"sinus rhythm normal ecg"]
  assert train["00003"]["statements"] == [b"old inferior infarct"]
  assert train["00003"]["age"] == 90
  assert b"age_over_89" in train["00003"]["quality"]["flags"]
  assert train["00006"]["age"] == 90
  assert np.isnan(train["00004"]["age"])
  assert train["00004"]["sex"] == -1
  assert b"no_statements" in train["00004"]["quality"]["flags"]
  assert train["00005"]["statements"] == []
  assert b"report_original" in train["00006"]["quality"]["flags"]
  assert (train["00001"]["sex"], train["00003"]["sex"]) == (1, 0)
  metadata = json.loads((folder / "metadata.json").read_text())
  assert metadata["partial"] is True
  assert metadata["sampling_rate"] == 100
  assert (folder / "skipped.jsonl").read_text() == ""


def test_dummy_signals_equal_the_files(dummy):
  for part in dummy[0].values():
    for record_id, example in part.items():
      path = DUMMY / "records100" / "00000" / f"{record_id}_lr.dat"
      raw = np.fromfile(path, "<i2").reshape(-1, 12).T
      np.testing.assert_array_equal(example["ecg"], raw)


def test_dummy_labels_follow_the_codes(dummy):
  examples, folder = dummy
  metadata = json.loads((folder / "metadata.json").read_text())

  def names(split, record_id, task, kind):
    vector = examples[split][record_id][kind][task]
    order = metadata["class_names"][task]
    if kind == "labels_merl":
      order = metadata["class_names_merl"][split][task]
    return {order[i] for i in np.flatnonzero(vector)}

  for kind in ("labels", "labels_merl"):
    assert names("train", "00004", "super", kind) == {"HYP", "STTC"}
    assert names("train", "00004", "form", kind) == {"NDT"}
    assert names("validation", "00009", "sub", kind) == {"AVB"}
    assert names("validation", "00010", "sub", kind) == {"ISC", "NST"}
    assert names("test", "00012", "rhythm", kind) == {"AFIB"}
  # Columns 10 to 12 of the published validation files are permuted.
  example = examples["validation"]["00009"]
  assert np.flatnonzero(example["labels"]["sub"]).tolist() == [10]
  assert np.flatnonzero(example["labels_merl"]["sub"]).tolist() == [11]
  labelled = examples["train"]["00005"]["labelled"]
  assert labelled == {"super": 0, "sub": 0, "form": 1, "rhythm": 0}


@pytest.fixture
def archive(tmp_path):
  """A copy of the dummy archive, to be damaged."""
  return shutil.copytree(DUMMY, tmp_path / "raw")


def edit(path, old, new):
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new, 1))


def line_of(stderr):
  """Checks that one clear line was printed; returns it."""
  assert "Traceback" not in stderr
  lines = [s for s in stderr.splitlines() if s.startswith("ptb_xl: ")]
  assert len(lines) == 1, stderr[-2000:]
  return lines[0]


@pytest.fixture
def builder(monkeypatch):
  """The builder's module, as `tfds build` imports it."""
  for name in SETTINGS:
    monkeypatch.delenv(name, raising=False)
  monkeypatch.syspath_prepend(str(BUILDER.parent))
  return importlib.import_module("ptb_xl.ptb_xl_dataset_builder")


def build_here(builder, manual_dir, data_dir):
  """Builds inside this process, which is seconds faster."""
  builder.Builder(data_dir=data_dir, config="original").download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=manual_dir),
    file_format="array_record",
  )


def refused(builder, capsys, manual_dir, data_dir):
  """Checks exit code 2 and that nothing was built; returns the line."""
  with pytest.raises(SystemExit) as caught:
    build_here(builder, manual_dir, data_dir)
  assert caught.value.code == 2
  assert not list(data_dir.rglob("dataset_info.json"))
  return line_of(capsys.readouterr().err)


def test_missing_manual_dir(tmp_path):
  process = build(tmp_path / "nowhere", tmp_path / "out")
  assert process.returncode == 2, process.stderr[-2000:]
  line = line_of(process.stderr)
  assert "nowhere" in line
  for name in (
    "ptbxl_database.csv",
    "scp_statements.csv",
    "NNNNN_lr.{hea,dat}",
  ):
    assert name in line


def test_a_validation_record_without_samples(
  builder, archive, tmp_path, capsys, monkeypatch
):
  (archive / "records100/00000/00009_lr.dat").unlink()
  line = refused(builder, capsys, archive, tmp_path / "out")
  assert "00009_lr" in line
  assert "FGCLEP_ALLOW_MISSING" in line
  monkeypatch.setenv("FGCLEP_ALLOW_MISSING", "1")
  monkeypatch.setenv("FGCLEP_MAX_SKIP_RATE", "0.1")
  build_here(builder, archive, tmp_path / "out")
  examples, folder = load(tmp_path / "out")
  assert list(examples["validation"]) == ["00010"]
  skipped = json.loads((folder / "skipped.jsonl").read_text())
  assert (skipped["record_id"], skipped["reason"]) == ("00009", "missing_file")


def test_a_damaged_validation_record(builder, archive, tmp_path, capsys):
  path = archive / "records100/00000/00010_lr.dat"
  path.write_bytes(path.read_bytes()[:-2])
  line = refused(builder, capsys, archive, tmp_path / "out")
  assert "00010" in line
  assert "bytes" in line


def test_too_many_damaged_training_records(builder, archive, tmp_path, capsys):
  edit(archive / "records100/00000/00001_lr.hea", "/mV", "/mmHg")
  line = refused(builder, capsys, archive, tmp_path / "out")
  assert "1 of 12 records dropped" in line
  assert "bad_unit" in line


def test_a_split_without_records_is_left_out(builder, archive, tmp_path):
  path = archive / "ptbxl_database.csv"
  rows = path.read_text().splitlines()
  path.write_text("\n".join(rows[:-2]))  # fold 10
  build_here(builder, archive, tmp_path / "out")
  assert list(load(tmp_path / "out")[0]) == ["train", "validation"]


TABLE_EDITS = [
  ("ptbxl_database.csv", "17.0,74.0", "14.0,74.0", "patient 14"),
  ("ptbxl_database.csv", "\n12,", "\n11,", "record 00011 occurs twice"),
  ("ptbxl_database.csv", "strat_fold", "fold", "no column 'strat_fold'"),
  ("ptbxl_database.csv", "'SR': 100.0", "'XX': 100.0", "SCP code 'XX'"),
  ("ptbxl_database.csv", "{'NORM'", "{__import__('os')", "malformed"),
  ("ptbxl_database.csv", "{'NORM'", "{'NORM", "line 2"),
  ("ptbxl_database.csv", "records100/00000/00001", "../../x", "file name"),
  ("ptbxl_database.csv", '}",1,rec', '}",11,rec', "strat_fold 11"),
  ("scp_statements.csv", "STTC,NST_", "STTC,WHAT", "unknown class 'WHAT'"),
  ("reports_en.csv", "ecg_id", "id", "no column 'ecg_id'"),
]


@pytest.mark.parametrize(("name", "old", "new", "expected"), TABLE_EDITS)
def test_damaged_tables(name, old, new, expected, archive, builder):
  edit(archive / name, old, new)
  with pytest.raises(InputError) as caught:
    builder._open_archive(str(archive), 100, False)
  assert expected in str(caught.value)
  assert "\n" not in str(caught.value)


def test_a_complete_archive_must_have_the_published_sizes(builder):
  table = {"NORM": {"super": "NORM", "sub": "NORM"}}
  row = builder.archive.Row(
    "00001", "1", 50.0, False, 0, "", ("NORM",), "train", "records100/x"
  )
  assert builder.archive.is_complete([row] * 21799)
  with pytest.raises(InputError, match=r"\(17418, 2183, 2198\)"):
    builder._check_sizes([row] * 21799, table)


def test_published_task_sizes(builder, shared):
  for task, sizes in builder.labels.TASK_SIZES.items():
    name = FOLDERS.get(task, task)
    for split, size in zip(builder.archive.SPLITS, sizes, strict=True):
      path = f"merl/data_split/ptbxl/{name}/ptbxl_{name}_{FILES[split]}.csv"
      with open(shared / path, newline="") as file:
        reader = csv.DictReader(file)
        assert len(list(reader)) == size
        order = builder.labels.merl_order(task, split)
        assert reader.fieldnames[6:] == list(order)


def test_the_rate_is_chosen_by_the_environment(builder, archive, monkeypatch):
  tables = builder.archive
  assert tables.choose_rate(str(archive)) == 100
  (archive / "records500").mkdir()
  assert tables.choose_rate(str(archive)) == 500
  monkeypatch.setenv("FGCLEP_PTBXL_RATE", "100")
  assert tables.choose_rate(str(archive)) == 100
  monkeypatch.setenv("FGCLEP_PTBXL_RATE", "250")
  with pytest.raises(InputError, match="500 Hz and 100 Hz"):
    tables.choose_rate(str(archive))


def test_dummy_data_come_from_their_script(tmp_path):
  script = BUILDER / "make_dummy_data.py"
  subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
  files = [path for path in DUMMY.rglob("*") if path.is_file()]
  assert len(files) == 27
  for path in files:
    assert (tmp_path / path.relative_to(DUMMY)).read_bytes() == (
      path.read_bytes()
    )


@pytest.fixture(scope="module")
def real(shared, tmp_path_factory):
  folder = tmp_path_factory.mktemp("real")
  process = build(shared / "ptbxl", folder)
  assert process.returncode == 0, process.stderr[-2000:]
  assert "ptb_xl: read 1732, kept 1732, flag" in process.stdout
  return load(folder)


def test_real_split_sizes(real):
  examples, folder = real
  assert {split: len(part) for split, part in examples.items()} == {
    "train": 1490,
    "validation": 242,
  }
  assert json.loads((folder / "metadata.json").read_text())["partial"] is True
  patients = [
    {example["patient_id"] for example in part.values()}
    for part in examples.values()
  ]
  assert not patients[0] & patients[1]
  assert len(patients[0] | patients[1]) == 1611


def test_real_fold_sizes(real, shared):
  with open(shared / "ptbxl" / "ptbxl_database.csv", newline="") as file:
    folds = {f"{int(r['ecg_id']):05d}": r for r in csv.DictReader(file)}
  sizes = np.zeros(10, int)
  for split, part in real[0].items():
    for record_id in part:
      fold = int(folds[record_id]["strat_fold"])
      sizes[fold - 1] += 1
      assert split == ("validation" if fold == 9 else "train")
  assert sizes.tolist() == [212, 178, 177, 193, 207, 156, 196, 171, 242, 0]


@pytest.mark.parametrize(
  ("task", "members"),
  [
    ("super", (1481, 232)),
    ("sub", (1481, 232)),
    ("form", (526, 91)),
    ("rhythm", (1413, 227)),
  ],
)
def test_real_labels_equal_the_published_files(task, members, real, shared):
  examples, folder = real
  metadata = json.loads((folder / "metadata.json").read_text())
  name = FOLDERS.get(task, task)
  for (split, part), expected in zip(examples.items(), members, strict=True):
    path = f"merl/data_split/ptbxl/{name}/ptbxl_{name}_{FILES[split]}.csv"
    with open(shared / path, newline="") as file:
      reader = csv.DictReader(file)
      columns = reader.fieldnames[6:]
      published = {f"{int(row['ecg_id']):05d}": row for row in reader}
    found = 0
    assert columns == metadata["class_names_merl"][split][task]
    for record_id, example in part.items():
      row = published.get(record_id)
      assert bool(example["labelled"][task]) == (row is not None)
      values = [int(row[c]) if row else 0 for c in columns]
      assert example["labels_merl"][task].tolist() == values
      by_name = dict(zip(columns, values, strict=True))
      exact = [by_name[c] for c in metadata["class_names"][task]]
      assert example["labels"][task].tolist() == exact
      found += row is not None
    assert found == expected


def test_real_signals_equal_wfdb(real, shared):
  for part in real[0].values():
    for record_id, example in part.items():
      stem = f"{record_id[:2]}000/{record_id}_lr"
      record = wfdb.rdrecord(str(shared / "ptbxl" / "records100" / stem))
      error = np.abs(example["ecg"] - record.p_signal.T * 1000)
      assert error.max() <= 1, record_id
      assert example["ecg"].dtype == np.int16


def test_real_statements_are_english_where_translated(real, shared):
  with open(shared / "ptbxl" / "reports_en.csv", newline="") as file:
    english = {f"{int(r['ecg_id']):05d}" for r in csv.DictReader(file)}
  assert len(english) == 1329
  for part in real[0].values():
    for record_id, example in part.items():
      flags = example["quality"]["flags"]
      original = b"report_original" in flags
      assert original == (
        record_id not in english and b"no_statements" not in flags
      )
      text = b" ".join(example["statements"])
      assert b"Edit" not in text
      assert b"Bearbeiten" not in text
