"""Runs dataset builders the way a user does, and reads back what they made."""

import importlib
import os
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from tests.conftest import ROOT

BUILDERS = ROOT / "tfds_builders"


def command(
  name, manual_dir, data_dir, config="original", beam="", **environment
):
  """Runs `tfds build` in a process of its own; returns the process.

  `beam` is what `--beam_pipeline_options` gets, where not empty.
  """
  inherited = {k: v for k, v in os.environ.items() if "FGCLEP" not in k}
  line = [
    *(sys.executable, "-m", "tensorflow_datasets.scripts.cli.main", "build"),
    *(str(BUILDERS / name), "--config", config),
    *("--manual_dir", str(manual_dir), "--data_dir", str(data_dir)),
    *("--file_format", "array_record"),
    *(["--beam_pipeline_options", beam] if beam else []),
  ]
  return subprocess.run(
    line,
    env=inherited | {"PYTHONPATH": str(ROOT), **environment},
    capture_output=True,
    text=True,
    timeout=300,
  )


def module(name, monkeypatch):
  """Imports a builder's module as `tfds build` does, settings cleared."""
  for setting in [k for k in os.environ if k.startswith("FGCLEP")]:
    monkeypatch.delenv(setting)
  monkeypatch.syspath_prepend(str(BUILDERS))
  return importlib.import_module(f"{name}.{name}_dataset_builder")


def build(builder, manual_dir, data_dir, config="original"):
  """Builds inside this process, which is seconds faster; reads it back."""
  builder.Builder(data_dir=data_dir, config=config).download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=manual_dir),
    file_format="array_record",
  )
  return load(builder.NAME, data_dir, config)


def load(name, data_dir, config="original"):
  """Returns split -> record id -> example, metadata, and the folder."""
  [folder] = (data_dir / name / config).glob("*.*.*")
  dataset = tfds.builder_from_directory(folder)
  examples = {
    split: {e["record_id"].decode(): e for e in dataset.as_data_source(split)}
    for split in dataset.info.splits
  }
  return examples, dataset.info.metadata, folder


def refused(builder, capsys, manual_dir, data_dir, config="original"):
  """Checks exit code 2, one line, and nothing built; returns the line."""
  with pytest.raises(SystemExit) as caught:
    build(builder, manual_dir, data_dir, config)
  assert caught.value.code == 2
  assert not list(data_dir.rglob("dataset_info.json"))
  return only_line(builder.NAME, capsys.readouterr().err)


def only_line(name, stderr):
  """Checks that one clear line was printed; returns it."""
  assert "Traceback" not in stderr
  lines = [s for s in stderr.splitlines() if s.startswith(f"{name}: ")]
  assert len(lines) == 1, stderr[-2000:]
  return lines[0]
