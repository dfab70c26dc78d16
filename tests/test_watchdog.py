"""Where the time goes, and a report when a run stands still."""

import contextlib
import json
import subprocess
import sys
import time

import pytest

from fgclep_jax.errors import InputError
from fgclep_jax.training import goodput
from fgclep_jax.training.goodput import Goodput, Watchdog
from tests import tiny_runs


class Clock:
  """Time that passes when it is told to."""

  def __init__(self):
    self.now = 50.0

  def monotonic(self):
    return self.now


def runs(workdir):
  return json.loads((workdir / "goodput.json").read_text())["runs"]


def test_phases_sum_to_the_wall_time(tmp_path, monkeypatch):
  clock = Clock()
  monkeypatch.setattr(goodput.time, "monotonic", clock.monotonic)
  with Goodput(tmp_path) as spent:
    clock.now += 2
    with spent.inside("step"):
      clock.now += 5
      with spent.inside("compile"):  # not counted twice
        clock.now += 3
      clock.now += 1
    spent.write()
    assert runs(tmp_path)[0]["ended"] == "running"
    with contextlib.suppress(KeyError), spent.inside("data"):
      clock.now += 4
      raise KeyError
    clock.now += 1
  [run] = runs(tmp_path)
  found = {name: x for name, x in run["seconds"].items() if x}
  assert found == {"step": 6, "compile": 3, "data": 4, "other": 3}
  assert run["wall_seconds"] == 16
  assert run["ended"] == "done"


def test_entries_of_earlier_starts_stay(tmp_path):
  class Stopped(Exception):
    pass

  for error in (Stopped, ValueError, None):
    try:
      with Goodput(tmp_path, Stopped) as spent:
        spent.first_step = 3
        if error:
          raise error
    except (Stopped, ValueError):
      pass
  ended = [run["ended"] for run in runs(tmp_path)]
  assert ended == ["interrupted", "failed", "done"]
  (tmp_path / "goodput.json").write_text("{")
  with pytest.raises(InputError, match=r"goodput\.json cannot be read"):
    Goodput(tmp_path)


STALLED = """
import sys, time
from fgclep_jax.training.goodput import Goodput, Watchdog

def the_place_where_it_hangs():
  time.sleep(float(sys.argv[2]))

with Goodput("/nowhere") as spent, Watchdog(float(sys.argv[1]), spent) as dog:
  for spent.step in range(4):
    time.sleep(0.15)
    dog.beat()
  with spent.inside("data"):
    the_place_where_it_hangs()
"""


@pytest.mark.parametrize(
  ("limit", "hang", "reported"),
  [(1, 2.6, True), (30, 0.1, False), (0, 2, False)],
)
def test_reports_a_stall_and_nothing_else(limit, hang, reported):
  """Every limit that passes is reported."""
  done = subprocess.run(
    [sys.executable, "-c", STALLED, str(limit), str(hang)],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  told = "last step 3, now in: data" in done.stderr
  assert told == reported
  assert ("the_place_where_it_hangs" in done.stderr) == reported
  if reported:
    assert "no step has ended for 2 s" in done.stderr
  else:
    assert not done.stderr


def test_ends_at_once(tmp_path):
  start = time.monotonic()
  with Goodput(tmp_path) as spent, Watchdog(600, spent) as dog:
    dog.beat()
  assert time.monotonic() - start < 5


SLOW_DATA = """
import time
from fgclep_jax.data import batches
real = batches.Batches.__getitem__
def hang_in_the_store(self, k):
  if k == 5:
    time.sleep(4)
  return real(self, k)
batches.Batches.__getitem__ = hang_in_the_store
"""


@pytest.mark.core
def test_a_run_whose_data_hang(simulated, tmp_path):
  done = tiny_runs.process(
    tmp_path, simulated, "--stall-seconds", "3", before=SLOW_DATA
  )
  assert done.returncode == 0, done.stderr
  assert "now in: data" in done.stderr
  assert "in hang_in_the_store" in done.stderr
  tiny_runs.train(tmp_path, simulated)  # at the end: nothing to do
  first, second = runs(tmp_path)
  assert (first["first_step"], first["last_step"]) == (0, 8)
  assert (second["first_step"], second["last_step"]) == (8, 8)
  assert first["seconds"]["data"] > 2
  assert first["seconds"]["compile"] > 0
  for run in (first, second):
    assert sum(run["seconds"].values()) == pytest.approx(
      run["wall_seconds"], rel=0.01, abs=0.01
    )
