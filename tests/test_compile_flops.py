"""Operations counted from a jaxpr, beside counts by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from fgclep_jax.compile import flops

F32 = jnp.float32


def operations(function, *shapes):
  """Counted operations and unknown loops of a function of float32 arrays."""
  arrays = [jax.ShapeDtypeStruct(shape, F32) for shape in shapes]
  return flops.count(jax.make_jaxpr(function)(*arrays))


def test_products():
  assert operations(jnp.matmul, (3, 5), (5, 7)) == (2 * 3 * 5 * 7, 0)
  batched = functools.partial(jnp.einsum, "bij,bkj->bik")
  assert operations(batched, (4, 3, 5), (4, 7, 5)) == (2 * 4 * 3 * 7 * 5, 0)
  # The backward pass of x @ w has two products of the same size.
  loss = jax.value_and_grad(lambda x, w: (x @ w).sum(), (0, 1))
  assert operations(loss, (3, 5), (5, 7)) == (3 * 2 * 3 * 5 * 7, 0)


def test_loops_branches_and_recomputation():
  def loop(x, w):
    return jax.lax.scan(lambda x, _: (jnp.tanh(x @ w), None), x, length=6)[0]

  one = 2 * 3 * 5 * 5
  assert operations(loop, (3, 5), (5, 5)) == (6 * one, 0)
  assert operations(jax.jit(loop), (3, 5), (5, 5)) == (6 * one, 0)

  def branch(x, w):
    more = functools.partial(loop, w=w)
    return jax.lax.cond(x.sum() > 0, more, lambda x: x @ w, x)

  assert operations(branch, (3, 5), (5, 5)) == (6 * one, 0)

  def until(x, w):
    return jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x @ w, x)

  assert operations(until, (3, 5), (5, 5)) == (one, 1)  # once, and it is said

  def twice(x, w):
    return jax.checkpoint(loop)(x, w).sum()

  plain = operations(jax.grad(lambda x, w: loop(x, w).sum()), (3, 5), (5, 5))
  assert plain == (12 * one, 0)
  assert operations(jax.grad(twice), (3, 5), (5, 5)) == (18 * one, 0)


@pytest.mark.parametrize(
  ("stride", "padding", "holes", "spread", "groups"),
  [
    (1, "SAME", 1, 1, 1),
    (2, "SAME", 1, 1, 1),
    (2, "VALID", 1, 2, 2),
    (1, [(3, 4)], 2, 1, 1),
    (3, [(5, 0)], 3, 2, 2),
  ],
)
def test_convolutions(stride, padding, holes, spread, groups):
  """Beside a direct count: every product with a real sample."""
  size, width, kernel, out = 17, 4, 5, 6

  def convolve(x, w):
    return jax.lax.conv_general_dilated(
      x, w, (stride,), padding, (holes,), (spread,),
      dimension_numbers=("NWC", "WIO", "NWC"), feature_group_count=groups,
    )  # fmt: skip

  x, w = np.ones((2, size, width)), np.ones((kernel, width // groups, out))
  # Ones everywhere: each output is the number of its products.
  products = np.asarray(convolve(x.astype("f"), w.astype("f"))).sum()
  assert operations(convolve, x.shape, w.shape) == (2 * products, 0)


def test_gradient_of_a_strided_convolution():
  """The backward pass multiplies no holes: as many products as forward."""

  def convolve(x, w):
    return jax.lax.conv_general_dilated(
      x, w, (2,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
    ).sum()

  shapes = (2, 64, 8), (5, 8, 16)
  forward, _ = operations(convolve, *shapes)
  both, _ = operations(jax.value_and_grad(convolve, (0, 1)), *shapes)
  assert both == 3 * forward


def test_kernels_count_once_for_each_block():
  def kernel(x, w, out):
    out[...] = x[...] @ w[...]

  def product(x, w):
    rows = pl.BlockSpec((8, 16), lambda i: (i, 0))
    return pl.pallas_call(
      kernel,
      grid=(4,),
      in_specs=[rows, pl.BlockSpec((16, 16), lambda i: (0, 0))],
      out_specs=rows,
      out_shape=jax.ShapeDtypeStruct((32, 16), F32),
    )(x, w)

  assert operations(product, (32, 16), (16, 16)) == (2 * 32 * 16 * 16, 0)


def test_operations_of_all_devices():
  mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
  product = jax.shard_map(
    lambda x, w: x @ w, mesh=mesh, in_specs=(P("data"), P()),
    out_specs=P("data"),
  )  # fmt: skip
  assert operations(product, (16, 5), (5, 7)) == (2 * 16 * 5 * 7, 0)
