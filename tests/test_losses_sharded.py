"""The loss over devices against the float64 reference, and its bytes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from benchmarks import collectives
from fgclep_jax import losses
from fgclep_jax.errors import InputError
from fgclep_jax.losses import arguments, exchanges, moments
from tests.test_losses import assert_equal, draw, reference, value_and_grads


def mesh_of(shape, names=("data", "fsdp")):
  count = int(np.prod(shape))
  return jax.make_mesh(
    shape,
    names[: len(shape)],
    axis_types=(AxisType.Auto,) * len(shape),
    devices=jax.devices()[:count],
  )


# Exchange, mesh, rule, E, and the fold of `grid`. With E = 2 the moments
# replace the labels of rule `pair`; with E = 11 they do not.
CASES = [
  ("gather", (1, 1), "pair", 2, None),
  ("gather", (2, 1), "report", 3, None),
  ("gather", (4, 2), "pair", 2, None),
  ("gather", (8,), "hard", 5, None),
  ("ring", (2,), "pair", 11, None),
  ("ring", (4, 2), "report", 3, None),
  ("ring", (8, 1), "pair", 2, None),
  ("grid", (2, 1), "hard", 3, (2, 1)),
  ("grid", (2, 2), "pair", 11, (2, 2)),
  ("grid", (4, 2), "pair", 2, (4, 2)),
  ("grid", (2, 4), "hard", 5, (4, 2)),
  ("grid", (8,), "report", 11, None),
  ("auto", (8,), "pair", 11, None),
]


@pytest.mark.parametrize(("exchange", "shape", "rule", "width", "fold"), CASES)
def test_sharded_equals_reference(exchange, shape, rule, width, fold):
  devices = int(np.prod(shape))
  rng = np.random.default_rng([*shape, width])
  k = devices * int(rng.integers(24 // devices + 1, 32 // devices + 2))
  args = draw(rng, rule, k, k - int(rng.integers(0, 2)), width)
  rows, columns = sides(args)
  if rule == "pair":
    assert moments.cheaper(rows, columns) == (width == 2)
  if fold:
    assert exchanges.grid_shape(devices, rows, columns) == fold
  mesh = mesh_of(shape)
  sharded = losses.sharded_soft_sigmoid_loss(
    mesh, mesh.axis_names, exchange, tile=int(rng.integers(3, 30))
  )
  want = reference(args)
  with jax.enable_x64(True):
    assert_equal(value_and_grads(sharded, args, jnp.float64), want, 1e-12)
    alone = jax.jit(sharded)(**args)
  np.testing.assert_allclose(alone, want[0], rtol=1e-12)
  assert_equal(value_and_grads(sharded, args, jnp.float32), want, 1e-5)


def sides(args):
  """(rows, columns) as the exchanges see them."""
  return arguments.sort(**jax.tree.map(jnp.asarray, args))[:2]


@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (1, 8), (8, 1)])
@pytest.mark.parametrize("rule", ["report", "pair"])
def test_every_fold_of_the_grid(shape, rule, monkeypatch):
  """Whatever is cheapest for a shape: all folds are exact."""
  monkeypatch.setattr(exchanges, "grid_shape", lambda *_: shape)
  args = draw(np.random.default_rng(shape), rule, 16, 13, 2)
  sharded = losses.sharded_soft_sigmoid_loss(
    mesh_of((8,)), exchange="grid", tile=5
  )
  assert_equal(
    value_and_grads(sharded, args, jnp.float32), reference(args), 1e-5
  )


def test_two_axes_are_row_and_column():
  args = draw(np.random.default_rng(3), "pair", 16, 13, 4)
  mesh = mesh_of((2, 2), ("row", "col"))
  sharded = losses.sharded_soft_sigmoid_loss(mesh, ("row", "col"), "grid")
  assert_equal(
    value_and_grads(sharded, args, jnp.float32), reference(args), 1e-5
  )


def test_an_axis_beside_the_pairs():
  """Devices that hold the same pairs count them once."""
  args = draw(np.random.default_rng(4), "pair", 16, 13, 4)
  sharded = losses.sharded_soft_sigmoid_loss(mesh_of((4, 2)), "data", "ring")
  assert_equal(
    value_and_grads(sharded, args, jnp.float32), reference(args), 1e-5
  )


@pytest.mark.parametrize("exchange", ["gather", "ring", "grid"])
@pytest.mark.parametrize("sizes", [(256, 256), (64, 24), (2048, 2048)])
def test_counted_bytes_are_the_program_s(exchange, sizes):
  found = collectives.shapes(*sizes, jnp.float32)
  program = collectives.sent(
    collectives.compiled(exchange, 8, found).as_text(), 8
  )
  counted = exchanges.bytes_sent(exchange, 8, *collectives.sides(found))
  assert 0 <= sum(program.values()) - counted < 64  # five single numbers


def test_bytes_of_the_grid_meet_the_bound():
  """2 (r + c - 2) b E numbers, and b weights, which nobody else counts."""
  b, e = collectives.ROWS, collectives.WIDTH
  for devices, r, c in ((4, 2, 2), (8, 4, 2), (64, 8, 8), (256, 16, 16)):
    found = collectives.sides(
      collectives.shapes(devices * b, devices * b, jnp.float32, semantics=0)
    )
    assert exchanges.grid_shape(devices, *found) == (r, c)
    sent = exchanges.bytes_sent("grid", devices, *found)
    assert sent == (r + c - 2) * b * (2 * e + 1) * 4
    ring = exchanges.bytes_sent("ring", devices, *found)
    assert ring == (devices - 1) * b * (2 * e + 1) * 4


def test_auto_takes_the_fewest_bytes():
  few = collectives.sides(collectives.shapes(8192, 64, jnp.bfloat16))
  assert exchanges.cheapest(8, *few) == "gather"
  many = collectives.sides(collectives.shapes(8192, 8192, jnp.bfloat16))
  assert exchanges.cheapest(8, *many) == "grid"
  # Where rows are few and columns many, the rows travel.
  wide = collectives.sides(collectives.shapes(64, 8192, jnp.bfloat16))
  assert exchanges.grid_shape(8, *wide) == (1, 8)


def test_no_semantics_travel_with_moments():
  found = collectives.sides(collectives.shapes(2**15, 2**15, jnp.bfloat16))
  assert moments.cheaper(*found)
  sizes = [
    exchanges.bytes_sent("ring", 256, *found, by_moments=by)
    for by in (True, False)
  ]
  assert sizes[0] < 0.8 * sizes[1]


def test_bad_arguments():
  mesh = mesh_of((4,))
  with pytest.raises(InputError, match="choose one of"):
    losses.sharded_soft_sigmoid_loss(mesh, exchange="post")
  x = jnp.ones((6, 1))
  with pytest.raises(InputError, match="6 pairs over 4 devices"):
    losses.sharded_soft_sigmoid_loss(mesh)(x, x, x, x, log_scale=1.0)
