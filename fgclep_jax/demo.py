"""The whole method on the simulated cohort, on a CPU, in minutes."""

import pathlib
import shutil
import subprocess
import sys
import time

from fgclep_jax import config as config_lib
from fgclep_jax.errors import InputError

DATASET = "simulated_ecg"


def run(workdir, say=print):
  """Builds the cohort, trains, restores, evaluates and reports.

  Args:
    workdir: gets `data/`, `train/` and `evaluation/`. Run again, it goes on
      where it was.
    say: prints one line.

  Returns:
    The content of results.json.
  """
  root = pathlib.Path(__file__).parent.parent
  workdir = pathlib.Path(workdir)
  data = workdir / "data"
  start = time.monotonic()
  say("1/3 simulated cohort: `tfds build`")
  build(root / "tfds_builders" / DATASET, data)
  say(f"    {time.monotonic() - start:.0f} s so far")
  from fgclep_jax.evaluation import program
  from fgclep_jax.training import loop

  say("2/3 training: `fgclep train`")
  config = config_lib.load(root / "configs" / "simulated.py")
  loop.train(config, workdir / "train", data, say)
  say(f"    {time.monotonic() - start:.0f} s so far")
  say("3/3 evaluation of the restored checkpoint: `fgclep evaluate`")
  found = program.evaluate(
    workdir / "train",
    data,
    DATASET,
    workdir / "evaluation",
    tasks=("simulated",),
    probe=(1.0,),
    say=say,
  )
  say(f"done in {time.monotonic() - start:.0f} s")
  return found


def build(builder, data_dir):
  """Runs `tfds build` unless the dataset is there already."""
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
  done = subprocess.run(
    [
      command, "build", builder, "--config", "original",
      "--data_dir", data_dir, "--file_format", "array_record",
    ],
    stderr=subprocess.PIPE,
    text=True,
  )  # fmt: skip
  if done.returncode:
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    raise InputError(f"tfds build {builder} failed: {last}")
