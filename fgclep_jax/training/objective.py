"""The loss of a batch of pairs, and its gradient: pure functions."""

import dataclasses

import jax
import jax.numpy as jnp

from fgclep_jax import losses, sharding
from fgclep_jax.models import alignment, inputs, two_tower
from fgclep_jax.training import text_cache

# Names of the text tower's parameters; what of a batch has a row a record.
TEXT = ("text.", "text_projection.")
PARTED = ("ecg", "statement")


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


def encode(model, ecg, keys, config, train):
  """`model.encode_ecg` of (B, 12, T) int16 microvolts, augmented in training.

  keys: of the augmentation and of dropout; not used outside training.
  """
  signal = inputs.millivolts(ecg)
  leads, samples = inputs.recorded(signal)
  if train:
    signal, leads = inputs.augment(
      keys[0], signal, leads, samples, config.augment, config.data.rate
    )
  return model.encode_ecg(signal, leads, samples, train=train, key=keys[1])


def batch_loss(
  params, batch, semantics, key, *, definition, config, mesh, train, cache=None
):
  """Loss of a batch, and the running statistics it leaves behind.

  Args:
    params: {name: array}, all of them.
    batch: arrays of `data.batches.Batches`, without `records`.
    semantics: (n, Q) or None, see `pair_arguments`.
    key: random key of this step, or None outside training.
    definition, config, mesh: static.
    train: whether to augment, drop out and use the batch's statistics.
    cache: `text_cache.TextCache` of the frozen part of the text tower, or
      None to run it.
  """
  model = two_tower.merge(definition, params)
  keys = jax.random.split(key, 3) if train else [None] * 3
  encoded = encode(model, batch["ecg"], keys[:2], config, train)
  text = text_cache.embed(model, batch, cache, keys[2], mesh.size)
  ecg = align(model, encoded, text, batch["statement"], config.model)
  loss = loss_function(config.loss, mesh)
  arguments = pair_arguments(
    model, ecg, text, batch, semantics, config.loss
  )
  return loss(**arguments), two_tower.statistics(model)


def gradients(
  trainable, still, batch, semantics, key, *, definition, config, mesh,
  cache=None,
):  # fmt: skip
  """`batch_loss` in training, with its gradient.

  Args:
    trainable, still: {name: array}, parameters that are learned and others.
    batch, semantics, key, definition, config, mesh, cache: see `batch_loss`.

  Returns:
    (loss, running statistics), gradients by `trainable`.
  """
  static = {"definition": definition, "config": config, "mesh": mesh}
  static["cache"] = cache
  if config.optim.micro_batches > 1:
    return _in_micro_batches(
      trainable, still, batch, semantics, key, **static
    )

  def loss_of(trainable):
    params = trainable | still
    return batch_loss(params, batch, semantics, key, train=True, **static)

  return jax.value_and_grad(loss_of, has_aux=True)(trainable)


def _in_micro_batches(
  trainable, still, batch, semantics, key, *, definition, config, mesh, cache
):
  """The same, a part of the ECGs at a time against all of the texts.

  The loss is a sum over pairs, so the parts add up to it, and one pass of
  each ECG is enough: the texts are encoded once, and the gradient by their
  embeddings is gathered over the parts before it goes into the text tower.
  What is drawn at random is drawn for each part, and batch norms take the
  statistics of a part: with these, results are those of other draws.
  """
  count = config.optim.micro_batches
  keys = jax.random.split(key, 3)
  of_text = {n: x for n, x in trainable.items() if n.startswith(TEXT)}
  of_rest = {n: x for n, x in trainable.items() if n not in of_text}
  loss = loss_function(config.loss, mesh)
  pairs = (batch["statement"] >= 0).sum()

  def embed(of_text):
    model = two_tower.merge(definition, of_text | of_rest | still)
    return text_cache.embed(model, batch, cache, keys[2], mesh.size)

  text, backward = jax.vjp(embed, of_text)

  def part_loss(of_rest, text, statistics, part):
    model = two_tower.merge(
      definition, of_text | of_rest | still | statistics
    )
    encoded = encode(model, part["ecg"], part["keys"], config, train=True)
    ecg = align(model, encoded, text, part["statement"], config.model)
    rows = batch | {"statement": part["statement"]}
    arguments = pair_arguments(model, ecg, text, rows, semantics, config.loss)
    share = (part["statement"] >= 0).sum() / jnp.maximum(pairs, 1)
    return share * loss(**arguments), two_tower.statistics(model)

  def step(carry, part):
    total, statistics, slopes = carry
    slope = jax.value_and_grad(part_loss, argnums=(0, 1), has_aux=True)
    (value, statistics), found = slope(of_rest, text, statistics, part)
    slopes = jax.tree.map(jnp.add, slopes, found)
    return (total + value, statistics, slopes), None

  parts = {name: _cut(batch[name], count, mesh) for name in PARTED}
  parts["keys"] = jax.vmap(lambda k: jax.random.split(k, count), out_axes=1)(
    keys[:2]
  )
  start = (
    jnp.zeros((), jnp.float32),
    {n: x for n, x in still.items() if two_tower.is_statistic(n)},
    jax.tree.map(jnp.zeros_like, (of_rest, text)),
  )
  (total, statistics, slopes), _ = jax.lax.scan(step, start, parts)
  return (total, statistics), slopes[0] | backward(slopes[1])[0]


def _cut(x, count, mesh):
  """(B, ...) -> (count, B / count, ...), each part on all devices."""
  devices = mesh.size
  x = x.reshape(devices, count, -1, *x.shape[1:]).swapaxes(0, 1)
  x = x.reshape(count, -1, *x.shape[3:])
  return jax.lax.with_sharding_constraint(x, sharding.parts(mesh))
