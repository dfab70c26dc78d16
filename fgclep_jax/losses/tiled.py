"""The loss of one device in tiles: no array of K x U."""

import jax

from fgclep_jax.losses import arguments, moments, one_pass
from fgclep_jax.losses import kernel as kernels


def tiled_soft_sigmoid_loss(
  ecg,
  text,
  ecg_semantics=None,
  text_semantics=None,
  *,
  tile=1024,
  kernel="auto",
  **options,
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
    kernel: what computes a tile: `auto`, `xla` or `pallas`, see
      `kernel.choose`; for the first device of this process.

  Returns:
    () loss, float32 at least.
  """
  sorted_arguments = arguments.sort(
    ecg, text, ecg_semantics, text_semantics, **options
  )
  sweep = kernels.choose(kernel, jax.local_devices()[0], tile)
  by_moments = moments.cheaper(*sorted_arguments[:2])

  def loss(learned, given, gradients):
    return one_pass.loss(
      learned,
      given,
      meet=sweep,
      total=lambda x: x,
      by_moments=by_moments,
      gradients=gradients,
    )

  return one_pass.differentiable(loss)(*arguments.part(*sorted_arguments))
