"""Metrics: JSON lines, a progress line, and TensorBoard where installed."""

import json
import os
import pathlib
import sys
import time

from fgclep_jax import atomic
from fgclep_jax.training import processes

VALIDATED = "valid_statements"  # of every validation


class Lines:
  """JSON lines, one a step at most, of a run that may be started again.

  Args of the constructor:
    path: of the file; made when the first line is written.
    start: the step the run goes on from; later lines are taken back, and so
      is a torn last one.

  Of several processes the first alone writes.

  Attributes:
    kept: list of the values of the lines that stay.
  """

  def __init__(self, path, start):
    self._path, self._file = pathlib.Path(path), None
    self.kept = _keep_until(self._path, start)

  def write(self, values):
    """Appends a line; `values` has `step`."""
    if not processes.first():
      return
    if self._file is None:
      self._file = open(self._path, "a", 1, "utf-8")  # noqa: SIM115
    self._file.write(json.dumps(values) + "\n")

  def add(self, values):
    """Adds values to the last line of an earlier start; before any `write`."""
    if self.kept and processes.first():
      self.kept[-1] |= values
      text = "".join(json.dumps(line) + "\n" for line in self.kept)
      atomic.write_text(self._path, text)

  def flush(self):
    """Makes sure that all lines are on the disk."""
    if self._file is not None:
      self._file.flush()
      os.fsync(self._file.fileno())

  def close(self):
    if self._file is not None:
      self.flush()
      self._file.close()


class Writer:
  """Writes one line a step to `metrics.jsonl` and a progress line.

  Args of the constructor:
    workdir: folder of the run.
    start: the step the run goes on from; later lines are taken back, so
      that the file holds every step once.
    steps: of the whole run.
    examples: records a step.
  """

  def __init__(self, workdir, start, steps, examples, stream=None):
    self._lines = Lines(pathlib.Path(workdir) / "metrics.jsonl", start)
    self._stream = stream or sys.stderr
    self._steps = steps
    self.examples = examples
    self._board = _tensorboard(workdir)

  def write(self, step, values):
    """Appends one line; values are plain numbers."""
    self._lines.write({"step": step} | values)
    if self._board is not None:
      for name, value in values.items():
        if value is not None:
          self._board.add_scalar(name, value, step)

  @property
  def validated(self):
    """Whether the step gone on from has its validation."""
    return bool(self._lines.kept) and VALIDATED in self._lines.kept[-1]

  def add(self, found):
    """Adds a validation that the step gone on from lacks, if there is one."""
    if found and not self.validated:
      self._lines.add(found)

  def progress(self, step, values):
    """Shows step, loss, examples per second and the time that is left."""
    if not processes.first():
      return
    left = (self._steps - step) * values["seconds_per_step"]
    eta = time.strftime("%H:%M:%S", time.gmtime(left))
    line = (
      f"step {step}/{self._steps}  loss {values['loss']:.4f}  "
      f"{values['examples_per_second']:.1f} examples/s  ETA {eta}"
    )
    if self._stream.isatty():
      end = "\n" if step == self._steps else ""
      self._stream.write(f"\r\033[K{line}{end}")
    else:
      self._stream.write(line + "\n")
    self._stream.flush()

  def flush(self):
    """Makes sure that all lines are on the disk."""
    self._lines.flush()

  def close(self):
    self._lines.close()
    if self._board is not None:
      self._board.close()


def _keep_until(path, step):
  """Drops the lines after `step`, and a torn last line; returns the rest."""
  if not path.is_file():
    return []
  kept, text = [], ""
  for line in path.read_text(encoding="utf-8").splitlines():
    try:
      values = json.loads(line)
      if values["step"] <= step:
        kept.append(values)
        text += line + "\n"
    except (json.JSONDecodeError, KeyError, TypeError):
      continue
  if processes.first():
    atomic.write_text(path, text)
  return kept


def _tensorboard(workdir):
  if not processes.first():
    return None
  try:
    from tensorboardX import SummaryWriter
  except ImportError:
    return None
  return SummaryWriter(str(pathlib.Path(workdir) / "tensorboard"))
