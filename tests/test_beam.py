"""Beam, by option, makes what the plain build makes."""

import collections
import json
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from apache_beam.options.pipeline_options import PipelineOptions

from fgclep_jax.errors import InputError
from fgclep_jax.signals import beam_generation, contract, generation, header
from tests import mimic_tree, tfds_builds
from tests.tfds_builds import BUILDERS

# TFDS and Beam call what protobuf and Python deprecate.
pytestmark = pytest.mark.filterwarnings("ignore")

BUNDLE = "BundleBasedDirectRunner"
FN_API = "FnApiRunner"
SLOW = pytest.mark.slow


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
  """Several chunks even of a few records."""
  monkeypatch.setattr(beam_generation, "CHUNK", 3)


def build(builder, manual_dir, data_dir, options=(), config="original"):
  """Builds, by Beam where it gets options; returns what is to be equal."""
  given = PipelineOptions(flags=list(options)) if options else None
  builder.Builder(data_dir=data_dir, config=config).download_and_prepare(
    download_config=tfds.download.DownloadConfig(
      manual_dir=manual_dir, beam_options=given
    ),
    file_format="array_record",
  )
  [folder] = (data_dir / builder.NAME / config).glob("*.*.*")
  dataset = tfds.builder_from_directory(folder)
  examples = {
    split: list(dataset.as_data_source(split)) for split in dataset.info.splits
  }
  names = ("build.json", "skipped.jsonl", "same_signals.jsonl", "metadata.json")
  account = {
    name: (folder / name).read_text()
    for name in names
    if (folder / name).exists()
  }
  sizes = {
    split: (info.shard_lengths, info.num_bytes)
    for split, info in dataset.info.splits.items()
  }
  return examples, account, sizes, {path.name for path in folder.iterdir()}


def assert_equal(found, expected, where="example"):
  """Compares nested examples, dtypes and order included."""
  assert type(found) is type(expected), where
  if isinstance(expected, dict):
    assert found.keys() == expected.keys(), where
    for key in expected:
      assert_equal(found[key], expected[key], f"{where}/{key}")
  elif isinstance(expected, list):
    assert len(found) == len(expected), where
    for index, pair in enumerate(zip(found, expected, strict=True)):
      assert_equal(*pair, f"{where}/{index}")
  elif isinstance(expected, np.ndarray):
    assert found.dtype == expected.dtype, where
    np.testing.assert_array_equal(found, expected, where)
  else:
    assert found == expected or (found != found and expected != expected), where


def splits_by_beam(monkeypatch):
  """Returns a list that grows by each split that Beam is to make."""
  splits, transform = [], beam_generation.transform

  def noted(beam, job, split, folder):
    splits.append(split)
    return transform(beam, job, split, folder)

  monkeypatch.setattr(beam_generation, "transform", noted)
  return splits


def compare(
  name, tmp_path, monkeypatch, capsys, options, raw=None, config="original"
):
  """Builds twice; returns the account, which both share."""
  raw = raw or BUILDERS / name / "dummy_data"
  builder = tfds_builds.module(name, monkeypatch)
  monkeypatch.setenv("FGCLEP_SIMULATED_RECORDS", "20")
  monkeypatch.setenv("FGCLEP_SIMULATED_RATE", "100")
  monkeypatch.setenv("FGCLEP_MAX_SKIP_RATE", "0.5")
  by_beam = splits_by_beam(monkeypatch)
  plain = build(builder, raw, tmp_path / "plain", config=config)
  said = capsys.readouterr().out
  assert not by_beam
  beam = build(builder, raw, tmp_path / "beam", options, config)
  assert by_beam == list(plain[0])
  assert_equal(beam[0], plain[0])
  assert beam[1:] == plain[1:]
  assert sum(map(len, plain[0].values())) >= 8
  summary = [line for line in said.splitlines() if line.startswith(name)]
  assert summary
  assert summary == [
    line
    for line in capsys.readouterr().out.splitlines()
    if line.startswith(name)
  ]
  return plain[1]


