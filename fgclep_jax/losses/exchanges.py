"""How rows meet columns over devices, and the bytes that each way sends.

D devices hold b = K / D rows and u = U / D columns each. Bytes are those one
device sends in one step: (n - 1) x for gathering blocks of x bytes from n
devices and for adding blocks of x bytes up where they belong, 2 (n - 1) x / n
for adding x bytes up everywhere.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from fgclep_jax.losses import moments

EXCHANGES = ("auto", "gather", "ring", "grid")


def _bytes_each(group):
  """Bytes a step sends of each row or column: (there, gradient back)."""
  sizes = {
    name: math.prod(x.shape[1:]) * x.dtype.itemsize for name, x in group.items()
  }
  unit = group["ecg" if "ecg" in group else "text"]
  kind = jnp.promote_types(unit.dtype, jnp.float32)
  return sum(sizes.values()), unit.shape[1] * kind.itemsize


def _travelling(rows, columns, by_moments):
  """Rows and columns without the semantics where the moments replace them."""
  if not by_moments:
    return rows, columns
  return tuple(map(moments.without_semantics, (rows, columns)))


def grid_shape(devices, rows, columns, by_moments=None):
  """Folds the devices into (r, c), the one that sends the fewest bytes.

  Rows are gathered over c devices and columns over r. With as many rows as
  columns of one width this is as square as it goes; with few columns it is
  `gather`, (devices, 1).

  Args:
    devices, rows, columns, by_moments: see `bytes_sent`.
  """
  if by_moments is None:
    by_moments = moments.cheaper(rows, columns)
  group = _travelling(rows, columns, by_moments)
  shapes = [
    (devices // c, c) for c in range(1, devices + 1) if devices % c == 0
  ]
  return min(shapes, key=lambda shape: _grid_bytes(shape, *group))


def bytes_sent(
  exchange, devices, rows, columns, *, gradients=True, by_moments=None
):
  """Bytes that each device sends for one value with gradients.

  Args:
    exchange: `gather`, `ring` or `grid`.
    devices: D.
    rows, columns: dicts of global arrays or `jax.ShapeDtypeStruct`, see
      `arguments.sort`, with the semantics.
    gradients: False counts the value alone.
    by_moments: whether moments replace the labels, so that no semantics
      travel; None as `moments.cheaper` says.

  Returns:
    float; the sums of five single numbers are left out.
  """
  if by_moments is None:
    by_moments = moments.cheaper(rows, columns)
  group = _travelling(rows, columns, by_moments)
  # What goes around in a ring is what would be gathered.
  shape = (devices, 1)
  if exchange == "grid":
    shape = grid_shape(devices, rows, columns, by_moments)
  moved = _moment_bytes(devices, rows) if by_moments else 0
  return moved + _grid_bytes(shape, *group, gradients)


def _moment_bytes(devices, rows):
  kind = jnp.promote_types(rows["ecg"].dtype, jnp.float32)
  numbers = rows["ecg_semantics"].shape[1] * (rows["ecg"].shape[1] + 1)
  return 2 * (devices - 1) / devices * 2 * numbers * kind.itemsize


def _grid_bytes(shape, rows, columns, gradients=True):
  devices = shape[0] * shape[1]
  total = 0
  for group, others in ((rows, shape[1] - 1), (columns, shape[0] - 1)):
    there, back = _bytes_each(group)
    block = -(-_count(group) // devices)
    total += others * block * (there + back * gradients)
  return total


def _count(group):
  return group["ecg" if "ecg" in group else "text"].shape[0]


def cheapest(devices, rows, columns):
  """The exchange that sends the fewest bytes, the simplest of equals."""
  names = EXCHANGES[1:]
  return min(names, key=lambda n: bytes_sent(n, devices, rows, columns))


def grid(
  rows, columns, scalars, *, gradients, start, axes, shape, sweep, even
):
  """The `sweep` of own rows and columns, the devices as r x c.

  Device i c + j computes one block: the rows of the devices with its i, the
  columns of the devices with its j. (D, 1) is `gather`. What `even` names is
  one number everywhere and is not sent.
  """
  r, c = shape
  with_same_i = [[i * c + j for j in range(c)] for i in range(r)]
  with_same_j = [[i * c + j for i in range(r)] for j in range(c)]
  ways = (axes, c, with_same_i), (axes, r, with_same_j)
  gathered = (
    _gather(*each, even) for each in zip((rows, columns), ways, strict=True)
  )
  sums = sweep(*gathered, scalars, gradients=gradients)
  if not gradients:
    return sums
  ecg, text = map(_add_home, (sums.ecg, sums.text), ways)
  if start is not None:
    ecg, text = ecg + start[0], text + start[1]
  return dataclasses.replace(sums, ecg=ecg, text=text)


def _gather(group, way, even):
  axes, devices, groups = way
  if devices == 1:
    return group
  groups = None if len(groups) == 1 else groups
  return {
    name: jnp.broadcast_to(x[0], devices * len(x))
    if name in even
    else jax.lax.all_gather(x, axes, axis_index_groups=groups, tiled=True)
    for name, x in group.items()
  }


def _add_home(x, way):
  axes, devices, groups = way
  if devices == 1:
    return x
  groups = None if len(groups) == 1 else groups
  return jax.lax.psum_scatter(x, axes, axis_index_groups=groups, tiled=True)


def ring(rows, columns, scalars, *, gradients, start, axes, devices, sweep):
  """The `sweep` of own rows and columns, which go around, one place a turn.

  The gradient of a column goes around with it and is home after D - 1 moves;
  what its own device adds to it never leaves.
  """
  forward = [(i, (i + 1) % devices) for i in range(devices)]

  def move(tree):
    return jax.tree.map(lambda x: jax.lax.ppermute(x, axes, forward), tree)

  def meet(columns, start):
    return sweep(rows, columns, scalars, gradients=gradients, start=start)

  def turn(carry, _):
    columns, sums, text = carry
    columns = move(columns)
    part = meet(columns, (sums.ecg, text) if gradients else None)
    text = move(part.text)
    part = dataclasses.replace(part, value=sums.value + part.value, text=None)
    if gradients:
      part = dataclasses.replace(part, bias=sums.bias + part.bias)
    return (columns, part, text), None

  own = meet(columns, start)
  if devices == 1:
    return own
  zeros = jax.tree.map(jnp.zeros_like, own.text)
  carry = columns, dataclasses.replace(own, text=None), zeros
  (_, sums, text), _ = jax.lax.scan(turn, carry, length=devices - 1)
  text = own.text + text if gradients else None
  return dataclasses.replace(sums, text=text)
