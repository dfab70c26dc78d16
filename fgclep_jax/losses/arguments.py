"""Arguments of the loss, sorted by what they belong to."""

import jax
import jax.numpy as jnp

LEARNED = ("ecg", "text", "log_scale", "bias")


def sort(
  ecg,
  text,
  ecg_semantics=None,
  text_semantics=None,
  *,
  log_scale,
  bias=None,
  pair_weights=None,
  text_weights=None,
  semantics_mask=None,
  ecg_ids=None,
  text_ids=None,
):
  """Sorts the arguments of `dense.soft_sigmoid_loss`.

  Returns:
    Three dicts of arrays by the argument's name, without those not given:
    of rows (first axis K), of columns (first axis U), of scalars. Weights
    are always there.
  """
  ecg, text = jnp.asarray(ecg), jnp.asarray(text)
  kind = jnp.promote_types(ecg.dtype, jnp.float32)
  if pair_weights is None:
    pair_weights = jnp.ones(ecg.shape[:1], kind)
  if text_weights is None:
    text_weights = jnp.ones(text.shape[:1], kind)
  rows = {"ecg": ecg, "pair_weights": jnp.asarray(pair_weights, kind)}
  columns = {"text": text, "text_weights": jnp.asarray(text_weights, kind)}
  if text_ids is not None:
    rows["ecg_ids"], columns["text_ids"] = ecg_ids, text_ids
  else:
    rows["ecg_semantics"] = ecg_semantics
    columns["text_semantics"] = text_semantics
    if semantics_mask is not None and ecg_semantics.ndim == 3:
      rows["semantics_mask"] = semantics_mask
  scalars = {"log_scale": jnp.asarray(log_scale, kind)}
  if bias is not None:
    scalars["bias"] = jnp.asarray(bias, kind)
  return *jax.tree.map(jnp.asarray, (rows, columns)), scalars


def part(rows, columns, scalars):
  """Splits sorted arguments into (learned, given), dicts by name."""
  everything = rows | columns | scalars
  learned = {
    name: everything.pop(name) for name in LEARNED if name in everything
  }
  return learned, everything


def join(learned, given):
  """The inverse of `part`: (rows, columns, scalars)."""
  everything = learned | given
  groups = {}, {}, {}
  for name, x in everything.items():
    if name in ("log_scale", "bias"):
      groups[2][name] = x
    else:
      groups[name.startswith("text")][name] = x
  return groups


def pad(x, count):
  """Adds `count` rows of zeros, which weigh nothing."""
  if not count:
    return x
  return jnp.pad(x, [(0, count)] + [(0, 0)] * (x.ndim - 1))
