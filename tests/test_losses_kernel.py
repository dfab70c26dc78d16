"""The kernel for TPUs: interpreted against the tiles, compiled and counted."""

import functools
import importlib.util
import json
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgclep_jax import losses
from fgclep_jax.errors import InputError
from fgclep_jax.losses import arguments, kernel, tiles
from tests.test_losses import (
  assert_equal,
  draw,
  reference,
  value_and_grads,
)
from tests.test_losses_sharded import mesh_of

TILE = 32, 128
VECTORS = ("ecg", "text", "ecg_semantics", "text_semantics")


def sides(rule, k, u, e, kind=jnp.float32):
  """(rows, columns, scalars) for a sweep; rule `half` has labels 1/2."""
  rng = np.random.default_rng([k, u, e, len(rule)])
  args = draw(rng, "pair" if rule == "half" else rule, k, u, e)
  args = {
    name: jnp.asarray(x, kind if name in VECTORS else None)
    for name, x in args.items()
  }
  rows, columns, scalars = arguments.sort(**args)
  if rule == "half":
    del rows["ecg_semantics"], columns["text_semantics"]
  return rows, columns, scalars


def by_hand(rows, columns, scalars, start=None):
  """The kernel, interpreted."""
  function = functools.partial(kernel.sweep, tile=TILE, interpret=True)
  return jax.jit(function)(rows, columns, scalars, start=start)


def assert_same(found, want, value, gradient):
  np.testing.assert_allclose(found.value, want.value, rtol=value)
  np.testing.assert_allclose(found.bias, want.bias, rtol=10 * gradient)
  for a, b in ((found.ecg, want.ecg), (found.text, want.text)):
    assert a.shape == b.shape
    assert a.dtype == jnp.float32
    np.testing.assert_allclose(a, b, atol=gradient * float(jnp.abs(b).max()))


# One tile; tiles with padding; slabs of one and of two tiles of columns.
@pytest.mark.parametrize(
  ("rule", "k", "u", "slab"),
  [
    ("half", 5, 7, 9),
    ("pair", 70, 300, 9),
    ("hard", 70, 300, 1),
    ("half", 33, 500, 2),
  ],
)
def test_kernel_equals_tiles(rule, k, u, slab, monkeypatch):
  e = 20
  monkeypatch.setattr(kernel, "RESIDENT", slab * TILE[1] * 4 * e)
  rows, columns, scalars = sides(rule, k, u, e)
  start = None
  if slab < 9:
    rng = np.random.default_rng(1)
    start = tuple(
      jnp.asarray(rng.normal(size=(n, e)), jnp.float32) for n in (k, u)
    )
  want = tiles.sweep(
    rows, columns, scalars, tile=64, gradients=True, start=start
  )
  assert_same(by_hand(rows, columns, scalars, start), want, 1e-6, 1e-6)


@pytest.mark.parametrize("rule", ["half", "hard"])
def test_bfloat16_equals_tiles(rule):
  """Value as exact as float32's; gradients to the slopes' 8 bits."""
  rows, columns, scalars = sides(rule, 70, 300, 20, jnp.bfloat16)
  want = tiles.sweep(rows, columns, scalars, tile=64, gradients=True)
  found = by_hand(rows, columns, scalars)
  assert_same(found, want, 2e-6, 2**-9)


# E = 2 takes the moments, E = 11 semantics in the tile.
@pytest.mark.parametrize(
  ("rule", "width", "exchange"),
  [
    ("pair", 2, "ring"),
    ("pair", 11, None),
    ("hard", 5, "grid"),
    ("report", 5, None),
  ],
)
def test_losses_by_kernel_equal_reference(rule, width, exchange):
  """The kernel behind both losses; `report` falls back to the tiles."""
  args = draw(np.random.default_rng([width, len(rule)]), rule, 40, 37, width)
  want = reference(args)
  loss = functools.partial(losses.tiled_soft_sigmoid_loss, kernel="pallas")
  if exchange:
    loss = losses.sharded_soft_sigmoid_loss(
      mesh_of((4,)), exchange=exchange, kernel="pallas"
    )
  assert_equal(value_and_grads(loss, args, jnp.float32), want, 1e-5)


def test_small_losses_keep_their_digits():
  """With labels 0 the loss of a far logit is exp(x), not a rounded 0."""
  rows, columns, scalars = sides("hard", 40, 30, 8)
  rows["ecg_ids"] = jnp.full_like(rows["ecg_ids"], -1)
  sweep = jax.jit(functools.partial(tiles.sweep, tile=64, gradients=True))
  for bias in (-6.0, -12.0, -20.0):
    scalars["bias"] = jnp.float32(bias)
    want = sweep(rows, columns, scalars)
    assert_same(by_hand(rows, columns, scalars), want, 1e-5, 1e-6)


