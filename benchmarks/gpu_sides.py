"""The processes of `benchmarks.gpu`: how they are started, asked and answer.

A side is asked by lines and answers each with one line of JSON. Sides that are
there at the same time take turns, since only one is asked at a time.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).parent.parent
FILL = 0.2  # seconds of repeats in a round
MOST = 50  # of them
LIMIT = 400  # seconds until an answer


def serve(makers, extras=None, fill=FILL):
  """What a side does: makes all, then runs what is asked for.

  Waits for a line, answers with the facts of all, and then every name with
  the seconds of a run, or with what the extra of that name gives.

  Args:
    makers: {name: function that gives a run, a function of nothing that waits
      for the device, and {column: number}}.
    extras: {name: function of nothing that gives what JSON holds}.
    fill: seconds that the repeats of a run should last.
  """
  sys.stdin.readline()
  ready, facts = {}, {}
  for name, make in makers.items():
    try:
      run, facts[name] = make()
      ready[name] = run, min(MOST, int(fill / timed(run)) + 1)
    except Exception as error:
      facts[name] = {"error": line_of(error)}
  print(json.dumps({"facts": facts}), flush=True)
  for line in sys.stdin:
    try:
      if line.strip() in ready:
        found = {"seconds": repeated(*ready[line.strip()])}
      else:
        found = {"found": extras[line.strip()]()}
    except Exception as error:
      found = {"error": line_of(error)}
    print(json.dumps(found), flush=True)


def timed(run):
  start = time.perf_counter()
  run()
  return time.perf_counter() - start


def repeated(run, count):
  """Seconds of a run: the mean of `count`, after one where it is short."""
  if count > 1:
    run()
  return sum(timed(run) for _ in range(count)) / count


def line_of(error):
  """An exception in one line; the texts of out-of-memory are long."""
  return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


@dataclasses.dataclass(frozen=True)
class Side:
  """A process of one side, and the file of what it says besides."""

  name: str
  process: subprocess.Popen
  said: object

  def ask(self, line=""):
    """Its answer to a line; RuntimeError if it has none."""
    with contextlib.suppress(OSError):  # if it has ended, this is said below
      self.process.stdin.write(f"{line}\n")
      self.process.stdin.flush()
    timer = threading.Timer(LIMIT, self.process.kill)
    timer.start()
    try:
      # Libraries print too.
      found = next((x for x in self.process.stdout if x.startswith("{")), None)
    finally:
      timer.cancel()
    if found is None:
      code = self.process.wait()
      self.said.seek(0)
      last = [x.strip() for x in self.said if x.strip()][-1:]
      raise RuntimeError(f"{self.name} ended with {code}: {' '.join(last)}")
    if "error" in (found := json.loads(found)):
      raise RuntimeError(found["error"])
    return found


@contextlib.contextmanager
def start(module, part, options):
  """Starts a `Side`, which is gone at the end."""
  environment = dict(os.environ) | {
    "PYTHONPATH": str(ROOT),
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    # Both see one device, the same.
    "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0"),
  }
  if module.endswith("torch"):
    environment["JAX_PLATFORMS"] = "cpu"  # it draws parameters and batches
  line = [sys.executable, "-m", module, part, json.dumps(options)]
  pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
  with (
    tempfile.TemporaryFile("w+") as said,
    subprocess.Popen(line, stderr=said, env=environment, **pipes) as process,
  ):
    try:
      yield Side(f"{module} {part}", process, said)
    finally:
      with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        process.stdin.close()  # which ends it, and what it has started
        process.wait(20)
      process.kill()
