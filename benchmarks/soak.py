"""Hours of a small training that is killed and started again.

  OMP_NUM_THREADS=1 python -m benchmarks.soak [--hours 2] [--seed N]

The run saves by the clock, every minute. SIGKILL and SIGTERM come at random
instants in its first half and its last quarter, on average every
`--every` seconds; in between it is left alone, and memory and open files of
that one process are watched: the slope of a straight line, after its first
fifth. Steps are paced so that the run lasts as long as was asked for; what a
kill took is caught up with. At the end the same command runs undisturbed, at
full speed, in another folder: parameters and every line of metrics must be
equal, and no file may be left over.
"""

import collections
import os
import random
import signal
import time

import numpy as np

from benchmarks import children

QUIET = (0.5, 0.75)  # of the time: no kills
# How a start may end after each: 75, or by the system's default before the
# command could see to it.
SIGNALS = {
  signal.SIGKILL: {-signal.SIGKILL},
  signal.SIGTERM: {75, -signal.SIGTERM},
}
KEEP = 3


def main():
  children.program("soak", __doc__, add_flags, soak)


def add_flags(parser):
  parser.add_argument("--hours", type=float, default=2.0)
  parser.add_argument("--every", type=float, default=90.0, help="seconds")
  parser.add_argument("--steps-per-second", type=float, default=2.0)
  parser.add_argument("--save-minutes", type=float, default=1.0)


def soak(folder, data, seed, flags):
  """Runs it; returns what is written."""
  seconds = 3600 * flags.hours
  steps = round(seconds * flags.steps_per_second)
  changes = {
    "data.cache-gib": "1",
    "optim.steps": str(steps),
    "save-every": "1000000000",
    "save-every-minutes": str(flags.save_minutes),
    "validate-every": str(max(steps // 40, 1)),
    "keep": str(KEEP),
  }
  child = children.Child(
    folder / "broken", data, changes, pace=1 / flags.steps_per_second
  )
  log = _Log()
  with child:
    _disturb(child, log, seconds, flags.every, random.Random(seed))
  print(f"{log.lives} starts; now undisturbed", flush=True)
  with children.Child(folder / "whole", data, changes) as whole:
    whole.start()
    whole.finish()
  wrong = log.wrong + children.differences(child.workdir, whole.workdir)
  left = children.left_over(child.workdir, KEEP)
  return {
    "command": f"python -m benchmarks.soak --hours {flags.hours:g}",
    "wrong": wrong + [f"left over: {name}" for name in left],
    "table": {
      "run": {
        "hours": round(log.hours, 3), "steps": steps, "starts": log.lives,
        "steps_done_twice": log.lost,
      },
      "signals": dict(log.signals),
      "ended": dict(log.ended),
      "phases": dict(log.phases),
      "undisturbed": log.undisturbed(),
      "ends": {
        "bit_identical": int(not wrong), "files_left_over": len(left),
      },
    },
    "samples": {
      "columns": ["start", "seconds", "resident_mib", "open_files", "files"],
      "rows": log.samples[:: max(len(log.samples) // 300, 1)],
    },
  }  # fmt: skip


def _disturb(child, log, seconds, every, rng):
  """Starts the run again and again until it has come to its end."""
  start = time.monotonic()
  quiet = [start + seconds * share for share in QUIET]
  while True:
    due = time.monotonic() + rng.expovariate(1 / every)
    if quiet[0] < due < quiet[1] or due > start + seconds:
      due = quiet[1] if due < quiet[1] else start + 2 * seconds
    log.begins(child)
    if not _watch(child, log, due, seconds / 720):
      log.ends(child, child.wait(0), None)
      log.hours = (time.monotonic() - start) / 3600
      return
    phase, number = child.phases[-1], rng.choice(list(SIGNALS))
    code = child.send(number)
    log.ends(child, code, number, phase)


def _watch(child, log, due, between):
  """Samples the child until `due`; False when it ended before."""
  while time.monotonic() < due:
    if child.wait(min(between, due - time.monotonic())) is not None:
      return False
    log.sample(child)
  return True


class _Log:
  """What was seen of every start."""

  def __init__(self):
    self.lives, self.lost, self.hours = 0, 0, 0.0
    self.samples, self.wrong = [], []
    self.signals, self.ended, self.phases = (
      collections.Counter() for _ in range(3)
    )
    self._committed, self._began = None, 0.0

  def begins(self, child):
    self.lives += 1
    self._committed = child.committed
    self._began = time.monotonic()
    child.start()

  def sample(self, child):
    try:
      row = [_resident(child.pid), len(os.listdir(f"/proc/{child.pid}/fd"))]
    except OSError:
      return
    if not row[0]:  # ended just now
      return
    files = sum(len(files) for _, _, files in os.walk(child.workdir))
    age = round(time.monotonic() - self._began, 1)
    self.samples.append([self.lives, age, *row, files])

  def ends(self, child, code, number, phase=None):
    """Checks how a start ended, and where it had gone on from."""
    self.ended[str(code)] += 1
    if number is not None:
      self.signals[signal.Signals(number).name] += 1
      self.phases[phase] += 1
    resumed = child.resumed_at
    if resumed is not None and resumed != self._committed:
      self.wrong.append(
        f"start {self.lives} went on from {resumed}, not {self._committed}"
      )
    if code not in SIGNALS.get(number, {0}):
      last = child.said[-500:]
      self.wrong.append(f"start {self.lives} ended with {code}: {last}")
    self.lost += child.steps_written - (child.committed or 0)

  def undisturbed(self):
    """Memory and files of the start that was watched longest."""
    longest = max(self.samples, key=lambda row: row[1])[0]
    rows = np.array([row for row in self.samples if row[0] == longest], float)
    rows = rows[rows[:, 1] > rows[-1, 1] / 5]
    slope, _ = np.polyfit(rows[:, 1] / 3600, rows[:, 2], 1)
    return {
      "minutes": round(rows[-1, 1] / 60, 1),
      "mib_first": round(rows[0, 2], 1),
      "mib_last": round(rows[-1, 2], 1),
      "mib_per_hour": round(float(slope), 2),
      "open_files_least": int(rows[:, 3].min()),
      "open_files_most": int(rows[:, 3].max()),
      "files_in_workdir_most": int(rows[:, 4].max()),
    }


def _resident(pid):
  """Memory of a process that is its own, MiB: mapped files come and go."""
  with open(f"/proc/{pid}/status", encoding="ascii") as file:
    lines = dict(line.split(":", 1) for line in file)
  return round(int(lines.get("RssAnon", "0").split()[0]) / 1024, 1)


if __name__ == "__main__":
  main()
