"""Finds the records and splits of a Chapman-Shaoxing-Ningbo archive."""

import dataclasses
import re

from fgclep_jax.signals import challenge, contract, published, releases

from . import labels

TREE = releases.TREES["chapman_ningbo"]
SPLITS = (*published.SPLITS, "unlabelled")
_ID = releases.PATTERNS["chapman_ningbo"]
read_header = challenge.read_header


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
  """One record, before its header and waveform are read."""

  record_id: str
  path: str  # below the root, without ending
  split: str
  published: published.Row | None  # its line in the published files


def open_archive(root, allow_missing=None):
  """Reads the split files and finds the files of the records.

  Args:
    root: the raw archive.
    allow_missing: accept validation and test with records missing; None: as
      the environment says.

  Raises:
    InputError: no records, damaged split files, or an incomplete archive.
  """
  files = challenge.find_records(root, _ID, TREE)
  if allow_missing is None:
    allow_missing = contract.allow_missing()
  splits = published.read_splits(root, "chapman", labels.CLASSES, _record_id)
  missing = {}
  if splits is not None:
    expected = {key: row.split for key, row in splits.items()}
    missing = {
      key: expected[key]
      for key in published.absent_records(expected, files, root, allow_missing)
    }
  complete = len(files) == labels.RECORDS
  if complete and splits is not None:
    published.check_sizes(splits, labels.SPLIT_SIZES, "chapman")
  rows = [_row(key, stem, splits) for key, (stem, _) in files.items()]
  return published.Archive(
    root, rows, missing, not complete, splits is not None, allow_missing
  )


def _row(record_id, stem, splits):
  if splits is None:
    return Row(record_id, stem, labels.own_split(record_id), None)
  line = splits.get(record_id)
  split = line.split if line else "unlabelled"
  return Row(record_id, stem, split, line)


def _record_id(entry):
  """Returns the record id of a published line, by name and not by folder."""
  match = re.search(rf"(?:^|/)({_ID})\.mat$", entry["ecg_path"], re.ASCII)
  if not match:
    raise ValueError(
      f"ecg_path {entry['ecg_path'][:60]!r}: a name JSnnnnn.mat expected"
    )
  unknown = set(entry["diagnose"].split(",")) - labels.CODE_OF.keys()
  if unknown:
    raise ValueError(f"acronym {min(unknown)[:20]!r} in diagnose is unknown")
  return match[1]
