"""FG-CLEP in JAX: fine-grained ECG-text contrastive learning.

Legend of shapes, used in every docstring:

  B records of a batch      12 leads, I II III aVR aVL aVF V1-V6, by name
  T samples a lead          K pairs (ECG, statement of its report)
  U distinct statements     M statements of one report
  N tokens of an ECG        L word pieces of a statement
  W width of a tower        E width of the common embedding
"""

__version__ = "0.1.0"


def load(workdir, step=None):
  """Restores a trained model from a workdir or a checkpoint of it.

  Args:
    workdir: folder written by `fgclep train`.
    step: training step; None takes the newest.

  Returns:
    An `inference.Model` with `embed_ecg(signal_uv, rate)`,
    `embed_text(list of str)` and `zero_shot(signal_uv, rate, list of str)`.
  """
  from fgclep_jax import inference

  return inference.load(workdir, step)
