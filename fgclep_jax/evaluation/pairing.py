"""Results folders, and whether two of them can be paired.

What `fgclep evaluate` stored is enough: ids, units, labels and scores.
"""

import dataclasses
import json
import pathlib

import numpy as np

from fgclep_jax import metrics
from fgclep_jax.data.index import DAMAGED
from fgclep_jax.errors import InputError

PROTOCOLS = {"standard": "", "merl": "_merl"}  # -> end of its names


@dataclasses.dataclass(frozen=True)
class Run:
  """A results folder: its name, results.json and arrays of scores.npz."""

  name: str
  content: dict
  arrays: dict


class StoredStream(metrics.Resamples):
  """The stream of resamples whose units are known by their numbers.

  Args:
    digest: of the stream, as stored.
    unit_of_record: (n,) int, position among the sorted units.
  """

  def __init__(self, digest, unit_of_record):
    self.digest = digest
    self.unit_of_record = np.asarray(unit_of_record)
    self.unit_count = int(self.unit_of_record.max()) + 1


def read(folder):
  """Reads a results folder; raises InputError naming what is wrong."""
  folder = pathlib.Path(folder)
  try:
    content = json.loads((folder / "results.json").read_text("utf-8"))
    with (
      open(folder / "scores.npz", "rb") as file,
      np.load(file, allow_pickle=False) as stored,
    ):
      arrays = {name: stored[name] for name in stored.files}
    tasks, data = content["tasks"], content["data"]
    complete = [f"{task}/units" in arrays for task in tasks]
    data["digest"], data["split"], content["model"]["checkpoint"]["hash"]
  except OSError as error:
    raise InputError(
      f"{folder}: cannot read {pathlib.Path(str(error.filename)).name}: give "
      "two folders that `fgclep evaluate --out` wrote"
    ) from error
  except DAMAGED as error:
    raise InputError(
      f"{folder} holds no whole evaluation ({error}): evaluate again"
    ) from error
  if not all(complete):
    raise InputError(
      f"{folder} was written by an earlier version, without the units of its "
      "resamples: evaluate again"
    )
  return Run(str(folder), content, arrays)


def check_data(first, second):
  """Raises InputError unless both runs saw the same data the same way."""
  tasks = [run.content["tasks"] for run in (first, second)]
  if not tasks[0].keys() & tasks[1].keys():
    raise InputError(
      f"{first.name} and {second.name} share no task: they have "
      f"{' and '.join(', '.join(own) or 'none' for own in tasks)}"
    )
  for key, what in (
    ("dataset", "dataset"), ("config", "dataset config"), ("split", "split"),
    ("digest", "dataset version"), ("window", "--window"),
  ):  # fmt: skip
    own, other = (run.content["data"].get(key) for run in (first, second))
    if own != other:
      raise InputError(
        f"{what} differs, {str(own)[:16]} in {first.name} and "
        f"{str(other)[:16]} in {second.name}: evaluate both on the same"
      )


def check_task(first, second, task):
  """Protocols of a task, refused unless ids, labels and resamples agree."""
  blocks = [run.content["tasks"][task] for run in (first, second)]
  protocols = [[p for p in PROTOCOLS if p in {"standard", *b}] for b in blocks]
  names = f"{first.name} and {second.name}"
  if protocols[0] != protocols[1]:
    raise InputError(
      f"task {task}: {names} were evaluated under "
      f"{' and '.join(map(','.join, protocols))}: give both the same --protocol"
    )
  for key, what in (
    ("resamples", "--bootstrap"), ("seed", "seed of the resamples"),
    ("sha256", "hash of the resampled units"),
  ):  # fmt: skip
    own, other = (b["bootstrap"].get(key) for b in blocks)
    if own != other:
      raise InputError(
        f"task {task}: resamples of {names} are not paired, {what} is "
        f"{str(own)[:16]} and {str(other)[:16]}: evaluate both alike"
      )
  ends = [PROTOCOLS[p] for p in protocols[0]]
  wanted = ["record_ids", "units"]
  wanted += [f"{name}{end}" for name in ("classes", "labels") for end in ends]
  for name in wanted:
    own, other = (r.arrays.get(f"{task}/{name}") for r in (first, second))
    if own is None or other is None or not np.array_equal(own, other):
      raise InputError(
        f"task {task}: {name.replace('_', ' ')} of {names} differ: evaluate "
        "both on the same dataset and split"
      )
  return protocols[0]
