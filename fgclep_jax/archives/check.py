"""Looks over a raw archive: what is there, and whether it can be built.

Headers and tables are read, samples are not: files are only measured.
"""

import dataclasses
import functools
import os
import struct
import sys
import time

from fgclep_jax.archives import listing
from fgclep_jax.errors import InputError
from fgclep_jax.signals import (
  challenge,
  contract,
  header,
  leads,
  published,
  quality,
  reader,
  releases,
)
from fgclep_jax.signals.header import RecordError

LISTINGS = {
  "mimic_iv_ecg": listing.mimic_iv_ecg,
  "ptb_xl": listing.ptb_xl,
  "cpsc2018": listing.cpsc2018,
  "chapman_ningbo": listing.chapman_ningbo,
}
MAX_SKIP_RATE = {"mimic_iv_ecg": 0.02}  # elsewhere 0.01, as the builders
DUPLICATED = ("duplicate_record", "duplicate_study", "conflicting_study")
MISSING = ("missing_file",)
KEPT = ("header_repaired",)  # remarks: nothing is lost by them
PROGRESS_SECONDS = 10.0
# A struct of CPSC2018 holds float64, lightly compressed; int16 is a quarter.
_STRUCT_SHARE = 0.25


@dataclasses.dataclass(frozen=True)
class Report:
  """What was found.

  `missing`, `corrupt`, `duplicated`, `repaired` count records by reason;
  `examples` names the first ones of each. `stops` says why a build would
  not end well, empty when it would. `signal_bytes` is what the good records
  take as int16, without compression.
  """

  dataset: str
  folder: str
  listed: int
  good: int
  not_downloaded: int  # of a sample of the archive
  expected: int
  tables: dict[str, int]
  missing: dict[str, int]
  corrupt: dict[str, int]
  duplicated: dict[str, int]
  repaired: dict[str, int]
  examples: dict[str, list[tuple[str, str]]]
  signal_bytes: int
  stops: tuple[str, ...]
  held_out_unknown: bool  # whether losses are of validation or test


def check(root, dataset):
  """Looks over an archive.

  Args:
    root: folder of the raw archive.
    dataset: one of LISTINGS.

  Returns:
    Report.

  Raises:
    InputError: the folder is no such archive, or a table is damaged.
  """
  if not os.path.isdir(root):
    raise InputError(f"{root}: no such folder; expected: {_tree(dataset)}")
  problems = listing.Problems()
  found = LISTINGS[dataset](root, problems)
  if not found.size:
    raise InputError(f"{root}: no records found; expected: {_tree(dataset)}")
  good, signal_bytes = _scan(root, dataset, found, problems)
  if good == 0:
    reason, number = problems.counts.most_common(1)[0]
    raise InputError(
      f"{root}: none of {found.size} records can be read ({reason} {number}); "
      f"expected: {_tree(dataset)}"
    )
  return _report(root, dataset, found, problems, good, signal_bytes)


def _report(root, dataset, found, problems, good, signal_bytes):
  counts = problems.counts
  skipped = _not_downloaded(found.size, problems)
  corrupt = _those(counts, counts.keys() - {*DUPLICATED, *MISSING, *KEPT})
  missing = _those(counts, MISSING)
  stops = _stops(dataset, problems, found.lines - skipped, good)
  return Report(
    dataset=dataset,
    folder=str(root),
    listed=found.lines,
    good=good,
    not_downloaded=found.not_downloaded + skipped,
    expected=releases.RECORDS[dataset],
    tables=found.tables,
    missing=missing,
    corrupt=corrupt,
    duplicated=_those(counts, DUPLICATED),
    repaired=_those(counts, KEPT),
    examples=dict(problems.examples),
    signal_bytes=signal_bytes,
    stops=(*found.stops, *stops),
    held_out_unknown=bool(missing or corrupt) and not found.splits_known,
  )


def _not_downloaded(size, problems):
  """Returns how many of `size` records a sample leaves out.

  Where most records have their folders the others are lost, not left out.
  """
  count = problems.counts.pop("not_downloaded", 0)
  examples = problems.examples.pop("not_downloaded", [])
  if count > (1 - published.SAMPLE_SHARE) * size:
    return count
  if count:
    problems.counts["missing_file"] += count
    problems.examples["missing_file"] += examples
  return 0


