"""The dense loss against a float64 NumPy reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgclep_jax import losses

NAMES = ("ecg", "text", "log_scale", "bias")


def unit(rng, *shape):
  x = rng.normal(size=shape)
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def draw(rng, rule, k=None, u=None, e=None):
  """Random arguments of the loss, float64, with masked pairs and columns."""
  k = k or int(rng.integers(1, 40))
  u = u or int(rng.integers(1, 30))
  drawn, q, m = rng.integers(1, 12, 3)
  e = e or int(drawn)
  args = {
    "ecg": unit(rng, k, e),
    "text": unit(rng, u, e),
    "log_scale": rng.normal() + 1.0,
    "bias": rng.normal(),
    "pair_weights": rng.integers(0, 3, k) * rng.random(k),
    "text_weights": rng.integers(0, 3, u) * rng.random(u),
  }
  args["pair_weights"][0] = args["text_weights"][0] = 1.0
  if rule == "hard":
    args["text_ids"] = rng.permutation(10 * u)[:u]
    known = np.append(args["text_ids"], -1)
    args["ecg_ids"] = rng.choice(known, (k, m))
  elif rule == "pair":
    args["ecg_semantics"] = unit(rng, k, q)
    args["text_semantics"] = unit(rng, u, q)
  else:
    args["ecg_semantics"] = unit(rng, k, m, q)
    args["text_semantics"] = unit(rng, u, q)
    args["semantics_mask"] = rng.random((k, m)) < 0.6
  return args


def reference(a):
  """Value and gradients, float64, by loops over the formula."""
  k, u = len(a["ecg"]), len(a["text"])
  scale = np.exp(a["log_scale"])
  norm = a["pair_weights"].sum() * a["text_weights"].sum()
  value = 0.0
  grads = {name: np.zeros(np.shape(a[name])) for name in NAMES}
  for i in range(k):
    for j in range(u):
      dot = a["ecg"][i] @ a["text"][j]
      x = scale * dot + a["bias"]
      s = label(a, i, j)
      weight = a["pair_weights"][i] * a["text_weights"][j] / norm
      value += weight * (s * np.logaddexp(0, -x) + (1 - s) * np.logaddexp(0, x))
      slope = weight * (1 / (1 + np.exp(-x)) - s)
      grads["ecg"][i] += slope * scale * a["text"][j]
      grads["text"][j] += slope * scale * a["ecg"][i]
      grads["log_scale"] += slope * scale * dot
      grads["bias"] += slope
  return value, grads


def label(a, i, j):
  if "text_ids" in a:
    return float(a["text_ids"][j] in a["ecg_ids"][i])
  column = a["text_semantics"][j]
  row = a["ecg_semantics"][i]
  if row.ndim == 1:
    return (1 + row @ column) / 2
  values = (1 + row @ column) / 2
  there = a["semantics_mask"][i]
  return values[there].max() if there.any() else 0.0


def value_and_grads(function, args, dtype):
  def cast(x):
    x = jnp.asarray(x)
    return x.astype(dtype) if x.dtype.kind == "f" else x

  args = {name: cast(x) for name, x in args.items()}

  def loss(picked):
    return function(**(args | picked))

  picked = {name: args[name] for name in NAMES}
  return jax.jit(jax.value_and_grad(loss))(picked)


def assert_equal(found, expected, tolerance):
  value, grads = found
  want, want_grads = expected
  np.testing.assert_allclose(value, want, rtol=tolerance)
  for name in NAMES:
    size = np.abs(want_grads[name]).max()
    np.testing.assert_allclose(
      grads[name], want_grads[name], atol=tolerance * max(size, 1e-3)
    )


@pytest.mark.parametrize("rule", ["pair", "report", "hard"])
@pytest.mark.parametrize("seed", range(3))
def test_dense_equals_reference(rule, seed):
  args = draw(np.random.default_rng([seed, 7]), rule)
  with jax.enable_x64(True):
    found = value_and_grads(losses.soft_sigmoid_loss, args, jnp.float64)
  assert_equal(found, reference(args), 1e-12)
  found = value_and_grads(losses.soft_sigmoid_loss, args, jnp.float32)
  assert_equal(found, reference(args), 2e-5)


def test_multiplicities_equal_repeated_columns():
  """The weighted sum over distinct texts is the papers' sum over pairs."""
  rng = np.random.default_rng(5)
  owner = np.array([0, 0, 1, 2, 2, 2, 3])  # which text each pair holds
  ecg, text = jnp.array(unit(rng, 7, 6)), jnp.array(unit(rng, 4, 6))
  distinct = losses.soft_sigmoid_loss(
    ecg,
    text,
    text[owner],
    text,
    log_scale=2.0,
    text_weights=jnp.bincount(owner),
  )
  repeated = losses.soft_sigmoid_loss(
    ecg, text[owner], text[owner], text[owner], log_scale=2.0
  )
  np.testing.assert_allclose(distinct, repeated, rtol=1e-6)


@pytest.mark.parametrize(
  "function", [losses.soft_sigmoid_loss, losses.tiled_soft_sigmoid_loss]
)
def test_padding_of_ids_equals_no_column(function):
  """An absent statement, -1, is no match even for a column numbered -1."""
  ecg, text = jnp.ones((1, 1)), jnp.ones((1, 1))
  found = function(
    ecg,
    text,
    log_scale=0.0,
    ecg_ids=jnp.array([[-1]]),
    text_ids=jnp.array([-1]),
  )
  np.testing.assert_allclose(found, np.logaddexp(0, 1), rtol=1e-6)


def test_labels_get_no_gradient():
  rng = np.random.default_rng(6)
  ecg, text = jnp.array(unit(rng, 5, 4)), jnp.array(unit(rng, 3, 4))
  rows, columns = jnp.array(unit(rng, 5, 4)), jnp.array(unit(rng, 3, 4))
  grads = jax.grad(
    lambda r, c: losses.soft_sigmoid_loss(ecg, text, r, c, log_scale=1.0),
    argnums=(0, 1),
  )(rows, columns)
  assert all(float(jnp.abs(g).max()) == 0 for g in grads)


def test_all_masked_is_zero_with_zero_gradient():
  ecg, text = jnp.ones((2, 1)), jnp.ones((2, 1))
  value, grad = jax.value_and_grad(
    lambda e: losses.soft_sigmoid_loss(
      e, text, e, text, log_scale=1.0, pair_weights=jnp.zeros(2)
    )
  )(ecg)
  assert float(value) == 0
  assert float(jnp.abs(grad).max()) == 0


def test_large_logits_stay_finite():
  ecg, text = jnp.ones((2, 1)), -jnp.ones((2, 1))
  value, grad = jax.value_and_grad(
    lambda e: losses.soft_sigmoid_loss(e, text, e, text, log_scale=8.0)
  )(ecg)
  assert np.isfinite(value)
  assert np.isfinite(grad).all()


def test_weight_that_is_no_number_shows():
  x = jnp.ones((2, 1))
  value = losses.soft_sigmoid_loss(
    x, x, x, x, log_scale=1.0, pair_weights=jnp.array([1.0, jnp.nan])
  )
  assert np.isnan(value)
