"""Opening what a dataset of 800,000 records has beside its signals.

  python -m benchmarks.tables [--records 800000]

The cached statement index (MIMIC-IV-ECG's columns, 1 to 8 statements a record)
and the tables of `fgclep enhance` (5 features a record), synthetic, each opened
three times in a process of its own: median seconds, peak resident size.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from benchmarks import common
from fgclep_jax.data import index
from fgclep_jax.reports import enhanced

ROUNDS, FEATURES, VOCABULARY, STATEMENTS = 3, 5, 60, 200_000
FIRST = 40_000_000  # record id
SPLITS = {"train": 0.9, "validation": 0.05, "test": 0.05}


def write_index(folder, records):
  rng = np.random.default_rng(0)
  columns = {}
  for split, share in SPLITS.items():
    count = round(share * records)
    offsets = np.append(0, np.cumsum(rng.integers(1, 9, count)))
    columns[split] = {
      "record_id": (np.arange(count) + FIRST).astype("U8"),
      "patient_id": (np.arange(count) // 5 + 10_000_000).astype("U8"),
      "age": rng.random(count, np.float32),
      "sex": np.zeros(count, np.int8),
      "statement_ids": rng.integers(0, STATEMENTS, offsets[-1], np.int32),
      "statement_offsets": offsets.astype(np.int64),
    } | {f"measurements/{i}": rng.random(count, np.float32) for i in range(9)}
  table = tuple(
    f"ST elevation in leads of group {i}" for i in range(STATEMENTS)
  )
  index._save(folder, "digest", columns, table)


def write_enhanced(folder, records):
  rng = np.random.default_rng(0)
  ids = (np.arange(records) + FIRST).astype("U8")
  names = np.array(
    [f"finding {i} in leads V1 to V4" for i in range(VOCABULARY)]
  )
  chosen = rng.random((records, VOCABULARY)).argsort(1)[:, :FEATURES]
  lines = records * FEATURES
  table = {
    "record_id": np.repeat(ids, FEATURES),
    "feature": names[chosen.ravel()],
    "kept": rng.random(lines) < 0.8,
    "source": ["model"] * lines,
    "model_hash": ["ab" * 32] * lines,
    "prompt_hash": ["cd" * 32] * lines,
  }
  parquet.write_table(pa.table(table), folder / enhanced.FILE)
  records_table = pa.table({"record_id": ids})
  parquet.write_table(records_table, folder / enhanced.RECORDS_FILE)


def open_index(folder, records):
  columns, _ = index.load_or_build(folder, "digest", {})
  assert sum(len(c["record_id"]) for c in columns.values()) == records


def open_enhanced(folder, records):
  ids = [str(FIRST + number) for number in range(records)]
  found = enhanced.read(str(folder / enhanced.FILE), ids)
  assert len(found.places) == records


WRITE = {"index": write_index, "enhanced": write_enhanced}
OPEN = {"index": open_index, "enhanced": open_enhanced}


def child(what, folder, records):
  """Prints seconds and peak MiB of opening one of the two."""
  start = time.perf_counter()
  OPEN[what](folder, records)
  print(json.dumps([time.perf_counter() - start, common.peak_mib()]))


def measure(what, folder, records):
  WRITE[what](folder, records)
  line = [sys.executable, "-m", "benchmarks.tables", "--child", what, folder]
  line += ["--records", str(records)]
  found = [
    json.loads(subprocess.run(line, capture_output=True, check=True).stdout)
    for _ in range(ROUNDS)
  ]
  seconds, peaks = zip(*found, strict=True)
  return {
    "records": records,
    "seconds": common.median(seconds),
    "peak_mib": max(peaks),
  }


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--records", type=int, default=800_000)
  parser.add_argument("--child", nargs=2)
  arguments = parser.parse_args()
  if arguments.child:
    what, folder = arguments.child
    child(what, pathlib.Path(folder), arguments.records)
    return
  table = {}
  for what in WRITE:
    with tempfile.TemporaryDirectory() as folder:
      table[what] = measure(what, pathlib.Path(folder), arguments.records)
  common.write("tables", {"rounds": ROUNDS, "table": table})


if __name__ == "__main__":
  main()
