"""Spoilt files of every kind, by the thousand, given to their readers.

  python -m benchmarks.fuzz --inputs 100000

Each reader has a process of its own. A failure is any error other than the
documented one, a crash, 5 s of the processor for one input, or anything
opened or run outside the folder of the record; it is printed with the edits
that make it, and the exit code is 1.
"""

import argparse
import contextlib
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from benchmarks import common
from tests import fuzz_readers, fuzzing

ROOT = pathlib.Path(__file__).parent.parent


def main(argv=None):
  parser = argparse.ArgumentParser()
  parser.add_argument("--inputs", type=int, default=100_000)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--only", choices=sorted(fuzz_readers.READERS))
  arguments = parser.parse_args(argv)
  if arguments.only:
    print(json.dumps(run(arguments.only, arguments.inputs, arguments.seed)))
    return
  readers = fuzz_readers.READERS.values()
  whole = sum(reader.weight for reader in readers)
  table, failures = {}, {}
  for reader in readers:
    count = -(-int(arguments.inputs * reader.weight) // int(whole))
    table[reader.name], failures[reader.name] = child(
      reader.name, count, arguments.seed
    )
  total = sum(row["inputs"] for row in table.values())
  failed = sum(row["failures"] for row in table.values())
  print(f"{total} inputs, {failed} failures")
  common.write(
    "fuzz",
    {"seed": arguments.seed, "inputs": total, "failures": failed,
     "table": table},
  )  # fmt: skip
  for name, lines in failures.items():
    for line in lines:
      print(f"{name}: {line}")
  sys.exit(bool(failed))


def child(name, count, seed):
  """Figures and failures of one reader, in a process of its own."""
  done = subprocess.run(
    [sys.executable, "-m", "benchmarks.fuzz", "--only", name,
     "--inputs", str(count), "--seed", str(seed)],
    capture_output=True, text=True, cwd=ROOT,
  )  # fmt: skip
  if done.returncode:
    row = {"inputs": 0, "failures": 1}
    return row, [f"exit code {done.returncode}: {done.stderr[-500:]}"]
  row = json.loads(done.stdout.splitlines()[-1])
  return row, row.pop("failed")


def run(name, count, seed):
  """Figures of one reader in this process, and its first failures."""
  reader, rng = fuzz_readers.READERS[name], random.Random(f"{name} {seed}")
  failed, slowest, accepted, failures = [], 0.0, 0, 0
  start = time.monotonic()
  with tempfile.TemporaryDirectory() as work:
    folder = pathlib.Path(work) / "in"
    folder.mkdir()
    seeds = list(reader.make(folder).values())
    for seed in seeds:  # imports, once; and all are sound
      with contextlib.suppress(*reader.documented):
        reader.put(folder, seed)
        reader.read(folder, seed)
    before = common.peak_mib()
    for _ in range(count):
      first, edits = case(rng)
      content = fuzzing.apply(seeds, reader.tokens, first, edits)
      try:
        seconds, read = fuzzing.check(reader, folder, content)
      except AssertionError as error:
        failures += 1
        failed[:] = [*failed, f"{first} {edits}: {error}"][:10]
        continue
      slowest, accepted = max(slowest, seconds), accepted + read
  return {
    "inputs": count,
    "failures": failures,
    "read": accepted,
    "slowest_ms": 1000 * slowest,
    "peak_mib": common.peak_mib(),
    "grown_mib": common.peak_mib() - before,
    "seconds": time.monotonic() - start,
    "failed": failed,
  }


def case(rng):
  """Number of a seed and its edits, few more often than many."""
  edits = [
    (
      rng.randrange(fuzzing.KINDS),
      rng.randrange(fuzzing.PLACES),
      rng.randrange(fuzzing.VALUES),
    )
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, fuzzing.MAX_EDITS)))
  ]
  return rng.randrange(16), edits


if __name__ == "__main__":
  main()
