"""Training processes that are killed and signalled, and what they leave.

The child is `fgclep train` itself. What it is doing is told by one byte of a
file, which outlives a SIGKILL: wrappers around a few functions keep it.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks import common
from fgclep_jax import demo, launch
from fgclep_jax.training import checkpoint, folders

ROOT = pathlib.Path(__file__).parent.parent
# What is killed: seconds before the package is there, the phases of
# `training.goodput`, and what the thread does that ends a save.
PHASES = (
  "import", "other", "restore", "data", "compile", "step", "save", "evaluate",
  "write", "commit", "delete",
)  # fmt: skip
# The smallest model that trains, for tests too.
TINY = {
  "data.rate": "100",
  "data.batch-size": "16",
  "data.cache-gib": "0",
  "model.compute": "float32",
  "model.ecg.width": "16",
  "model.ecg.depth": "1",
  "model.ecg.heads": "2",
  "model.ecg.mlp": "32",
  "model.text.width": "16",
  "model.text.depth": "1",
  "model.text.heads": "2",
  "model.text.mlp": "32",
  "model.embedding": "16",
  "loss.rule": "hard",
  "optim.learning-rate": "1e-3",
}
# Randomness in the model and in the signals, which a restart must repeat.
CHANGES = TINY | {"model.text.dropout": "0.1", "augment.noise-mv": "0.02"}
CONFIG = """from fgclep_jax import config as c

def get_config(arg=""):
  return c.override(c.TrainConfig(), {changes!r})
"""
# Arguments: file of the phase, seconds since the epoch when the run began,
# seconds a step is given (0: as fast as it goes), then those of `fgclep`.
CHILD = """
import mmap, os, sys, time
file, began, pace = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
with open(file, "r+b") as opened:
  told = mmap.mmap(opened.fileno(), 2)
from fgclep_jax import cli
from fgclep_jax.data import batches
from fgclep_jax.training import checkpoint, folders, goodput
from benchmarks.children import PHASES

def tell(byte, phase):
  told[byte] = PHASES.index(phase)

def around(owner, name, phase, byte, after=None):
  real = getattr(owner, name)
  def wrapped(*given, **named):
    tell(byte, phase)
    found = real(*given, **named)
    if after:
      tell(byte, after)
    return found
  setattr(owner, name, wrapped)

turn = goodput.Goodput._turn
def turned(self, phase):
  tell(0, phase)
  return turn(self, phase)
goodput.Goodput._turn = turned
around(checkpoint.Checkpoints, "_finish", "write", 1, "import")
around(checkpoint.Checkpoints, "_commit", "commit", 1)
around(folders, "remove", "delete", 1, "commit")
item = batches.Batches.__getitem__
def paced(self, k):
  time.sleep(max(0, began + pace * k - time.time()))
  return item(self, k)
if pace:
  batches.Batches.__getitem__ = paced
