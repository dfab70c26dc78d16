"""The labels of rule `pair` without a K x U product.

With S = 1/2 + r.c/2 the loss is what it would be with all labels 1/2, less

    1/2 sum_ku w_k n_u x_ku <r_k, c_u>
      = 1/2 [exp(log_scale) <A, B> + bias <a, b>]
    A = sum_k w_k r_k e_k^T,  B = sum_u n_u c_u z_u^T    (Q, E)
    a = sum_k w_k r_k,        b = sum_u n_u c_u          (Q,)

because the logit is linear in both unit rows. So the labels cost (K + U) E Q
and not K U Q multiplications, and over devices (Q, E) numbers are added up
and no semantics are sent. Exact; a large batch gains a quarter of all
matrix products.
"""

import jax.numpy as jnp


def cheaper(rows, columns):
  """Whether the moments take fewer multiplications than labels in tiles."""
  if "text_semantics" not in columns or rows["ecg_semantics"].ndim != 2:
    return False
  pairs, width = rows["ecg"].shape
  texts = len(columns["text"])
  # The moments are float32 products, of up to 6 passes where bfloat16 takes
  # one; value and gradients take two products each for rows and columns.
  passes = 6 if rows["ecg_semantics"].dtype == jnp.bfloat16 else 1
  return pairs * texts > 2 * passes * (pairs + texts) * width


def without_semantics(group):
  """Rows or columns for the sweep with all labels 1/2."""
  names = ("ecg_semantics", "text_semantics", "semantics_mask")
  return {name: x for name, x in group.items() if name not in names}


def moments(unit, semantics, weights):
  """(n, E), (n, Q), (n,) -> (Q, E) and (Q,), sums over n."""
  kind = weights.dtype
  weighted = semantics.astype(kind) * weights[:, None]
  matrix = jnp.matmul(weighted.T, unit.astype(kind), precision="highest")
  return matrix, weighted.sum(axis=0)


def of_rows(rows):
  return moments(rows["ecg"], rows["ecg_semantics"], rows["pair_weights"])


def of_columns(columns):
  return moments(
    columns["text"], columns["text_semantics"], columns["text_weights"]
  )


def value(of_rows, of_columns, scalars):
  """() what comes off the sum over tiles, and its gradient by the bias."""
  scaled = jnp.exp(scalars["log_scale"]) * _inner(of_rows[0], of_columns[0])
  shifted = _inner(of_rows[1], of_columns[1])
  bias = scalars.get("bias", 0)
  return (scaled + bias * shifted) / 2, shifted / 2


def gradients(rows, columns, scalars, of_rows, of_columns):
  """Minus the gradients of it: (K, E) by the ECGs, (U, E) by the texts."""
  factor = -jnp.exp(scalars["log_scale"]) / 2

  def gradient(semantics, weights, matrix):
    weighted = semantics.astype(weights.dtype) * (factor * weights)[:, None]
    return jnp.matmul(weighted, matrix, precision="highest")

  return (
    gradient(rows["ecg_semantics"], rows["pair_weights"], of_columns[0]),
    gradient(columns["text_semantics"], columns["text_weights"], of_rows[0]),
  )


def _inner(a, b):
  """Sum of products, by rows first: float32 keeps more digits."""
  return (a * b).sum(axis=-1).sum()
