"""How the pairs a second of the training step grow, each way a curve.

  python -m benchmarks.growth [--rounds 3] [--small]

The step of `benchmarks.step` with a smaller text tower (BERT of 4 layers, width
256, embeddings and 3 layers frozen), around 128 records of 4 statements, Zipf
exponent 1.0: over the records of a batch, the statements of every report, the
exponent (and so the share of distinct statements) and the devices that share
the cores. Medians of rounds.
"""

import argparse
import dataclasses
import os

import jax

from benchmarks import common, step_ours
from fgclep_jax import config as c
from fgclep_jax import sharding

SIZES = dataclasses.replace(
  step_ours.Sizes(), batch=128, text=c.TextConfig(), frozen=3, micro=1
)
CURVES = {
  "batch": (16, 32, 64, 128, 256),
  "statements": (1, 2, 4, 8),
  "exponent": (0.5, 1.0, 1.5, 2.0),
  "devices": (1, 2, 4),
}
FEW = {
  "batch": (4, 8),
  "statements": (1, 2),
  "exponent": (2.0,),
  "devices": (1, 2),
}


def point(sizes, rounds, *, batch, statements, exponent, devices):
  """One row: pairs a second, and what the batch holds."""
  sizes = dataclasses.replace(sizes, batch=batch)
  mesh = sharding.make_mesh(c.MeshConfig(), jax.devices()[:devices])
  problem = step_ours.Problem(sizes, exponent, mesh, statements)
  mine = problem.make(step_ours.Way())
  mine.run()
  [seconds] = common.interleaved({"run": mine.run}, rounds).values()
  pairs, distinct = len(problem.held), len(set(problem.held.tolist()))
  middle = common.median(seconds)
  return {
    "pairs": pairs,
    "distinct_share": distinct / pairs,
    "seconds": middle,
    "records_s": batch / middle,
    "pairs_s": pairs / middle,
  }


def measure(sizes, curves, rounds):
  """{way value: row}; the point that curves share is measured once."""
  start = {
    "batch": sizes.batch,
    "statements": 4,
    "exponent": 1.0,
    "devices": min(2, len(jax.devices())),
  }
  found, table = {}, {}
  for way, values in curves.items():
    for value in values:
      options = start | {way: value}
      key = tuple(options.values())
      if key not in found:
        found[key] = point(sizes, rounds, **options)
      table[f"{way} {value:g}"] = found[key]
  return table


def main(arguments=None):
  parser = argparse.ArgumentParser()
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--small", action="store_true")
  given = parser.parse_args(arguments)
  jax.config.update("jax_num_cpu_devices", max(4, os.cpu_count()))
  sizes, curves = (step_ours.SMALL, FEW) if given.small else (SIZES, CURVES)
  table = measure(sizes, curves, given.rounds)
  content = {"rounds": given.rounds, "sizes": dataclasses.asdict(sizes)}
  name = "growth_small" if given.small else "growth"
  common.write(name, content | {"table": table})


if __name__ == "__main__":
  main()
