"""Helpers that set an ECG encoder beside its second implementation."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from fgclep_jax.models import inputs, two_tower

MOMENTUM, EPSILON = 0.1, 1e-5


class Reference:
  """Layers in torch, on our parameters; statistics are collected by name."""

  def __init__(self, params, train):
    self.params = params
    self.train = train
    self.statistics = {}

  def conv_norm(self, name, x, stride=1, padding=0):
    """Convolution and batch norm of (B, W, T), by torch's own functions."""
    from torch.nn import functional

    own = {k: self.params[f"{name}.norm.{k}"] for k in ("mean", "var")}
    moved = {k: value.detach().clone() for k, value in own.items()}
    kernel = self.params[f"{name}.conv.kernel"].permute(2, 1, 0)
    x = functional.conv1d(x, kernel, stride=stride, padding=padding)
    y = functional.batch_norm(
      x,
      moved["mean"],
      moved["var"],
      self.params[f"{name}.norm.scale"],
      self.params[f"{name}.norm.bias"],
      training=self.train,
      momentum=MOMENTUM,
      eps=EPSILON,
    )
    if self.train:
      # Torch moves by the unbiased variance, ours by the batch's own.
      places = x.shape[0] * x.shape[2]
      step = moved["var"] - (1 - MOMENTUM) * own["var"]
      moved["var"] = moved["var"] - step / places
    self.statistics |= {f"{name}.norm.{k}": x for k, x in moved.items()}
    return y


def rngs(seed):
  return nnx.Rngs(params=jax.random.key(seed))


def build(make, config, samples, seed=0):
  """An encoder whose every parameter is off its start, scales near 1."""
  model = make(
    config,
    samples=samples,
    rate=100,
    dtype=jnp.float32,
    rngs=rngs(seed),
  )
  rng = np.random.default_rng(seed)
  definition, state = nnx.split(model)
  params = {
    name: jnp.asarray(_moved(rng, name, np.asarray(value)))
    for name, value in _flat(state).items()
  }
  return two_tower.merge(definition, params)


def _moved(rng, name, value):
  noise = rng.normal(size=value.shape).astype(np.float32)
  if name.endswith(("norm.scale", "norm.var")):
    return 0.7 + 0.1 * np.abs(noise)
  return value if name.endswith("kernel") else value + 0.1 * noise


def parameters(model):
  """{dotted name: array} of an encoder."""
  return _flat(nnx.split(model)[1])


def abstract(make, config):
  """(definition, {dotted name: shape}) without any array."""
  model = nnx.eval_shape(
    lambda: make(
      config, samples=5000, rate=500, dtype=jnp.float32, rngs=rngs(0)
    )
  )
  definition, state = nnx.split(model)
  return definition, _flat(state)


def token_shape(definition, shapes, samples):
  """Shape of the tokens of two records."""
  signal = jax.ShapeDtypeStruct((2, 12, samples), jnp.float32)
  return jax.eval_shape(
    lambda params, signal: tokens(two_tower.merge(definition, params), signal),
    shapes,
    signal,
  ).shape


def count(shapes):
  """Numbers that are learned, and numbers that are running statistics."""
  sizes = {True: 0, False: 0}
  for name, value in shapes.items():
    sizes[two_tower.is_statistic(name)] += int(np.prod(value.shape))
  return sizes[False], sizes[True]


def tokens(encoder, signal, train=False):
  """What an encoder makes of records of which everything is there."""
  return encoder(signal, *inputs.recorded(signal), train=train)[0]


def signal(batch, samples, seed=1):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(batch, 12, samples)).astype(np.float32)


def tensors(params, grad=False):
  """The same in torch, in double precision where gradients are compared."""
  import torch

  kind = torch.float64 if grad else torch.float32
  return {
    name: torch.tensor(
      np.asarray(value), dtype=kind, requires_grad=grad and not _still(name)
    )
    for name, value in params.items()
  }


def near(found, expected, tolerance, name=""):
  """Largest difference, relative to the largest expected number."""
  scale = np.abs(expected).max() + 1e-12
  np.testing.assert_allclose(
    np.asarray(found) / scale, expected / scale, atol=tolerance, err_msg=name
  )


def compare(model, reference, train, samples, batch=3):
  """Tokens 1e-5, gradients 1e-4, statistics 1e-5, relative to the largest."""
  import torch

  definition, state = nnx.split(model)
  params = _flat(state)
  learned = {n: x for n, x in params.items() if not _still(n)}
  still = {n: x for n, x in params.items() if _still(n)}
  ecg = signal(batch, samples)

  def value(learned, ecg, weight):
    merged = two_tower.merge(definition, {**learned, **still})
    found = tokens(merged, ecg, train)
    return (found * weight).sum(), (found, two_tower.statistics(merged))

  theirs = tensors(params, grad=True)
  wide = torch.tensor(ecg, dtype=torch.float64, requires_grad=True)
  expected, statistics = reference(theirs, wide)
  weight = np.random.default_rng(2).normal(size=expected.shape)
  (expected * torch.tensor(weight)).sum().backward()
  weight = jnp.asarray(weight.swapaxes(1, 2), jnp.float32)
  run = jax.jit(jax.value_and_grad(value, argnums=(0, 1), has_aux=True))
  (_, (found, moved)), (gradients, inward) = run(learned, ecg, weight)
  near(found, expected.detach().numpy().swapaxes(1, 2), 1e-5)
  near(inward, wide.grad.numpy(), 1e-4, "signal")
  for name in learned:
    grad = theirs[name].grad.numpy()
    assert np.abs(grad).max() > 0, name
    near(gradients[name], grad, 1e-4, name)
  assert moved.keys() == still.keys() == statistics.keys()
  for name, old in still.items():
    near(moved[name], statistics[name].numpy(), 1e-5, name)
    assert (np.abs(moved[name] - old).max() > 0) == train, name


def _still(name):
  return two_tower.is_statistic(name)


def _flat(state):
  return {
    ".".join(map(str, path)): variable.get_value()
    for path, variable in nnx.to_flat_state(state)
  }
