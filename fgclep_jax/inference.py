"""From a workdir to a model in use."""

import hashlib

import numpy as np

from fgclep_jax.models.embedder import Model
from fgclep_jax.training import checkpoint


def load(workdir, step=None):
  """Restores a trained model.

  Args:
    workdir: folder written by `fgclep train`.
    step: training step; None takes the newest.

  Returns:
    A `models.embedder.Model`.
  """
  step, meta = checkpoint.read_meta(workdir, step)
  params, config = checkpoint.restore_params(workdir, step)
  origin = {
    "step": step,
    "hash": parameter_hash(params),
    "dataset": meta["trained_on"]["dataset"],
    "trained_on": meta["trained_on"],
    "versions": meta["versions"],
  }
  return Model(config, meta["vocabulary"], params, origin)


def parameter_hash(params):
  """sha256 over the names and bytes of all parameters."""
  digest = hashlib.sha256()
  for name in sorted(params):
    digest.update(name.encode())
    digest.update(np.ascontiguousarray(params[name]).tobytes())
  return digest.hexdigest()
