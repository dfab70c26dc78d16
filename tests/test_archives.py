"""`fgclep data check`: what is there, and every planted fault by name."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from fgclep_jax import cli
from fgclep_jax.archives import check as check_lib
from fgclep_jax.archives import program
from fgclep_jax.errors import InputError
from fgclep_jax.signals import releases
from tests import mimic_tree, wfdb_files

GROUPS = ("missing", "corrupt", "duplicated", "repaired")


@pytest.fixture
def dummy(root, tmp_path):
  """Function: a dataset's dummy archive, copied to be damaged."""

  def copied(name):
    raw = tmp_path / name
    shutil.copytree(root / "tfds_builders" / name / "dummy_data", raw)
    return raw

  return copied


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
  for name in ("PTBXL_RATE", "ALLOW_MISSING", "MAX_SKIP_RATE"):
    monkeypatch.delenv(f"FGCLEP_{name}", raising=False)


def found(report):
  """All reasons of a report, over the groups."""
  return {k: n for group in GROUPS for k, n in getattr(report, group).items()}


def exit_of(arguments, capsys):
  """Exit code, output, and the lines on stderr."""
  capsys.readouterr()
  with pytest.raises(SystemExit) as stop:
    cli.main([str(argument) for argument in arguments])
  out, err = capsys.readouterr()
  return stop.value.code, out, err.strip().splitlines()


def truncate(path, drop=2):
  path.write_bytes(path.read_bytes()[:-drop])


@pytest.mark.parametrize(
  ("name", "good", "reasons"),
  [
    ("ptb_xl", 12, {}),
    ("cpsc2018", 8, {}),
    ("chapman_ningbo", 10, {"header_repaired": 1}),
    ("mimic_iv_ecg", 11, {}),
  ],
)
def test_the_dummy_archives_can_be_built(root, name, good, reasons, capsys):
  raw = root / "tfds_builders" / name / "dummy_data"
  report = check_lib.check(raw, name)
  assert (report.listed, report.good) == (good, good)
  assert found(report) == reasons
  code, out, lines = exit_of(["data", "check", raw, "--dataset", name], capsys)
  assert (code, lines) == (0, [])
  assert f"{good} of {releases.RECORDS[name]} records can be built" in out


def test_the_real_samples(shared):
  report = check_lib.check(shared / "ptbxl", "ptb_xl")
  assert (report.listed, report.good, report.stops) == (1732, 1732, ())
  assert found(report) == {}
  assert report.tables["patients"] == 1611
  splits = [report.tables[s] for s in ("train", "validation", "test")]
  assert splits == [1490, 242, 0]
  assert report.signal_bytes == 1732 * 12 * 1000 * 2
  report = check_lib.check(shared / "chapman_ningbo", "chapman_ningbo")
  assert (report.listed, report.good, found(report)) == (20, 20, {})
  report = check_lib.check(shared / "cpsc2018", "cpsc2018")
  assert (report.good, report.not_downloaded) == (5, 6872)
  assert (report.stops, found(report)) == ((), {})
  # Samples of the five records, by DATASETS: the estimate is a rough one.
  true = 24 * (5000 + 5000 + 9500 + 21500 + 27157)
  assert report.signal_bytes == pytest.approx(true, rel=0.3)


def test_real_tables_without_waveforms_are_no_archive(shared, capsys):
  raw = shared / "mimic_iv_ecg"
  arguments = ["data", "check", raw, "--dataset", "mimic_iv_ecg"]
  code, _, lines = exit_of(arguments, capsys)
  assert code == 2
  assert len(lines) == 1
  assert "record_list.csv" in lines[0]


def test_ptb_xl_faults(dummy, tmp_path, capsys):
  raw = dummy("ptb_xl")
  files = raw / "records100" / "00000"
  rows = (raw / "ptbxl_database.csv").read_text().splitlines()
  report = check_lib.check(raw, "ptb_xl")
  truncate(files / "00001_lr.dat")
  (files / "00002_lr.dat").unlink()
  (files / "00003_lr.hea").unlink()
  header = files / "00004_lr.hea"
  header.write_text(header.read_text().replace("\n", " ", 1))
  header = files / "00005_lr.hea"
  header.write_text(header.read_text().replace("/mV", "/kg"))
  with open(raw / "ptbxl_database.csv", "a") as file:
    file.write(rows[-1] + "\n")
  after = check_lib.check(raw, "ptb_xl")
  assert after.good == report.good - 5
  assert found(after) == {
    "missing_file": 2,
    "bad_length": 1,
    "bad_header": 1,
    "bad_unit": 1,
    "duplicate_record": 1,
  }
  assert after.examples["bad_length"][0][0] == "00001"
  out = tmp_path / "report.json"
  arguments = ["data", "check", raw, "--dataset", "ptb_xl", "--json", out]
  code, text, lines = exit_of(arguments, capsys)
  assert code == 2
  assert len(lines) == 1
  assert "listed twice" in lines[0]
  assert "above the limit of 1.00%" in lines[0]
  content = json.loads(out.read_text())
  assert content["missing"] == {"missing_file": 2}
  assert content["expected"]["records"] == "21,799"
  assert "bad_length 1, first 00001" in text


