"""The loss in tiles against the float64 reference of the dense one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from fgclep_jax import losses
from fgclep_jax.losses import arguments, moments
from tests import test_losses
from tests.test_losses import assert_equal, draw, reference, value_and_grads

RULES = ("pair", "report", "hard")


def tiled(tile):
  return functools.partial(losses.tiled_soft_sigmoid_loss, tile=tile)


def by_moments(args):
  names = ("ecg", "text", "ecg_semantics", "text_semantics")
  found = {n: args[n] for n in names if n in args}
  return moments.cheaper(*arguments.join(found, {})[:2])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
  ("tile", "width"), [(1024, None), (7, 11), (7, 2), (13, 1)]
)
def test_tiled_equals_reference(rule, tile, width):
  """Odd sizes: one tile, tiles with padding, labels by moments."""
  rng = np.random.default_rng([tile, width or 0, len(rule)])
  k, u = (None, None) if width is None else rng.integers(15, 40, 2)
  args = draw(rng, rule, k, u, width)
  if width is not None:
    assert by_moments(args) == (rule == "pair" and width < 3)
  want = reference(args)
  with jax.enable_x64(True):
    found = value_and_grads(tiled(tile), args, jnp.float64)
    assert_equal(found, want, 1e-12)
  assert_equal(value_and_grads(tiled(tile), args, jnp.float32), want, 1e-5)


@pytest.mark.parametrize("width", [2, 11])
def test_without_bias_and_weights(width):
  args = draw(np.random.default_rng(width), "pair", 30, 20, width)
  del args["pair_weights"], args["text_weights"]
  args["bias"] = None
  names = ("ecg", "text", "log_scale")

  def run(function):
    def loss(picked):
      return function(**(args | picked))

    return jax.value_and_grad(loss)({n: jnp.asarray(args[n]) for n in names})

  with jax.enable_x64(True):
    value, grads = run(tiled(8))
    want, want_grads = run(losses.soft_sigmoid_loss)
    np.testing.assert_allclose(value, want, rtol=1e-12)
    for name in names:
      np.testing.assert_allclose(grads[name], want_grads[name], atol=1e-13)
    alone = tiled(8)(**args)
  np.testing.assert_allclose(alone, value, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_value_alone_needs_one_product(rule):
  """Without differentiation no gradient is computed."""
  args = draw(np.random.default_rng(4), rule, 20, 18, 12)

  def products(function):
    return str(jax.make_jaxpr(function)()).count("dot_general")

  value = products(lambda: tiled(8)(**args))
  both = products(lambda: jax.grad(lambda e: tiled(8)(**(args | {"ecg": e})))(
    jnp.asarray(args["ecg"])
  ))  # fmt: skip
  assert both == value + 2


def arrays(jaxpr):
  """Sizes of all arrays in a program, those in loops too."""
  for equation in jaxpr.eqns:
    for variable in equation.outvars:
      yield variable.aval.size
    for inner in jaxprs_in_params(equation.params):
      yield from arrays(inner)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("width", [4, 64])
def test_no_array_of_pairs_by_texts(rule, width):
  k, u, tile = 2500, 1900, 128
  args = draw(np.random.default_rng(2), rule, k, u, width)
  if rule == "report":
    args["ecg_semantics"] = args["ecg_semantics"][:, :3]
    args["semantics_mask"] = args["semantics_mask"][:, :3]
  args = jax.tree.map(lambda x: jnp.asarray(x, np.float32), args)
  learned = {n: args.pop(n) for n in test_losses.NAMES}

  def loss(learned):
    return tiled(tile)(**learned, **args)

  step = jax.value_and_grad(loss)
  largest = max(arrays(jax.make_jaxpr(step)(learned).jaxpr))
  assert largest < k * u / 10
  compiled = jax.jit(step).lower(learned).compile()
  assert compiled.memory_analysis().temp_size_in_bytes < k * u


def test_small_shapes_have_no_loop():
  args = draw(np.random.default_rng(8), "pair")
  program = str(jax.make_jaxpr(lambda: tiled(1024)(**args))())
  assert "scan" not in program
  assert "while" not in program


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("width", [2, 11])
def test_what_is_not_finite_shows(rule, width):
  args = draw(np.random.default_rng(9), rule, 20, 18, width)
  function = jax.jit(tiled(8))
  assert np.isfinite(function(**args))
  for name, x in args.items():
    x = np.array(x)
    if x.dtype.kind != "f":
      continue
    x[(0,) * x.ndim] = np.nan
    if name == "ecg_semantics" and x.ndim == 3:
      args["semantics_mask"][0, 0] = True
    assert np.isnan(function(**(args | {name: x}))), name


@pytest.mark.parametrize("width", [2, 11])
def test_weights_and_labels_get_no_gradient(width):
  args = draw(np.random.default_rng(10), "pair", 20, 18, width)
  names = (
    "pair_weights",
    "text_weights",
    "ecg_semantics",
    "text_semantics",
  )
  grads = jax.grad(lambda picked: tiled(8)(**(args | picked)))(
    {n: jnp.asarray(args[n]) for n in names}
  )
  assert all(float(jnp.abs(x).max()) == 0 for x in grads.values())


def test_all_masked_is_zero_with_zero_gradient():
  args = draw(np.random.default_rng(11), "pair", 20, 18, 2)
  args["pair_weights"] = np.zeros(20)
  value, grads = value_and_grads(tiled(8), args, jnp.float32)
  assert float(value) == 0
  assert all(float(jnp.abs(x).max()) == 0 for x in grads.values())


@pytest.mark.parametrize("width", [2, 11])
def test_large_logits_stay_finite(width):
  args = draw(np.random.default_rng(12), "pair", 20, 18, width)
  args["log_scale"] = 6.0
  found = value_and_grads(tiled(8), args, jnp.float32)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
  assert_equal(found, reference(args), 1e-4)


@pytest.mark.parametrize("width", [2, 11])
def test_bfloat16_is_added_up_in_float32(width):
  """Value as exact as float32's; gradients to bfloat16's 8 bits."""
  args = draw(np.random.default_rng(13), "pair", 300, 200, width)
  narrow = ("ecg", "text", "ecg_semantics", "text_semantics")
  for name in narrow:
    rounded = jnp.asarray(args[name], jnp.bfloat16)
    args[name] = np.asarray(rounded.astype(jnp.float32), np.float64)
  want, want_grads = reference(args)
  args |= {n: jnp.asarray(args[n], jnp.bfloat16) for n in narrow}
  learned = {n: args.pop(n) for n in test_losses.NAMES}
  value, grads = jax.value_and_grad(lambda x: tiled(64)(**x, **args))(learned)
  assert value.dtype == jnp.float32
  np.testing.assert_allclose(value, want, rtol=1e-5)
  for name in ("ecg", "text"):
    assert grads[name].dtype == jnp.bfloat16
    size = np.abs(want_grads[name]).max()
    np.testing.assert_allclose(
      grads[name].astype(np.float32), want_grads[name], atol=2**-8 * size
    )
  np.testing.assert_allclose(
    grads["log_scale"], want_grads["log_scale"], rtol=5e-3
  )


def test_gradients_follow_the_cotangent():
  """A loss that is part of another one."""
  args = draw(np.random.default_rng(14), "hard", 12, 9, 5)
  text = jnp.asarray(args.pop("text"))
  once, more = (
    jax.grad(lambda t, f=f: f * tiled(8)(text=t, **args))(text)
    for f in (1.0, -3.0)
  )
  np.testing.assert_allclose(more, -3 * once, rtol=1e-6)
