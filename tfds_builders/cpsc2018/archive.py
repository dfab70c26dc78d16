"""Finds the records, classes and splits of a CPSC2018 archive."""

import dataclasses
import re

import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.signals import challenge, contract, published, releases

from . import labels

TREE = releases.TREES["cpsc2018"]
_ID = releases.PATTERNS["cpsc2018"]
_LABELS = ("First_label", "Second_label", "Third_label")


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
  """One record, before its waveform is read."""

  record_id: str
  path: str  # below the root, without ending
  wfdb: bool  # a header and samples; otherwise a MATLAB struct
  split: str
  classes: frozenset[str] | None  # of REFERENCE.csv, None: see the header
  merl: np.ndarray | None  # (9,) uint8 of the published file


def open_archive(root, allow_missing=None):
  """Reads the tables and finds the files of the records.

  Args:
    root: the raw archive.
    allow_missing: accept validation and test with records missing; None: as
      the environment says.

  Raises:
    InputError: no records, a damaged table, or an incomplete archive.
  """
  files = challenge.find_records(root, _ID, TREE)
  reference = read_reference(root)
  if allow_missing is None:
    allow_missing = contract.allow_missing()
  splits = published.read_splits(root, "icbeb", labels.CLASSES, _file_name)
  split_of = (
    labels.own_splits()
    if splits is None
    else {key: row.split for key, row in splits.items()}
  )
  if reference is not None:
    _check_known(files, reference, "REFERENCE.csv", root)
  listed = reference or splits or files
  _check_known(listed.keys() | files, split_of, "the split files", root)
  missing = published.absent_records(
    {key: split_of[key] for key in listed}, files, root, allow_missing
  )
  complete = len(files) == labels.RECORDS
  if complete and splits is not None:
    published.check_sizes(splits, labels.SPLIT_SIZES, "icbeb")
  rows = [
    Row(
      record_id=key,
      path=stem,
      wfdb=".hea" in endings,
      split=split_of[key],
      classes=None if reference is None else reference[key],
      merl=None if splits is None else splits[key].labels,
    )
    for key, (stem, endings) in files.items()
  ]
  return published.Archive(
    root,
    rows,
    {key: split_of[key] for key in missing},
    not complete,
    splits is not None,
    allow_missing,
  )


def _check_known(records, table, name, root):
  """Raises InputError when a table lacks some of the records."""
  unknown = sorted(set(records) - set(table))
  if unknown:
    raise InputError(
      f"{len(unknown)} of {len(records)} records of {root} are not in {name}, "
      f"first {unknown[0]}: use the tables as published"
    )


def _file_name(entry):
  name = entry["filename"]
  if not re.fullmatch(_ID, name, re.ASCII):
    raise ValueError(f"filename {name[:40]!r}: A0001 to A6877 expected")
  return name


def read_reference(root):
  """Reads REFERENCE.csv: record id -> class names, or None where absent.

  Further columns and the order of lines do not matter, and a class named
  twice counts once.
  """
  path, classes = releases.cpsc_reference(root), {}
  if path is None:
    return None
  for line, entry in contract.read_table(path, ("Recording", *_LABELS)):
    try:
      key, found = _reference_line(entry)
    except ValueError as error:
      raise InputError(f"{path}, line {line}: {error}") from error
    if key in classes:
      raise InputError(f"{path}, line {line}: record {key} occurs twice")
    classes[key] = found
  return classes


def _reference_line(entry):
  key = entry["Recording"]
  if not re.fullmatch(_ID, key, re.ASCII):
    raise ValueError(f"Recording {key[:40]!r}: A0001 to A6877 expected")
  found = set()
  for column in _LABELS:
    text = entry[column].strip()
    if text and text.lower() != "nan":
      match = re.fullmatch(r"([1-9])(?:\.0*)?", text, re.ASCII)
      if not match:
        raise ValueError(f"{column} {text[:20]!r}: 1 to 9 expected")
      found.add(labels.NUMBERED[int(match[1]) - 1])
  if not found:
    raise ValueError(f"record {key} has no class")
  return key, frozenset(found)
