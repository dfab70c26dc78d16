"""The loss of one device in tiles: no array of K x U."""

import functools

from fgclep_jax.losses import arguments, moments, one_pass, tiles


def tiled_soft_sigmoid_loss(
  ecg, text, ecg_semantics=None, text_semantics=None, *, tile=1024, **options
):
  """`soft_sigmoid_loss` in one sweep over tiles of the K x U logits.

  The sweep gives the value and the gradients by `ecg`, `text`, `log_scale`
  and `bias`; without differentiation it gives the value alone. Weights,
  semantics and ids get no gradient (the dense form gives the weights one).
  bfloat16 inputs are multiplied as they are and added up in float32.

  Args:
    ecg, text, ecg_semantics, text_semantics, options: arguments of
      `dense.soft_sigmoid_loss`, any K and U.
    tile: rows and columns of a tile at most; memory grows with its square.

  Returns:
    () loss, float32 at least.
  """
  sorted_arguments = arguments.sort(
    ecg, text, ecg_semantics, text_semantics, **options
  )
  by_moments = moments.cheaper(*sorted_arguments[:2])

  def loss(learned, given, gradients):
    return one_pass.loss(
      learned,
      given,
      meet=functools.partial(tiles.sweep, tile=tile),
      total=lambda x: x,
      by_moments=by_moments,
      gradients=gradients,
    )

  return one_pass.differentiable(loss)(*arguments.part(*sorted_arguments))
