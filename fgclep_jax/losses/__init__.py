"""Losses over pairs x distinct statements.

Legend: K pairs (an ECG with one statement of its report), U distinct
statements, E embedding width, Q width of the label semantics, M statements
of one report.
"""

from fgclep_jax.losses.comparison import fnm_loss, softmax_loss
from fgclep_jax.losses.dense import soft_sigmoid_loss
from fgclep_jax.losses.sharded import sharded_soft_sigmoid_loss
from fgclep_jax.losses.tiled import tiled_soft_sigmoid_loss

__all__ = [
  "fnm_loss",
  "sharded_soft_sigmoid_loss",
  "soft_sigmoid_loss",
  "softmax_loss",
  "tiled_soft_sigmoid_loss",
]
