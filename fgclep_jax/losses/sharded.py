"""The loss of pairs that are split over devices."""

import functools
import math

import jax
from jax.sharding import PartitionSpec as P

from fgclep_jax.errors import InputError
from fgclep_jax.losses import arguments, exchanges, moments, one_pass
from fgclep_jax.losses import kernel as kernels


def sharded_soft_sigmoid_loss(
  mesh, axis="data", exchange="auto", tile=1024, kernel="auto"
):
  """The same loss with pairs and statements split over devices.

  Every exchange is exact, computes each tile once and in tiles as
  `tiled_soft_sigmoid_loss` does, and exchanges gradients explicitly, as
  sums where they belong. What each sends: `exchanges.bytes_sent`.

  Args:
    mesh: the device mesh, D devices along `axis`.
    axis: mesh axis, or tuple of axes, that splits the K pairs.
    exchange: how statements meet pairs. `gather`: every device gathers all
      statements, cheap where they are few. `ring`: the statements go around,
      the least memory. `grid`: the D devices as r x c, rows gathered over c
      and columns over r, r x c being whatever sends the fewest bytes: square
      for K = U. `auto`: the one that sends the fewest bytes.
    tile: rows and columns of a tile at most, of `tiles.sweep`.
    kernel: what computes a tile: `auto`, `xla` or `pallas`, see
      `kernel.choose`.

  Returns:
    A function with the arguments of `soft_sigmoid_loss` on global arrays. K
    must be divisible by D; U is padded inside. Value and gradients equal the
    dense loss; weights, semantics and ids get no gradient.
  """
  _check(exchange)
  sweep = kernels.choose(kernel, mesh.devices.flat[0], tile)
  axes = (axis,) if isinstance(axis, str) else tuple(axis)
  devices = math.prod(mesh.shape[name] for name in axes)

  def loss(ecg, text, ecg_semantics=None, text_semantics=None, **options):
    if ecg.shape[0] % devices:
      raise InputError(
        f"{ecg.shape[0]} pairs over {devices} devices: the number of pairs "
        "must be divisible by the number of devices"
      )
    rows, columns, scalars = arguments.sort(
      ecg, text, ecg_semantics, text_semantics, **options
    )
    missing = -text.shape[0] % devices
    columns = {n: arguments.pad(x, missing) for n, x in columns.items()}
    even = _even(options, missing)
    meet = _meeting(exchange, devices, rows, columns, axes, sweep, even)
    function = functools.partial(
      one_pass.loss,
      meet=meet,
      total=functools.partial(jax.lax.psum, axis_name=axes),
      by_moments=moments.cheaper(rows, columns),
    )
    learned, given = arguments.part(rows, columns, scalars)
    spread = functools.partial(_spread, function, mesh, axes)
    return one_pass.differentiable(spread)(learned, given)

  return loss


def _check(name):
  if name not in exchanges.EXCHANGES:
    raise InputError(
      f"exchange={name!r}: choose one of {', '.join(exchanges.EXCHANGES)}"
    )


def _even(options, missing):
  """Names of the weights that are one number on all devices."""
  names = ["pair_weights"] + ["text_weights"] * (missing == 0)
  return frozenset(name for name in names if options.get(name) is None)


def _meeting(name, devices, rows, columns, axes, sweep, even):
  """The function `meet` of `one_pass.loss`."""
  if name == "auto":
    name = exchanges.cheapest(devices, rows, columns)
  if name == "ring":
    return functools.partial(
      exchanges.ring, axes=axes, devices=devices, sweep=sweep
    )
  shape = (devices, 1)
  if name == "grid":
    shape = exchanges.grid_shape(devices, rows, columns)
  return functools.partial(
    exchanges.grid, axes=axes, shape=shape, sweep=sweep, even=even
  )


def _spread(function, mesh, axes, learned, given, gradients):
  """The same function over global arrays, their first axes split."""

  def spec(tree):
    return {name: P(axes) if x.ndim else P() for name, x in tree.items()}

  # The gradients are added up by hand, so JAX need not follow which array
  # is the same on all devices.
  return jax.shard_map(
    functools.partial(function, gradients=gradients),
    mesh=mesh,
    in_specs=(spec(learned), spec(given)),
    out_specs=(P(), spec(learned) if gradients else None),
    check_vma=False,
  )(learned, given)
