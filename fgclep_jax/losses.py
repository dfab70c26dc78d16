"""The soft sigmoid loss over pairs x distinct statements.

Legend: K pairs (an ECG with one statement of its report), U distinct
statements, E embedding width, Q width of the label semantics, M statements
of one report.
"""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from fgclep_jax.errors import InputError

EXCHANGES = ("auto", "gather")


def soft_sigmoid_loss(
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
  """Soft sigmoid pairwise loss, dense: it holds (K, U) arrays.

      x_ku = exp(log_scale) <ecg_k, text_u> + bias
      L = sum_ku w_k n_u [S_ku softplus(-x_ku) + (1 - S_ku) softplus(x_ku)]
          / (sum_k w_k  sum_u n_u)

  With n_u the multiplicity of statement u among the pairs this equals the
  sum over all K x K pairs of arXiv 2505.11939. The labels S get no gradient.

  Args:
    ecg: (K, E) unit rows, one ECG representation a pair.
    text: (U, E) unit rows, the distinct statements.
    ecg_semantics: (K, Q) unit rows: S = (1 + r.c) / 2, rule `pair`; or
      (K, M, Q) with `semantics_mask`: S is the maximum over M, rule `report`.
    text_semantics: (U, Q) unit rows.
    log_scale: () logarithm of the logit scale.
    bias: () logit bias, or None for none.
    pair_weights: (K,) w, default 1; 0 masks a pair.
    text_weights: (U,) n, default 1; 0 masks a statement.
    semantics_mask: (K, M) bool, which statements of the report are there.
    ecg_ids: (K, M) int, padded with -1, instead of semantics: S = 1 where an
      id equals the column's, else 0, rule `hard`.
    text_ids: (U,) int.

  Returns:
    () loss in the inputs' type, at least float32; 0 when all weights are 0.
  """
  total, pairs, texts = _sums(
    ecg,
    text,
    ecg_semantics,
    text_semantics,
    log_scale=log_scale,
    bias=bias,
    pair_weights=pair_weights,
    text_weights=text_weights,
    semantics_mask=semantics_mask,
    ecg_ids=ecg_ids,
    text_ids=text_ids,
  )
  return _normalise(total, pairs * texts)


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
      total, pairs, texts = _sums(**rows, **columns, **scalars)
      total, pairs = jax.lax.psum((total, pairs), axes)
      # The gathered weights are equal everywhere; the mean says so to JAX.
      return _normalise(total, pairs * jax.lax.pmean(texts, axes))

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


def _sums(
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
  """Weighted sum of the loss, of the pair weights, of the text weights."""
  kind = jnp.promote_types(ecg.dtype, jnp.float32)
  ecg, text = ecg.astype(kind), text.astype(kind)
  # Full precision also where the default is a reduced one (TPU, TF32).
  dot = jnp.matmul(ecg, text.T, precision="highest")
  logits = jnp.exp(jnp.asarray(log_scale, kind)) * dot
  if bias is not None:
    logits = logits + jnp.asarray(bias, kind)
  if text_ids is not None:
    labels = _equality(ecg_ids, text_ids).astype(kind)
  else:
    labels = _similarity(
      ecg_semantics.astype(kind), text_semantics.astype(kind), semantics_mask
    )
  labels = jax.lax.stop_gradient(labels)
  terms = labels * jax.nn.softplus(-logits)
  terms += (1 - labels) * jax.nn.softplus(logits)
  pair_weights = _weights(pair_weights, ecg, kind)
  text_weights = _weights(text_weights, text, kind)
  total = pair_weights @ terms @ text_weights
  return total, pair_weights.sum(), text_weights.sum()


def _equality(ecg_ids, text_ids):
  """(K, M), (U,) -> (K, U): does the report hold the statement?"""
  match = ecg_ids[:, :, None] == text_ids[None, None, :]
  return jnp.any(match & (ecg_ids >= 0)[:, :, None], axis=1)


def _similarity(rows, columns, mask):
  """(K, Q) or (K, M, Q) against (U, Q) -> (K, U) in [0, 1]."""
  if rows.ndim == 2:
    return (1 + jnp.matmul(rows, columns.T, precision="highest")) / 2
  dot = jnp.einsum("kmq,uq->kmu", rows, columns, precision="highest")
  labels = (1 + dot) / 2
  if mask is not None:
    labels = jnp.where(mask[:, :, None], labels, 0)
  return labels.max(axis=1)


def _weights(weights, like, kind):
  if weights is None:
    return jnp.ones(like.shape[:1], kind)
  return weights.astype(kind)


def _normalise(total, weight):
  """total / weight, and 0 with zero gradient where all is masked."""
  safe = jnp.where(weight > 0, weight, 1)
  return jnp.where(weight > 0, total / safe, 0)
