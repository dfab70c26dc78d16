"""One-dimensional XResNet: a residual network of bottleneck blocks."""

import dataclasses

import jax.numpy as jnp
from flax import nnx

from fgclep_jax.models import layers
from fgclep_jax.models.resnet import ConvNorm, apply_blocks, begun
from fgclep_jax.models.st_vit import LEADS

EXPANSION = 4


class Bottleneck(nnx.Module):
  """Kernels 1, k, 1 around a shortcut; starts as the shortcut alone.

  Where the stride is 2 the shortcut averages neighbours (the last sample of
  an odd length stands alone) before it changes the number of channels.
  """

  def __init__(self, inputs, width, kernel, stride, *, dtype, rngs):
    rest = {"dtype": dtype, "rngs": rngs}
    outputs = EXPANSION * width
    self.first = ConvNorm(inputs, width, 1, 1, **rest)
    self.second = ConvNorm(width, width, kernel, stride, **rest)
    self.third = ConvNorm(width, outputs, 1, 1, scale=0.0, **rest)
    self.shortcut = (
      None if inputs == outputs else ConvNorm(inputs, outputs, 1, 1, **rest)
    )
    self.stride = stride

  def __call__(self, x, train):
    y = layers.relu(self.first(x, train))
    y = layers.relu(self.second(y, train))
    y = self.third(y, train)
    if self.stride == 2:
      x = halve(x)
    if self.shortcut is not None:
      x = self.shortcut(x, train)
    return layers.relu(x + y)


class XResNet(nnx.Module):
  """(B, 12, T) mV -> tokens (B, T / 32, 4 * width) at four stages.

  A stem of three convolutions (w/2, w/2, w channels; stride 2, 1, 1), a
  max-pool of 3 with stride 2, then stages of equal width with strides 1, 2,
  2, 2. Odd lengths are rounded up at every halving.

  Source: He et al. 2018, arXiv 1812.01187 (the tricks); Strodthoff et al.
  2020, arXiv 2004.13701 (the 1-D form, 64 channels at every stage).
  """

  def __init__(
    self, config, *, samples, rate, dtype, rngs, remat="none", scan=False
  ):
    del samples, rate, scan  # any length, any rate; blocks differ
    rest = {"dtype": dtype, "rngs": rngs}
    width, kernel = config.width, config.kernel
    self.dtype, self.remat = dtype, remat
    self.stride = 2 ** (len(config.stages) + 1)  # samples between tokens
    self.stem = nnx.List(
      [
        ConvNorm(LEADS, width // 2, kernel, 2, **rest),
        ConvNorm(width // 2, width // 2, kernel, 1, **rest),
        ConvNorm(width // 2, width, kernel, 1, **rest),
      ]
    )
    blocks, inputs = [], width
    for stage, count in enumerate(config.stages):
      for block in range(count):
        stride = 2 if stage and not block else 1
        blocks.append(Bottleneck(inputs, width, kernel, stride, **rest))
        inputs = EXPANSION * width
    self.blocks = nnx.List(blocks)
    self.width = inputs

  def __call__(self, signal, leads, samples, *, train=False, key=None):
    """Tokens, and (B, N) bool which are there; see `TwoTower.encode_ecg`."""
    del leads, key  # absent leads are zeros; no dropout
    x = jnp.swapaxes(signal, 1, 2).astype(self.dtype)
    for layer in self.stem:
      x = layers.relu(layer(x, train))
    x = nnx.max_pool(x, (3,), strides=(2,), padding=((1, 1),))
    x = apply_blocks(self.blocks, x, train, self.remat)
    return x.astype(jnp.float32), begun(x, self.stride, samples)


def xresnet1d101(config, **options):
  """The PTB-XL benchmark's `xresnet1d101` without its classifier.

  `width`, `stages` and `kernel` of `config.EcgConfig` are set by the name.
  The benchmark's head pools by mean and maximum: `pool="mean_max"`.
  """
  sizes = {"width": 64, "stages": (3, 4, 23, 3), "kernel": 5}
  return XResNet(dataclasses.replace(config, **sizes), **options)


def halve(x):
  """(B, T, W) -> (B, ceil(T / 2), W), means of neighbours."""
  batch, length, width = x.shape
  # Its own double: the mean of one sample is that sample.
  x = jnp.pad(x, [(0, 0), (0, length % 2), (0, 0)], mode="edge")
  return x.reshape(batch, -1, 2, width).mean(axis=2)