def _tree(dataset):
  return releases.TREES[dataset]


def _those(counts, reasons):
  return {key: counts[key] for key in sorted(reasons) if counts[key]}


def _stops(dataset, problems, read, good):
  """Returns why a build would stop for the records it loses."""
  limit = contract.BuildLog.from_environment(
    MAX_SKIP_RATE.get(dataset, 0.01)
  ).max_skip_rate
  stops = []
  if problems.held_out and not contract.allow_missing():
    stops.append(
      f"{problems.held_out} records of validation and test cannot be read "
      "(FGCLEP_ALLOW_MISSING=1 builds without them)"
    )
  lost = read - good
  if lost > limit * read:
    stops.append(
      f"{lost} of {read} records would be left out, above the limit of "
      f"{limit:.2%} (FGCLEP_MAX_SKIP_RATE)"
    )
  return stops


def _scan(root, dataset, found, problems):
  """Examines every entry; returns good records and their int16 bytes."""
  training = dataset == "mimic_iv_ecg"
  read = challenge.read_header if dataset == "chapman_ningbo" else _plain_header
  folders = functools.lru_cache(maxsize=1024)(os.path.isdir)
  good = total = 0
  for entry in _progress(found.entries, found.size):
    path = os.path.join(root, entry.path)
    if entry.home and not folders(os.path.join(root, entry.home)):
      problems.add("not_downloaded", entry.record_id, "no folder")
      continue
    if entry.fault:
      problems.add(entry.fault, entry.record_id, "in the measurements")
      continue
    try:
      if entry.struct:
        total += _examine_struct(path + ".mat")
      else:
        size, repaired = _examine(path, read, training, entry.subject)
        total += size
        if repaired:
          problems.add("header_repaired", entry.record_id, "fused header")
      good += 1
    except RecordError as error:
      problems.add(error.reason, entry.record_id, str(error), entry.split)
  return good, total


def _plain_header(path):
  return header.read_header(path), False


def _examine(path, read, training, subject):
  """Returns int16 bytes of a record and whether its header was repaired.

  Raises RecordError as a build would, as far as a header tells.
  """
  found, repaired = read(path)
  length = reader.check_files(path, found)
  names = [line.name for line in found.signals]
  try:
    rows = leads.rows_of(names)
  except InputError as error:
    raise RecordError("bad_lead_names", f"{path}: {error}") from error
  if length is not None and length < quality.BENCHMARK.min_seconds * found.rate:
    raise RecordError("too_short", f"{path}: {length} samples")
  if training and len(rows) < leads.COUNT:
    raise RecordError("lead_missing", f"{path}: {len(rows)} leads")
  named = releases.mimic_subject(found.comments) if subject else None
  if named is not None and str(named) != subject:
    raise RecordError("subject_differs", f"{path}: its header names {named}")
  return leads.COUNT * 2 * (length or 0), repaired


def _examine_struct(path):
  """Walks over the parts of a MAT v5 file; returns estimated int16 bytes."""
  try:
    with open(path, "rb") as file:
      size = os.fstat(file.fileno()).st_size
      if file.read(128)[:10] != b"MATLAB 5.0":
        raise RecordError("bad_header", f"{path}: not a MATLAB 5.0 file")
      end, parts = 128, 0
      while end < size:
        file.seek(end)
        tag = file.read(8)
        if len(tag) < 8:
          raise RecordError("bad_length", f"{path}: cut short")
        end += 8 + struct.unpack("<II", tag)[1]
        parts += 1
  except OSError as error:
    raise RecordError("missing_file", f"{path}: {error.strerror}") from error
  if end != size or not parts:
    raise RecordError(
      "bad_length", f"{path}: {size} bytes, its parts make {end}"
    )
  return int(size * _STRUCT_SHARE)


def _progress(entries, size):
  """Passes the entries on; a line on stderr every PROGRESS_SECONDS."""
  start = last = time.monotonic()
  for index, entry in enumerate(entries):
    yield entry
    now = time.monotonic()
    if now - last >= PROGRESS_SECONDS:
      last = now
      rate = (index + 1) / (now - start)
      print(
        f"{index + 1} of {size} records, {rate:.0f} a second",
        file=sys.stderr,
        flush=True,
      )
