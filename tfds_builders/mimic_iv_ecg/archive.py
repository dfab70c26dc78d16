"""Joins the tables of a MIMIC-IV-ECG archive and finds its records."""

import dataclasses
import os

import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.reports import technical
from fgclep_jax.signals import contract, published, releases

from . import measurements, people, tables

RECORDS = releases.RECORDS["mimic_iv_ecg"]
SPLITS = published.SPLITS
# Shares of the hash of the subject: below the first train, and so on.
_ENDS = (0.90, 0.95)
_MIN_WORDS = 4  # of a report, in counts that others have published
_NO_VALUES = np.full(len(measurements.MEASURED), np.nan, np.float32)


@dataclasses.dataclass(frozen=True)
class Row:
  """One record, before its waveform is read."""

  subject: int
  study: int
  statements: list[str]  # findings, in order
  lines: list[str]  # technical lines, as found
  measured: bool  # the study has a line of measurements
  values: np.ndarray  # (9,) float32, measurements.MEASURED
  age: float  # years, NaN unknown
  over_89: bool
  sex: int  # 0 male, 1 female, -1 unknown

  @property
  def record_id(self):
    return str(self.study)

  @property
  def path(self):
    """Below the root, without ending."""
    return tables.layout(self.subject, self.study)


@dataclasses.dataclass(frozen=True, eq=False)
class Archive:
  """An opened archive: everything but the waveforms, n records.

  Ordered by subject and study, whatever the order of the files.
  """

  root: str
  subject: np.ndarray  # (n,) int64
  study: np.ndarray  # (n,) int64
  year: np.ndarray  # (n,) int16, shifted; 0 unknown
  split: np.ndarray  # (n,) uint8 index of SPLITS
  line: np.ndarray  # (n,) int32 of `reports`, -1 for none
  reports: tables.Reports
  findings: tuple[tuple[str, str], ...]  # of each text of `reports`
  people: people.People | None
  dropped: tuple[tuple[str, str, str], ...]  # study, path, reason
  partial: bool
  counts: dict  # of the join, for the metadata

  def __len__(self):
    return len(self.study)

  def record_ids(self):
    return [str(study) for study in self.study.tolist()]

  def rows(self, split):
    """Yields the Row of each record of a split."""
    for index in self.places().get(split, ()):
      yield self.row(int(index))

  def places(self):
    """Returns split -> (n,) indices of its records, empty ones left out."""
    found = {s: np.flatnonzero(self.split == i) for i, s in enumerate(SPLITS)}
    return {split: places for split, places in found.items() if len(places)}

  def row(self, index):
    """Returns the Row at an index."""
    subject, year = int(self.subject[index]), int(self.year[index])
    age, over_89, sex = np.nan, False, -1
    if self.people is not None:
      age, over_89, sex = self.people.find(subject, year)
    line = int(self.line[index])
    found, values = [], _NO_VALUES
    if line >= 0:
      start, stop = self.reports.start[line], self.reports.stop[line]
      found = [self.findings[i] for i in self.reports.ids[start:stop].tolist()]
      values = self.reports.values[line]
    return Row(
      subject,
      int(self.study[index]),
      [statement for statement, _ in found if statement],
      [text for _, text in found if text],
      line >= 0,
      values,
      age,
      over_89,
      sex,
    )


def open_archive(root):
  """Reads and joins the tables, on study_id.

  Raises:
    InputError: a table is absent or damaged, or no record has files.
  """
  listed = tables.read_record_list(root)
  reports = tables.read_reports(root)
  line = match(listed.study, reports.study)
  present = _has_folder(root, listed.subject)
  sample = present.mean() < published.SAMPLE_SHARE
  reason = _reasons(listed, reports, line, present)
  if sample:  # the others were never downloaded
    reason[~present] = ""
  dropped = [
    (str(study), tables.layout(subject, study), why)
    for subject, study, why in zip(
      listed.subject.tolist(), listed.study.tolist(), reason, strict=True
    )
    if why
  ]
  keep = present & (reason == "")
  split = split_of(listed.subject)
  check_disjoint(listed.subject, split)
  not_downloaded = int((~present).sum()) if sample else 0
  return Archive(
    root=root,
    subject=listed.subject[keep],
    study=listed.study[keep],
    year=listed.year[keep],
    split=split[keep],
    line=line[keep],
    reports=reports,
    findings=tuple(technical.split_line(text) for text in reports.texts),
    people=people.read(root),
    dropped=(*listed.dropped, *dropped),
    partial=listed.lines < RECORDS or not present.all(),
    counts=_counts(listed, reports, line)
    | {"records_not_downloaded": not_downloaded},
  )


