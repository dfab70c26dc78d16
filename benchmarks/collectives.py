"""Bytes that a device sends for one step of the loss, by exchange.

  python -m benchmarks.collectives

b = 128 pairs and as many statements a device, width 256, bfloat16 with
gradients added up in float32, labels of rule `pair` by moments and within the
tiles, for 8, 64 and 256 devices. Beside them, from the formulas: SigLIP as
all-gather (texts gathered, their gradients added up where they belong) and as
ring (arXiv 2303.15343), hard labels, so no semantics; and `bound`, the least
for any way that computes every pair once, D a square number or not:
4 (sqrt(D) - 1) b E numbers.

The counts are `losses.exchanges.bytes_sent`; first they are checked against
the collectives in the program that XLA compiles for 8 CPU devices.
"""

import functools
import math
import re

import jax
import jax.numpy as jnp
from jax.sharding import AxisType

from benchmarks import common
from fgclep_jax import losses
from fgclep_jax.losses import arguments, exchanges

ROWS, WIDTH = 128, 256
DEVICES = (8, 64, 256)
NAMES = ("gather", "ring", "grid")
SIZES = {"pred": 1, "bf16": 2, "f32": 4, "f64": 8, "s32": 4, "s64": 8}
ARRAY = re.compile(r"(pred|bf16|f32|f64|s32|s64)\[([\d,]*)\]")
COLLECTIVE = re.compile(
  r"= (.*?) (all-gather|reduce-scatter|all-reduce|collective-permute)"
  r"(?:-start)?\("
)
WHILE = re.compile(r" while\(.*body=%?([\w.\-]+)")
TRIPS = re.compile(r'known_trip_count"?:\{"?n"?:"?(\d+)')
CALL = re.compile(r"(?:to_apply|calls)=%?([\w.\-]+)")


def sent(text, devices):
  """Bytes that a device sends in a compiled program, by kind of collective.

  Args:
    text: `compiled.as_text()`.
    devices: D.

  Returns:
    {kind: bytes}, loops counted as often as they run.
  """
  computations, name = {}, None
  for line in text.splitlines():
    if line.endswith("{") and "->" in line:
      name = line.split()[1 if line.startswith("ENTRY") else 0].lstrip("%")
      computations[name] = []
      if line.startswith("ENTRY"):
        entry = name
    elif name:
      computations[name].append(line)
  return _sent_by(entry, computations, devices)


def _sent_by(name, computations, devices):
  total = {}

  def add(found, times=1):
    for kind, size in found.items():
      total[kind] = total.get(kind, 0) + times * size

  for line in computations[name]:
    if match := COLLECTIVE.search(line):
      add({match[2]: _bytes(match[1], match[2], line, devices)})
    elif match := WHILE.search(line):
      trips = int(TRIPS.search(line)[1])
      add(_sent_by(match[1], computations, devices), trips)
    elif match := CALL.search(line):
      add(_sent_by(match[1], computations, devices))
  return total


def _bytes(result, kind, line, devices):
  """Bytes sent by one collective, from the shape of its result."""
  size = sum(
    SIZES[kind_] * math.prod(int(n) for n in shape.split(",") if n)
    for kind_, shape in ARRAY.findall(result)
  )
  if kind == "collective-permute":
    return size
  n = _group(line, devices)
  return {
    "all-gather": size * (n - 1) / n,
    "reduce-scatter": size * (n - 1),
    "all-reduce": size * 2 * (n - 1) / n,
  }[kind]


def _group(line, devices):
  """Devices of one group, from `{{0,1},{2,3}}` or `[4,2]<=[8]`."""
  if match := re.search(r"replica_groups=\[\d+,(\d+)\]", line):
    return int(match[1])
  if match := re.search(r"replica_groups=\{\{([\d,]+)\}", line):
    return len(match[1].split(","))
  return devices


def shapes(pairs, texts, kind, semantics=WIDTH):
  """Arguments of the loss as shapes, all weights given."""
  array = functools.partial(jax.ShapeDtypeStruct, dtype=kind)
  found = {
    "ecg": array((pairs, WIDTH)),
    "text": array((texts, WIDTH)),
    "pair_weights": jax.ShapeDtypeStruct((pairs,), jnp.float32),
    "text_weights": jax.ShapeDtypeStruct((texts,), jnp.float32),
  }
  if semantics:
    found["ecg_semantics"] = array((pairs, semantics))
    found["text_semantics"] = array((texts, semantics))
  return found


def sides(found):
  """The same as (rows, columns)."""
  return arguments.join(found, {})[:2]


def compiled(exchange, devices, found):
  """The value and gradients of the sharded loss, compiled for CPU devices."""
  mesh = jax.make_mesh(
    (devices,), ("data",), axis_types=(AxisType.Auto,),
    devices=jax.devices()[:devices],
  )  # fmt: skip
  loss = losses.sharded_soft_sigmoid_loss(mesh, exchange=exchange)
  split = jax.NamedSharding(mesh, jax.P("data"))

  def step(ecg, text, log_scale, given):
    return loss(ecg, text, log_scale=log_scale, **given)

  given = {n: x for n, x in found.items() if n not in ("ecg", "text")}
  whole = jax.NamedSharding(mesh, jax.P())
  scalar = jax.ShapeDtypeStruct((), jnp.float32)
  function = jax.jit(
    jax.value_and_grad(step, (0, 1, 2)),
    in_shardings=(split, split, whole, split),
    out_shardings=(whole, (split, split, whole)),
  )
  return function.lower(found["ecg"], found["text"], scalar, given).compile()


def check(devices=8):
  """The counted bytes are those of the compiled program."""
  rows = {}
  for pairs, texts in ((1024, 1024), (2048, 2048), (2048, 72)):
    # float32, as XLA on CPU widens bfloat16 before it sends.
    found = shapes(pairs, texts, jnp.float32)
    for name in NAMES:
      program = sent(compiled(name, devices, found).as_text(), devices)
      counted = exchanges.bytes_sent(name, devices, *sides(found))
      # Five single numbers are added up besides.
      assert abs(sum(program.values()) - counted) < 64, (name, program, counted)
      rows[f"check {pairs} x {texts} {name}"] = {
        "counted": counted,
        "compiled": sum(program.values()),
      }
  return rows


def row(devices):
  """{exchange: MiB a device sends}."""
  pairs = devices * ROWS
  plain = sides(shapes(pairs, pairs, jnp.bfloat16))
  hard = sides(shapes(pairs, pairs, jnp.bfloat16, semantics=0))
  found = {}
  for name in NAMES:
    found[name] = exchanges.bytes_sent(name, devices, *plain)
    found[f"{name}_in_tiles"] = exchanges.bytes_sent(
      name, devices, *plain, by_moments=False
    )
  numbers = (devices - 1) * ROWS * WIDTH
  found["siglip_all_gather"] = found["siglip_ring"] = numbers * (2 + 4)
  found["grid_hard"] = exchanges.bytes_sent("grid", devices, *hard)
  found["bound"] = 2 * (math.sqrt(devices) - 1) * ROWS * WIDTH * (2 + 4)
  return {name: x / 2**20 for name, x in found.items()}


def main():
  jax.config.update("jax_num_cpu_devices", 8)
  table = check() | {f"{n} devices, MiB": row(n) for n in DEVICES}
  common.write(
    "collectives", {"sizes": [ROWS, WIDTH], "devices": DEVICES, "table": table}
  )


if __name__ == "__main__":
  main()
