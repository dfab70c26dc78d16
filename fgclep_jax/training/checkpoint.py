"""Orbax checkpoints: the only file that knows Orbax.

A step holds four parts that are read apart: `params`, `opt_state`, `data`
(the position in the data, a step number) and `meta` (config, vocabulary,
versions: all that is needed to use the parameters elsewhere).

A step is written to `checkpoints/<step>.unfinished`, gets a manifest with the
checksum of every file, and is committed when that folder is renamed to
`checkpoints/<step>`: whatever has that name was whole once. It is compared
with its manifest before anything of it is used, by each process once.

Where a run has several processes all write their parts of the arrays into the
same folder, which all must see; the first process commits and deletes.
"""

import importlib.metadata
import json
import logging
import os
import pathlib
import shutil
import threading

import jax
import numpy as np

from fgclep_jax import config as config_lib
from fgclep_jax import tree
from fgclep_jax.errors import InputError, RunError
from fgclep_jax.training import folders, manifest, processes, sound

# 1: no manifest. 2: every step has one.
FORMAT = 2
FOLDER = "checkpoints"

# A part without arrays, as `meta`, has nothing to merge: no news to anybody.
# Errors of its threads come back by `result()` and are told there, once.
QUIET = ("Skipping merge of OCDBT", "_SignalingThread.run() raised")
logging.getLogger("absl").addFilter(
  lambda record: not any(text in str(record.msg) for text in QUIET)
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
    keep: how many of the newest good steps stay; None for a reader, which
      changes nothing in the folder.
  """

  def __init__(self, workdir, keep=None):
    self._folder = (pathlib.Path(workdir) / FOLDER).absolute()
    self._keep = keep
    self._thread, self._failed = None, None
    if keep is not None and processes.first():
      self._folder.mkdir(parents=True, exist_ok=True)
      folders.sweep(self._folder)

  def __enter__(self):
    return self

  def __exit__(self, kind, *_):
    try:
      self.wait()
    except RunError:
      if kind is None:  # else the first error is the one to tell
        raise

  @property
  def latest(self):
    """Newest step that is as it was written; None where there is no step.

    Raises:
      InputError: there are steps, but none is as it was written.
    """
    found = folders.steps_of(self._folder)
    faults = []
    for step in reversed(found):
      wrong = _fault(self._folder / str(step))
      if wrong is None:
        for line in faults:
          folders.warn(f"{line}: step {step} is taken instead")
        return step
      faults.append(f"{self._folder / str(step)}: {wrong}")
    if not faults:
      return None
    raise InputError(
      f"no step can be used: {'; '.join(faults)}: put back a copy, or remove "
      f"{self._folder}"
    )

  def save(self, state, meta):
    """Starts to write a step, when an earlier write has ended.

    Raises:
      RunError: an earlier write failed, or this one cannot begin.
    """
    self.wait()
    step = int(state.step)
    folder = self._folder / f"{step}{folders.UNFINISHED}"
    try:
      from orbax.checkpoint import v1 as ocp

      writing = ocp.save_checkpointables_async(
        folder,
        {
          "params": state.params,
          "opt_state": state.opt_state,
          "data": {"step": step},
          "meta": {"json": json.dumps(meta)},
        },
      )
    except Exception as error:
      raise self._failure(step, error) from error
    self._thread = threading.Thread(
      target=self._finish, args=(step, writing), name="commit"
    )
    self._thread.start()

  def check(self):
    """Raises RunError when the write that goes on, or the last, failed."""
    if self._failed is not None:
      failed, self._failed = self._failed, None
      raise failed

  def wait(self):
    """Waits until the last step is committed; raises as `check`."""
    if self._thread is not None:
      self._thread.join()
      self._thread = None
    self.check()

  def restore(self, step, params, opt_state):
    """Reads a step into the given shapes and shardings.

    Args:
      step: a step that exists.
      params, opt_state: trees of `jax.ShapeDtypeStruct` with shardings.

    Returns:
      (params, opt_state), bit for bit as saved.

    Raises:
      InputError: the step was altered; or names every leaf that differs in
        presence, shape or type.
    """
    from orbax.checkpoint import v1 as ocp

    folder = _good(self._folder, step)
    wanted = {"params": params, "opt_state": opt_state}
    with sound.reading(folder):
      found = ocp.checkpointables_metadata(folder).metadata
      found = {part: tree.flat(found[part]) for part in wanted}
    lines = []
    for part, abstract in wanted.items():
      want = tree.flat(abstract)
      lines += [f"{part}.{x}" for x in tree.mismatches(found[part], want)]
    if lines:
      raise InputError(
        f"checkpoint of step {step} does not fit this config: "
        + "; ".join(lines)
      )
    with sound.reading(folder):
      parts = ocp.load_checkpointables(folder, wanted)
    return parts["params"], parts["opt_state"]

  def _finish(self, step, writing):
    """Commits a step when all of it is written, then lets old ones go."""
    try:
      writing.result()
      if processes.first():
        self._commit(step)
    except Exception as error:
      self._failed = self._failure(step, error)
      if processes.first():
        folders.sweep(self._folder, step)

  def _commit(self, step):
    folder = self._folder / f"{step}{folders.UNFINISHED}"
    manifest.write(folder)
    final = self._folder / str(step)
    if final.exists():  # not good, or the run would have begun at it
      folders.remove(final)
    os.rename(folder, final)
    manifest.trust(final)
    others = [s for s in folders.steps_of(self._folder) if s != step]
    good = [s for s in others if _fault(self._folder / str(s)) is None]
    for old in set(others) - set(good[max(0, len(good) + 1 - self._keep) :]):
      folders.remove(self._folder / str(old))

  def _failure(self, step, error):
    try:
      free = f"{shutil.disk_usage(self._folder).free / 2**30:.1f} GiB free"
    except OSError:
      free = "which cannot be reached"
    return RunError(
      f"step {step} could not be saved in {self._folder}, {free}: "
      f"{type(error).__name__}: {str(error)[:300]}; the steps before it are as "
      "they were, the same command goes on from them"
    )


def exists(workdir):
  """Whether the workdir holds a step, good or not."""
  return bool(folders.steps_of(pathlib.Path(workdir) / FOLDER))


def read_meta(workdir, step=None):
  """Returns (step, meta) of a workdir's checkpoint, the newest by default.

  Raises:
    InputError: no such step, or it is not as it was written. Where `step` is
      None an older good step is taken, with a warning.
  """
  folder = (pathlib.Path(workdir) / FOLDER).absolute()
  there = folders.steps_of(folder)
  if not there:
    raise InputError(
      f"no checkpoint in {workdir}: give the workdir of `fgclep train`"
    )
  if step is not None and step not in there:
    raise InputError(
      f"no step {step} in {workdir}: there are {', '.join(map(str, there))}"
    )
  if step is None:
    step = Checkpoints(workdir).latest
  meta = _load_meta(_good(folder, step))
  if meta["format"] > FORMAT:
    raise InputError(
      f"step {step} of {workdir} has format {meta['format']}, this version "
      f"reads up to {FORMAT}: install a newer fgclep_jax"
    )
  return step, meta


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
  from orbax.checkpoint import v1 as ocp

  folder = _good((pathlib.Path(workdir) / FOLDER).absolute(), step)
  place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  with sound.reading(folder):
    found = ocp.checkpointables_metadata(folder).metadata["params"]
    sound.check_size(found.values(), folder)
    abstract = {
      name: jax.ShapeDtypeStruct(x.shape, np.dtype(x.dtype), sharding=place)
      for name, x in found.items()
    }
    return ocp.load_checkpointables(folder, {"params": abstract})["params"]


def _good(folder, step):
  """Folder of a step, once compared with its manifest."""
  wrong = _fault(folder / str(step))
  if wrong is not None:
    raise InputError(
      f"{folder / str(step)} cannot be used, {wrong}: give another step, or "
      "put back a copy"
    )
  return folder / str(step)


def _fault(folder):
  """What is wrong with a committed step, or None."""
  if (folder / manifest.NAME).exists():
    return manifest.known_fault(folder)
  try:
    version = _load_meta(folder)["format"]
  except Exception as error:
    return f"no {manifest.NAME}, meta cannot be read ({type(error).__name__})"
  if version > 1:
    return f"{manifest.NAME} is missing"
  folders.warn(f"{folder} is of an earlier version, without checksums")
  return None


def _load_meta(folder):
  from orbax.checkpoint import v1 as ocp

  with sound.reading(folder):
    parts = ocp.load_checkpointables(folder, {"meta": None})
    return sound.check_meta(json.loads(parts["meta"]["json"]), folder)
