"""Parts that both towers are made of."""

import functools
import math

import jax
import jax.numpy as jnp
from flax import nnx

LANES = 128  # numbers side by side in the vector unit of a TPU


def linear(inputs, outputs, *, dtype, rngs, bias=True, std=None):
  """A dense layer: float32 parameters, computed in `dtype`."""
  init = nnx.initializers.lecun_normal()
  if std is not None:
    init = nnx.initializers.truncated_normal(std)
  return Linear(
    inputs, outputs, use_bias=bias, kernel_init=init, dtype=dtype, rngs=rngs
  )


class Linear(nnx.Linear):
  """`nnx.Linear` by `product`, in its own type."""

  def __call__(self, x):
    """(..., inputs) -> (..., outputs)."""
    y = product(x.astype(self.dtype), self.kernel[...].astype(self.dtype))
    if self.use_bias:
      y = y + self.bias[...].astype(self.dtype)
    return y


def product(x, kernel):
  """(..., W) times (W, V), both of one type.

  In float32 the rows of all records are one matrix: on a CPU the gradient by
  the kernel is then a product without a transposed copy of x, which takes 4 to
  20 % of the layer's training step. In bfloat16, that of TPUs, they stay as
  they are: there such a reshape can itself be a copy.
  """
  if x.dtype != jnp.float32 or x.ndim == 2:
    return x @ kernel
  rows = x.reshape(-1, x.shape[-1]) @ kernel
  return rows.reshape(*x.shape[:-1], rows.shape[-1])


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


def gelu(x):
  """The exact GELU, x / 2 (1 + erf(x / sqrt(2))), in float32.

  By erf as torch does: `jax.nn.gelu` takes the complement of it, in the type
  of x, which takes a tenth longer in the MLP on v5e.
  """
  wide = x.astype(jnp.float32)
  return (0.5 * wide * (1 + jax.lax.erf(wide * math.sqrt(0.5)))).astype(x.dtype)


@jax.custom_vjp
def relu(x):
  """max(x, 0); backwards from its own value, so that its input is not kept."""
  return jnp.maximum(x, 0)


def _relu_forward(x):
  y = relu(x)
  return y, y


def _relu_backward(y, slope):
  return (jnp.where(y > 0, slope, 0),)


relu.defvjp(_relu_forward, _relu_backward)


class BatchNorm(nnx.BatchNorm):
  """Batch norm over all axes but the last, each sum in the fewest passes.

  Parameters, their names and their draws are those of `nnx.BatchNorm`; the
  running statistics move by a tenth of the batch's mean and variance.
  """

  def __call__(self, x, train):
    """(B, ..., W) of any type -> the same, computed in float32."""
    scale, bias = self.scale[...], self.bias[...]
    if not train:
      factor = scale * jax.lax.rsqrt(self.var[...] + self.epsilon)
      wide = x.astype(jnp.float32) * factor
      return (wide + (bias - self.mean[...] * factor)).astype(x.dtype)
    y, mean, variance = batch_norm(x, scale, bias, self.epsilon)
    for own, found in ((self.mean, mean), (self.var, variance)):
      own[...] = self.momentum * own[...] + (1 - self.momentum) * found
    return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(x, scale, bias, epsilon):
  """Normalises by the batch's own statistics.

  Mean and mean square are one pass over x, the two sums of the gradient one
  over x and its slope, which makes xresnet1d101 8 % faster on a CPU.

  Args:
    x: (B, ..., W).
    scale, bias: (W,) float32.
    epsilon: added to the variance.

  Returns:
    (B, ..., W) in the type of x; mean and variance (W,) float32.
  """
  return _norm_forward(x, scale, bias, epsilon)[0]


def _norm_forward(x, scale, bias, epsilon):
  axes = tuple(range(x.ndim - 1))
  wide = x.astype(jnp.float32)
  mean = wide.mean(axes)
  variance = jnp.maximum((wide * wide).mean(axes) - mean * mean, 0)
  root = jax.lax.rsqrt(variance + epsilon)
  factor = scale * root
  y = (wide * factor + (bias - mean * factor)).astype(x.dtype)
  return (y, mean, variance), (x, scale, mean, root)


def _norm_backward(epsilon, kept, slopes):
  del epsilon
  x, scale, mean, root = kept
  slope, by_mean, by_variance = slopes
  axes = tuple(range(x.ndim - 1))
  count = x.size // x.shape[-1]
  slope, centred = slope.astype(jnp.float32), x.astype(jnp.float32) - mean
  by_bias = slope.sum(axes)
  by_scale = root * (slope * centred).sum(axes)
  factor = scale * root
  by_x = (
    slope * factor
    + (2 * by_variance - factor * root * by_scale) / count * centred
    + (by_mean - factor * by_bias) / count
  )
  return by_x.astype(x.dtype), by_scale, by_bias


batch_norm.defvjp(_norm_forward, _norm_backward)


class Attention(nnx.Module):
  """Multi-head self-attention, softmax in float32."""

  def __init__(self, width, heads, *, dtype, rngs, std=None):
    layer = functools.partial(linear, dtype=dtype, rngs=rngs, std=std)
    self.heads = heads
    self.query = layer(width, width)
    self.key = layer(width, width)
    self.value = layer(width, width)
    self.out = layer(width, width)

  def __call__(self, x, mask=None, count=None):
    """(B, N, W) -> (B, N, W), of the first `count` tokens where it is given.

    The mask says which tokens exist, (B, N) bool, or which of them each token
    attends to, (B, N, N).
    """
    asking = x[:, :count]
    query, key, value = (
      layer(y).reshape(*y.shape[:2], self.heads, -1)
      for layer, y in ((self.query, asking), (self.key, x), (self.value, x))
    )
    if mask is not None:
      mask = mask[:, None, :count] if mask.ndim == 3 else mask[:, None, None]
    mixed = jax.nn.dot_product_attention(query, key, value, mask=mask)
    return self.out(mixed.reshape(asking.shape))


def pack(x, mask):
  """Short rows side by side, up to 128 tokens, which do not see each other.

  A TPU works on 128 numbers side by side: attention over 64 tokens leaves
  half of them empty, and XLA copies between its layouts.

  Args:
    x: (B, N, W).
    mask: (B, N) bool of the tokens that exist.

  Returns:
    (B / g, g N, W) and the mask (B / g, g N, g N), for the largest g of which
    B is a multiple.
  """
  rows, tokens = mask.shape
  most = max(1, LANES // tokens)
  count = max(g for g in range(1, most + 1) if rows % g == 0)
  if count == 1:
    return x, mask
  of = jnp.arange(count * tokens) // tokens
  mask = mask.reshape(-1, 1, count * tokens) & (of[:, None] == of)
  return x.reshape(-1, count * tokens, x.shape[2]), mask


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
    mask: of `Attention`, or None.
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
    return self.second(gelu(self.first(x)))