tell(0, "other")
cli.main(sys.argv[4:])
"""


def dataset(folder, records=300):
  """Builds a small simulated dataset where there is none; its folder."""
  folder = pathlib.Path(folder)
  if not (folder / demo.DATASET).is_dir():
    demo.build(
      ROOT / "tfds_builders" / demo.DATASET,
      folder,
      FGCLEP_SIMULATED_RECORDS=str(records),
      FGCLEP_SIMULATED_RATE="100",
    )
  return folder


def program(name, about, parser, run):
  """What the programs of killed trainings share.

  Args:
    name: of the JSON in `benchmarks/results/`.
    about: docstring of the program; its first line is told by `--help`.
    parser: function that adds flags to an `argparse.ArgumentParser`.
    run: function of (folder, folder of the dataset, seed, flags) that returns
      what is written; lines in its "wrong" end the program with 1.
  """
  flags = argparse.ArgumentParser(description=about.splitlines()[0])
  flags.add_argument("--seed", type=int, default=None)
  flags.add_argument("--data-dir", help="of a simulated dataset")
  parser(flags)
  flags = flags.parse_args()
  seed = flags.seed if flags.seed is not None else random.randrange(2**31)
  print(f"seed {seed}", flush=True)
  with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
    folder = pathlib.Path(folder)
    data = dataset(flags.data_dir or folder / "data")
    content = run(folder, data, seed, flags)
  common.write(name, {"seed": seed} | content)
  if content["wrong"]:
    sys.exit("\n".join(content["wrong"]))


class Child:
  """Starts one run again and again, always by the same command.

  As a context manager it leaves no process behind.

  Args of the constructor:
    workdir: of the run; its config and its outputs lie beside it.
    data_dir: of `dataset`.
    changes: {field: text} of the config, on top of `CHANGES`.
    pace: seconds a step is given, counted from now on; 0 is full speed.
  """

  def __init__(self, workdir, data_dir, changes, pace=0.0):
    self.workdir = pathlib.Path(workdir)
    self.workdir.parent.mkdir(parents=True, exist_ok=True)
    config = self._beside("py")
    config.write_text(CONFIG.format(changes=CHANGES | changes))
    self._phase = self._beside("phase")
    self._out, self._process = self._beside("out"), None
    self._command = [
      sys.executable, "-u", "-c", CHILD,
      str(self._phase), str(time.time()), str(pace),
      "train", "--config", str(config),
      "--workdir", str(workdir), "--data-dir", str(data_dir),
    ]  # fmt: skip

  def start(self):
    """Starts the command; what it prints goes to a file."""
    self._phase.write_bytes(bytes(2))
    # A killed process may leave a torn program: none but its own are used.
    environment = {k: v for k, v in os.environ.items() if k != launch.CACHE}
    environment |= {
      # Before an installed one: the copy these lines are part of.
      "PYTHONPATH": str(ROOT),
      "OMP_NUM_THREADS": "1",
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    with open(self._out, "wb") as out:
      self._process = subprocess.Popen(
        self._command, stdout=out, stderr=subprocess.STDOUT, env=environment
      )
    return self

  def __enter__(self):
    return self

  def __exit__(self, *_):
    if self._process and self._process.poll() is None:
      self.send()

  @property
  def pid(self):
    return self._process.pid

  @property
  def phases(self):
    """What it does, or did last: its main thread, and that of a save."""
    main, saving = self._phase.read_bytes()
    return [PHASES[main]] + [PHASES[saving]] * (saving > 0)

  @property
  def over(self):
    return self._process.poll() is not None

  def wait(self, seconds):
    """Waits until it ends; its exit code, None when it still runs."""
    try:
      return self._process.wait(max(seconds, 0))
    except subprocess.TimeoutExpired:
      return None

  def finish(self, seconds=3600):
    """Waits until it has come to its end, undisturbed."""
    if (code := self.wait(seconds)) != 0:
      raise RuntimeError(f"{self.workdir} ended with {code}: {self.said}")

  def send(self, number=signal.SIGKILL):
    """Signals it and waits for its end; the exit code."""
    self._process.send_signal(number)
    return self._process.wait(300)

  def kill_in(self, phase, delay, limit=300):
    """Sends SIGKILL `delay` seconds after a phase has begun.

    Returns:
      What it was doing when it died, or None when it had ended before.
    """
    start = time.monotonic()
    while phase not in self.phases:
      if self.over:
        return None
      if time.monotonic() > start + limit:
        raise RuntimeError(f"no {phase} in {limit} s, but {self.phases}")
      time.sleep(0.0005)
    time.sleep(delay)
    if self.over:
      return None
    code = self.send()
    if code != -signal.SIGKILL:
      return None
    return phase if phase in self.phases else self.phases[-1]

  @property
  def said(self):
    return self._out.read_text(encoding="utf-8", errors="replace")

  @property
  def resumed_at(self):
    """The step it went on from, 0 for the start, None when it never said."""
    for line in self.said.splitlines():
      if line.startswith("resumed at step "):
        return int(line.split()[3])
    return None

  @property
  def steps_written(self):
    """Lines of metrics on the disk."""
    path = self.workdir / "metrics.jsonl"
    return len(rows(self.workdir)) if path.is_file() else 0

  @property
  def committed(self):
    """Newest step that is on the disk whole."""
    return max(folders.steps_of(self.workdir / checkpoint.FOLDER), default=None)

  def _beside(self, ending):
    return self.workdir.with_name(f"{self.workdir.name}.{ending}")


def rows(workdir):
  """Lines of metrics.jsonl."""
  text = (pathlib.Path(workdir) / "metrics.jsonl").read_text(encoding="utf-8")
  whole = text[: text.rfind("\n") + 1]  # a kill may have torn the last one
  return [json.loads(line) for line in whole.splitlines()]


# What belongs to the clock or the process: all else is equal in two runs.
CLOCK = {
  "seconds_per_step", "examples_per_second", "data_wait", "compiled_shapes",
}  # fmt: skip


def differences(workdir, whole):
  """How a run that was broken off differs from one that was not.

  Returns:
    List of lines, empty when every number is the same: final parameters bit
    for bit, every step once, every metric of it.
  """
  found = []
  (one, params), (other, wanted) = map(_final, (workdir, whole))
  if one != other:
    found.append(f"ended at step {one} instead of {other}")
  found += [
    f"{name} differs"
    for name in wanted
    if not np.array_equal(params[name], wanted[name])
  ]
  one, other = rows(workdir), rows(whole)
  steps = [row["step"] for row in one]
  if steps != [row["step"] for row in other]:
    found.append(f"{len(steps)} lines of metrics instead of {len(other)}")
  found += [
    f"metrics of step {a['step']} differ"
    for a, b in zip(one, other, strict=False)
    if any(a.get(name) != b.get(name) for name in (a | b).keys() - CLOCK)
  ]
  return found


def left_over(workdir, keep):
  """Files of a finished run that have no business there."""
  workdir = pathlib.Path(workdir)
  known = {
    "config.json", "goodput.json", "metrics.jsonl", "compiled", "checkpoints",
    "tensorboard",
  }  # fmt: skip
  found = [path.name for path in workdir.iterdir() if path.name not in known]
  there = sorted(p.name for p in (workdir / checkpoint.FOLDER).iterdir())
  if len(there) > keep or not all(name.isdigit() for name in there):
    found += there
  return found


def _final(workdir):
  step, _ = checkpoint.read_meta(workdir)
  return step, checkpoint.read_params(workdir, step)
