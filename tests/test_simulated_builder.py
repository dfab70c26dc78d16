"""The real `tfds build` of the simulated cohort, in processes of its own."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from fgclep_jax.signals import simulate

ROOT = pathlib.Path(__file__).parent.parent
RECORDS, SEED, RATE = 60, 7, 250


def start(data_dir, **settings):
  tfds = pathlib.Path(sys.executable).parent / "tfds"
  if not tfds.exists():
    pytest.skip("no tfds command: pip install -e '.[build]'")
  environment = {
    k: v for k, v in os.environ.items() if not k.startswith("FGCLEP_")
  }
  environment |= {f"FGCLEP_SIMULATED_{k}": v for k, v in settings.items()}
  command = [tfds, "build", ROOT / "tfds_builders" / "simulated_ecg"]
  command += ["--config", "original", "--data_dir", data_dir]
  command += ["--file_format", "array_record"]
  return subprocess.Popen(
    [str(part) for part in command],
    cwd=ROOT,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """Three builds at once -> name -> (folder, exit code, output)."""
  settings = {
    "good": {"RECORDS": str(RECORDS), "SEED": str(SEED), "RATE": str(RATE)},
    "one": {"RECORDS": "1"},
    "bad": {"RECORDS": "many"},
  }
  with contextlib.ExitStack() as stack:
    started = {}
    for name, given in settings.items():
      folder = tmp_path_factory.mktemp(name)
      process = stack.enter_context(start(folder, **given))
      started[name] = (folder, process)
    found = {}
    for name, (folder, process) in started.items():
      output = process.communicate(timeout=300)[0]
      found[name] = (folder, process.returncode, output)
  return found


def dataset_folder(folder):
  version = f"{simulate.VERSION}.0.0"
  return folder / "simulated_ecg" / "original" / version


@pytest.fixture(scope="module")
def built(runs):
  """Split name -> list of examples, and the metadata."""
  folder, code, output = runs["good"]
  assert code == 0, output[-3000:]
  import tensorflow_datasets as tfds

  builder = tfds.builder_from_directory(dataset_folder(folder))
  examples = {
    split: list(builder.as_data_source(split)) for split in builder.info.splits
  }
  return examples, builder.info.metadata


def test_every_record_is_the_simulated_one(built):
  examples, metadata = built
  names = metadata["class_names"]["simulated"]
  assert sum(map(len, examples.values())) == RECORDS
  for split in examples.values():
    for example in split:
      index = int(example["record_id"].decode()[1:])
      record = simulate.simulate(index, SEED, RATE)
      np.testing.assert_array_equal(example["ecg"], record.signal)
      assert example["sampling_rate"] == RATE
      assert example["patient_id"].decode() == record.patient_id
      told = [line.decode() for line in example["statements"]]
      assert told == list(record.statements)
      labels = example["labels"]["simulated"]
      assert [names[k] for k in np.flatnonzero(labels)] == list(
        record.diagnoses
      )
      np.testing.assert_array_equal(example["labels_merl"]["simulated"], labels)
      assert example["labelled"]["simulated"]
      shown = [
        metadata["feature_names"][k] for k in np.flatnonzero(example["truth"])
      ]
      assert shown == list(record.features)
      assert len(example["features"]) == 0
      for name in metadata["measurement_names"]:
        np.testing.assert_allclose(
          example["measurements"][name], record.measurements[name], rtol=1e-6
        )


def test_splits_are_patient_disjoint(built):
  examples, metadata = built
  assert set(examples) == {"train", "validation", "test"}
  patients = {
    split: {example["patient_id"] for example in found}
    for split, found in examples.items()
  }
  assert not patients["train"] & patients["validation"]
  assert not patients["train"] & patients["test"]
  assert not patients["validation"] & patients["test"]
  assert 0.5 < len(examples["train"]) / RECORDS < 0.85
  assert metadata["patient_disjoint"] is True


def test_metadata(built):
  _, metadata = built
  assert tuple(metadata["class_names"]["simulated"]) == simulate.DIAGNOSES
  assert tuple(metadata["feature_names"]) == simulate.FEATURES
  assert tuple(metadata["measurement_names"]) == simulate.MEASUREMENTS
  assert metadata["partial"] is False
  assert metadata["simulator_version"] == simulate.VERSION
  assert (metadata["seed"], metadata["records"]) == (SEED, RECORDS)
  assert metadata["sampling_rate"] == RATE


def test_account_of_the_build(runs):
  folder, _, output = runs["good"]
  assert f"read {RECORDS}, kept {RECORDS}" in output
  counts = json.loads((dataset_folder(folder) / "build.json").read_text())
  assert counts["read"] == counts["kept"] == RECORDS


def test_empty_splits_are_left_out(runs):
  folder, code, output = runs["one"]
  assert code == 0, output[-3000:]
  info = json.loads((dataset_folder(folder) / "dataset_info.json").read_text())
  assert [split["name"] for split in info["splits"]] == ["train"]


def test_bad_setting_is_one_line_and_exit_code_2(runs):
  folder, code, output = runs["bad"]
  assert code == 2
  assert "Traceback" not in output
  last = output.strip().splitlines()[-1]
  assert last == (
    "simulated_ecg: FGCLEP_SIMULATED_RECORDS='many': give a whole number "
    "from 1 on"
  )
  assert not dataset_folder(folder).exists()