@pytest.mark.parametrize(
  ("name", "config"),
  [
    ("cpsc2018", "enhanced"),
    pytest.param("simulated_ecg", "original", marks=SLOW),
    pytest.param("ptb_xl", "original", marks=SLOW),
    pytest.param("chapman_ningbo", "enhanced", marks=SLOW),
    pytest.param("mimic_iv_ecg", "enhanced", marks=SLOW),
  ],
)
def test_plain_and_beam_builds_are_equal(
  name, config, tmp_path, monkeypatch, capsys
):
  compare(
    name, tmp_path, monkeypatch, capsys, [f"--runner={BUNDLE}"], config=config
  )


@pytest.mark.parametrize(
  "options",
  [
    (),
    pytest.param(
      ("--direct_running_mode=multi_threading", "--direct_num_workers=2"),
      marks=SLOW,
    ),
  ],
  ids=["in_memory", "multi_threading"],
)
def test_another_runner(options, tmp_path, monkeypatch, capsys):
  flags = [f"--runner={FN_API}", *options]
  compare("ptb_xl", tmp_path, monkeypatch, capsys, flags)


def test_every_fault_is_counted_alike(tmp_path, monkeypatch, capsys):
  planted = mimic_tree.write(tmp_path / "raw", 120, each=2)
  account = compare(
    "mimic_iv_ecg",
    tmp_path,
    monkeypatch,
    capsys,
    [f"--runner={BUNDLE}"],
    tmp_path / "raw",
  )
  counts = json.loads(account["build.json"])
  assert counts["kept"] == len(planted.kept)
  assert counts["dropped"] == dict(planted.dropped)
  reasons = collections.Counter(
    json.loads(line)["reason"] for line in account["skipped.jsonl"].splitlines()
  )
  assert reasons == planted.dropped


def test_bad_records_end_a_beam_build(tmp_path, monkeypatch, capsys):
  builder = tfds_builds.module("ptb_xl", monkeypatch)
  raw = shutil.copytree(BUILDERS / "ptb_xl" / "dummy_data", tmp_path / "raw")
  [held_out] = raw.rglob("00010_lr.dat")
  whole = held_out.read_bytes()
  held_out.write_bytes(whole[:-2])
  line = refused(builder, capsys, raw, tmp_path / "out")
  assert "record 00010 of validation cannot be read" in line
  held_out.write_bytes(whole)
  [training] = raw.rglob("00001_lr.hea")
  training.write_text(training.read_text().replace("/mV", "/mmHg"))
  line = refused(builder, capsys, raw, tmp_path / "out")
  assert "1 of 12 records dropped" in line


def refused(builder, capsys, raw, out):
  """Checks exit code 2 and that nothing was built; returns the line."""
  with pytest.raises(SystemExit) as caught:
    build(builder, raw, out, [f"--runner={BUNDLE}"])
  assert caught.value.code == 2
  assert not list(out.rglob("dataset_info.json"))
  return tfds_builds.only_line(builder.NAME, capsys.readouterr().err)


def recipe(make):
  rows = [
    collections.namedtuple("Row", "record_id path split")(f"r{i}", f"p{i}", s)
    for i, s in enumerate(["train", "test", "train", "train", "train"])
  ]
  places = generation.places(rows, ("train", "validation", "test"))
  assert places == {"train": [0, 2, 3, 4], "test": [1]}
  return generation.Recipe(
    lambda tools, index: rows[index], make, None, places, compare=True
  )


def example(tools, row):
  if row.record_id in ("r2", "r4"):
    raise header.RecordError("bad_gain", "gain '0'")
  quality = {"flags": ["seen"], "lead_flat": np.zeros(12, bool)}
  return {
    "record_id": row.record_id,
    "patient_id": row.record_id[1:],
    "ecg": np.ones((12, 5), np.int16),
    "quality": quality,
  }


def test_the_order_of_the_work_does_not_matter(tmp_path):
  logs = []
  for order in ((0, 2, 3, 4), (4, 3, 2, 0), (2, 0, 4, 3)):
    job = generation.Job("set", recipe(example), contract.BuildLog(0.5))
    whole = generation.Account()
    for index in order:
      part = generation.Account()
      generation.judge(job.recipe, "train", index, part)
      whole.absorb(part)
    job.close("train", whole, tmp_path)
    logs.append((job.log, job.same.groups()))
  assert logs[0] == logs[1] == logs[2]
  assert logs[0][0].kept == 2
  assert logs[0][0].flags == {"seen": 2}
  assert [row["record_id"] for row in logs[0][0].skipped] == ["r2", "r4"]
  assert logs[0][1] == [[("train", "r0"), ("train", "r3")]]


