"""The linear head of the `merl` protocol, trained by its published recipe.

All steps run as one compiled scan over features computed before. Shapes:
n rows, W features, C classes, P epochs, S steps an epoch, B rows a batch.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from fgclep_jax.errors import InputError

SCHEDULES = ("batch", "epoch")


@dataclasses.dataclass(frozen=True)
class Recipe:
  """Constants of the public code of MERL.

  schedule: the rate falls to a tenth at the 40th call of the scheduler.
  `batch`: it is called after every batch and again after the epoch, so the
  rate is low from about the 40th step on. `epoch`: once an epoch.
  """

  epochs: int = 100
  batch: int = 16
  rate: float = 1e-3
  milestone: int = 40
  factor: float = 0.1
  schedule: str = "batch"
  b1: float = 0.9
  b2: float = 0.999
  epsilon: float = 1e-8
  weight_decay: float = 1e-4  # added to the gradient, not decoupled
  seed: int = 42

  def __post_init__(self):
    if self.schedule not in SCHEDULES:
      raise InputError(
        f"schedule {self.schedule!r} of merl: give batch or epoch"
      )


def initial(width, classes, seed):
  """Uniform in +-1/sqrt(W), torch's default: (W, C), (C,) float32."""
  rng = np.random.default_rng([seed, width, classes])
  bound = 1 / np.sqrt(width)
  weight = rng.uniform(-bound, bound, (width, classes))
  bias = rng.uniform(-bound, bound, classes)
  return weight.astype(np.float32), bias.astype(np.float32)


def batches(count, recipe):
  """(P, S, B) int32 rows, shuffled each epoch; -1 fills the last batch."""
  rng = np.random.default_rng([recipe.seed, count])
  steps = -(-count // recipe.batch)
  found = np.full((recipe.epochs, steps * recipe.batch), -1, np.int32)
  for epoch in found:
    epoch[:count] = rng.permutation(count)
  return found.reshape(recipe.epochs, steps, recipe.batch)


def rates(steps, recipe):
  """(P, S) float64 learning rate of every step."""
  epoch, step = np.indices((recipe.epochs, steps))
  calls = epoch
  if recipe.schedule == "batch":
    calls = epoch * (steps + 1) + step
  return np.where(
    calls < recipe.milestone, recipe.rate, recipe.rate * recipe.factor
  )


@dataclasses.dataclass(frozen=True)
class Heads:
  """The head after every epoch.

  weight (P, W, C), bias (P, C), loss (P, S) float32, the mean loss of each
  batch before its step.
  """

  weight: np.ndarray
  bias: np.ndarray
  loss: np.ndarray

  def scores(self, features):
    """Logits (P, n, C) float32 of features (n, W)."""
    features = np.asarray(features, np.float32)
    count, width, classes = self.weight.shape
    flat = self.weight.transpose(1, 0, 2).reshape(width, -1)
    logits = (features @ flat).reshape(-1, count, classes) + self.bias
    return logits.transpose(1, 0, 2)


def train(features, labels, recipe=Recipe(), start=None, order=None):
  """Trains the head; the same input gives the same heads.

  Args:
    features, labels: (n, W) float32 and (n, C) of 0 and 1, as they are: the
      recipe does not standardise.
    recipe: Recipe.
    start: weight (W, C) and bias (C,); default `initial`.
    order: (P, S, B) int rows; default `batches`.

  Returns:
    Heads.
  """
  features = np.asarray(features, np.float32)
  labels = np.asarray(labels, np.float32)
  if not len(features):
    raise InputError(
      "merl probe: the share of the training rows holds no row; give a "
      "larger share"
    )
  if start is None:
    start = initial(features.shape[1], labels.shape[1], recipe.seed)
  order = batches(len(features), recipe) if order is None else order
  rate = rates(order.shape[1], recipe)
  step = 1.0 + np.arange(rate.size).reshape(rate.shape)
  # As torch: both corrections in double precision, applied in float32.
  size = (rate / (1 - recipe.b1**step)).astype(np.float32)
  root = np.sqrt(1 - recipe.b2**step).astype(np.float32)
  found = _run(recipe, features, labels, start, (order, size, root))
  return Heads(*map(np.asarray, found))


@functools.partial(jax.jit, static_argnums=0)
def _run(recipe, features, labels, start, steps):
  zeros = jax.tree.map(jnp.zeros_like, start)

  def one_step(state, given):
    head, first, second = state
    rows, size, root = given
    present = (rows >= 0).astype(jnp.float32)
    picked = features[rows], labels[rows], present
    loss, slope = jax.value_and_grad(_loss)(head, *picked)
    slope = jax.tree.map(lambda g, p: g + recipe.weight_decay * p, slope, head)
    first = jax.tree.map(
      lambda m, g: recipe.b1 * m + (1 - recipe.b1) * g, first, slope
    )
    second = jax.tree.map(
      lambda v, g: recipe.b2 * v + (1 - recipe.b2) * g * g, second, slope
    )
    head = jax.tree.map(
      lambda p, m, v: p - size * m / (jnp.sqrt(v) / root + recipe.epsilon),
      head,
      first,
      second,
    )
    return (head, first, second), loss

  def one_epoch(state, given):
    state, losses = jax.lax.scan(one_step, state, given)
    return state, (*state[0], losses)

  _, found = jax.lax.scan(one_epoch, (start, zeros, zeros), steps)
  return found


def _loss(head, features, labels, present):
  """Mean binary cross-entropy over the rows that are present."""
  weight, bias = head
  logits = jnp.matmul(features, weight, precision="highest") + bias
  loss = jnp.logaddexp(0.0, logits) - labels * logits
  return (loss * present[:, None]).sum() / (present.sum() * labels.shape[1])
