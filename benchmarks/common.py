"""What every benchmark shares: interleaved timing, the machine, the JSON."""

import contextlib
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import time

RESULTS = pathlib.Path(__file__).parent / "results"
PACKAGES = ("jax", "numpy", "wfdb", "pandas", "tensorflow-datasets")


def interleaved(functions, repeats):
  """Runs {name: function} in turn, `repeats` rounds; {name: seconds}."""
  seconds = {name: [] for name in functions}
  for _ in range(repeats):
    for name, function in functions.items():
      start = time.perf_counter()
      function()
      seconds[name].append(time.perf_counter() - start)
  return seconds


def median(values):
  return statistics.median(values)


def peak_mib():
  """Returns the peak resident size of this process in MiB (Linux).

  Not getrusage's `ru_maxrss`: a process starts with that of the one that
  started it, and thus showed the benchmark's own memory.
  """
  status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
  [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
  return int(line.split()[1]) / 1024


def machine():
  """The machine and the versions a figure belongs to."""
  return {
    "date": datetime.date.today().isoformat(),
    "cores": os.cpu_count(),
    "processor": platform.machine(),
    "python": platform.python_version(),
    "versions": versions(PACKAGES),
  }


def versions(packages):
  """{package: version}, None where it is not installed."""
  found = dict.fromkeys(packages)
  for name in packages:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found[name] = importlib.metadata.version(name)
  return found


def write(name, content):
  """Prints a table of {row: {column: value}} and writes results/<name>."""
  for row, cells in content["table"].items():
    line = "  ".join(f"{k} {v:.4g}" for k, v in cells.items())
    print(f"{row:40s} {line}")
  RESULTS.mkdir(exist_ok=True)
  text = json.dumps(content | {"machine": machine()}, indent=2) + "\n"
  (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
