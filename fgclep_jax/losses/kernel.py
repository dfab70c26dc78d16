"""`tiles.sweep` as one hand-written kernel (Pallas) for the TPU.

The gradient by the rows stays in fast memory for a row of tiles, the one by
the columns for the whole sweep, so each logit is computed once: 3 K U E
multiplications, as in `tiles`. Keeping one gradient at a time would compute
the logits twice, 4 K U E. Columns too many for fast memory come in slabs.

Within a tile the columns come in strips of 128, the width of a matrix unit.
The products of a strip's gradients and of the next strip's logits are
independent of the present one's sigmoid, so the compiler overlaps them.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from fgclep_jax.errors import InputError
from fgclep_jax.losses import arguments, tiles

KERNELS = ("auto", "xla", "pallas")
# Chips for which the kernel was compiled and counted, docs/PERFORMANCE.md.
DEVICES = ("TPU v5 lite", "TPU v6 lite")
TILE = 256, 2048
STRIP = 128
# Bytes of the columns' gradient in fast memory, held twice; v5e and v6e have
# 128 MiB.
RESIDENT = 32 * 2**20
FAST_MEMORY = 110 * 2**20


def choose(kernel, device, tile):
  """The function that sweeps the tiles, with the arguments of `tiles.sweep`.

  Args:
    kernel: `auto` takes the kernel on the chips of `DEVICES` where `wins`
      says so, `pallas` wherever it is able to, on other devices than TPUs
      interpreted, which is slow; `xla` never.
    device: `jax.Device` the loss runs on.
    tile: rows and columns of a tile of `tiles.sweep`.
  """
  if kernel not in KERNELS:
    raise InputError(f"kernel={kernel!r}: choose one of {', '.join(KERNELS)}")
  plain = functools.partial(tiles.sweep, tile=tile)
  if kernel == "xla":
    return plain
  if kernel == "auto" and device.device_kind not in DEVICES:
    return plain
  possible = able if kernel == "pallas" else wins
  by_hand = functools.partial(sweep, interpret=device.platform != "tpu")

  def either(rows, columns, scalars, *, gradients, start=None):
    if gradients and possible(rows, columns):
      return by_hand(rows, columns, scalars, start=start)
    return plain(rows, columns, scalars, gradients=gradients, start=start)

  return either


def able(rows, columns):
  """Whether the kernel knows the labels and the types."""
  both = rows | columns
  names = ("ecg", "text", "ecg_semantics", "text_semantics")
  kinds = {both[name].dtype for name in names if name in both}
  ids = {both[name].dtype for name in ("ecg_ids", "text_ids") if name in both}
  known = {jnp.dtype(jnp.bfloat16)}, {jnp.dtype(jnp.float32)}
  of_reports = "ecg_semantics" in both and both["ecg_semantics"].ndim != 2
  return kinds in known and ids <= {jnp.dtype(jnp.int32)} and not of_reports


def wins(rows, columns):
  """Whether fewer cycles are counted than estimated for `tiles.sweep`."""
  count = min(len(rows["ecg"]), len(columns["text"]))
  narrow = rows["ecg"].dtype == jnp.bfloat16
  return able(rows, columns) and narrow and count >= STRIP


def sweep(rows, columns, scalars, *, start=None, tile=TILE, interpret=False):
  """`tiles.sweep` with gradients.

  Args:
    rows, columns, scalars, start: see `tiles.sweep`; only what is `able`.
    tile: rows and columns of a tile at most, multiples of 16 and of 128.
    interpret: True runs it on any device, slowly.

  Returns:
    `tiles.Sums`, float32.
  """
  counts = len(rows["ecg"]), len(columns["text"])
  width = rows["ecg"].shape[1]
  tall = _size(counts[0], tile[0], 16)
  wide = _size(counts[1], tile[1], STRIP)
  slab = _size(counts[1], max(wide, RESIDENT // (4 * width)), wide)
  scale = jnp.exp(scalars["log_scale"])
  numbers = jnp.stack([scale, scalars.get("bias", jnp.zeros_like(scale))])
  row, column = _rows(rows, tall), _columns(columns, slab, scale)
  ecg, text = start if start is not None else (jnp.zeros((1, width)), None)
  ecg = arguments.pad(ecg, len(row["unit"]) - len(ecg))
  call = functools.partial(_call, tall=tall, wide=wide, interpret=interpret)

  def meet(ecg, item):
    ecg, *others = call(numbers, ecg, row, item[1])
    return ecg, others

  ecg, (found, value, bias) = tiles.scan(meet, ecg, column)
  found = found.reshape(-1, width)[: counts[1]]
  if text is not None:
    found = found + text
  return tiles.Sums(value.sum(), ecg[: counts[0]], found, bias.sum())


def _size(count, most, unit):
  """Of equal parts, not above `most`, in whole units."""
  parts = -(-count // most)
  return -(-count // (parts * unit)) * unit


def _rows(rows, tall):
  """Arrays of the rows, in whole tiles, by name."""
  found = {"unit": rows["ecg"], "weights": rows["pair_weights"][:, None]}
  if "ecg_ids" in rows:
    found["ids"] = rows["ecg_ids"].astype(jnp.int32)
  if "ecg_semantics" in rows:
    found["semantics"] = rows["ecg_semantics"]
  missing = -len(rows["ecg"]) % tall
  return {name: arguments.pad(x, missing) for name, x in found.items()}


def _columns(columns, slab, scale):
  """Arrays of the columns, (slabs, ...), by name."""
  weights = columns["text_weights"]
  tall = {"unit": columns["text"]}
  if "text_semantics" in columns:
    tall["semantics"] = columns["text_semantics"]
  flat = {"weights": weights, "scaled": scale * weights}
  if "text_ids" in columns:
    flat["ids"] = columns["text_ids"].astype(jnp.int32)
  missing = -len(weights) % slab
  tall, flat = jax.tree.map(
    lambda x: arguments.pad(x, missing).reshape(-1, slab, *x.shape[1:]),
    (tall, flat),
  )
  return tall | {name: x[:, None] for name, x in flat.items()}


def _call(numbers, start, row, column, *, tall, wide, interpret):
  """One slab: ECG gradient, text gradient, parts of the value, of the bias."""
  (pairs, width), texts = start.shape, len(column["unit"])

  def rows_of(x):
    return pl.BlockSpec((tall, x.shape[1]), lambda i, j: (i, 0))

  def columns_of(x):
    if len(x) == 1:
      return pl.BlockSpec((1, wide), lambda i, j: (0, j))
    return pl.BlockSpec((wide, x.shape[1]), lambda i, j: (j, 0))

  grid = pairs // tall, texts // wide
  parts = jax.ShapeDtypeStruct((8 * grid[0], wide), jnp.float32)
  of_parts = pl.BlockSpec((8, wide), lambda i, j: (i, 0))
  return pl.pallas_call(
    _tile,
    grid=grid,
    in_specs=[
      pl.BlockSpec(memory_space=pltpu.SMEM),
      rows_of(start),
      jax.tree.map(rows_of, row),
      jax.tree.map(columns_of, column),
    ],
    out_specs=[
      rows_of(start),
      pl.BlockSpec((texts, width), lambda i, j: (0, 0)),
      of_parts,
      of_parts,
    ],
    out_shape=[
      jax.ShapeDtypeStruct(start.shape, jnp.float32),
      jax.ShapeDtypeStruct((texts, width), jnp.float32),
      parts,
      parts,
    ],
    input_output_aliases={1: 0},
    compiler_params=pltpu.CompilerParams(
      vmem_limit_bytes=FAST_MEMORY,
      dimension_semantics=("arbitrary", "arbitrary"),
    ),
    interpret=interpret,
    name="soft_sigmoid_tile",
  )(numbers, start, row, column)


def _tile(numbers, start, row, column, ecg, text, value, bias):
  """The kernel: references to (scale, bias) and to the blocks of one tile."""
  i, j = pl.program_id(0), pl.program_id(1)
  wide = len(column["unit"])

  @pl.when(j == 0)
  def _():
    ecg[...] = start[...]
    value[...] = jnp.zeros_like(value)
    bias[...] = jnp.zeros_like(bias)

  @pl.when((i == 0) & (j == 0))
  def _():
    @pl.loop(0, text.shape[0] // STRIP)
    def _(k):
      zeros = jnp.zeros((STRIP, text.shape[1]), jnp.float32)
      text[pl.ds(pl.multiple_of(k * STRIP, STRIP), STRIP), :] = zeros

  def finish(slope, strip):
    here = slice(strip, strip + STRIP)
    ecg[...] += _dot(slope, column["unit"][here, :], (1, 0))
    there = pl.ds(pl.multiple_of(j * wide + strip, STRIP), STRIP)
    text[there, :] += _dot(slope, row["unit"][...], (0, 0))

  cosines, slope = _cosines(row, column, 0), None
  for strip in range(0, wide, STRIP):
    now, before = cosines, slope
    if strip + STRIP < wide:
      cosines = _cosines(row, column, strip + STRIP)
    logits = now * numbers[0] + numbers[1]
    slope = _strip(logits, row, column, strip, value, bias)
    if before is not None:
      finish(before, strip - STRIP)
  finish(slope, wide - STRIP)


def _dot(a, b, contracted):
  """Product over an axis of each, added up in float32."""
  a_axis, b_axis = contracted
  return jax.lax.dot_general(
    a,
    b,
    (((a_axis,), (b_axis,)), ((), ())),
    precision="highest" if a.dtype == jnp.float32 else None,
    preferred_element_type=jnp.float32,
  )


def _cosines(row, column, strip, name="unit"):
  """(tall, STRIP) products of unit rows and unit columns."""
  return _dot(row[name][...], column[name][strip : strip + STRIP, :], (1, 1))


def _strip(logits, row, column, strip, value, bias):
  """Adds to value and bias; returns the slopes, times scale and weights."""
  here = slice(strip, strip + STRIP)
  size = jnp.abs(logits)
  small = jnp.exp(-size)
  share = _reciprocal(1 + small, row["unit"].dtype)
  # As log1p; where the sum has lost digits, the first terms of its series.
  series = small * (1 - 0.5 * small)
  rest = jnp.where(small < 1e-3, series, jnp.log(1 + small))
  labels = _labels(row, column, strip)
  if labels is None:
    terms = 0.5 * size + rest
    slope = jnp.where(logits >= 0, share - 0.5, 0.5 - share)
  else:
    terms = (jnp.maximum(logits, 0) - labels * logits) + rest
    slope = jnp.where(logits >= 0, share, small * share) - labels
  weights = row["weights"][...]
  slope = slope * weights
  counts = column["weights"][:, here]
  value[:, here] += _by_eight(terms * weights) * counts
  bias[:, here] += _by_eight(slope) * counts
  return (slope * column["scaled"][:, here]).astype(row["unit"].dtype)


def _labels(row, column, strip):
  """S of a strip, (tall, STRIP) float32, or None for 1/2."""
  if "semantics" in row:
    return 0.5 + 0.5 * _cosines(row, column, strip, "semantics")
  if "ids" not in row:
    return None
  found, others = row["ids"][...], column["ids"][:, strip : strip + STRIP]
  equal = jnp.zeros((found.shape[0], STRIP), bool)
  for i in range(found.shape[1]):
    own = found[:, i : i + 1]
    equal |= (own == others) & (own >= 0)
  return equal.astype(jnp.float32)


def _reciprocal(x, kind):
  """1 / x; for bfloat16 inputs the chip's own and a Newton step."""
  if kind == jnp.float32:
    return 1 / x
  near = pl.reciprocal(x, approx=True)
  return near * (2 - x * near)


def _by_eight(x):
  """(tall, n) -> (8, n) sums over rows, in whole registers."""
  return x.reshape(-1, 8, x.shape[1]).sum(axis=0)
