"""Spatio-temporal vision transformer: a token is one lead x one second."""

import dataclasses

import jax.numpy as jnp
from flax import nnx

from fgclep_jax.models import layers

LEADS = 12
SIZES = {  # width, depth, heads, MLP
  "tiny": (192, 12, 3, 768),
  "small": (384, 12, 6, 1536),
  "middle": (512, 12, 8, 2048),
  "base": (768, 12, 12, 3072),
}


class Block(nnx.Module):
  """Pre-norm transformer block."""

  def __init__(self, config, *, dtype, rngs):
    width = config.width
    self.norm1 = layers.layer_norm(width, epsilon=1e-6, rngs=rngs)
    self.attention = layers.Attention(
      width, config.heads, dtype=dtype, rngs=rngs
    )
    self.norm2 = layers.layer_norm(width, epsilon=1e-6, rngs=rngs)
    self.mlp = layers.Mlp(width, config.mlp, width, dtype=dtype, rngs=rngs)
    self.dtype = dtype
    self.rate = config.dropout

  def __call__(self, x, mask, key):
    key1, key2 = layers.split_key(key, 2)
    mixed = self.attention(self.norm1(x).astype(self.dtype), mask)
    x = x + layers.dropout(mixed, self.rate, key1)
    mixed = self.mlp(self.norm2(x).astype(self.dtype))
    return x + layers.dropout(mixed, self.rate, key2)


class StVit(nnx.Module):
  """(B, 12, T) mV -> tokens (B, 12 * T / patch, W), lead by lead.

  Patch index = lead * (T / patch) + time; lead and time embeddings; no
  class token; a final layer norm. T is padded with zeros to whole patches.
  A token is there where its lead is, and its first sample; nothing attends
  to one that is not.
  """

  def __init__(
    self, config, *, samples, rate, dtype, rngs, remat="none", scan=False
  ):
    self.patch = round(config.patch_seconds * rate)
    self.times = -(-samples // self.patch)
    self.dtype = dtype
    self.width = config.width
    self.remat, self.scan = remat, scan
    normal = nnx.initializers.normal(0.02)
    self.embed = layers.linear(self.patch, config.width, dtype=dtype, rngs=rngs)
    self.lead = nnx.Param(normal(rngs.params(), (LEADS, config.width)))
    self.time = nnx.Param(normal(rngs.params(), (self.times, config.width)))
    self.blocks = nnx.List(
      Block(config, dtype=dtype, rngs=rngs) for _ in range(config.depth)
    )
    self.norm = layers.layer_norm(config.width, epsilon=1e-6, rngs=rngs)

  def __call__(self, signal, leads, samples, *, train=False, key=None):
    """Tokens, and (B, N) bool which are there; see `TwoTower.encode_ecg`."""
    batch, _, length = signal.shape
    pad = self.times * self.patch - length
    signal = jnp.pad(signal, [(0, 0), (0, 0), (0, pad)])
    patches = signal.reshape(batch, LEADS, self.times, self.patch)
    x = self.embed(patches.astype(self.dtype))
    place = self.lead[:, None] + self.time[None]
    x = (x + place.astype(self.dtype)).reshape(batch, -1, self.width)
    begun = jnp.arange(self.times) * self.patch < samples[:, None]
    mask = (leads[:, :, None] & begun[:, None]).reshape(batch, -1)
    keys = layers.split_key(key, len(self.blocks))
    x = layers.apply_layers(
      self.blocks, x, mask, keys, self.remat, self.scan
    )
    return self.norm(x), mask


def sized(size):
  """The constructor of a published size, see `SIZES`.

  `width`, `depth`, `heads` and `mlp` of `config.EcgConfig` are set by it.
  """

  def create(config, **options):
    names = ("width", "depth", "heads", "mlp")
    sizes = dict(zip(names, SIZES[size], strict=True))
    return StVit(dataclasses.replace(config, **sizes), **options)

  return create
