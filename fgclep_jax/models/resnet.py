"""One-dimensional residual network of basic blocks."""

import dataclasses

import jax.numpy as jnp
from flax import nnx

from fgclep_jax.models import layers
from fgclep_jax.models.st_vit import LEADS


class ConvNorm(nnx.Module):
  """Convolution without bias, then batch norm over records and time.

  Running statistics move by a tenth of the batch's mean and variance (of the
  batch itself: torch moves by the unbiased estimate, n / (n - 1) times it).
  """

  def __init__(
    self, inputs, outputs, kernel, stride, *, dtype, rngs, scale=1.0
  ):
    pad = (kernel - 1) // 2
    self.conv = nnx.Conv(
      inputs,
      outputs,
      (kernel,),
      strides=(stride,),
      padding=((pad, kernel - 1 - pad),),
      use_bias=False,
      kernel_init=nnx.initializers.he_normal(),
      dtype=dtype,
      rngs=rngs,
    )
    self.norm = layers.BatchNorm(
      outputs,
      momentum=0.9,
      epsilon=1e-5,
      dtype=jnp.float32,
      scale_init=nnx.initializers.constant(scale),
      rngs=rngs,
    )
    self.pointwise = kernel == 1
    self.stride = stride
    self.dtype = dtype

  def __call__(self, x, train):
    if self.pointwise:  # the same, and a quarter faster on a CPU
      kernel = self.conv.kernel[0].astype(self.dtype)
      x = layers.product(x[:, :: self.stride], kernel)
    else:
      x = self.conv(x)
    return self.norm(x, train)


class BasicBlock(nnx.Module):
  """Two convolutions around a shortcut."""

  def __init__(self, inputs, outputs, kernel, stride, *, dtype, rngs):
    rest = {"dtype": dtype, "rngs": rngs}
    self.first = ConvNorm(inputs, outputs, kernel, stride, **rest)
    self.second = ConvNorm(outputs, outputs, kernel, 1, **rest)
    same = stride == 1 and inputs == outputs
    self.shortcut = (
      None if same else ConvNorm(inputs, outputs, 1, stride, **rest)
    )

  def __call__(self, x, train):
    y = self.second(layers.relu(self.first(x, train)), train)
    if self.shortcut is not None:
      x = self.shortcut(x, train)
    return layers.relu(x + y)


class ResNet(nnx.Module):
  """(B, 12, T) mV -> tokens (B, T / 16, 8 * width) at four stages.

  A stem of kernel 7 and stride 2 without max-pool, then stages of width
  w, 2w, 4w, 8w with strides 1, 2, 2, 2. Width 64 and two blocks a stage is
  the ResNet-18 of MERL (arXiv 2403.06659). Silence is part of the statistics
  of its batch norms.
  """

  def __init__(
    self, config, *, samples, rate, dtype, rngs, remat="none", scan=False
  ):
    del samples, rate, scan  # any length, any rate; blocks differ
    rest = {"dtype": dtype, "rngs": rngs}
    self.dtype, self.remat = dtype, remat
    self.stride = 2 ** len(config.stages)  # samples from token to token
    self.stem = ConvNorm(LEADS, config.width, 7, 2, **rest)
    blocks, inputs = [], config.width
    for stage, count in enumerate(config.stages):
      outputs = config.width * 2**stage
      for block in range(count):
        stride = 2 if stage and not block else 1
        blocks.append(
          BasicBlock(inputs, outputs, config.kernel, stride, **rest)
        )
        inputs = outputs
    self.blocks = nnx.List(blocks)
    self.width = inputs

  def __call__(self, signal, leads, samples, *, train=False, key=None):
    """Tokens, and (B, N) bool which are there; see `TwoTower.encode_ecg`."""
    del leads, key  # absent leads are zeros; no dropout
    x = jnp.swapaxes(signal, 1, 2).astype(self.dtype)
    x = layers.relu(self.stem(x, train))
    x = apply_blocks(self.blocks, x, train, self.remat)
    return x.astype(jnp.float32), begun(x, self.stride, samples)


def apply_blocks(blocks, x, train, remat):
  """Runs residual blocks; `remat` is a name in `layers.REMAT`."""

  def apply(block, x):
    return block(x, train)

  if remat != "none":
    apply = nnx.remat(apply, policy=layers.REMAT[remat])
  for block in blocks:
    x = apply(block, x)
  return x


def begun(tokens, stride, samples):
  """(B, N) bool: whether the first sample of a token is there."""
  return jnp.arange(tokens.shape[1]) * stride < samples[:, None]


def resnet18(config, **options):
  """MERL's ResNet-18: (B, 12, 5000) -> tokens (B, 313, 512).

  `width`, `stages` and `kernel` of `config.EcgConfig` are set by the name.
  """
  sizes = {"width": 64, "stages": (2, 2, 2, 2), "kernel": 3}
  return ResNet(dataclasses.replace(config, **sizes), **options)
