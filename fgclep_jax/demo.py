"""The whole method on the simulated cohort, both stages, on a CPU."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import time

from fgclep_jax import config as config_lib
from fgclep_jax import stopping
from fgclep_jax.errors import InputError

DATASET = "simulated_ecg"
PLANTED = 0.2
"""Share of wrong candidates added on purpose, for the filter to catch."""


def run(workdir, say=print, stop=None):
  """Builds, trains, enhances, builds, trains and evaluates.

  Args:
    workdir: gets `data/`, `coarse/`, `enhanced/`, `fine/` and
      `evaluation/`. Run again, it goes on where it was.
    say: prints one line.
    stop: `stopping.Stop` of the command; None watches in the training alone.

  Returns:
    The content of the evaluation's results.json.
  """
  root = pathlib.Path(__file__).parent.parent
  workdir = pathlib.Path(workdir)
  data, features = workdir / "data", workdir / "enhanced/enhanced.parquet"
  config = root / "configs" / "simulated.py"
  builder = root / "tfds_builders" / DATASET
  step = _Steps(6, say)
  step("simulated cohort: `tfds build --config original`")
  build(builder, data, stop=stop)
  step("coarse training: `fgclep train --config configs/simulated.py:coarse`")
  _train(f"{config}:coarse", workdir / "coarse", data, say, stop=stop)
  step(
    f"features by the knowledge table, {PLANTED:.0%} wrong ones planted, "
    "verified by the coarse model: `fgclep enhance`"
  )
  _enhance(workdir / "coarse", data, features, say)
  step("cohort with features: `tfds build --config enhanced`")
  build(builder, data, "enhanced", stop, FGCLEP_ENHANCED=str(features))
  step("fine training: `fgclep train --config configs/simulated.py:fine`")
  coarse = workdir / "coarse"
  _train(f"{config}:fine", workdir / "fine", data, say, coarse, stop)
  step("both restored: `fgclep evaluate --beside coarse`")
  from fgclep_jax.evaluation import program

  found = program.evaluate(
    workdir / "fine",
    data,
    DATASET,
    workdir / "evaluation",
    tasks=("simulated", "features"),
    beside=(workdir / "coarse",),
    probe=(1.0,),
    probe_tasks=("simulated",),
    say=say,
  )
  step.done()
  return found


class _Steps:
  """Numbers the steps and tells the time."""

  def __init__(self, count, say):
    self._count, self._say = count, say
    self._number, self._start = 0, time.monotonic()

  def __call__(self, text):
    self._number += 1
    seconds = time.monotonic() - self._start
    self._say(f"{self._number}/{self._count} ({seconds:.0f} s) {text}")

  def done(self):
    self._say(f"done in {time.monotonic() - self._start:.0f} s")


def _train(path, workdir, data, say, init_from="", stop=None):
  from fgclep_jax.training import loop

  config = dataclasses.replace(config_lib.load(path), init_from=str(init_from))
  loop.train(config, workdir, data, say, stop=stop)


def _enhance(coarse, data, out, say):
  from fgclep_jax.enhance import fit, program
  from fgclep_jax.enhance.backends.rules import Rules
  from fgclep_jax.enhance.cache import Cache

  if (out.parent / "enhance.json").is_file():
    return
  with Cache(out.parent / "answers.jsonl") as cache:
    program.enhance(
      coarse,
      program.open_splits(data, DATASET),
      out,
      Rules(),
      cache,
      options=fit.Options(plant=PLANTED),
      say=say,
    )


def build(builder, data_dir, config="original", stop=None, **environment):
  """Runs `tfds build` unless the dataset is there already.

  It ends with this process, where `stop` is its `stopping.Stop`.
  """
  if not builder.is_dir():
    raise InputError(
      f"no builder at {builder}: run the demonstration from a checkout of "
      "the project (pip install -e .)"
    )
  command = pathlib.Path(sys.executable).with_name("tfds")
  if not command.is_file():
    found = shutil.which("tfds")
    if found is None:
      raise InputError(
        "the command tfds is missing: pip install 'fgclep_jax[build]'"
      )
    command = found
  process = subprocess.Popen(
    [
      command, "build", builder, "--config", config,
      "--data_dir", data_dir, "--file_format", "array_record",
    ],
    stderr=subprocess.PIPE,
    text=True,
    env=os.environ | environment,
  )  # fmt: skip

  def leave():
    process.kill()
    return stopping.nothing_unsaved()

  with stop.leaving(leave) if stop else contextlib.nullcontext():
    errors = process.communicate()[1]
  if process.returncode:
    last = (errors.strip().splitlines() or ["no message"])[-1]
    raise InputError(f"tfds build {builder} failed: {last}")
