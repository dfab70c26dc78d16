"""The pure training step, and the loss of a batch."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax

from fgclep_jax import losses, sharding
from fgclep_jax.models import alignment, inputs, two_tower


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


def align(model, encoded, text, place, config):
  """What the statements of each record are compared with.

  Args:
    model: the two towers.
    encoded: tokens, pooled features and mask, of `model.encode_ecg`.
    text: (U, E) unit rows.
    place: (B, M) which of the texts a record holds, -1 for none.
    config: `config.ModelConfig`.

  Returns:
    (B, E) unit rows with alignment `pooled`, else (B, M, E), one for each
    statement.
  """
  tokens, pooled, there = encoded
  if config.alignment == "pooled":
    return model.project_ecg(pooled)
  tokens = model.project_ecg(tokens)
  statements, mask = text[jnp.maximum(place, 0)], place >= 0
  if config.alignment == "attention":
    return alignment.attention(
      statements, tokens, config.attention_temperature, mask, there
    )
  options = dataclasses.asdict(config.transport)
  return alignment.transport(statements, tokens, mask, there, **options)


def pair_arguments(model, ecg, text, batch, semantics, config):
  """Arguments of the losses for all pairs of a batch.

  Args:
    model: the two towers.
    ecg: (B, E) or (B, M, E) unit rows, see `align`.
    text: (U, E) unit rows.
    batch: see `data.batches.Batches`.
    semantics: (n, Q) unit rows by text number, or None for the projected
      text itself.
    config: `config.LossConfig`.

  Returns:
    Keyword arguments of the loss `config.name`, K = B * M.
  """
  place = batch["statement"]  # (B, M)
  count, width = place.shape
  there = place >= 0
  safe = jnp.maximum(place, 0)
  held = batch["text_weights"]
  # Padding weighs nothing at any power; what is not finite stays so.
  weights = jnp.where(held == 0, 0.0, held * held ** (config.multiplicity - 1))
  if ecg.ndim == 2:
    rows = jnp.repeat(ecg, width, axis=0)
  else:
    rows = ecg.reshape(count * width, -1)
  arguments = {
    "ecg": rows,
    "text": text,
    "pair_weights": there.reshape(-1).astype(jnp.float32),
    "text_weights": weights,
  }
  if config.name != "fnm":
    arguments["log_scale"] = model.log_scale[...]
  if config.name == "softmax":
    return arguments | {"place": safe.reshape(-1)}
  if config.name == "sigmoid":
    arguments["bias"] = None if model.bias is None else model.bias[...]
  if config.rule == "hard":
    ids = jnp.where(there, batch["text_ids"][safe], -1)
    return arguments | {
      "ecg_ids": jnp.repeat(ids, width, axis=0),
      "text_ids": batch["text_ids"],
    }
  columns = text
  if semantics is not None:
    columns = semantics[jnp.maximum(batch["text_ids"], 0)]
  columns = jax.lax.stop_gradient(columns)
  rows = columns[safe]  # (B, M, Q)
  if config.rule == "pair":
    rows, mask = rows.reshape(count * width, -1), None
  else:
    rows = jnp.repeat(rows, width, axis=0)
    mask = jnp.repeat(there, width, axis=0)
  return arguments | {
    "ecg_semantics": rows,
    "text_semantics": columns,
    "semantics_mask": mask,
  }


def loss_function(config, mesh):
  """The loss that `config.LossConfig` names, of pairs split over the mesh."""
  if config.name == "softmax":
    return losses.softmax_loss
  if config.name == "fnm":
    return losses.fnm_loss
  return losses.sharded_soft_sigmoid_loss(
    mesh, sharding.AXES, config.exchange, config.tile
  )


def batch_loss(
  params, batch, semantics, key, *, definition, config, mesh, train
):
  """Loss of a batch, and the running statistics it leaves behind.

  Args:
    params: {name: array}, all of them.
    batch: arrays of `data.batches.Batches`, without `records`.
    semantics: (n, Q) or None, see `pair_arguments`.
    key: random key of this step, or None outside training.
    definition, config, mesh: static.
    train: whether to augment, drop out and use the batch's statistics.
  """
  model = two_tower.merge(definition, params)
  signal = inputs.millivolts(batch["ecg"])
  leads, samples = inputs.recorded(signal)
  keys = [None] * 3
  if train:
    keys = jax.random.split(key, 3)
    signal, leads = inputs.augment(
      keys[0], signal, leads, samples, config.augment, config.data.rate
    )
  encoded = model.encode_ecg(
    signal, leads, samples, train=train, key=keys[1]
  )
  text = model.embed_text(batch["tokens"], key=keys[2])
  ecg = align(model, encoded, text, batch["statement"], config.model)
  loss = loss_function(config.loss, mesh)
  arguments = pair_arguments(
    model, ecg, text, batch, semantics, config.loss
  )
  return loss(**arguments), two_tower.statistics(model)


def train_step(
  state, batch, semantics, *, definition, config, mesh, optimizer, frozen
):
  """One step of training; pure, to be compiled by `jax.jit`.

  A step whose loss or gradient is not finite changes nothing but the step
  number and reports `skipped` = 1.

  Returns:
    The next state, and {name: scalar} of metrics.
  """
  key = jax.random.fold_in(jax.random.key(config.seed), state.step)
  trainable, still = split(state.params, frozen)

  def loss_of(trainable):
    return batch_loss(
      trainable | still,
      batch,
      semantics,
      key,
      definition=definition,
      config=config,
      mesh=mesh,
      train=True,
    )

  (loss, statistics), grads = jax.value_and_grad(loss_of, has_aux=True)(
    trainable
  )
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
    "scale": jnp.exp(params["log_scale"]),
    "skipped": 1 - good.astype(jnp.int32),
  }
  return TrainState(state.step + 1, params, opt_state), metrics