def test_held_out_losses_stop_a_build(dummy, monkeypatch):
  raw = dummy("ptb_xl")
  monkeypatch.setenv("FGCLEP_MAX_SKIP_RATE", "1")
  for path in (raw / "records100").rglob("*.dat"):
    if path.name != "00001_lr.dat":
      truncate(path)
  report = check_lib.check(raw, "ptb_xl")
  held_out = report.tables["validation"] + report.tables["test"]
  (stop,) = report.stops
  assert stop.startswith(f"{held_out} records of validation and test")
  monkeypatch.setenv("FGCLEP_ALLOW_MISSING", "1")
  assert check_lib.check(raw, "ptb_xl").stops == ()


def test_patient_in_two_splits(dummy):
  raw = dummy("ptb_xl")
  path = raw / "ptbxl_database.csv"
  head, *rows = path.read_text().splitlines()
  at = head.split(",").index("patient_id")
  # The last columns are plain, the first ones too: no quoted comma there.
  cells = [row.split(",", at + 1) for row in rows]
  for row in cells:
    row[at] = "7.0"
  path.write_text("\n".join([head, *map(",".join, cells)]) + "\n")
  assert "1 patients in two splits" in check_lib.check(raw, "ptb_xl").stops


def test_chapman_ningbo_faults(dummy):
  raw = dummy("chapman_ningbo")
  records = raw / "WFDBRecords"
  truncate(records / "00/000/JS00001.mat")
  (records / "00/000/JS00002.mat").unlink()
  (records / "00/000/JS00004.hea").write_text("JS00004 12\n")
  for ending in (".hea", ".mat"):
    shutil.copy(
      records / f"00/000/JS00006{ending}", records / f"01/010/JS00006{ending}"
    )
  report = check_lib.check(raw, "chapman_ningbo")
  assert (report.listed, report.good) == (10, 7)
  assert found(report) == {
    "bad_length": 1,
    "missing_file": 1,
    "bad_header": 1,
    "duplicate_record": 1,
    "header_repaired": 1,
  }
  assert report.stops[0] == "1 records in two folders"


def test_losses_of_unknown_split_are_said(dummy):
  raw = dummy("chapman_ningbo")
  shutil.rmtree(raw / "merl")
  truncate(raw / "WFDBRecords/00/000/JS00001.mat")
  report = check_lib.check(raw, "chapman_ningbo")
  assert report.held_out_unknown
  assert "fall into validation or test" in program.text(report)


def test_cpsc2018_faults(dummy):
  raw = dummy("cpsc2018")
  folder = raw / "TrainingSet"
  truncate(folder / "A0002.mat")
  (folder / "A0003.mat").unlink()
  (folder / "A0004.mat").write_bytes(b"")
  (raw / "TrainingSet2").mkdir()
  shutil.copy(folder / "A0005.mat", raw / "TrainingSet2")
  shutil.copy(folder / "A0005.mat", folder / "A6000.mat")
  report = check_lib.check(raw, "cpsc2018")
  assert (report.listed, report.good) == (9, 6)
  assert found(report) == {
    "bad_length": 1,
    "missing_file": 1,
    "bad_header": 1,
    "duplicate_record": 1,
    "not_in_table": 1,
  }
  assert report.stops[:2] == (
    "1 records in two folders",
    "1 records not in the tables",
  )


def test_cpsc2018_in_wfdb_form(tmp_path):
  rng = np.random.default_rng(3)
  for key in ("A0001", "A0002"):
    adc = wfdb_files.random_adc(rng, length=3000)
    wfdb_files.write_record(
      tmp_path / "g1", key, adc, rate=500, token="16+24", suffix="mat"
    )
  report = check_lib.check(tmp_path, "cpsc2018")
  assert (report.good, found(report)) == (2, {})
  assert report.signal_bytes == 2 * 12 * 3000 * 2


@pytest.fixture
def mimic(tmp_path):
  """An archive of 40 studies of 20 subjects, and its list of records."""
  rng, rows = np.random.default_rng(5), []
  for number in range(40):
    subject, study = 10000000 + number // 2, 40000000 + number
    place = releases.mimic_place(subject, study)
    adc = wfdb_files.random_adc(rng, length=600)
    wfdb_files.write_record(
      (tmp_path / place).parent, str(study), adc, rate=500
    )
    rows.append(f"{subject},{study},{study},2180-07-23 08:44:00,{place}")
  reports = [f"report_{number}" for number in range(18)]
  (tmp_path / "machine_measurements.csv").write_text(
    ",".join(["subject_id", "study_id", *reports])
    + "\n"
    + "".join(",".join([*row.split(",")[:2], *"a" * 18]) + "\n" for row in rows)
  )

  def write(rows):
    head = "subject_id,study_id,file_name,ecg_time,path"
    path = tmp_path / "record_list.csv"
    path.write_text("\n".join([head, *rows]) + "\n")

  write(rows)
  return tmp_path, rows, write


