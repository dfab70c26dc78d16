"""SIGTERM, SIGINT and SIGUSR1 in every phase of every long command.

A child sends the signal to itself at the moment that is meant, and then works
for minutes inside C, as a compiler does, where Python runs no handler.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from benchmarks import children
from fgclep_jax import cli, stopping
from fgclep_jax.errors import RunError
from fgclep_jax.training import checkpoint, folders
from tests import tiny_runs

SECONDS = 120  # until a child has ended that was told to; its C takes longer
BEFORE = """
import hashlib, os

def strike(number, work=True):
  os.kill(os.getpid(), number)
  if work:
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)

def at(owner, name, count, *given):
  real, calls = getattr(owner, name), []
  def wrapped(*arguments, **named):
    calls.append(name)
    if len(calls) == count:
      strike(*given)
    return real(*arguments, **named)
  setattr(owner, name, wrapped)

"""
FLAGS = ("--optim.steps", "16", "--save-every", "3", "--validate-every", "5")
TRAINING = """
import jax
from fgclep_jax.data import batches
from fgclep_jax.training import checkpoint, loop, setup, validate

"""
NEW_SHAPE = """
step = loop._Loop._step
def with_a_new_shape(self, *given):
  self._shapes.clear()
  return step(self, *given)
loop._Loop._step = with_a_new_shape
"""
# In this order, on one run: phase, what is wrapped, what is said, the newest
# step that is then on the disk. Batches are read a few ahead of the steps.
CHAIN = (
  ("start", "from fgclep_jax import launch\nat(launch, 'prepare', 1, {})",
   "nothing is lost", {None}),
  ("first compile", "at(jax.stages.Lowered, 'compile', 1, {})",
   "stopped at step 0 of 16", {None}),
  ("evaluation", "at(validate, 'validate', 1, {})",
   "stopped at step 5 of 16, saved", {5}),
  ("restore", "at(setup, 'restored_state', 1, {})", "nothing is lost", {5}),
  ("step", "at(loop._Loop, '_step', 2, {}, False)",
   "of 16, saved", {6, 7}),
  ("compile", NEW_SHAPE + "at(jax.stages.Lowered, 'compile', 2, {})",
   "of 16, saved", {7, 8}),
  ("save", "at(checkpoint.manifest, 'write', 1, {}, False)",
   "of 16, saved", {9, 10, 11, 12}),
  ("data", "at(batches.Batches, '__getitem__', 3, {})", "of 16, saved",
   set(range(9, 15))),
)  # fmt: skip


def train(workdir, data, before="", *more):
  return tiny_runs.process(workdir, data, *FLAGS, *more, before=before)


def newest(workdir):
  return max(folders.steps_of(workdir / checkpoint.FOLDER), default=None)


@pytest.fixture(scope="module")
def whole(simulated, tmp_path_factory):
  """A run that nobody disturbs."""
  folder = tmp_path_factory.mktemp("signals") / "whole"
  done = train(folder, simulated)
  assert done.returncode == 0, done.stderr
  return folder


def chain(workdir, data, numbers):
  """Breaks one run off in every phase and lets it end."""
  for i, (phase, wrapped, says, steps) in enumerate(CHAIN):
    number = numbers[i % len(numbers)]
    imports = "" if phase == "start" else TRAINING
    before = BEFORE + imports + wrapped.format(int(number))
    start = time.monotonic()
    done = train(workdir, data, before)
    told = f"{number.name} in {phase}: {done.returncode} {done.stderr}"
    assert done.returncode == 75, told
    assert says in done.stderr.splitlines()[-1], told
    assert "Traceback" not in done.stderr, told
    assert time.monotonic() - start < SECONDS, told
    assert newest(workdir) in steps, told
  done = train(workdir, data)
  assert done.returncode == 0, done.stderr


@pytest.mark.core
def test_every_phase_of_training(simulated, whole, tmp_path):
  numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
  chain(tmp_path / "broken", simulated, numbers)
  assert not children.differences(tmp_path / "broken", whole)
  text = (tmp_path / "broken" / "goodput.json").read_text()
  ended = [run["ended"] for run in json.loads(text)["runs"]]
  assert ended == ["interrupted"] * (len(CHAIN) - 1) + ["done"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_every_phase_with_each_signal(simulated, whole, tmp_path, number):
  chain(tmp_path / "broken", simulated, (number,))
  assert not children.differences(tmp_path / "broken", whole)


@pytest.mark.core
def test_a_second_signal_leaves_now(simulated, tmp_path):
  """Though the first save goes on for ever."""
  before = BEFORE + TRAINING + (
    "import signal, threading\n"
    "def stuck(folder):\n"
    "  os.kill(os.getpid(), signal.SIGTERM)\n"
    "  strike(signal.SIGINT)\n"
    "checkpoint.manifest.write = stuck\n"
  )  # fmt: skip
  done = train(tmp_path, simulated, before)
  assert done.returncode == 75, done.stderr
  assert newest(tmp_path) is None
  assert "Traceback" not in done.stderr


def command(before, *arguments):
  """A command of `fgclep` in a process of its own."""
  code = f"{before}\nimport sys\nfrom fgclep_jax import cli\ncli.main()\n"
  return subprocess.run(
    [sys.executable, "-c", code, *map(str, arguments)],
    capture_output=True, text=True, timeout=300,
    env=os.environ | {"FGCLEP_CPU_DEVICES": "8"},  # as this process has
  )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_before_there_is_a_handler(number):
  """The system's own way to end is accepted: nothing has begun."""
  done = command(
    "import os, signal\n"  # a background job is started without a handler
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    f"os.kill(os.getpid(), {int(number)})",
    "doctor",
  )
  assert done.returncode == -number


