"""XResNet against a second implementation in torch, and its sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgclep_jax import config as c
from fgclep_jax.models import two_tower, xresnet
from tests import parity

SMALL = c.EcgConfig(name="resnet", width=4, stages=(2, 1, 2), kernel=5)


def reference(params, signal, stages, train):
  """Written from the description: (B, 12, T) -> (B, 4 w, N), statistics."""
  import torch
  from torch.nn import functional

  net = parity.Reference(params, train)
  x = signal
  for i, stride in enumerate((2, 1, 1)):
    x = torch.relu(net.conv_norm(f"stem.{i}", x, stride=stride, padding=2))
  x = functional.max_pool1d(x, 3, stride=2, padding=1)
  block = 0
  for stage, count in enumerate(stages):
    for place in range(count):
      name = f"blocks.{block}"
      stride = 2 if place == 0 and stage > 0 else 1
      y = torch.relu(net.conv_norm(f"{name}.first", x))
      y = net.conv_norm(f"{name}.second", y, stride=stride, padding=2)
      y = net.conv_norm(f"{name}.third", torch.relu(y))
      if stride == 2:
        x = functional.avg_pool1d(x, 2, ceil_mode=True)
      if x.shape[1] != y.shape[1]:
        x = net.conv_norm(f"{name}.shortcut", x)
      x = torch.relu(x + y)
      block += 1
  return x, net.statistics


@pytest.mark.parametrize(("train", "samples"), [(False, 128), (True, 165)])
def test_values_gradients_and_statistics(train, samples):
  """165 samples are odd at every halving: 83, 42, 21, 11."""
  pytest.importorskip("torch")
  model = parity.build(xresnet.XResNet, SMALL, samples)
  parity.compare(
    model, lambda p, x: reference(p, x, SMALL.stages, train), train, samples
  )


@pytest.mark.slow
def test_full_depth_values():
  """All 101 layers at full width, by the encoder's name."""
  torch = pytest.importorskip("torch")
  model = parity.build(xresnet.xresnet1d101, c.EcgConfig(), 330)
  signal = parity.signal(2, 330)
  tokens = parity.tokens(model, jnp.asarray(signal))
  expected, _ = reference(
    parity.tensors(parity.parameters(model)),
    torch.tensor(signal),
    (3, 4, 23, 3),
    False,
  )
  assert tokens.shape == (2, 11, 256)
  parity.near(tokens, expected.detach().numpy().swapaxes(1, 2), 1e-5)


def test_sizes():
  """Tokens at the usual lengths; parameters counted by hand.

  The benchmark's paper gives no count. Of the 101 layers 3 are the stem's and
  99 the blocks' (33 of three); its classifier is not ours.
  """
  definition, shapes = parity.abstract(xresnet.xresnet1d101, c.EcgConfig())
  kernels = [n for n in shapes if n.endswith("kernel")]
  assert len([n for n in kernels if "shortcut" not in n]) == 3 + 33 * 3
  stem = 5 * (12 * 32 + 32 * 32 + 32 * 64) + 2 * (32 + 32 + 64)
  block = 256 * 64 + 5 * 64 * 64 + 64 * 256 + 2 * (64 + 64 + 256)
  first = 64 * 256 + 2 * 256 - (256 - 64) * 64  # shortcut, narrower input
  learned = stem + 33 * block + first
  assert parity.count(shapes) == (learned, 26_112) == (1_804_672, 26_112)
  for samples, tokens in ((1000, 32), (5000, 157), (250, 8)):
    found = parity.token_shape(definition, shapes, samples)
    assert found == (2, tokens, 256)


@pytest.mark.parametrize("name", ["resnet18", "xresnet1d101"])
def test_named_encoders_are_choices(name):
  """Both towers of a config with the name, and pooled features of width 2 W."""
  config = c.override(
    c.TrainConfig(),
    {"model.ecg.name": name, "model.ecg.pool": "mean_max", "data.rate": "100"},
  )
  definition, shapes = two_tower.abstract(config, 50)
  width = {"resnet18": 512, "xresnet1d101": 256}[name]
  assert shapes["ecg_projection.kernel"].shape == (2 * width, 256)
  tokens, pooled, _ = jax.eval_shape(
    lambda params, signal: two_tower.merge(definition, params).encode_ecg(
      signal
    ),
    shapes,
    jax.ShapeDtypeStruct((2, 12, 1000), jnp.float32),
  )
  count = {"resnet18": 63, "xresnet1d101": 32}[name]
  assert (tokens.shape, pooled.shape) == ((2, count, width), (2, 2 * width))


def test_blocks_start_as_their_shortcut():
  """The last norm of a block starts at zero, all others at one."""
  model = xresnet.XResNet(
    SMALL, samples=64, rate=100, dtype=jnp.float32, rngs=parity.rngs(0)
  )
  for name, value in parity.parameters(model).items():
    if name.endswith("norm.scale"):
      expected = 0.0 if ".third." in name else 1.0
      np.testing.assert_array_equal(value, expected, err_msg=name)


def test_halve():
  x = jnp.arange(5.0)[None, :, None]
  np.testing.assert_array_equal(xresnet.halve(x)[0, :, 0], [0.5, 2.5, 4.0])
  np.testing.assert_array_equal(xresnet.halve(x[:, :4])[0, :, 0], [0.5, 2.5])