def test_mimic_faults(mimic):
  raw, rows, write = mimic
  assert found(check_lib.check(raw, "mimic_iv_ecg")) == {}

  def file(number, ending):
    place = releases.mimic_place(10000000 + number // 2, 40000000 + number)
    return raw / f"{place}.{ending}"

  truncate(file(0, "dat"))
  file(1, "dat").unlink()
  shutil.rmtree(file(2, "dat").parents[1])  # two studies
  lines = file(4, "hea").read_text().splitlines()
  lines = [lines[0].replace(" 12 ", " 11 "), *lines[2:]]
  file(4, "hea").write_text("\n".join(lines) + "\n")
  file(5, "hea").write_bytes(b"\0" * 40)
  write(
    [
      *rows,
      rows[7],  # repeats its study
      rows[8].replace("10000004", "10000005"),  # of another subject
      rows[9].replace("files/", "../"),
    ]
  )
  report = check_lib.check(raw, "mimic_iv_ecg")
  assert report.listed == 43
  assert found(report) == {
    "bad_length": 2,  # a lead less in the header: the file is too long
    "missing_file": 3,
    "bad_header": 1,
    "duplicate_study": 1,
    "conflicting_study": 2,
    "bad_path": 1,
  }
  assert report.good == 33
  assert report.tables["subjects"] == 20
  assert report.stops == (
    "10 of 43 records would be left out, above the limit of 2.00% "
    "(FGCLEP_MAX_SKIP_RATE)",
  )


def test_mimic_losses_are_those_of_a_build(tmp_path, capsys):
  """Every fault that tables and headers show, as often as it was planted."""
  planted = mimic_tree.write(tmp_path, 60, each=2)
  of_samples = {"all_flat", "bad_checksum", "invalid_dropped"}
  expected = {k: n for k, n in planted.dropped.items() if k not in of_samples}
  assert {"subject_differs", "conflicting_study"} <= expected.keys()
  report = check_lib.check(tmp_path, "mimic_iv_ecg")
  assert found(report) == expected
  assert report.good == report.listed - sum(expected.values())
  arguments = ["data", "check", tmp_path, "--dataset", "mimic_iv_ecg"]
  code, out, lines = exit_of(arguments, capsys)
  assert (code, len(lines)) == (2, 1)
  assert out.count(str(tmp_path)) == 1  # files are named below the folder
  for reason, count in expected.items():
    assert f"  {reason} {count}, first " in out


def test_mimic_sample_is_no_loss(mimic):
  raw, rows, write = mimic
  write(
    [
      *rows[:2],
      *(
        f"{19000000 + n},{49000000 + n},x,2180-07-23 08:44:00,"
        + releases.mimic_place(19000000 + n, 49000000 + n)
        for n in range(38)
      ),
    ]
  )
  report = check_lib.check(raw, "mimic_iv_ecg")
  assert (report.good, report.not_downloaded) == (2, 38)
  assert (report.stops, found(report)) == ((), {})


@pytest.mark.parametrize("name", check_lib.LISTINGS)
def test_other_folders_are_refused_in_one_line(name, tmp_path, capsys):
  for raw in (tmp_path, tmp_path / "absent"):
    arguments = ["data", "check", raw, "--dataset", name]
    code, _, lines = exit_of(arguments, capsys)
    assert code == 2
    assert len(lines) == 1
    assert releases.TREES[name] in lines[0]


def test_samples_are_never_read(root, monkeypatch):
  def refuse(*_, **__):
    raise AssertionError("samples were read")

  monkeypatch.setattr(np, "fromfile", refuse)
  for name in check_lib.LISTINGS:
    check_lib.check(root / "tfds_builders" / name / "dummy_data", name)


def test_progress_is_shown(root, monkeypatch, capsys):
  monkeypatch.setattr(check_lib, "PROGRESS_SECONDS", 0.0)
  raw = root / "tfds_builders" / "ptb_xl" / "dummy_data"
  check_lib.check(raw, "ptb_xl")
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 12
  assert lines[-1].startswith("12 of 12 records")


def test_estimate_of_the_whole_of_mimic(root):
  """24 to 36 minutes, 44 GB and 96 GB were measured and extrapolated."""
  raw = root / "tfds_builders" / "mimic_iv_ecg" / "dummy_data"
  report = check_lib.check(raw, "mimic_iv_ecg")
  size = 800_035 * 12 * 5000 * 2
  whole = dataclasses.replace(report, good=800_035, signal_bytes=size)
  guess = program.estimate(whole)
  assert guess["minutes"] == pytest.approx([24, 36], rel=0.1)
  assert guess["dataset_bytes"][0] == pytest.approx(44e9, rel=0.02)
  assert guess["temporary_bytes"] == pytest.approx(96e9, rel=0.01)


def test_unwritable_report(root, tmp_path, capsys):
  raw = root / "tfds_builders" / "ptb_xl" / "dummy_data"
  with pytest.raises(InputError, match="cannot write"):
    program.run(raw, "ptb_xl", tmp_path / "no" / "report.json")
  assert not capsys.readouterr().out  # said before the archive is read
  with pytest.raises(InputError, match="cannot write"):
    program.run(raw, "ptb_xl", tmp_path)
