"""Where the time of a run goes, and a report when it stands still.

Times are those of the host: a device computes on while the host waits for
data, and is waited for where metrics are fetched, which counts as `step`.
"""

import contextlib
import datetime
import faulthandler
import json
import pathlib
import sys
import threading
import time

from fgclep_jax import atomic
from fgclep_jax.errors import InputError
from fgclep_jax.training import processes

PHASES = ("step", "data", "save", "evaluate", "compile", "restore", "other")


class Goodput:
  """Seconds of a run by phase, as a context manager around all of it.

  `goodput.json` gets one entry for every start of the run: `ended` is done,
  interrupted (resumable) or failed, and stays `running` for a process that
  was killed. The seconds of the phases sum to the wall time. Of several
  processes the first alone writes.

  Args of the constructor:
    workdir: folder of the run.
    resumable: type of the exception that leaves a run resumable.
  """

  def __init__(self, workdir, resumable=()):
    self._path = pathlib.Path(workdir) / "goodput.json"
    self._resumable = resumable
    self._runs = _read(self._path)
    self.phase = "other"
    self.seconds = dict.fromkeys(PHASES, 0.0)
    self.first_step = self.step = None
    self._began = datetime.datetime.now(datetime.UTC)
    self._start = self._since = time.monotonic()

  def __enter__(self):
    return self

  def __exit__(self, kind, *_):
    ended = "done" if kind is None else "failed"
    if kind is not None and issubclass(kind, self._resumable):
      ended = "interrupted"
    with contextlib.suppress(OSError):  # a full disk is told by what it stops
      self.write(ended)

  @contextlib.contextmanager
  def inside(self, phase):
    """Counts the time inside for `phase`, not for the one around it."""
    around = self._turn(phase)
    try:
      yield
    finally:
      self._turn(around)

  def write(self, ended="running"):
    """Writes the entry of this run behind those of earlier ones."""
    self._turn(self.phase)
    if not processes.first():
      return
    entry = {
      "started": self._began.isoformat(timespec="seconds"),
      "ended": ended,
      "first_step": self.first_step,
      "last_step": self.step,
      "wall_seconds": round(self._since - self._start, 3),
      "seconds": {name: round(x, 3) for name, x in self.seconds.items()},
    }
    text = json.dumps({"runs": [*self._runs, entry]}, indent=2) + "\n"
    atomic.write_text(self._path, text)

  def _turn(self, phase):
    """Ends the current phase; returns its name."""
    now, before = time.monotonic(), self.phase
    self.seconds[before] += now - self._since
    self._since, self.phase = now, phase
    return before


class Watchdog:
  """Reports all stacks on stderr when no step has ended for a while.

  The run goes on: what stands still is for a person to judge. A report comes
  after every further `seconds`.

  Args of the constructor:
    seconds: how long no step has ended; 0 is off.
    spent: `Goodput`, which knows the phase and the step.
  """

  def __init__(self, seconds, spent):
    self._seconds, self._spent = seconds, spent
    self._last = time.monotonic()
    self._over = threading.Event()
    self._thread = threading.Thread(
      target=self._watch, name="watchdog", daemon=True
    )

  def __enter__(self):
    if self._seconds:
      self._last = time.monotonic()
      self._thread.start()
    return self

  def __exit__(self, *_):
    self._over.set()
    if self._seconds:
      self._thread.join()

  def beat(self):
    """A step has ended."""
    self._last = time.monotonic()

  def _watch(self):
    told, count = None, 0
    while True:
      last = self._last
      count = count if last == told else 0
      due = last + (count + 1) * self._seconds
      if self._over.wait(max(due - time.monotonic(), 0.001)):
        return
      if self._last == last and time.monotonic() >= due:
        told, count = last, count + 1
        self._report(count * self._seconds)

  def _report(self, seconds):
    print(
      f"fgclep: no step has ended for {seconds:g} s; last step "
      f"{self._spent.step}, now in: {self._spent.phase}; the stacks of all "
      "threads follow, the run goes on",
      file=sys.stderr,
      flush=True,
    )
    faulthandler.dump_traceback(sys.stderr, all_threads=True)


class Clock:
  """Examples per second, and the share of the time spent on data."""

  def __init__(self, spent):
    self._spent = spent
    self._start, self._waited = time.monotonic(), spent.seconds["data"]

  def look(self, steps, examples):
    """Wall-clock metrics of the `steps` since the last look."""
    now, waited = time.monotonic(), self._spent.seconds["data"]
    taken = max(now - self._start, 1e-9)
    found = {
      "seconds_per_step": taken / steps,
      "examples_per_second": steps * examples / taken,
      "data_wait": (waited - self._waited) / taken,
    }
    self._start, self._waited = now, waited
    return found


class Timer:
  """Says when the last save is `minutes` ago; 0 never does."""

  def __init__(self, minutes):
    self._seconds = 60 * minutes
    self.start()

  def start(self):
    self._began = time.monotonic()

  @property
  def late(self):
    waited = time.monotonic() - self._began
    return bool(self._seconds) and waited >= self._seconds


def _read(path):
  """Entries of earlier runs of this workdir."""
  if not path.is_file():
    return []
  try:
    return json.loads(path.read_text(encoding="utf-8"))["runs"]
  except (ValueError, KeyError, TypeError) as error:
    raise InputError(f"{path} cannot be read: remove it") from error