def test_what_is_not_finite_shows():
  rows, columns, scalars = sides("half", 40, 30, 8)
  rows["ecg"] = rows["ecg"].at[0, 0].set(jnp.nan)
  found = by_hand(rows, columns, scalars)
  assert np.isnan(found.value)
  assert np.isnan(found.ecg).any()
  assert np.isnan(found.text).any()


class Chip:
  """What `choose` asks of a device."""

  def __init__(self, kind):
    self.device_kind, self.platform = kind, "tpu"


def kernels_in(name, device, rows, columns, scalars):
  sweep = kernel.choose(name, device, 1024)
  function = functools.partial(sweep, gradients=True)
  return str(jax.make_jaxpr(function)(rows, columns, scalars)).count(
    "pallas_call["
  )


def test_where_the_kernel_is_taken():
  narrow = sides("half", 1024, 1024, 8, jnp.bfloat16)
  small = sides("half", 20, 20, 8, jnp.bfloat16)
  full = sides("half", 1024, 1024, 8)
  here, v5e, v4 = jax.devices()[0], Chip("TPU v5 lite"), Chip("TPU v4")
  assert kernels_in("auto", v5e, *narrow) == 1
  for device, given in ((here, narrow), (v4, narrow), (v5e, small)):
    assert kernels_in("auto", device, *given) == 0
  assert kernels_in("auto", v5e, *full) == 0
  assert kernels_in("pallas", here, *full) == 1
  assert kernels_in("xla", v5e, *narrow) == 0
  with pytest.raises(InputError, match="one of auto, xla, pallas"):
    kernel.choose("cuda", here, 1024)


COMPILE = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from fgclep_jax import losses
from fgclep_jax.compile import aot, chips, costs, hlo
device = aot.devices(chips.find(sys.argv[1]))[:1]
mesh = Mesh(np.array(device), "data")
places = NamedSharding(mesh, PartitionSpec())
def loss(ecg, text, by):
  one = losses.sharded_soft_sigmoid_loss(mesh, kernel=by)
  return one(ecg, text, ecg, text, log_scale=2.0, bias=-1.0)
x = jax.ShapeDtypeStruct((8192, 256), jnp.bfloat16, sharding=places)
found = {}
for by in ("xla", "auto"):
  step = jax.jit(jax.value_and_grad(lambda e, t: loss(e, t, by), (0, 1)))
  text = step.lower(x, x).compile().as_text()
  found[by] = costs.cycles(hlo.read(text))
print(json.dumps(found))
"""


def bundles(folder):
  """Instruction words of the kernel: a cycle each, if nothing has to wait."""
  [path] = [
    path
    for path in folder.glob("*soft_sigmoid_tile*final_bundles.txt")
    if "schedule-analysis" not in path.name
  ]
  lines = path.read_text(encoding="utf-8").splitlines()
  return sum(bool(re.match(r"\s*(0x[0-9a-f]+|0)\s.*:", x)) for x in lines)


@pytest.mark.slow
@pytest.mark.skipif(
  importlib.util.find_spec("libtpu") is None, reason="needs libtpu"
)
@pytest.mark.parametrize(
  ("chip", "units", "most"), [("v5e-1", 4, 1.15), ("v6e-1", 16, 3.5)]
)
def test_compiled_for_tpu(chip, units, most, tmp_path):
  """Against the cycles in which the matrix units could do three products.

  On v6e, with four times the matrix units and the same vector units, the
  sigmoid is what takes the time.
  """
  flags = f"--xla_jf_dump_to={tmp_path} --xla_jf_dump_llo_text=true"
  quiet = {
    "JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1", "LIBTPU_INIT_ARGS": flags,
  }  # fmt: skip
  done = subprocess.run(
    [sys.executable, "-c", COMPILE, chip],
    capture_output=True, text=True, check=True, env=os.environ | quiet,
  )  # fmt: skip
  cycles = json.loads(done.stdout.splitlines()[-1])
  tall, wide = kernel.TILE
  ideal = 3 * tall * wide * 256 / (units * 128 * 128)
  each = bundles(tmp_path)
  assert 1 < each / ideal <= most
  (xla, none), (around, one) = cycles["xla"], cycles["auto"]
  assert (none, one) == (0, 1)
  whole = around + each * (8192 // tall) * (8192 // wide)
  print(f"{chip}: {each / ideal:.3f} of ideal, {whole} cycles, XLA {xla}")
  assert whole < xla
