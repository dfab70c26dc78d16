"""Floating-point operations of a program, counted from its jaxpr."""

import math

import numpy as np


def count(jaxpr):
  """Operations of the matrix products and convolutions of all devices.

  A multiplication and an addition are two. Element-wise operations are not
  counted, nor products with the padding of a convolution or with the holes
  of a dilated one. Scans count as often as they run, of a condition's
  branches the costliest, a shard_map once for each device.

  Args:
    jaxpr: of `jax.make_jaxpr`, or its `.jaxpr`.

  Returns:
    (operations, how many loops have a trip count that only the data know:
    they are counted as if they ran once).
  """
  total, unknown = 0, 0
  for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
      total += _dot(equation)
    elif name == "conv_general_dilated":
      total += _convolution(equation)
    parts = [count(inner) for inner in _inner(params)]
    if name == "cond" and parts:
      parts = [max(parts)]
    times = _times(name, params)
    total += times * sum(n for n, _ in parts)
    unknown += sum(n for _, n in parts) + (name == "while")
  return total, unknown


def _inner(params):
  """The jaxprs among the parameters of an equation, also within tuples."""
  for value in params.values():
    for each in value if isinstance(value, (tuple, list)) else (value,):
      if hasattr(each, "eqns") or hasattr(each, "jaxpr"):
        yield each


def _times(name, params):
  if name == "scan":
    return params["length"]
  if name == "shard_map":
    return math.prod(
      params["mesh"].shape[axis] for axis in params["newly_manual_axes"]
    )
  if name == "pallas_call":
    return math.prod(params["grid_mapping"].grid)
  return 1


def _dot(equation):
  (contracted, _), _ = equation.params["dimension_numbers"]
  left = equation.invars[0].aval.shape
  out = equation.outvars[0].aval.shape
  return 2 * math.prod(out) * math.prod(left[i] for i in contracted)


def _convolution(equation):
  params = equation.params
  spec = params["dimension_numbers"]
  left, kernel = (x.aval.shape for x in equation.invars)
  out = equation.outvars[0].aval.shape
  taps = 1
  for i, padding in enumerate(params["padding"]):
    taps *= _taps(
      left[spec.lhs_spec[2 + i]],
      kernel[spec.rhs_spec[2 + i]],
      out[spec.out_spec[2 + i]],
      padding[0],
      params["window_strides"][i],
      params["lhs_dilation"][i],
      params["rhs_dilation"][i],
    )
  features = kernel[spec.rhs_spec[0]] * kernel[spec.rhs_spec[1]]
  return 2 * taps * features * out[spec.out_spec[0]]


def _taps(size, kernel, out, low, stride, holes, spread):
  """Pairs of an output and a tap of the kernel that meet an input."""
  place = np.arange(out)[:, None] * stride + np.arange(kernel) * spread - low
  inside = (place >= 0) & (place <= (size - 1) * holes)
  return int((inside & (place % holes == 0)).sum())
