"""What the tables and folders of an archive say about its records.

Each function reads tables and file names, never samples, and returns a
Listing; what it finds wrong goes into a Problems.
"""

import array
import collections
import dataclasses
import os
import re
from collections.abc import Iterable

import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.signals import challenge, contract, published, releases

EXAMPLES = 5  # records named for each problem
_REPORT_FIELDS = tuple(f"report_{number}" for number in range(18))
# Columns of the measurements that may differ without contradiction.
_ASIDE = ("subject_id", "study_id", "cart_id", "ecg_time", "bandwidth",
          "filtering")  # fmt: skip


class Problems:
  """Counts problems by reason; names the first records of each.

  Attributes:
    counts: reason -> records.
    examples: reason -> list of (record id, detail), at most EXAMPLES.
    held_out: records of validation and test that a build would lose.
  """

  def __init__(self):
    self.counts = collections.Counter()
    self.examples = collections.defaultdict(list)
    self.held_out = 0

  def add(self, reason, record_id, detail="", split=""):
    self.counts[reason] += 1
    self.held_out += split in ("validation", "test")
    if len(self.examples[reason]) < EXAMPLES:
      self.examples[reason].append((str(record_id), detail))


@dataclasses.dataclass(frozen=True)
class Entry:
  """One record that should have files."""

  record_id: str
  path: str  # below the root, without ending
  split: str = ""  # "" unknown
  struct: bool = False  # MATLAB struct of CPSC2018, without a header
  home: str = ""  # folder below the root; without it never downloaded
  subject: str = ""  # whom the header must name where it names anybody
  fault: str = ""  # reason the tables give to leave it out


@dataclasses.dataclass(frozen=True)
class Listing:
  """The records of an archive and what else was counted."""

  entries: Iterable[Entry]
  size: int  # number of entries
  lines: int  # records listed: entries, and those found wanting already
  tables: dict[str, int]
  stops: tuple[str, ...] = ()  # why a build would refuse the tables
  not_downloaded: int = 0  # listed, but not part of this sample
  splits_known: bool = True


def ptb_xl(root, problems):
  """Lists PTB-XL from `ptbxl_database.csv`; raises InputError."""
  tree = releases.TREES["ptb_xl"]
  rate = releases.ptb_xl_rate(root)
  path = os.path.join(root, "ptbxl_database.csv")
  column = {100: "filename_lr", 500: "filename_hr"}[rate]
  pattern = re.compile(rf"records{rate}/\d{{5}}/\d{{5}}_[lh]r", re.ASCII)
  names = ("ecg_id", "patient_id", "strat_fold", column)
  entries, splits_of = {}, collections.defaultdict(set)
  for line, row in contract.read_table(path, names, tree):
    try:
      key = f"{int(row['ecg_id']):05d}"
      patient = int(float(row["patient_id"]))
      split = releases.PTB_XL_SPLIT[int(row["strat_fold"])]
      if not pattern.fullmatch(row[column]):
        raise ValueError(row[column][:60])
    except (ValueError, KeyError, OverflowError) as error:
      raise InputError(f"{path}, line {line}: odd value {error}") from error
    if key in entries:
      problems.add("duplicate_record", key, "listed twice")
    entries[key] = Entry(key, row[column], split)
    splits_of[patient].add(split)
  both = sum(len(splits) > 1 for splits in splits_of.values())
  codes = os.path.join(root, "scp_statements.csv")
  found = collections.Counter(entry.split for entry in entries.values())
  tables = {"rate used (Hz)": rate, "patients": len(splits_of)}
  tables |= {split: found[split] for split in published.SPLITS}
  tables["SCP codes"] = sum(1 for _ in contract.read_table(codes, (), tree))
  stops = _stop(problems.counts["duplicate_record"], "records listed twice")
  stops += _stop(both, "patients in two splits")
  size = len(entries)
  return Listing(entries.values(), size, size, tables, stops)


def mimic_iv_ecg(root, problems):
  """Lists MIMIC-IV-ECG from its two tables; raises InputError.

  The ids are held as integers, everything else passes by line by line.
  """
  subject, study = _mimic_records(root, problems)
  lines = len(study) + sum(problems.counts.values())
  measured = _mimic_measured(root)
  known, first = np.unique(measured[:, 0], return_index=True)
  both = np.intersect1d(study, known, assume_unique=True)
  tables = {
    "subjects": len(np.unique(subject)),
    "lines of measurements": len(measured),
    "measurements repeated": len(measured) - len(known),
    "records without measurements": len(study) - len(both),
    "measurements without record": len(known) - len(both),
  }
  subject_of = dict(zip(known.tolist(), measured[first, 1], strict=True))
  once = np.unique(measured, axis=0)[:, 0]  # several where they contradict
  conflicting = set(once[1:][once[1:] == once[:-1]].tolist())

  def entry(subject, study):
    fault = ""
    if study in conflicting:
      fault = "conflicting_study"
    elif subject_of.get(study, subject) != subject:
      fault = "subject_differs"
    path = releases.mimic_place(subject, study)
    home = os.path.dirname(os.path.dirname(path))
    return Entry(str(study), path, home=home, subject=str(subject), fault=fault)

  entries = map(entry, subject.tolist(), study.tolist())
  return Listing(entries, len(study), lines, tables)


def _mimic_measured(root):
  """Returns (n, 3) int64 of study, subject and a hash of the content."""
  found = array.array("q")
  for subject, study, row in _mimic_ids(
    root, "machine_measurements.csv", _REPORT_FIELDS
  ):
    said = [row[name] for name in row if name and name not in _ASIDE]
    content = hash(tuple(" ".join(text.split()) for text in said))
    found.extend((study, subject, content))
  return np.array(found, np.int64).reshape(-1, 3)


