"""How fast records come to the step, and how soon the first ones do.

  python -m benchmarks.input [--data-dir DATA]

Builds 3,000 simulated records of 12 x 5000 at 500 Hz, or takes a simulated
dataset that is there. Interleaved, medians; a ratio is the median of those of
each round. `per_core` divides by the processor time that all threads took.

- reading: batches of the stream beside the same records as array_record gives
  them, in as many threads, and beside TFDS, which decodes every entry.
- to the device: a batch read, from the host's memory, or gathered there.
- training: `configs/simulated.py`, the share of the time that waits for data.
- start: see `benchmarks.start`.
"""

import argparse
import copy
import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

from benchmarks import common, start
from fgclep_jax import config as config_lib
from fgclep_jax.data import sources
from fgclep_jax.training import holding, loop, setup

ROOT = pathlib.Path(__file__).parent.parent
CONFIG = ROOT / "configs" / "simulated.py"
DATASET = "simulated_ecg"


@dataclasses.dataclass(frozen=True)
class Sizes:
  """How much is measured."""

  built: int = 3000  # simulated records
  rounds: int = 5
  batch: int = 64
  batches: int = 32
  threads: tuple = (1, 2, 4)
  steps: int = 200
  index: start.Sizes = dataclasses.field(default_factory=start.Sizes)


def build(folder, records):
  """Builds the simulated cohort at 500 Hz."""
  environment = os.environ | {
    "FGCLEP_SIMULATED_RECORDS": str(records),
    "FGCLEP_SIMULATED_RATE": "500",
    "TF_CPP_MIN_LOG_LEVEL": "3",
  }
  command = [
    pathlib.Path(sys.executable).with_name("tfds"), "build",
    ROOT / "tfds_builders" / DATASET, "--config", "original",
    "--data_dir", folder, "--file_format", "array_record",
  ]  # fmt: skip
  subprocess.run(command, env=environment, check=True, capture_output=True)


def config(sizes, **changes):
  """`configs/simulated.py` at the size and rate that is measured."""
  changes = {name.replace("__", "."): str(x) for name, x in changes.items()}
  base = {"data.batch_size": str(sizes.batch), "data.cache_gib": "0"}
  return config_lib.override(config_lib.load(CONFIG), base | changes)


def prepared(data_dir, sizes, **changes):
  """A run on one device, of records as they are stored."""
  split = sources.open_split(data_dir, DATASET)
  [example] = split._source.__getitems__([0])
  rate = example["sampling_rate"]
  return setup.prepare(
    config(sizes, **{"data__rate": rate} | changes),
    data_dir,
    data_dir,
    jax.devices()[:1],
  )


def rates(functions, count, rounds):
  """{name: {records/s, records/s a core}}, of each round, (R,) arrays."""
  core = {name: [] for name in functions}

  def timed(name):
    began = time.process_time()
    for _ in functions[name]():
      pass
    core[name].append(time.process_time() - began)

  timers = {name: functools.partial(timed, name) for name in functions}
  common.interleaved(timers, 1)  # opens files
  core = {name: [] for name in functions}
  wall = common.interleaved(timers, rounds)
  return {
    name: {
      "per_s": count / np.array(wall[name]),
      "per_core": count / np.array(core[name]),
    }
    for name in functions
  }


def reading(data_dir, sizes):
  """The stream beside what array_record itself gives, and TFDS."""
  run, table = prepared(data_dir, sizes), {}
  raw = run.train.split._source.raw
  _, builder = sources._builder(str(data_dir), DATASET, "original")
  whole = builder.as_data_source("train").__getitems__
  for threads in sizes.threads:
    train = copy.copy(run.train)
    train.config = dataclasses.replace(train.config, threads=threads)

    def of(read, train=train):
      def batch(k):
        return read(train.order(k).tolist())

      return lambda: train._ahead(batch, 0, sizes.batches)

    found = rates(
      {
        "ours": lambda t=train: t.stream(0, sizes.batches),
        "array_record": of(raw),
        "tfds": of(whole),
      },
      sizes.batch * sizes.batches,
      sizes.rounds,
    )
    row = {
      f"{name}_{what}": common.median(values)
      for name, columns in found.items()
      for what, values in columns.items()
    }
    for what in ("per_s", "per_core"):
      share = found["ours"][what] / found["array_record"][what]
      row[f"ratio_{what}"] = common.median(share)
    table[f"reading, {threads} threads"] = row
  return table


def to_device(data_dir, sizes):
  """Seconds of a batch, from its number to signals on the device."""
  runs = {
    "read": prepared(data_dir, sizes),
    "host memory": prepared(data_dir, sizes, data__cache_gib=8),
    "held": holding.hold(
      prepared(data_dir, sizes, data__hold="device", data__device_gib=8), str
    ),
  }
  took, sent = {name: [] for name in runs}, {}
  gather = jax.jit(functools.partial(holding.gather, runs["held"].mesh))
  count = len(runs["read"].train.records)
  list(runs["host memory"].train.stream(0, -(-count // sizes.batch)))

  def one(name, k):
    run = runs[name]
    began = time.perf_counter()
    batch = run.train[k]
    placed = holding.put(run, batch, batch.pop("records"))
    if name == "held":
      placed["ecg"] = gather(placed.pop("held"), placed["places"])
    jax.block_until_ready(placed)
    took[name].append(time.perf_counter() - began)
    sent[name] = placed["places" if name == "held" else "ecg"].nbytes

  for k in range(sizes.batches):
    for name in runs:
      one(name, k)
  return {
    f"to the device, {name}": {
      "ms_a_batch": 1e3 * common.median(values[1:]),
      "bytes_of_signals_or_places": sent[name],
    }
    for name, values in took.items()
  }


def training(data_dir, sizes):
  """The share of each logged interval that waited for data."""
  table = {}
  for name, changes in (
    ("host", {"data__cache_gib": 8}),
    ("device", {"data__hold": "device", "data__device_gib": 8}),
  ):
    batch = config_lib.load(CONFIG).data.batch_size
    wanted = config(
      dataclasses.replace(sizes, batch=batch), **changes,
      optim__steps=sizes.steps, log_every=max(1, sizes.steps // 20),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
      loop.train(wanted, folder, data_dir, lambda _: None, jax.devices()[:1])
      text = (pathlib.Path(folder) / "metrics.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    rows = [row for row in rows if "data_wait" in row][1:]  # not compiling
    waits = [row["data_wait"] for row in rows]
    table[f"training, {name}"] = {
      "data_wait": common.median(waits),
      "data_wait_most": max(waits),
      "records_per_s": common.median([x["examples_per_second"] for x in rows]),
    }
  return table


def measure(data_dir, sizes):
  """{row: {column: figure}}."""
  table = {}
  for part in (reading, to_device, training):
    table |= part(data_dir, sizes)
  return table | start.measure(data_dir, sizes.rounds, sizes.index)


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--data-dir")
  flags = parser.parse_args()
  sizes = Sizes()
  with tempfile.TemporaryDirectory() as folder:
    if not flags.data_dir:
      build(folder, sizes.built)
    table = measure(flags.data_dir or folder, sizes)
  common.write("input", {"sizes": dataclasses.asdict(sizes), "table": table})


if __name__ == "__main__":
  main()
