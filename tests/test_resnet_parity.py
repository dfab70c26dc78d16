"""MERL's ResNet-18 against a second implementation, in torch."""

import dataclasses

import jax.numpy as jnp
import pytest

from fgclep_jax import config as c
from fgclep_jax.models import resnet
from tests import parity


def reference(params, signal, stages, train):
  """Written from the description: (B, 12, T) -> (B, 8 w, N), statistics."""
  import torch

  net = parity.Reference(params, train)
  x = torch.relu(net.conv_norm("stem", signal, stride=2, padding=3))
  block = 0
  for stage, count in enumerate(stages):
    for first in [True] + [False] * (count - 1):
      name = f"blocks.{block}"
      stride = 2 if first and stage > 0 else 1
      y = net.conv_norm(f"{name}.first", x, stride=stride, padding=1)
      y = net.conv_norm(f"{name}.second", torch.relu(y), padding=1)
      if f"{name}.shortcut.conv.kernel" in params:
        x = net.conv_norm(f"{name}.shortcut", x, stride=stride)
      else:
        assert stride == 1
      x = torch.relu(x + y)
      block += 1
  return x, net.statistics


SMALL = c.EcgConfig(name="resnet", width=6, stages=(2, 2, 1, 1), kernel=3)


@pytest.mark.parametrize(("train", "samples"), [(False, 96), (True, 101)])
def test_values_gradients_and_statistics(train, samples):
  pytest.importorskip("torch")
  model = parity.build(resnet.ResNet, SMALL, samples)
  parity.compare(
    model, lambda p, x: reference(p, x, SMALL.stages, train), train, samples
  )


@pytest.mark.slow
def test_full_size_values():
  """Width 64 and two blocks a stage, by the encoder's name."""
  torch = pytest.importorskip("torch")
  model = parity.build(resnet.resnet18, c.EcgConfig(), 320)
  params = parity.parameters(model)
  signal = parity.signal(2, 320)
  tokens = parity.tokens(model, jnp.asarray(signal))
  expected, _ = reference(
    parity.tensors(params), torch.tensor(signal), (2, 2, 2, 2), False
  )
  assert tokens.shape == (2, 20, 512)
  parity.near(tokens, expected.detach().numpy().swapaxes(1, 2), 1e-5)


def test_sizes():
  """Tokens at the paper's length; parameters counted by hand.

  MERL publishes no count. By its layers: a stem of 12 x 64 x 7, then basic
  blocks of kernel 3, every convolution with two numbers a channel.
  """
  definition, shapes = parity.abstract(resnet.resnet18, c.EcgConfig())
  count = 12 * 64 * 7 + 2 * 64
  inputs = 64
  for outputs in (64, 128, 256, 512):
    count += 3 * inputs * outputs + 3 * 3 * outputs**2 + 4 * 2 * outputs
    if inputs != outputs:
      count += inputs * outputs + 2 * outputs
    inputs = outputs
  assert parity.count(shapes) == (count, 9600) == (3_848_832, 9600)
  for samples, tokens in ((5000, 313), (1000, 63), (1250, 79), (250, 16)):
    found = parity.token_shape(definition, shapes, samples)
    assert found == (2, tokens, 512)


def test_named_size_leaves_other_fields():
  """Names of parameters are those of `resnet`, so checkpoints fit both."""
  config = dataclasses.replace(
    c.EcgConfig(), name="resnet", width=64, stages=(2, 2, 2, 2), kernel=3
  )
  _, plain = parity.abstract(resnet.ResNet, config)
  _, named = parity.abstract(resnet.resnet18, c.EcgConfig())
  assert {n: x.shape for n, x in plain.items()} == {
    n: x.shape for n, x in named.items()
  }
