"""The loss as it is written down, dense: the reference of all other forms."""

import jax
import jax.numpy as jnp


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
  kind = jnp.promote_types(ecg.dtype, jnp.float32)
  ecg, text = ecg.astype(kind), text.astype(kind)
  logits = jnp.exp(jnp.asarray(log_scale, kind)) * dot(ecg, text)
  if bias is not None:
    logits = logits + jnp.asarray(bias, kind)
  if text_ids is not None:
    labels = _equality(ecg_ids, text_ids).astype(kind)
  else:
    labels = similarity(
      ecg_semantics.astype(kind), text_semantics.astype(kind), semantics_mask
    )
  labels = jax.lax.stop_gradient(labels)
  terms = labels * jax.nn.softplus(-logits)
  terms += (1 - labels) * jax.nn.softplus(logits)
  pairs = weights(pair_weights, ecg, kind)
  texts = weights(text_weights, text, kind)
  return normalise(pairs @ terms @ texts, pairs.sum() * texts.sum())


def dot(rows, columns):
  """(K, E), (U, E) -> (K, U) products."""
  # Full precision also where the default is a reduced one (TPU, TF32).
  return jnp.matmul(rows, columns.T, precision="highest")


def _equality(ecg_ids, text_ids):
  """(K, M), (U,) -> (K, U): does the report hold the statement?"""
  match = ecg_ids[:, :, None] == text_ids[None, None, :]
  return jnp.any(match & (ecg_ids >= 0)[:, :, None], axis=1)


def similarity(rows, columns, mask):
  """(K, Q) or (K, M, Q) against (U, Q) -> (K, U) in [0, 1]."""
  if rows.ndim == 2:
    return (1 + dot(rows, columns)) / 2
  products = jnp.einsum("kmq,uq->kmu", rows, columns, precision="highest")
  labels = (1 + products) / 2
  if mask is not None:
    labels = jnp.where(mask[:, :, None], labels, 0)
  return labels.max(axis=1)


def weights(given, like, kind):
  """(n,) weights of the rows `like`, 1 where none are given."""
  if given is None:
    return jnp.ones(like.shape[:1], kind)
  return given.astype(kind)


def normalise(total, weight):
  """total / weight, and 0 with zero gradient where all is masked."""
  # A weight that is not a number is not masked: it has to show.
  safe = jnp.where(weight == 0, 1, weight)
  return jnp.where(weight == 0, 0, total / safe)
