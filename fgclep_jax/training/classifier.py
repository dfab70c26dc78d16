"""An ECG encoder with a linear head on its pooled features, fitted to labels.

Shapes: B records, T samples, W pooled features, C classes, S steps.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from fgclep_jax import config as config_lib
from fgclep_jax import optim, sharding
from fgclep_jax.models import two_tower
from fgclep_jax.training import objective, steps

KERNEL, BIAS = "head.kernel", "head.bias"
_UNUSED = "ecg_projection."  # leads to the texts: no label is behind it


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How long and how fast; fixed beforehand, the same for every share.

  A run takes `epochs`, but never fewer than `least_steps`. It is judged
  `checks` times at even distances, and ends early when `patience` of them
  in turn found nothing better. AdamW, warm-up over a tenth of the steps,
  then cosine to zero; `encoder_rate` is the encoder's rate over the head's.
  """

  epochs: float = 30.0
  least_steps: int = 300
  checks: int = 20
  patience: int = 6
  batch: int = 64
  learning_rate: float = 1e-3
  encoder_rate: float = 1.0
  weight_decay: float = 0.01

  def steps(self, count):
    """Steps of a run on `count` records."""
    return max(self.least_steps, round(self.epochs * count / self.batch))

  def optimizer(self, total):
    """The optax transformation of a run of `total` steps."""
    chosen = config_lib.OptimConfig(
      learning_rate=self.learning_rate,
      weight_decay=self.weight_decay,
      rates=((r"^ecg\.", self.encoder_rate),),
    )
    return optim.create(chosen, total)


@dataclasses.dataclass(frozen=True)
class Fitted:
  """The parameters at the best check.

  params: see `start`. step: of that check. curve: {step: value} of all.
  """

  params: dict
  step: int
  curve: dict


def start(config, params, classes, seed):
  """Parameters before the first step: those of the encoder, a head of zeros.

  Args:
    config: `config.TrainConfig`.
    params: {name: array} of a model, or None to draw the encoder.
    classes: C.
    seed: of the encoder's parameters where they are drawn.

  Returns:
    {name: array}: encoder and projection, `head.kernel` (W, C),
    `head.bias` (C,).
  """
  _, wanted = two_tower.abstract(config, None)
  if params is None:
    _, params = two_tower.create(config, None, seed)
  width = wanted[f"{_UNUSED}kernel"].shape[0]
  head = {KERNEL: jnp.zeros((width, classes)), BIAS: jnp.zeros(classes)}
  return {name: params[name] for name in wanted} | head


def apart(params):
  """Returns the encoder's {name: array}, and kernel and bias of the head."""
  head = {KERNEL: params[KERNEL], BIAS: params[BIAS]}
  return {n: x for n, x in params.items() if n not in head}, head.values()


def fit(config, params, signals, labels, judge, recipe, total, seed, mesh):
  """Trains encoder and head; the same input gives the same parameters.

  Args:
    config: `config.TrainConfig` of the encoder, its augmentation included.
    params: see `start`.
    signals: rows (B,) -> (B, 12, T) int16 microvolts.
    labels: (n, C) of 0 and 1.
    judge: params -> float, on records that are not trained on.
    recipe: Recipe. total: steps of the whole run.
    seed: of the order of records, augmentation and dropout.
    mesh: whose devices share every batch.

  Returns:
    Fitted.
  """
  # One program serves all seeds: they come as an argument.
  config = dataclasses.replace(config, seed=0)
  step, optimizer, frozen = _compiled(config, recipe, total)
  state = jax.device_put(
    steps.first_state(params, optimizer, frozen),
    sharding.replicated(mesh),
  )
  labels, key = np.asarray(labels, np.float32), jax.random.key(seed)
  size = batch_size(recipe.batch, len(labels), mesh.size)
  due = {*np.linspace(0, total, recipe.checks + 1).round().astype(int)[1:]}
  best, curve = None, {}
  for number, rows in enumerate(order(len(labels), size, total, seed), 1):
    batch = jax.device_put(
      (signals(rows), labels[rows]), sharding.batch(mesh)
    )
    state, _ = step(state, *batch, key)
    if number not in due:
      continue
    curve[number] = judge(state.params)
    if best is None or curve[number] > curve[best.step]:
      best = Fitted(state.params, number, curve)
    elif sum(n > best.step for n in curve) >= recipe.patience:
      break
  return best


def batch_size(wanted, count, devices):
  """Halves the wanted size until there are as many records.

  Subsets of nearly one size thus share a program. At least one record a
  device, and a multiple of their number.
  """
  while wanted > count:
    wanted //= 2
  return max(1, wanted // devices) * devices


def order(count, size, total, seed):
  """(S, B) rows: one permutation of the records after another, cut evenly.

  No batch is padded, which batch norms would see, and none dropped.
  """
  rng = np.random.default_rng([seed, count])
  turns = [rng.permutation(count) for _ in range(-(-total * size // count))]
  return np.concatenate(turns)[: total * size].reshape(total, size)


@functools.lru_cache(maxsize=4)
def _compiled(config, recipe, total):
  """The step (state, ecg, labels, key), its optimizer, what it holds still."""
  definition, names = two_tower.abstract(config, None)
  frozen = frozenset(n for n in names if n.startswith(_UNUSED))
  optimizer = recipe.optimizer(total)
  step = functools.partial(
    _step,
    definition=definition,
    config=config,
    optimizer=optimizer,
    frozen=frozen,
  )
  return jax.jit(step), optimizer, frozen


def _step(state, ecg, labels, key, *, definition, config, optimizer, frozen):
  """One step on (B, 12, T) int16 and (B, C) labels."""
  keys = jax.random.split(jax.random.fold_in(key, state.step))

  def loss_of(trainable, still):
    encoder, (kernel, bias) = apart(trainable | still)
    model = two_tower.merge(definition, encoder)
    _, pooled, _ = objective.encode(model, ecg, keys, config, train=True)
    logits = pooled @ kernel + bias
    loss = (jnp.logaddexp(0.0, logits) - labels * logits).mean()
    return loss, two_tower.statistics(model)

  slopes_of = jax.value_and_grad(loss_of, has_aux=True)
  return steps.descend(state, slopes_of, optimizer, frozen)
