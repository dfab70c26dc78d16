"""What the benchmarks measure."""

import subprocess
import sys

from benchmarks import common

CODE = "from benchmarks import common; print(common.peak_mib())"


def test_peak_memory_is_the_process_s_own():
  """A child shows no memory of its parent, as `ru_maxrss` would."""
  held = b"x" * (1 << 30)
  line = [sys.executable, "-c", CODE]
  child = subprocess.run(line, capture_output=True, text=True, check=True)
  assert 5 < float(child.stdout) < 900
  assert common.peak_mib() > len(held) >> 20


def test_peak_memory_stays_when_the_memory_is_given_back():
  code = f"x = b'x' * (300 << 20); del x; {CODE}"
  line = [sys.executable, "-c", code]
  child = subprocess.run(line, capture_output=True, text=True, check=True)
  assert float(child.stdout) > 300


def test_rounds_are_interleaved():
  order = []
  found = common.interleaved(
    {name: lambda n=name: order.append(n) for name in "ab"}, 3
  )
  assert order == list("ababab")
  assert {name: len(seconds) for name, seconds in found.items()} == {
    "a": 3,
    "b": 3,
  }