def match(studies, known):
  """Returns (n,) int32, where each of `studies` is in `known`, else -1.

  Args:
    studies: (n,) int64.
    known: (m,) int64, ascending, each once.
  """
  place = np.searchsorted(known, studies)
  place[place == len(known)] = 0
  return np.where(known[place] == studies, place, -1).astype(np.int32)


def _reasons(listed, reports, line, present):
  """Returns (n,) object: why each record is left out, or empty."""
  reason = np.full(len(line), "", object)
  reason[(line >= 0) & (reports.subject[line] != listed.subject)] = (
    "subject_differs"
  )
  reason[np.isin(listed.study, reports.conflicting)] = "conflicting_study"
  reason[~present] = "missing_file"
  return reason


def _has_folder(root, subject):
  """Returns (n,) bool: whether the folder of each subject is there.

  Raises:
    InputError: none is.
  """
  subjects, inverse = np.unique(subject, return_inverse=True)
  groups = {}  # first four digits -> names in that folder
  found = np.zeros(len(subjects), bool)
  for index, number in enumerate(subjects.tolist()):
    group = f"p{str(number)[:4]}"
    if group not in groups:  # in order of subjects: one at a time is enough
      groups = {group: _names(os.path.join(root, "files", group))}
    found[index] = f"p{number}" in groups[group]
  if not found.any():
    raise InputError(
      f"{root}: no records of {tables.RECORD_LIST} found; expected there: "
      f"{tables.TREE}"
    )
  return found[inverse]


def _names(folder):
  try:
    return frozenset(os.listdir(folder))
  except OSError:
    return frozenset()


def split_of(subject):
  """Returns (n,) uint8 index of SPLITS by a hash of each subject.

  Nine tenths of the subjects train, a twentieth validates, a twentieth
  tests: the same whatever else the archive holds.
  """
  subjects, inverse = np.unique(subject, return_inverse=True)
  shares = [
    contract.stable_share(f"mimic_iv_ecg/{number}")
    for number in subjects.tolist()
  ]
  return np.searchsorted(_ENDS, shares, "right").astype(np.uint8)[inverse]


def check_disjoint(subject, split):
  """Raises InputError when a subject is in two splits; both (n,)."""
  order = np.argsort(subject, kind="stable")
  subject, split = subject[order], split[order]
  both = (subject[1:] == subject[:-1]) & (split[1:] != split[:-1])
  if both.any():
    raise InputError(
      f"{both.sum()} subjects are in two splits, first "
      f"{subject[1:][both][0]}: splits must be patient-disjoint"
    )


def _counts(listed, reports, line):
  """Returns what the join found, both sides' leftovers among it."""
  matched = int((line >= 0).sum())
  words = np.array([_words(text) for text in reports.texts], np.int64)
  total = np.concatenate([[0], np.cumsum(words[reports.ids])])
  words_of = total[reports.stop] - total[reports.start]
  return {
    "records_listed": listed.lines,
    "subjects": len(np.unique(listed.subject)),
    "measurements_listed": reports.lines,
    "records_without_measurements": len(line) - matched,
    "measurements_without_record": len(reports.study) - matched,
    "measurements_repeated": reports.repeated,
    "measurement_values_removed": reports.removed,
    "reports_of_4_words": int((words_of >= _MIN_WORDS).sum()),
  }


def _words(text):
  """Returns the number of words; decoration such as `***` is none."""
  return sum(any(map(str.isalnum, word)) for word in text.split())