def test_an_account_is_the_same_as_text():
  account = generation.Account()
  made = recipe(example)
  for index in (4, 0, 2, 3):
    generation.judge(made, "train", index, account)
  account.refused.append((3, "a reason"))
  text = account.to_json()
  assert generation.Account.from_json(text) is not account
  assert vars(generation.Account.from_json(text)) == vars(account)
  assert account.kept == 2
  assert len(account.digests) == len(account.dropped) == 2
  json.loads(text, parse_constant=pytest.fail)


def open_recipe(root):
  """Stands for a builder's; `root` decides what a worker finds."""
  if root == "absent":
    raise InputError("no folder absent")
  return recipe(example)


@pytest.mark.parametrize(
  ("root", "records", "expected"),
  [
    ("same", 4, ""),
    ("other", 9, "a worker finds 4 records of train, the command found 9"),
    ("absent", 4, "a worker cannot open the archive: no folder absent"),
  ],
)
def test_a_worker_with_another_archive(root, records, expected, tmp_path):
  settings = json.dumps({"root": root})
  *kept, last = beam_generation._judge_chunk(
    (0, 3), open_recipe, settings, "train", records
  )
  assert [record_id for record_id, _ in kept] == (
    [] if expected else ["r0", "r3"]
  )
  account = generation.Account.from_json(last)
  job = generation.Job("set", recipe(example), contract.BuildLog(0.9))
  if not expected:
    job.close("train", account, tmp_path)
    assert job.log.kept == 2
    return
  with pytest.raises(InputError, match=expected):
    job.close("train", account, tmp_path)


def test_a_worker_opens_the_archive_once():
  opened = []

  def counted(root):
    opened.append(root)
    return open_recipe(root)

  for start in (0, 3):
    settings = json.dumps({"root": "same"})
    list(
      beam_generation._judge_chunk(
        (start, start + 3), counted, settings, "train", 4
      )
    )
  assert opened == ["same"]


def test_a_patient_in_two_splits(tmp_path, capsys):
  def same_patient(tools, row):
    return example(tools, row) | {"patient_id": "7"}

  job = generation.Job("set", recipe(same_patient), contract.BuildLog(0.5))
  assert len(list(generation.examples(job, "train", tmp_path))) == 2
  with pytest.raises(SystemExit):
    list(generation.examples(job, "test", tmp_path))
  assert "set: patient 7 is in train and test" in capsys.readouterr().err


def test_a_record_that_was_not_judged_ends_the_build(tmp_path, capsys):
  def unjudged(tools, row):
    raise InputError(f"{row.record_id} is not in the table")

  job = generation.Job("set", recipe(unjudged), contract.BuildLog())
  with pytest.raises(SystemExit):
    list(generation.examples(job, "train", tmp_path))
  assert "set: r0 is not in the table" in capsys.readouterr().err


@SLOW
@pytest.mark.parametrize(
  "options",
  [
    f"runner={BUNDLE}",
    f"runner={FN_API},direct_running_mode=multi_processing,"
    "direct_num_workers=2",
  ],
  ids=["bundle", "multi_processing"],
)
def test_the_flag_of_the_command(options, tmp_path):
  name, raw = "cpsc2018", BUILDERS / "cpsc2018" / "dummy_data"
  plain = tfds_builds.command(name, raw, tmp_path / "plain")
  assert plain.returncode == 0, plain.stderr[-2000:]
  beam = tfds_builds.command(
    name,
    raw,
    tmp_path / "beam",
    beam=options,
    PYTHONPATH=f"{tfds_builds.ROOT}:{BUILDERS}",
  )
  assert beam.returncode == 0, beam.stderr[-2000:]
  assert "cpsc2018: read 8, kept 8" in beam.stdout
  found = tfds_builds.load(name, tmp_path / "beam")
  expected = tfds_builds.load(name, tmp_path / "plain")
  assert_equal(found[0], expected[0])
  assert [list(part) for part in found[0].values()] == [
    list(part) for part in expected[0].values()
  ]
