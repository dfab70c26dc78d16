"""The published benchmark splits (MERL), which the user puts into RAW/merl/.

https://github.com/cheliu-computation/MERL-ICML2024; the files of one task
are `<name>_train.csv`, `<name>_val.csv` and `<name>_test.csv`, found
anywhere below RAW/merl/.
"""

import dataclasses
import os
import pathlib

import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.signals import contract

FILES = {"train": "train", "validation": "val", "test": "test"}
SPLITS = tuple(FILES)
# Fewer of the expected records than this make a sample of the archive, as
# a rehearsal uses; from it on, absent records are an incomplete download.
SAMPLE_SHARE = 0.5


@dataclasses.dataclass(frozen=True)
class Row:
  """One line of a published file."""

  split: str
  labels: np.ndarray  # (n,) uint8, by position as they stand in the file
  entry: dict[str, str]  # the columns before the labels


@dataclasses.dataclass(frozen=True)
class Archive:
  """An opened archive: everything but headers and waveforms.

  Attributes:
    root: its folder.
    rows: its records, a list of the builder's own Row.
    missing: record id without files -> split.
    partial: whether it holds fewer records than the release.
    published_splits: whether the published files are there.
    allow_missing: whether validation and test may be incomplete.
  """

  root: str
  rows: list
  missing: dict[str, str]
  partial: bool
  published_splits: bool
  allow_missing: bool

  def account(self, name, records, log):
    """Enters the missing records in a contract.BuildLog; prints the rest.

    Args:
      name: of the dataset.
      records: of the complete release.
      log: contract.BuildLog.
    """
    for record_id in self.missing:
      log.drop(record_id, record_id, "missing_file", "no file of that name")
    if self.partial:
      print(f"{name}: {len(self.rows)} of {records} records, partial")


def read_splits(root, name, classes, record_id):
  """Reads the three files of a task.

  Args:
    root: the raw archive; the files are looked for below `root/merl`.
    name: first part of the file names, e.g. `icbeb`.
    classes: names of the n label columns, which are the last ones.
    record_id: function of a line (dict column -> text) to the record id;
      raises KeyError, ValueError or TypeError on an odd line.

  Returns:
    dict record id -> Row, or None where there is no such file.

  Raises:
    InputError: one of the three is absent or occurs twice, other label
      columns, a label that is not 0 or 1, or a record that occurs twice.
  """
  rows, twice = {}, []
  paths = find_files(root, name)
  if paths is None:
    return None
  for split, path in paths.items():
    for line, entry in contract.read_table(path, classes):
      try:
        key, row = record_id(entry), _row(entry, split, classes)
      except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}, line {line}: {error}") from error
      if key in rows:
        twice.append(key)
      rows[key] = row
  if twice:
    raise InputError(
      f"{root}/merl: {len(twice)} records of {name} occur twice, first "
      f"{twice[0]}: use the files as published"
    )
  return rows


def find_files(root, name):
  """Returns split -> path of a task's three files, None where there is none.

  Raises:
    InputError: only some of the three are there, or one is there twice.
  """
  paths = {split: _find(root, name, split) for split in SPLITS}
  absent = [split for split, path in paths.items() if path is None]
  if len(absent) == len(SPLITS):
    return None
  if absent:
    raise InputError(
      f"{root}/merl: no {name}_{FILES[absent[0]]}.csv beside the others; put "
      "all three files of the task there, or none"
    )
  return paths


def _find(root, name, split):
  file = f"{name}_{FILES[split]}.csv"
  found = sorted(pathlib.Path(root, "merl").rglob(file))
  if len(found) > 1:
    raise InputError(
      f"{root}/merl holds {file} {len(found)} times ({found[0]} and "
      f"{found[1]}): keep one"
    )
  return os.fspath(found[0]) if found else None


def _row(entry, split, classes):
  columns = list(entry)
  if columns[-len(classes) :] != list(classes):
    raise ValueError(
      f"last columns {' '.join(map(str, columns[-len(classes) :]))[:80]}: "
      f"{' '.join(classes)[:80]} expected"
    )
  labels = [entry[name] for name in classes]
  if not set(labels) <= {"0", "1"}:
    raise ValueError(f"labels {','.join(labels)[:80]}: 0 or 1 expected")
  before = {c: entry[c] for c in columns[: -len(classes)]}
  return Row(split, np.array(labels, np.uint8), before)


def absent_records(expected, present, root, allow_missing):
  """Returns the expected records without files, in order of ids.

  Args:
    expected: dict record id -> split.
    present: the record ids with files.
    root: the archive, for the message.
    allow_missing: accept that validation and test are incomplete.

  Returns:
    List of record ids; empty for a sample of the archive.

  Raises:
    InputError: validation or test lacks records.
  """
  absent = sorted(set(expected) - set(present))
  if len(absent) > (1 - SAMPLE_SHARE) * len(expected):
    return []
  held_out = [key for key in absent if expected[key] in ("validation", "test")]
  if held_out and not allow_missing:
    raise InputError(
      f"{len(held_out)} records of validation and test have no files in "
      f"{root}, first {held_out[0]}: complete the archive, or set "
      "FGCLEP_ALLOW_MISSING=1 to build without them"
    )
  return absent


def check_sizes(rows, sizes, name):
  """Raises InputError when the files are not the published ones.

  Args:
    rows: as `read_splits` returns them.
    sizes: of train, validation and test.
    name: of the files, for the message.
  """
  splits = [row.split for row in rows.values()]
  found = tuple(splits.count(split) for split in SPLITS)
  if found != tuple(sizes):
    raise InputError(
      f"the {name} files hold {found} records in train, validation, test, "
      f"but as published {tuple(sizes)}: use them unchanged"
    )
