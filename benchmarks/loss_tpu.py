"""The loss over a TPU slice that is not there: temporaries and cycles.

  python -m benchmarks.loss_tpu [--topology v5e-8] [--pairs 2048 8192 32768]

Value with gradients, bfloat16, width 256, K pairs and as many statements,
labels of rule `pair`. `dense` is the formula of the whole batch, split over
the devices by the compiler; the others are the project's exchanges, with the
tiles of XLA (the compiler gives no estimate for a hand-written kernel) and,
for its memory, `grid_kernel` with what `kernel="auto"` takes.
`temporaries_mib` and `cycles` are those of one device, the compiler's own.

Needs libtpu: pip install 'fgclep_jax[aot]'.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks import common
from fgclep_jax import losses
from fgclep_jax.compile import aot, chips

WIDTH, SCALE, BIAS = 256, 2.3, -10.0


def forms(mesh):
  """{name: loss of (K, E) ECGs and (K, E) statements}."""

  def named(exchange, kernel):
    return losses.sharded_soft_sigmoid_loss(
      mesh, exchange=exchange, kernel=kernel
    )

  return {
    "dense": losses.soft_sigmoid_loss,
    "gather": named("gather", "xla"),
    "ring": named("ring", "xla"),
    "grid": named("grid", "xla"),
    "grid_kernel": named("grid", "auto"),
  }


def measure(loss, rows):
  """What the compiler says of one form's value and gradients.

  Gradients are wanted where their rows are: left to itself the compiler keeps
  those of the dense form's columns whole on every device.
  """
  place = rows.sharding

  def value(ecg, text, log_scale):
    semantics = jax.lax.stop_gradient((ecg, text))
    return loss(ecg, text, *semantics, log_scale=log_scale, bias=BIAS)

  def step(ecg, text, log_scale):
    found, slopes = jax.value_and_grad(value, (0, 1, 2))(ecg, text, log_scale)
    home = [jax.lax.with_sharding_constraint(x, place) for x in slopes[:2]]
    return found, home, slopes[2]

  scale = jax.ShapeDtypeStruct((), jnp.float32)
  found = aot.compile_step(step, (rows, rows, scale))
  if found.refused:
    return {"temporaries_mib": None, "refused": found.refused}
  sent = sum(x.bytes * x.times for x in found.collectives)
  return {
    "temporaries_mib": found.hbm["temporaries"] / 2**20,
    "cycles": found.cycles,
    "kernels": found.kernels,
    "sent_mib": sent / 2**20,
    "compile_s": found.seconds["compile"],
  }


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--topology", default="v5e-8")
  parser.add_argument(
    "--pairs", type=int, nargs="+", default=[2048, 8192, 32768]
  )
  flags = parser.parse_args()
  devices = aot.devices(chips.find(flags.topology))
  mesh = Mesh(np.array(devices), "data")
  place = NamedSharding(mesh, PartitionSpec("data"))
  table, ratios = {}, {}
  for pairs in flags.pairs:
    rows = jax.ShapeDtypeStruct((pairs, WIDTH), jnp.bfloat16, sharding=place)
    found = {name: measure(loss, rows) for name, loss in forms(mesh).items()}
    table |= {f"{name}, K {pairs}": row for name, row in found.items()}
    ratios[pairs] = {
      "temporaries_dense_by_grid": found["dense"]["temporaries_mib"]
      / found["grid"]["temporaries_mib"],
      "cycles_grid_by_dense": found["grid"]["cycles"]
      / found["dense"]["cycles"],
    }
  common.write(
    f"loss_{flags.topology}",
    {"ratios": ratios, "versions": aot.versions(), "table": table},
  )


if __name__ == "__main__":
  main()
