"""The loss of pairs that are split over devices."""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from fgclep_jax.errors import InputError
from fgclep_jax.losses import dense

EXCHANGES = ("auto", "gather")


def sharded_soft_sigmoid_loss(mesh, axis="data", exchange="auto"):
  """The same loss with the pairs split over devices.

  Args:
    mesh: the device mesh.
    axis: mesh axis, or tuple of axes, that splits the K pairs.
    exchange: how statements meet pairs. `gather`: each device holds U / D
      statements, all are gathered. `auto` takes the cheapest.

  Returns:
    A function with the arguments of `soft_sigmoid_loss` on global arrays. K
    must be divisible by the number of devices along `axis`; U is padded
    inside. Value and gradients equal the dense loss.
  """
  if exchange not in EXCHANGES:
    raise InputError(
      f"exchange={exchange!r}: choose one of {', '.join(EXCHANGES)}"
    )
  axes = (axis,) if isinstance(axis, str) else tuple(axis)
  devices = 1
  for name in axes:
    devices *= mesh.shape[name]

  def loss(ecg, text, ecg_semantics=None, text_semantics=None, **options):
    if ecg.shape[0] % devices:
      raise InputError(
        f"{ecg.shape[0]} pairs over {devices} devices: the number of pairs "
        "must be divisible by the number of devices"
      )
    rows, columns, scalars = _arguments(
      ecg, text, ecg_semantics, text_semantics, **options
    )
    columns = _pad_columns(columns, -len(text) % devices)

    def local(rows, columns, scalars):
      columns = jax.tree.map(
        lambda x: jax.lax.all_gather(x, axes, tiled=True), columns
      )
      total, pairs, texts = dense.sums(**rows, **columns, **scalars)
      total, pairs = jax.lax.psum((total, pairs), axes)
      # The gathered weights are equal everywhere; the mean says so to JAX.
      return dense.normalise(total, pairs * jax.lax.pmean(texts, axes))

    split = P(axes)
    return jax.shard_map(
      local, mesh=mesh, in_specs=(split, split, P()), out_specs=P()
    )(rows, columns, scalars)

  return loss


def _arguments(
  ecg,
  text,
  ecg_semantics,
  text_semantics,
  *,
  log_scale,
  bias=None,
  pair_weights=None,
  text_weights=None,
  semantics_mask=None,
  ecg_ids=None,
  text_ids=None,
):
  """Sorts the arguments by what is split, leaving out those not given."""
  kind = jnp.promote_types(ecg.dtype, jnp.float32)
  if text_weights is None:
    text_weights = jnp.ones(text.shape[:1], kind)
  rows = {
    "ecg": ecg,
    "ecg_semantics": ecg_semantics,
    "pair_weights": pair_weights,
    "semantics_mask": semantics_mask,
    "ecg_ids": ecg_ids,
  }
  columns = {
    "text": text,
    "text_semantics": text_semantics,
    "text_weights": text_weights,
    "text_ids": text_ids,
  }
  scalars = {"log_scale": jnp.asarray(log_scale)}
  if bias is not None:
    scalars["bias"] = jnp.asarray(bias)

  def given(group):
    return {name: x for name, x in group.items() if x is not None}

  return given(rows), given(columns), scalars


def _pad_columns(columns, count):
  """Adds `count` columns of weight 0."""
  return {
    name: jnp.pad(x, [(0, count)] + [(0, 0)] * (x.ndim - 1))
    for name, x in columns.items()
  }
