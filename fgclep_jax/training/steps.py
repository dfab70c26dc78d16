"""The pure training step."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax

from fgclep_jax import optim
from fgclep_jax.models import two_tower
from fgclep_jax.training import objective


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=("step", "params", "opt_state"),
  meta_fields=(),
)
@dataclasses.dataclass(frozen=True)
class TrainState:
  """What a step changes.

  Attributes:
    step: () int32, steps taken.
    params: {name: array}, running statistics included.
    opt_state: of optax, over the trainable parameters alone.
  """

  step: jax.Array
  params: dict
  opt_state: optax.OptState


def split(params, frozen):
  """Parts params into (trainable, held still)."""
  still = {
    name: x
    for name, x in params.items()
    if name in frozen or two_tower.is_statistic(name)
  }
  return {n: x for n, x in params.items() if n not in still}, still


def first_state(params, optimizer, frozen):
  """The state before the first step."""
  trainable, _ = split(params, frozen)
  return TrainState(
    jnp.zeros((), jnp.int32), params, optimizer.init(trainable)
  )


def make_step(config, definition, params, mesh, total):
  """The training step of a run.

  Args:
    config: `config.TrainConfig`.
    definition, params: of `two_tower.abstract`.
    mesh: of `sharding.make_mesh`.
    total: steps of the whole run.

  Returns:
    (state, batch, semantics, cache) -> (state, metrics), to be compiled; the
    optimizer, and the names of the parameters held still.
  """
  names = [name for name in params if not two_tower.is_statistic(name)]
  frozen = optim.frozen_names(config.optim, names)
  optimizer = optim.create(config.optim, total)
  step = functools.partial(
    train_step,
    definition=definition,
    config=config,
    mesh=mesh,
    optimizer=optimizer,
    frozen=frozen,
  )
  return step, optimizer, frozen


def train_step(
  state, batch, semantics, cache=None, *, definition, config, mesh, optimizer,
  frozen,
):  # fmt: skip
  """One step of training, see `descend`; pure, to be compiled by `jax.jit`.

  Returns:
    The next state, and {name: scalar} of metrics.
  """
  key = jax.random.fold_in(jax.random.key(config.seed), state.step)
  slopes_of = functools.partial(
    objective.gradients,
    batch=batch,
    semantics=semantics,
    key=key,
    definition=definition,
    config=config,
    mesh=mesh,
    cache=cache,
  )
  state, metrics = descend(state, slopes_of, optimizer, frozen)
  return state, metrics | {
    "scale": jnp.exp(state.params["log_scale"]),
    "distinct_texts": (batch["text_ids"] >= 0).sum(),
  }


def descend(state, slopes_of, optimizer, frozen):
  """Moves the parameters that are not frozen against the gradient.

  A step whose loss or gradient is not finite changes nothing but the step
  number and reports `skipped` = 1.

  Args:
    state: `TrainState`.
    slopes_of: (trainable, still) -> (loss, running statistics it leaves
      behind), gradients by the trainable.
    optimizer: of optax. frozen: names of the parameters held still.

  Returns:
    The next state, and {name: scalar} of metrics.
  """
  trainable, still = split(state.params, frozen)
  (loss, statistics), grads = slopes_of(trainable, still)
  norm = optax.tree.norm(grads)
  updates, opt_state = optimizer.update(grads, state.opt_state, trainable)
  params = still | statistics | optax.apply_updates(trainable, updates)
  good = jnp.isfinite(loss) & jnp.isfinite(norm)
  params, opt_state = jax.tree.map(
    lambda new, old: jnp.where(good, new, old),
    (params, opt_state),
    (state.params, state.opt_state),
  )
  metrics = {
    "loss": loss,
    "grad_norm": norm,
    "skipped": 1 - good.astype(jnp.int32),
  }
  return TrainState(state.step + 1, params, opt_state), metrics
