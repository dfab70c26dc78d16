"""Planning and verifying an enhancement of 800,000 records.

  OMP_NUM_THREADS=1 python -m benchmarks.enhance [--records 800000]

Synthetic reports of 1 to 8 statements, drawn by Zipf's law over the real
statements of MIMIC-IV-ECG (`$FGCLEP_SHARED`), else over the simulator's
wordings. Plan: from the cached statement index to the printed counts. Verify:
random embeddings and encoder outputs of width 256 on disk, candidates of the
rules over the whole vocabulary; from the arrays to both tables of
`fgclep enhance`, fixed and calibrated; one thread, each run in a process of
its own. Pairs: records x features; a minute of the processor's time, since the
machine may have other work. Memory: peak of the process's own
(anonymous) memory; the arrays are mapped and belong to the page cache.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import types

import numpy as np

from benchmarks import common
from fgclep_jax.data import index
from fgclep_jax.enhance import (
  asked,
  cache,
  candidates,
  embeddings,
  fit,
  plan,
  program,
)
from fgclep_jax.enhance.backends.rules import Rules
from fgclep_jax.reports import features
from fgclep_jax.signals import simulate

WIDTH, MOST, ZIPF = 256, 8, 1.1
SPLITS = {"train": 0.9, "validation": 0.05, "test": 0.05}
METHODS = ("fixed", "calibrated")
FIXED = 0.1  # cosine; keeps some of random embeddings
ONE_THREAD = dict.fromkeys(
  ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


class Split(types.SimpleNamespace):
  """What the enhancement reads of `sources.Split`."""

  def __len__(self):
    return len(self.record_ids)


def vocabulary():
  """(name, statements): real ones where they are, else simulated."""
  folder = pathlib.Path(os.environ.get("FGCLEP_SHARED", "../shared/data"))
  path = folder / "mimic_iv_ecg" / "statements.txt"
  if path.is_file():
    lines = path.read_text(encoding="utf-8").splitlines()
    return "mimic_iv_ecg", tuple(dict.fromkeys(filter(None, lines)))
  reports = (simulate.simulate(i).statements for i in range(300))
  return "simulated", tuple(dict.fromkeys(s for r in reports for s in r))


def write_index(folder, table, records, seed=0):
  """The cached index of a dataset, as `data.index` lays it out."""
  rng = np.random.default_rng(seed)
  share = 1 / np.arange(1, len(table) + 1) ** ZIPF
  columns, first = {}, 40_000_000
  for split, part in SPLITS.items():
    count = round(part * records)
    offsets = np.append(0, np.cumsum(rng.integers(1, MOST + 1, count)))
    drawn = rng.choice(len(table), offsets[-1], p=share / share.sum())
    columns[split] = {
      "record_id": (first + np.arange(count)).astype("U8"),
      "patient_id": ((first + np.arange(count)) // 5).astype("U8"),
      "statement_ids": drawn.astype(np.int32),
      "statement_offsets": offsets.astype(np.int64),
    }
    first += count
  index._save(folder, "digest", columns, table)


def open_splits(folder):
  columns, table = index.load_or_build(folder, "digest", {})
  return {
    name: Split(
      dataset="synthetic", config="original", name=name, digest="digest",
      metadata={}, table=table, truth=None, measurements={}, feature_names=(),
      record_ids=found["record_id"], patient_ids=found["patient_id"],
      statement_ids=found["statement_ids"],
      statement_offsets=found["statement_offsets"],
    )
    for name, found in columns.items()
  }  # fmt: skip


def write_arrays(folder, records):
  """Random unit rows (embedding) and random rows (pooled), on disk."""
  rng = np.random.default_rng(1)
  for split, part in SPLITS.items():
    for name in ("embedding", "pooled"):
      out = np.lib.format.open_memmap(
        folder / f"{split}-{name}.npy", "w+", np.float32,
        (round(part * records), WIDTH),
      )  # fmt: skip
      for start in range(0, len(out), 8192):
        rows = rng.standard_normal((min(8192, len(out) - start), WIDTH), "f4")
        if name == "embedding":
          rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        out[start : start + len(rows)] = rows


def open_arrays(folder, split):
  return embeddings.Store(
    *(
      np.load(folder / f"{split}-{name}.npy", mmap_mode="r")
      for name in ("embedding", "pooled")
    )
  )


def run_plan(folder):
  start = time.perf_counter()
  splits = open_splits(folder)
  rules = Rules()
  key = rules.model_hash, rules.prompt_hash
  found = plan.plan(splits.values(), rules.name, key)
  assert list(plan.lines(found))
  return {
    "records": found["records"],
    "statements": found["statements"],
    "distinct": found["distinct"],
    "findings": found["findings"],
    "seconds": time.perf_counter() - start,
  }


def run_verify(folder, method):
  splits = open_splits(folder)
  stores = {name: open_arrays(folder, name) for name in splits}
  table = next(iter(splits.values())).table
  with cache.Cache(folder / "answers.jsonl") as answers:
    answers.put = lambda backend, model, prompt, finding, answer: answer
    found = candidates.propose(table, Rules(), answers)
  questions = asked.lay_out(table, found)
  classes = np.random.default_rng(2).standard_normal(
    (len(features.VOCABULARY), WIDTH)
  )
  classes /= np.linalg.norm(classes, axis=1, keepdims=True)
  options = fit.Options(method=method, value=FIXED)
  start = time.process_time()
  verifier = fit.make_verifier(splits, stores, classes, questions, options)
  fitted = time.process_time() - start
  content = dict.fromkeys(("dataset", "data", "coarse"), "synthetic")
  content["backend"] = found.provenance
  with _Memory() as memory:
    start, wall = time.process_time(), time.perf_counter()
    counted = program._judge_all(
      splits, stores, classes, questions, verifier, options,
      folder / "enhanced.parquet", content, print,
    )["pairs"]  # fmt: skip
    seconds = time.process_time() - start
    wall = time.perf_counter() - wall
  records = sum(map(len, splits.values()))
  return {
    "records": records,
    "features": len(features.VOCABULARY),
    "candidates": counted["candidates"],
    "kept": counted["kept"],
    "cpu_seconds_to_fit": fitted,
    "cpu_seconds": seconds,
    "wall_seconds": wall,
    "pairs_a_core_minute": 60 * records * len(features.VOCABULARY) / seconds,
    "peak_mib": memory.peak,
  }


class _Memory:
  """Peak of the anonymous memory while the block runs, looked at often."""

  def __enter__(self):
    self.peak, self._done = 0.0, threading.Event()
    self._watcher = threading.Thread(target=self._watch)
    self._watcher.start()
    return self

  def __exit__(self, *_):
    self._done.set()
    self._watcher.join()

  def _watch(self):
    while not self._done.wait(0.02):
      status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
      [line] = [s for s in status.splitlines() if s.startswith("RssAnon")]
      self.peak = max(self.peak, int(line.split()[1]) / 1024)


def child(what, folder):
  """Prints one row of the table."""
  row = run_plan(folder) if what == "plan" else run_verify(folder, what)
  print(json.dumps(row))


def run_child(what, folder):
  line = [sys.executable, "-m", "benchmarks.enhance", "--child", what, folder]
  done = subprocess.run(
    line, stdout=subprocess.PIPE, check=True, env=os.environ | ONE_THREAD
  )
  return json.loads(done.stdout.splitlines()[-1])


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--records", type=int, default=800_000)
  parser.add_argument("--child", nargs=2)
  arguments = parser.parse_args()
  if arguments.child:
    what, folder = arguments.child
    child(what, pathlib.Path(folder))
    return
  name, statements = vocabulary()
  table = {}
  for records in (arguments.records, arguments.records // 4):
    with tempfile.TemporaryDirectory() as folder:
      folder = pathlib.Path(folder)
      write_index(folder, statements, records)
      if records == arguments.records:
        table["plan"] = run_child("plan", folder)
      write_arrays(folder, records)
      for method in METHODS:
        table[f"{method}, {records}"] = run_child(method, folder)
  settings = {"vocabulary": name, "width": WIDTH, "zipf": ZIPF, "threads": 1}
  common.write("enhance", settings | {"table": table})


if __name__ == "__main__":
  main()
