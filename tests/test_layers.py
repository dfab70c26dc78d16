"""Parts of the towers against what they are on paper, in float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fgclep_jax import config as c
from fgclep_jax.models import bert, layers


def plain_norm(x, scale, bias, epsilon):
  """Batch norm from its definition; gradients are left to autodiff."""
  mean = x.mean((0, 1))
  variance = ((x - mean) ** 2).mean((0, 1))
  y = (x - mean) / jnp.sqrt(variance + epsilon) * scale + bias
  return y, mean, variance


def test_batch_norm_and_all_of_its_gradients():
  """2e-6 of the largest, also of gradients through the statistics."""
  rng = np.random.default_rng(0)
  x = 0.5 + rng.normal(size=(3, 35, 6))
  scale, bias, *weights = (rng.normal(size=6) for _ in range(4))
  weight = rng.normal(size=x.shape)

  def value(norm, *given):
    y, mean, variance = norm(*given, 1e-5)
    parts = (y * weight).sum(), mean @ weights[0], variance @ weights[1]
    return sum(parts), (y, mean, variance)

  def both(norm, kind):
    given = [jnp.asarray(a, kind) for a in (x, scale, bias)]
    slope = jax.grad(value, (1, 2, 3), has_aux=True)
    return jax.tree.leaves(slope(norm, *given))

  found = both(layers.batch_norm, jnp.float32)
  with jax.enable_x64(True):
    expected = both(plain_norm, jnp.float64)
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_allclose(a, b, atol=2e-6 * np.abs(b).max())


def test_gelu_is_exact():
  x = np.linspace(-8, 8, 999).astype(np.float32)
  expected = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()]
  np.testing.assert_allclose(layers.gelu(jnp.asarray(x)), expected, atol=1e-6)
  narrow = layers.gelu(jnp.asarray(x, jnp.bfloat16))
  assert narrow.dtype == jnp.bfloat16
  np.testing.assert_allclose(
    narrow.astype(jnp.float32), expected, atol=0.004, rtol=2**-7
  )


def test_relu_and_its_gradient():
  x = jnp.array([-2.0, -0.0, 0.0, 3.0])
  np.testing.assert_array_equal(layers.relu(x), [0, 0, 0, 3])
  slope = jax.grad(lambda x: (layers.relu(x) * jnp.arange(1.0, 5)).sum())(x)
  np.testing.assert_array_equal(slope, [0, 0, 0, 4])


@pytest.mark.parametrize(
  ("rows", "tokens"), [(6, 64), (6, 40), (5, 64), (4, 9)]
)
def test_packed_rows_do_not_see_each_other(rows, tokens):
  """Attention over packed rows and each alone: 1e-6, gradients too."""
  rng = np.random.default_rng(tokens)
  layer = layers.Attention(
    16, 2, dtype=jnp.float32, rngs=nnx.Rngs(params=jax.random.key(0))
  )
  x = jnp.asarray(rng.normal(size=(rows, tokens, 16)), jnp.float32)
  mask = jnp.asarray(rng.random((rows, tokens)) < 0.7).at[:, 0].set(True)
  weight = jnp.asarray(rng.normal(size=x.shape), jnp.float32)
  shape = layers.pack(x, mask)[0].shape
  assert shape[0] * shape[1] == rows * tokens
  assert shape[1] == tokens * {(6, 64): 2, (6, 40): 3, (5, 64): 1}.get(
    (rows, tokens), 4
  )

  def value(x, packed):
    given = layers.pack(x, mask) if packed else (x, mask)
    y = layer(*given).reshape(x.shape)
    return (y * weight).sum(), y

  for found, expected in zip(
    *(jax.grad(value, has_aux=True)(x, packed) for packed in (True, False)),
    strict=True,
  ):
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_text_is_the_same_among_others_in_bfloat16():
  """Packed in twos and alone: 0.05, with weights that make texts differ."""
  config = c.TextConfig(width=32, depth=2, heads=2, mlp=64, max_tokens=64)
  model = bert.Bert(
    config, 50, dtype=jnp.bfloat16, rngs=nnx.Rngs(params=jax.random.key(1))
  )
  nnx.update(model, jax.tree.map(lambda x: 10 * x, nnx.state(model)))
  ids = np.random.default_rng(0).integers(1, 50, (4, 64))
  ids[:, 30:] *= np.arange(4)[:, None] % 2
  together = model(jnp.asarray(ids))
  assert np.std(together, axis=0).mean() > 0.2
  for i, row in enumerate(ids):
    alone = model(jnp.asarray(row[None]))
    np.testing.assert_allclose(together[i], alone[0], atol=0.05)
