"""Loss and gradients out of the sums over tiles, for any spread of devices."""

import functools

import jax
import jax.numpy as jnp

from fgclep_jax.losses import arguments, moments


def loss(learned, given, *, meet, total, by_moments, gradients):
  """Value of the loss and, where wanted, its gradients.

  Args:
    learned, given: see `arguments.part`; on several devices the local part
      of each array.
    meet: function as `tiles.sweep` that gives `ecg` of the own rows and
      `text` of the own columns complete, and `value` and `bias` still to be
      added up over devices.
    total: adds a tree of arrays up over devices.
    by_moments: see `moments`.
    gradients: whether they are wanted.

  Returns:
    () value, and a dict of gradients with the names, shapes and types of
    `learned`, or None.
  """
  rows, columns, scalars = arguments.join(learned, given)
  parts = {
    "pairs": rows["pair_weights"].sum(),
    "texts": columns["text_weights"].sum(),
  }
  if by_moments:
    parts |= {"rows": moments.of_rows(rows)}
    parts |= {"columns": moments.of_columns(columns)}
  parts = total(parts)
  weight = parts["pairs"] * parts["texts"]
  # What is not finite has to show, so it is multiplied, not masked.
  share = jnp.where(weight == 0, 0, 1 / jnp.where(weight == 0, 1, weight))
  # Normalised weights: what comes out of the sweep is what is asked for.
  rows["pair_weights"] = rows["pair_weights"] * share
  start = None
  if by_moments:
    of_both = [share * x for x in parts["rows"]], parts["columns"]
    if gradients:
      start = moments.gradients(rows, columns, scalars, *of_both)
    rows, columns = map(moments.without_semantics, (rows, columns))
  sums = meet(rows, columns, scalars, gradients=gradients, start=start)
  parts = {"value": sums.value}
  if gradients:
    # The logit is scale e.z + bias: <e, dL/de> = dL/dlog_scale.
    parts["log_scale"] = (sums.ecg * rows["ecg"]).sum(axis=1).sum()
    parts["bias"] = sums.bias
  parts = total(parts)
  if by_moments:
    value, bias = moments.value(*of_both, scalars)
    parts["value"] -= value
    if gradients:
      parts["bias"] -= bias
  value = parts.pop("value")
  if not gradients:
    return value, None
  parts |= {"ecg": sums.ecg, "text": sums.text}
  return value, {n: parts[n].astype(x.dtype) for n, x in learned.items()}


def differentiable(function):
  """A scalar function whose gradients come with its value.

  Args:
    function: of (learned, given, gradients) to (value, gradients or None).

  Returns:
    function of (learned, given) to the value. `learned` gets gradients,
    `given` (weights, labels) gets none, as if under stop_gradient.
  """

  @jax.custom_vjp
  def value(learned, given):
    return function(learned, given, gradients=False)[0]

  def backward(gradients, cotangent):
    scaled = {
      name: (cotangent * x).astype(x.dtype) for name, x in gradients.items()
    }
    return scaled, None

  value.defvjp(functools.partial(function, gradients=True), backward)
  return value
