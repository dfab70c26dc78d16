"""How long a run takes from nothing to its first batch.

  python -m benchmarks.input

measures it beside the rest: from `setup.prepare` to the first batch of 256, not
counting imports and compilation, each in a process of its own, with an index of
800,000 records of 1 to 8 out of 3,900 statements, 100,000 distinct reports. The
signals are those of a small simulated dataset, again and again.
"""

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

from benchmarks import common
from fgclep_jax import config as config_lib
from fgclep_jax.data import index, sources
from fgclep_jax.training import setup

ROOT = pathlib.Path(__file__).parent.parent
CONFIG = ROOT / "configs" / "simulated.py"
SPLITS = {"train": 0.9, "validation": 0.05, "test": 0.05}


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Of the index."""

  records: int = 800_000
  statements: int = 3900
  reports: int = 100_000


def write_index(folder, sizes):
  """An index of records that hold one of some reports of 1 to 8 statements."""
  rng = np.random.default_rng(0)
  table = tuple(
    f"change of degree {i % 10} in leads of group {i // 10}"
    for i in range(sizes.statements)
  )
  common_ones = 1 / np.arange(1, sizes.statements + 1)
  lengths = rng.integers(1, 9, sizes.reports)
  drawn = rng.choice(
    sizes.statements, lengths.sum(), p=common_ones / common_ones.sum()
  ).astype(np.int32)
  starts = np.cumsum(lengths) - lengths
  columns, first = {}, 0
  for split, share in SPLITS.items():
    count = round(share * sizes.records)
    report = rng.integers(0, sizes.reports, count)
    offsets = np.append(0, np.cumsum(lengths[report]))
    place = np.arange(offsets[-1])
    place += np.repeat(starts[report] - offsets[:-1], lengths[report])
    columns[split] = {
      "record_id": (np.arange(count) + 40_000_000 + first).astype("U8"),
      "patient_id": ((np.arange(count) + first) // 5 + 10**7).astype("U8"),
      "age": rng.random(count, np.float32),
      "sex": np.zeros(count, np.int8),
      "statement_ids": drawn[place],
      "statement_offsets": offsets.astype(np.int64),
    } | {f"measurements/{i}": rng.random(count, np.float32) for i in range(9)}
    first += 5 * -(-count // 5)
  index._save(pathlib.Path(folder), "digest", columns, table)


class Repeated:
  """As many records as are asked for, out of a few."""

  def __init__(self, split):
    self._source, self._count = split._source, len(split)

  def __getitems__(self, indices):
    return self._source.__getitems__([i % self._count for i in indices])


def child(text, folder, data_dir):
  """Prints seconds of `setup.prepare`, and of the first batch then."""
  opened = sources.open_split

  def open_large(data_dir, dataset, config, split="train"):
    small = opened(data_dir, dataset, config, split)
    columns, table = index.load_or_build(folder, "digest", {})
    version = pathlib.Path(data_dir) / dataset / config / "1.0.0"
    source = Repeated(small)
    return sources.Split(
      version, split, source, columns[split], table, {}, "digest"
    )

  config = config_lib.override(
    config_lib.load(CONFIG), {"data.batch_size": "256", "data.text": text}
  )
  jax.devices()
  sources.open_split = open_large
  start, core = time.perf_counter(), time.process_time()
  run = setup.prepare(config, folder, data_dir)
  ready = time.perf_counter()
  next(run.train.stream(0, run.total))
  end = time.perf_counter()
  core = time.process_time() - core
  print(json.dumps([ready - start, end - ready, core, common.peak_mib()]))


def measure(data_dir, rounds, sizes):
  """Medians of `rounds` starts of each kind, in turn."""
  found = {"statements": [], "report": []}
  with tempfile.TemporaryDirectory() as folder:
    write_index(folder, sizes)
    for _ in range(rounds):
      for text, rows in found.items():
        line = [sys.executable, "-m", "benchmarks.start", text]
        line += [folder, str(data_dir)]
        done = subprocess.run(
          line, capture_output=True, check=True, cwd=ROOT, timeout=600
        )
        rows.append(json.loads(done.stdout))
  return {
    f"start, {text}": {
      "seconds": common.median([a + b for a, b, _, _ in rows]),
      "prepare": common.median([a for a, _, _, _ in rows]),
      "first_batch": common.median([b for _, b, _, _ in rows]),
      "processor_seconds": common.median([core for _, _, core, _ in rows]),
      "peak_mib": max(peak for _, _, _, peak in rows),
    }
    for text, rows in found.items()
  }


if __name__ == "__main__":
  child(*sys.argv[1:])
