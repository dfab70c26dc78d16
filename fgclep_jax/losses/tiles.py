"""Value and gradients of the loss in one sweep over tiles of K x U.

The slope of the loss at a logit, w_k n_u (sigmoid(x_ku) - S_ku), needs
nothing of the rest of its row. So a tile gives its part of the value and of
all gradients at once, and nothing of it is kept.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from fgclep_jax.losses import arguments


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=("value", "ecg", "text", "bias"),
  meta_fields=(),
)
@dataclasses.dataclass(frozen=True)
class Sums:
  """Weighted sums over pairs x columns.

  Attributes:
    value: () loss.
    ecg: (K, E) gradient by the ECGs, or None where none is wanted.
    text: (U, E) gradient by the texts, or None.
    bias: () gradient by the bias, or None.
  """

  value: jax.Array
  ecg: jax.Array | None = None
  text: jax.Array | None = None
  bias: jax.Array | None = None


def dot(a, b):
  """a b^T, (K, E), (U, E) -> (K, U), at least float32 in sum and result.

  bfloat16 factors stay bfloat16; float32 ones are multiplied in full also
  where the default is less (TPU, TF32).
  """
  kind = jnp.promote_types(a.dtype, b.dtype)
  return jax.lax.dot_general(
    a.astype(kind),
    b.astype(kind),
    (((1,), (1,)), ((), ())),
    precision="highest",
    preferred_element_type=jnp.promote_types(kind, jnp.float32),
  )


def sweep(rows, columns, scalars, *, tile, gradients, start=None):
  """Sums over all pairs of rows with columns.

  Args:
    rows, columns, scalars: see `arguments.sort`. Without semantics and ids
      all labels are 1/2.
    tile: rows and columns of a tile at most.
    gradients: whether they are wanted.
    start: (K, E) and (U, E), None for zeros: what the gradients by ECGs and
      texts are added to, in place.

  Returns:
    `Sums`, float32 at least.
  """
  kind = rows["pair_weights"].dtype
  counts = len(rows["ecg"]), len(columns["text"])
  if start is None:
    units = rows["ecg"], columns["text"]
    start = tuple(jnp.zeros(x.shape, kind) for x in units)
  start = tuple(_tiles(x, tile) for x in start) if gradients else None
  rows = {name: _tiles(x, tile) for name, x in rows.items()}
  columns = {name: _tiles(x, tile) for name, x in columns.items()}

  def strip(carry, row_item):
    i, row = row_item

    def meet(carry, column_item):
      j, column = column_item
      part = _tile(row, column, scalars, gradients)
      value, bias, found = carry
      if gradients:
        found = _add(found[0], i, part.ecg), _add(found[1], j, part.text)
        bias = bias + part.bias
      return (value + part.value, bias, found), None

    zero = jnp.zeros_like(row["pair_weights"])
    (value, bias, found), _ = scan(meet, (zero, zero, carry), columns)
    return found, (value, bias)

  found, (value, bias) = scan(strip, start, rows)
  value = value.sum()  # of rows before: float32 keeps more digits
  if not gradients:
    return Sums(value)
  ecg, text = map(_join, found, counts)
  return Sums(value, ecg, text, bias.sum())


def _tiles(x, tile):
  """(n, ...) -> (tiles, rows of a tile, ...), the last padded with zeros.

  The tiles are equal and not above `tile`, so little is padded.
  """
  count = len(x)
  tiles = max(1, -(-count // tile))
  size = -(-count // tiles)
  if tiles > 1:  # whole registers, on any device, where that pads little
    size = min(tile, -(-size // 128) * 128)
  x = arguments.pad(x, tiles * size - count)
  return x.reshape(tiles, size, *x.shape[1:])


def _join(x, count):
  """The inverse of `_tiles`."""
  x = x.reshape(-1, *x.shape[2:])
  return x if len(x) == count else x[:count]


def _add(x, index, part):
  part = part + jax.lax.dynamic_index_in_dim(x, index, keepdims=False)
  return jax.lax.dynamic_update_index_in_dim(x, part, index, 0)


def scan(body, carry, items):
  """`jax.lax.scan` over (number, item), without a loop for one item."""
  count = len(jax.tree.leaves(items)[0])
  if count > 1:
    return jax.lax.scan(body, carry, (jnp.arange(count), items))
  carry, out = body(carry, (0, jax.tree.map(lambda x: x[0], items)))
  return carry, jax.tree.map(lambda x: x[None], out)


def _tile(row, column, scalars, gradients):
  """`Sums` of one tile, value and bias by row."""
  scale = jnp.exp(scalars["log_scale"])
  logits = scale * dot(row["ecg"], column["text"])
  if "bias" in scalars:
    logits = logits + scalars["bias"]
  labels = _labels(row, column)
  # S softplus(-x) + (1 - S) softplus(x) = softplus(x) - S x; with S = 0 or 1
  # no digit of a small loss is lost in this order.
  small = jnp.exp(-jnp.abs(logits))
  terms = (jnp.maximum(logits, 0) - labels * logits) + jnp.log1p(small)
  weights = column["text_weights"] * row["pair_weights"][:, None]
  value = (terms * weights).sum(axis=1)
  if not gradients:
    return Sums(value)
  slope = jnp.where(logits >= 0, 1, small) / (1 + small) - labels
  slope = slope * weights
  kind = jnp.promote_types(row["ecg"].dtype, column["text"].dtype)
  narrow = (scale * slope).astype(kind)
  return Sums(
    value,
    ecg=dot(narrow, column["text"].T),
    text=dot(narrow.T, row["ecg"].T),
    bias=slope.sum(axis=1),
  )


def _labels(row, column):
  """S of a tile: (t, t) in [0, 1], or 1/2."""
  kind = row["pair_weights"].dtype
  if "text_ids" in column:
    ids = row["ecg_ids"]

    def equal(i):
      return (ids[:, i, None] == column["text_ids"]) & (ids[:, i, None] >= 0)

    return _over(ids.shape[1], equal, jnp.logical_or).astype(kind)
  if "text_semantics" not in column:
    return jnp.asarray(0.5, kind)
  semantics, mask = row["ecg_semantics"], row.get("semantics_mask")
  if semantics.ndim == 2:
    return (1 + dot(semantics, column["text_semantics"]).astype(kind)) / 2

  def similar(i):
    found = (1 + dot(semantics[:, i], column["text_semantics"])) / 2
    found = found.astype(kind)
    return found if mask is None else jnp.where(mask[:, i, None], found, 0)

  return _over(semantics.shape[1], similar, jnp.maximum)


def _over(count, function, combine):
  """combine(function(0), ..., function(count - 1)), two at a time."""
  if count == 1:
    return function(0)
  return jax.lax.fori_loop(
    1, count, lambda i, x: combine(x, function(i)), function(0)
  )