STAGES = {
  "evaluate": "from fgclep_jax.evaluation import retrieval as m\n"
  "at(m, 'evaluate', 1, {})",
  "enhance": "from fgclep_jax.enhance import fit as m\n"
  "at(m, 'make_verifier', 1, {})",
}


@pytest.mark.core
@pytest.mark.parametrize(
  ("name", "number"),
  [("evaluate", signal.SIGINT), ("enhance", signal.SIGTERM)],
)
def test_other_commands(simulated, whole, tmp_path, name, number):
  """The second time, in the folder left behind, as in an empty one."""
  found = {}
  for out in ("broken", "whole"):
    more = ("--data-dir", simulated, "--dataset", "simulated_ecg")
    more += ("--workdir", whole, "--bootstrap", "5")
    if name == "evaluate":
      result = tmp_path / out / "results.json"
      more += ("--out", tmp_path / out, "--task", "retrieval")
      more += ("--no-baselines",)
    else:
      result = tmp_path / out / "enhance.json"
      more += ("--out", tmp_path / out / "enhanced.parquet")
      more += ("--threshold", "fixed", "--cosine", "0.0")
    if out == "broken":
      before = BEFORE + STAGES[name].format(int(number))
      done = command(before, name, *more)
      assert done.returncode == 75, done.stderr
      assert "nothing is lost" in done.stderr.splitlines()[-1]
      assert "Traceback" not in done.stderr
      assert not result.exists()
    assert cli.run([name, *map(str, more)]) == 0
    found[out] = json.loads(result.read_text())
    for own in ("run", "seconds"):
      found[out].pop(own, None)
    if name == "enhance":  # how many answers were kept from before
      found[out]["statements"].pop("counts")
      found[out]["tables"] = [
        result.with_name(f"{table}.parquet").read_bytes()
        for table in ("enhanced", "enhanced_records")
      ]
  assert found["broken"] == found["whole"]


def wait_for(asked, seconds=10):
  start = time.monotonic()
  while not asked() and time.monotonic() < start + seconds:
    time.sleep(0.01)
  return asked()


def test_a_signal_is_noted_and_handlers_come_back(monkeypatch):
  before = [signal.getsignal(number) for number in stopping.SIGNALS]
  left = []
  monkeypatch.setattr(stopping.os, "_exit", left.append)
  with stopping.Stop() as stop:
    os.kill(os.getpid(), signal.SIGUSR1)
    assert wait_for(lambda: stop.asked)
    assert not left
    os.kill(os.getpid(), signal.SIGTERM)  # the second
    assert wait_for(lambda: left) == [75]
  assert [signal.getsignal(number) for number in stopping.SIGNALS] == before
  assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize(
  ("raised", "code", "line"),
  [
    (None, 75, "fgclep: saved"),
    (RunError("the disk\nis full"), 1, "fgclep: the disk is full"),
    (KeyError("x"), 1, "fgclep: it could not be saved"),
  ],
)
def test_leaving(monkeypatch, capfd, raised, code, line):
  """Inside, just before, and what is told when it cannot be saved."""
  left = []
  monkeypatch.setattr(stopping.os, "_exit", left.append)

  def leave():
    if raised:
      raise raised
    return "saved"

  with stopping.Stop() as stop, stop.leaving(leave):
    os.kill(os.getpid(), signal.SIGTERM)
    assert wait_for(lambda: left) == [code]
  assert line in capfd.readouterr().err
  left.clear()
  with stopping.Stop() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    assert wait_for(lambda: stop.asked)
    assert not left
    with stop.leaving(leave):
      assert left == [code]


def test_another_thread_watches_nothing():
  found = []

  def watch():
    with stopping.Stop() as stop, stop.leaving(None):
      found.append(signal.getsignal(signal.SIGTERM))

  thread = threading.Thread(target=watch)
  thread.start()
  thread.join()
  assert found == [signal.SIG_DFL]