def _mimic_records(root, problems):
  """Returns (n,) int64 subjects and studies to build, by subject."""
  pairs = array.array("q")
  for subject, study, row in _mimic_ids(root, "record_list.csv", ("path",)):
    if row["path"] == releases.mimic_place(subject, study):
      pairs.extend((subject, study))
    else:
      problems.add("bad_path", study, row["path"][:80])
  pairs = np.array(pairs, np.int64).reshape(-1, 2)
  once, count = np.unique(pairs, axis=0, return_counts=True)
  studies, subjects_of = np.unique(once[:, 1], return_counts=True)
  several = np.isin(once[:, 1], studies[subjects_of > 1])
  for (_, study), times in zip(once[several], count[several], strict=True):
    for _ in range(times):
      problems.add("conflicting_study", study, "several subjects")
  once, count = once[~several], count[~several]
  for (_, study), times in zip(once[count > 1], count[count > 1], strict=True):
    for _ in range(times - 1):
      problems.add("duplicate_study", study, f"listed {times} times")
  return once[:, 0], once[:, 1]


def _mimic_ids(root, name, columns):
  """Yields subject, study and the row of each line of a table."""
  path = os.path.join(root, name)
  columns = ("subject_id", "study_id", *columns)
  tree = releases.TREES["mimic_iv_ecg"]
  for line, row in contract.read_table(path, columns, tree):
    ids = row["subject_id"], row["study_id"]
    if not all(re.fullmatch(r"[1-9]\d{0,17}", i, re.ASCII) for i in ids):
      raise InputError(
        f"{path}, line {line}: {' '.join(ids)[:60]!r}: two whole numbers "
        "expected"
      )
    yield int(ids[0]), int(ids[1]), row


def cpsc2018(root, problems):
  """Lists CPSC2018 from its files and REFERENCE.csv; raises InputError."""
  files = _files(root, "cpsc2018", problems)
  splits = _published(root, "icbeb", "filename", r"(A\d{4})")
  path, listed, repeated = releases.cpsc_reference(root), set(), 0
  if path:
    for _, row in contract.read_table(path, ("Recording",)):
      repeated += row["Recording"] in listed
      listed.add(row["Recording"])
  for known, name in ((listed, "REFERENCE.csv"), (splits, "the split files")):
    for key in sorted(files.keys() - set(known)) if known else ():
      problems.add("not_in_table", key, f"not in {name}")
  split_of = {key: splits.get(key, "") for key in listed or splits or files}
  tables = {"lines of REFERENCE.csv": len(listed)} if path else {}
  tables |= _split_counts(splits)
  stops = _stop(problems.counts["duplicate_record"], "records in two folders")
  stops += _stop(problems.counts["not_in_table"], "records not in the tables")
  stops += _stop(repeated, "lines of REFERENCE.csv repeat a record")
  entries = (
    Entry(key, stem, splits.get(key, ""), struct=".hea" not in endings)
    for key, (stem, endings) in sorted(files.items())
  )
  return _of_files(
    root, files, entries, split_of, bool(splits), tables, stops, problems
  )


def chapman_ningbo(root, problems):
  """Lists CSN from its files and the split files; raises InputError."""
  files = _files(root, "chapman_ningbo", problems)
  splits = _published(root, "chapman", "ecg_path", r"(?:.*/)?(JS\d{5})\.mat")
  stops = _stop(problems.counts["duplicate_record"], "records in two folders")
  entries = (
    Entry(key, stem, splits.get(key, "unlabelled") if splits else "")
    for key, (stem, _) in sorted(files.items())
  )
  tables = _split_counts(splits)
  return _of_files(
    root, files, entries, splits, bool(splits), tables, stops, problems
  )


def _stop(count, what):
  return (f"{count} {what}",) if count else ()


def _files(root, name, problems):
  """Returns record id -> (path, endings), the first place of each."""
  found, others = {}, set()
  pattern = releases.PATTERNS[name]
  for key, stem, ending in challenge.walk_records(root, pattern):
    first, endings = found.setdefault(key, (stem, set()))
    if stem == first:
      endings.add(ending)
    elif stem not in others:
      others.add(stem)
      problems.add("duplicate_record", key, f"{first} and {stem}")
  return found


def _published(root, name, column, pattern):
  """Returns record id -> split of the published files, {} without them."""
  splits = {}
  for split, path in (published.find_files(root, name) or {}).items():
    for line, row in contract.read_table(path, (column,)):
      match = re.fullmatch(pattern, row[column], re.ASCII)
      if not match or match[1] in splits:
        raise InputError(
          f"{path}, line {line}: {column} {row[column][:60]!r} is odd or "
          "occurs twice: use the files as published"
        )
      splits[match[1]] = split
  return splits


def _split_counts(splits):
  found = collections.Counter(splits.values())
  return {f"published {key}": found[key] for key in published.SPLITS if splits}


def _of_files(root, files, entries, split_of, known, tables, stops, problems):
  """Returns the Listing; notes the listed records without files."""
  absent = published.absent_records(split_of, files, root, True)
  for key in absent:
    problems.add("missing_file", key, "no files", split_of[key])
  return Listing(
    entries,
    size=len(files),
    lines=len(files) + len(absent),
    tables=tables,
    stops=stops,
    not_downloaded=len(set(split_of) - set(files)) - len(absent),
    splits_known=known,
  )
