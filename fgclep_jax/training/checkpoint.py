"""Orbax checkpoints: the only file that knows Orbax.

A step holds four parts that are read apart: `params`, `opt_state`, `data`
(the position in the data, a step number) and `meta` (config, vocabulary,
versions: all that is needed to use the parameters elsewhere).
"""

import importlib.metadata
import json
import logging
import pathlib

import jax
import numpy as np

from fgclep_jax import config as config_lib
from fgclep_jax import tree
from fgclep_jax.errors import InputError

FORMAT = 1
FOLDER = "checkpoints"


# A part without arrays, as `meta`, has nothing to merge: no news to anybody.
logging.getLogger("absl").addFilter(
  lambda record: "Skipping merge of OCDBT" not in str(record.msg)
)


def make_meta(config, vocabulary, extra=None):
  """What a checkpoint says of itself, as plain JSON values."""
  versions = {
    name: importlib.metadata.version(name)
    for name in ("fgclep_jax", "jax", "flax", "optax", "orbax-checkpoint")
  }
  return {
    "format": FORMAT,
    "config": config_lib.to_dict(config),
    "vocabulary": list(vocabulary),
    "leads": "I II III aVR aVL aVF V1 V2 V3 V4 V5 V6",
    "signal": "int16 microvolts, scaled to millivolts on the device",
    "versions": versions,
  } | (extra or {})


class Checkpoints:
  """Saves and restores the steps of one workdir, as a context manager.

  Args of the constructor:
    workdir: steps lie in `workdir/checkpoints/<step>`.
    keep: how many of the newest steps stay; None for a reader, which
      changes nothing in the folder.
  """

  def __init__(self, workdir, keep=None):
    from orbax.checkpoint import v1 as ocp

    options = {}
    if keep is not None:
      policies = ocp.training.preservation_policies
      options = {
        "preservation_policy": policies.LatestN(keep),
        "cleanup_tmp_directories": True,
      }
    self._orbax = ocp.training.Checkpointer(
      (pathlib.Path(workdir) / FOLDER).absolute(), **options
    )

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._orbax.close()

  @property
  def latest(self):
    """Newest whole step, or None."""
    found = self._orbax.latest
    return None if found is None else found.step

  def save(self, state, meta):
    """Starts to write a step; an earlier write that failed raises here."""
    self._orbax.wait()
    step = int(state.step)
    self._orbax.save_checkpointables_async(
      step,
      {
        "params": state.params,
        "opt_state": state.opt_state,
        "data": {"step": step},
        "meta": {"json": json.dumps(meta)},
      },
      force=True,
    )

  def wait(self):
    self._orbax.wait()

  def restore(self, step, params, opt_state):
    """Reads a step into the given shapes and shardings.

    Args:
      step: a step that exists.
      params, opt_state: trees of `jax.ShapeDtypeStruct` with shardings.

    Returns:
      (params, opt_state), bit for bit as saved.

    Raises:
      InputError: names every leaf that differs in presence, shape or type.
    """
    wanted = {"params": params, "opt_state": opt_state}
    found = self._orbax.checkpointables_metadata(step).metadata
    lines = []
    for part, abstract in wanted.items():
      have = tree.flat(found[part])
      want = tree.flat(abstract)
      lines += [f"{part}.{x}" for x in tree.mismatches(have, want)]
    if lines:
      raise InputError(
        f"checkpoint of step {step} does not fit this config: "
        + "; ".join(lines)
      )
    parts = self._orbax.load_checkpointables(step, wanted)
    return parts["params"], parts["opt_state"]


def exists(workdir):
  """Whether the workdir holds a whole step."""
  if not (pathlib.Path(workdir) / FOLDER).is_dir():
    return False
  with Checkpoints(workdir) as steps:
    return steps.latest is not None


def read_meta(workdir, step=None):
  """Returns (step, meta) of a workdir's checkpoint, the newest by default."""
  if not exists(workdir):
    raise InputError(
      f"no checkpoint in {workdir}: give the workdir of `fgclep train`"
    )
  with Checkpoints(workdir) as steps:
    there = sorted(found.step for found in steps._orbax.checkpoints)
    if step is not None and step not in there:
      raise InputError(
        f"no step {step} in {workdir}: there are {', '.join(map(str, there))}"
      )
    chosen = steps.latest if step is None else step
    parts = steps._orbax.load_checkpointables(chosen, {"meta": None})
    return chosen, json.loads(parts["meta"]["json"])


def restore_params(workdir, step=None):
  """Restores the parameters alone, on the first device.

  Args:
    workdir: folder written by `fgclep train`.
    step: training step; None takes the newest.

  Returns:
    ({name: array}, `config.TrainConfig`).
  """
  step, meta = read_meta(workdir, step)
  return read_params(workdir, step), config_lib.from_dict(meta["config"])


def read_params(workdir, step):
  """Returns {name: array} of a step that exists, on the first device."""
  with Checkpoints(workdir) as steps:
    found = steps._orbax.checkpointables_metadata(step).metadata["params"]
    place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    abstract = {
      name: jax.ShapeDtypeStruct(
        leaf.shape, np.dtype(leaf.dtype), sharding=place
      )
      for name, leaf in found.items()
    }
    params = steps._orbax.load_checkpointables(step, {"params": abstract})
  return params["params"]
