"""Losses that others use, to be compared with on equal footing.

Written for the compiler to split over devices: they hold (K, U) arrays.
"""

import jax
import jax.numpy as jnp

from fgclep_jax.losses import dense


def softmax_loss(
  ecg, text, place, *, log_scale, pair_weights=None, text_weights=None
):
  """Contrastive loss of CLIP, without labels of similarity.

      x_ku = exp(log_scale) <ecg_k, text_u>
      L = 1/2 mean_k [logsumexp_u(x_ku + log n_u) - x_k,t(k)]
        + 1/2 mean_u [logsumexp_k(x_ku) - mean_{k of u} x_ku], weighted by n_u

  With n_u the multiplicity of statement u among the pairs this is the loss
  over all K x K pairs (arXiv 2103.00020), where an equal text of another
  pair counts as wrong.

  Args:
    ecg: (K, E) unit rows, one ECG representation a pair.
    text: (U, E) unit rows, the distinct statements.
    place: (K,) int, which of them is the pair's own.
    log_scale: () logarithm of the logit scale.
    pair_weights: (K,) default 1; 0 masks a pair, 1 counts it.
    text_weights: (U,) n, default 1; 0 masks a statement.

  Returns:
    () loss in the inputs' type, at least float32; 0 when all is masked.
  """
  kind = jnp.promote_types(ecg.dtype, jnp.float32)
  pairs = dense.weights(pair_weights, ecg, kind)
  texts = dense.weights(text_weights, text, kind)
  logits = jnp.exp(jnp.asarray(log_scale, kind)) * dense.dot(
    ecg.astype(kind), text.astype(kind)
  )
  own = jnp.take_along_axis(logits, place[:, None], axis=1)[:, 0]
  held = jnp.zeros_like(texts).at[place].add(pairs)
  rows = _logsumexp(logits, texts[None], axis=1) - own
  columns = _logsumexp(logits, pairs[:, None], axis=0)
  share = texts / jnp.where(held > 0, held, 1)
  backward = jnp.where(held > 0, texts * columns, 0).sum()
  backward -= (pairs * share[place] * own).sum()
  forward = jnp.where(pairs > 0, pairs * rows, 0).sum()
  count = jnp.where(held > 0, texts, 0).sum()
  forward = dense.normalise(forward, pairs.sum())
  return (forward + dense.normalise(backward, count)) / 2


def fnm_loss(
  ecg,
  text,
  ecg_semantics,
  text_semantics,
  *,
  semantics_mask=None,
  pair_weights=None,
  text_weights=None,
):
  """False-negative mitigation of version 2: cosines as the texts' own.

      L = sum_ku w_k n_u |<ecg_k, text_u> - <r_k, c_u>|
          / (sum_k w_k  sum_u n_u)

  Args:
    ecg: (K, E) unit rows, one ECG representation a pair.
    text: (U, E) unit rows, the distinct statements.
    ecg_semantics: (K, Q) unit rows r, or (K, M, Q) with `semantics_mask`:
      the nearest of a report's M statements decides. Without gradient.
    text_semantics: (U, Q) unit rows c. Without gradient.
    semantics_mask: (K, M) bool, which statements of the report are there.
    pair_weights: (K,) w, default 1; 0 masks a pair.
    text_weights: (U,) n, default 1; 0 masks a statement.

  Returns:
    () loss in the inputs' type, at least float32; 0 when all is masked.
  """
  kind = jnp.promote_types(ecg.dtype, jnp.float32)
  pairs = dense.weights(pair_weights, ecg, kind)
  texts = dense.weights(text_weights, text, kind)
  labels = dense.similarity(
    ecg_semantics.astype(kind), text_semantics.astype(kind), semantics_mask
  )
  wanted = jax.lax.stop_gradient(2 * labels - 1)
  distance = dense.dot(ecg.astype(kind), text.astype(kind)) - wanted
  total = pairs @ jnp.abs(distance) @ texts
  return dense.normalise(total, pairs.sum() * texts.sum())


def _logsumexp(logits, weights, axis):
  """Over what weighs something; 0 where nothing does."""
  weights = jnp.broadcast_to(weights, logits.shape)
  found = jax.nn.logsumexp(logits, axis=axis, b=weights)
  return jnp.where((weights > 0).any(axis), found, 0)
