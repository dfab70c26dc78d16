"""The label subsets of the `merl` protocol, row for row.

The published code draws rows, not patients, unstratified, from the rows of
its train file in their order (scikit-learn's `train_test_split` with
`train_size=ratio, random_state=42`).
"""

import csv
import math
import pathlib

import numpy as np

from fgclep_jax.errors import InputError

SEED = 42
# Train files below `data_split` (https://github.com/cheliu-computation/
# MERL-ICML2024), and the column that names a record.
_FILES = {
  "super": ("ptbxl/super_class/ptbxl_super_class_train.csv", "ecg_id"),
  "sub": ("ptbxl/sub_class/ptbxl_sub_class_train.csv", "ecg_id"),
  "form": ("ptbxl/form/ptbxl_form_train.csv", "ecg_id"),
  "rhythm": ("ptbxl/rhythm/ptbxl_rhythm_train.csv", "ecg_id"),
  "cpsc": ("icbeb/icbeb_train.csv", "filename"),
  "csn": ("chapman/chapman_train.csv", "ecg_path"),
}
_SORTED = ("super", "sub", "form", "rhythm")  # published in order of the ids


def subset(count, fraction):
  """Rows (k,) int of a file of `count` rows; all of them at fraction 1."""
  if not 0 < fraction <= 1:
    raise InputError(
      f"probe fraction {fraction}: give a share above 0, at most 1"
    )
  if fraction == 1:
    return np.arange(count)
  kept = math.floor(count * fraction)
  order = np.random.RandomState(SEED).permutation(count)
  return order[count - kept :]


def row_order(record_ids, task, folder=None):
  """Lines records up as the published train file has them.

  Args:
    record_ids: (n,) str of the records to fit on.
    task: name of the task.
    folder: `data_split` of the published files, or None: the ids are sorted,
      which is the published order of PTB-XL's tasks, not of cpsc and csn.

  Returns:
    (n,) int positions, and in words which order it is.

  Raises:
    InputError: an unreadable file, or one without one of the records.
  """
  ids = np.asarray(record_ids, str)
  if folder is None or task not in _FILES:
    words = "sorted record ids"
    words += ", as published" if task in _SORTED else ", not as published"
    return np.argsort(ids, kind="stable"), words
  place = {name: row for row, name in enumerate(_read(folder, task))}
  missing = [name for name in ids if name not in place]
  if missing:
    raise InputError(
      f"{len(missing)} records to fit on for task {task!r} are not in "
      f"{_FILES[task][0]}, the first is {missing[0]}: give the published "
      "files that the dataset was built with"
    )
  words = "as published"
  if len(place) > len(ids):
    words += f", but only {len(ids)} of its {len(place)} rows"
  return np.argsort([place[name] for name in ids]), words


def _read(folder, task):
  """Record ids of a published train file, in its order."""
  name, column = _FILES[task]
  path = pathlib.Path(folder) / name
  try:
    with open(path, encoding="utf-8", newline="") as file:
      values = [row[column] for row in csv.DictReader(file)]
  except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
    raise InputError(
      f"cannot read {path} ({type(error).__name__}): give the folder "
      "`data_split` of the published files"
    ) from None
  if column == "ecg_id":
    return [f"{int(value):05d}" for value in values]
  return [pathlib.PurePosixPath(value).stem for value in values]
