"""Parts that both towers are made of."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx


def linear(inputs, outputs, *, dtype, rngs, bias=True, std=None):
  """A dense layer: float32 parameters, computed in `dtype`."""
  init = nnx.initializers.lecun_normal()
  if std is not None:
    init = nnx.initializers.truncated_normal(std)
  return nnx.Linear(
    inputs, outputs, use_bias=bias, kernel_init=init, dtype=dtype, rngs=rngs
  )


def layer_norm(width, *, epsilon, rngs):
  """Layer norm in float32, whatever the type of its input."""
  return nnx.LayerNorm(width, epsilon=epsilon, dtype=jnp.float32, rngs=rngs)


def dropout(x, rate, key):
  """Sets entries to zero with probability `rate`; off where key is None."""
  if key is None or rate == 0.0:
    return x
  keep = jax.random.bernoulli(key, 1 - rate, x.shape)
  return jnp.where(keep, x / (1 - rate), jnp.zeros_like(x))


def split_key(key, count):
  """Splits a key, or hands on None as many times."""
  return [None] * count if key is None else list(jax.random.split(key, count))


def unit(x, axis=-1, epsilon=1e-12):
  """Rows of length one, in float32; a zero row stays zero."""
  x = x.astype(jnp.float32)
  square = jnp.sum(x * x, axis=axis, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(square, epsilon))


class Attention(nnx.Module):
  """Multi-head self-attention, softmax in float32."""

  def __init__(self, width, heads, *, dtype, rngs, std=None):
    layer = functools.partial(linear, dtype=dtype, rngs=rngs, std=std)
    self.heads = heads
    self.query = layer(width, width)
    self.key = layer(width, width)
    self.value = layer(width, width)
    self.out = layer(width, width)

  def __call__(self, x, mask=None):
    """(B, N, W), mask (B, N) bool of the tokens that exist -> (B, N, W)."""
    shape = (*x.shape[:2], self.heads, x.shape[2] // self.heads)
    query, key, value = (
      layer(x).reshape(shape) for layer in (self.query, self.key, self.value)
    )
    if mask is not None:
      mask = mask[:, None, None, :]
    mixed = jax.nn.dot_product_attention(query, key, value, mask=mask)
    return self.out(mixed.reshape(x.shape))


REMAT = {
  "none": None,
  # Keeps what matrix products give, computes the rest again backwards.
  "products": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
  # Keeps the input of each layer alone.
  "layers": jax.checkpoint_policies.nothing_saveable,
}


def apply_layers(blocks, x, mask, keys, remat="none", scan=False):
  """Runs transformer layers one after another.

  Args:
    blocks: modules of equal structure, called as (x, mask, key).
    x: (B, N, W).
    mask: (B, N) bool of the tokens that exist, or None.
    keys: one random key a layer, or Nones.
    remat: what is kept for the gradient, a name in `REMAT`.
    scan: one compiled layer that is gone through: compiles faster, runs
      slower and needs more memory (parameters are stacked at every step).

  Returns:
    (B, N, W).
  """

  def apply(block, x, key):
    return block(x, mask, key)

  if remat != "none":
    apply = nnx.remat(apply, policy=REMAT[remat])
  if not scan or len(blocks) < 2:
    for block, key in zip(blocks, keys, strict=True):
      x = apply(block, x, key)
    return x
  definition, _ = nnx.split(blocks[0])
  states = [nnx.state(block) for block in blocks]
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
  keys = None if keys[0] is None else jnp.stack(keys)

  def step(x, layer):
    state, key = layer
    return apply(nnx.merge(definition, state), x, key), None

  return jax.lax.scan(step, x, (stacked, keys))[0]


class Mlp(nnx.Module):
  """Two dense layers with an exact GELU between them."""

  def __init__(self, width, hidden, outputs, *, dtype, rngs, std=None):
    self.first = linear(width, hidden, dtype=dtype, rngs=rngs, std=std)
    self.second = linear(hidden, outputs, dtype=dtype, rngs=rngs, std=std)

  def __call__(self, x):
    return self.second(jax.nn.gelu(self.first(x), approximate=False))
