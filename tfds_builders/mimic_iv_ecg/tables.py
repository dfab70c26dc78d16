"""Reads the tables of MIMIC-IV-ECG into arrays.

The release has 800,035 records: nothing is kept as one Python object a
record, and each distinct line of the reports is kept once.
"""

import array
import collections
import dataclasses
import math
import os
import re

import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.signals import contract, releases

from . import measurements

RECORD_LIST = "record_list.csv"
MEASUREMENTS = "machine_measurements.csv"
TREE = releases.TREES["mimic_iv_ecg"]
REPORT_FIELDS = tuple(f"report_{number}" for number in range(18))
_ID = re.compile(r"[1-9]\d{0,17}", re.ASCII)
_YEAR = re.compile(r"(\d{4})-", re.ASCII)


layout = releases.mimic_place


@dataclasses.dataclass(frozen=True, eq=False)
class RecordList:
  """`record_list.csv`, a line each, ordered by subject and study."""

  subject: np.ndarray  # (n,) int64
  study: np.ndarray  # (n,) int64
  year: np.ndarray  # (n,) int16 of the recording, shifted; 0 unknown
  lines: int  # of the file
  # study as text, path and reason of lines that are left out
  dropped: tuple[tuple[str, str, str], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Reports:
  """`machine_measurements.csv`, a line each, ordered by study.

  The report of line i is `texts[j] for j in ids[offsets[i]:offsets[i + 1]]`
  in the order of its columns, blank ones left out.
  """

  study: np.ndarray  # (n,) int64
  subject: np.ndarray  # (n,) int64
  start: np.ndarray  # (n,) int64, where the report begins in `ids`
  stop: np.ndarray  # (n,) int64
  ids: np.ndarray  # int32
  texts: tuple[str, ...]  # distinct lines, blanks collapsed
  values: np.ndarray  # (n, 9) float32, cleaned, measurements.MEASURED
  lines: int  # of the file
  repeated: int  # lines that say again what another one says
  conflicting: np.ndarray  # int64 studies whose lines contradict each other
  removed: int  # values that cannot have been measured, now NaN


def read_record_list(root):
  """Reads the list of records.

  A line whose path is not the place of its subject and study is left out
  (`bad_path`), so nothing outside that layout is ever opened. Of lines that
  repeat a study one stays (`duplicate_study`); where they name different
  subjects none does (`conflicting_study`).

  Raises:
    InputError: the file cannot be read, an id is no number, or it is empty.
  """
  path = os.path.join(root, RECORD_LIST)
  columns = array.array("q"), array.array("q"), array.array("h")
  dropped, lines = [], 0
  names = ("subject_id", "study_id", "ecg_time", "path")
  for line, entry in contract.read_table(path, names, TREE):
    subject, study = _ids(entry, path, line)
    lines += 1
    if entry["path"] != layout(subject, study):
      dropped.append((str(study), entry["path"][:200], "bad_path"))
      continue
    year = _YEAR.match(entry["ecg_time"])
    row = subject, study, int(year[1]) if year else 0
    for column, value in zip(columns, row, strict=True):
      column.append(value)
  if not lines:
    raise InputError(f"{path}: no records")
  subject, study, year = map(np.array, columns)
  keep, others = _once(subject, study)
  dropped += [
    (str(study[index]), layout(subject[index], study[index]), reason)
    for index, reason in others
  ]
  order = keep[np.lexsort((study[keep], subject[keep]))]
  dropped = tuple(sorted(dropped))
  return RecordList(subject[order], study[order], year[order], lines, dropped)


def _once(subject, study):
  """Picks one line a study.

  Args:
    subject, study: (n,) int64.

  Returns:
    Indices of the lines that stay, and [(index, reason)] of the others.
  """
  order = np.argsort(study, kind="stable")
  again = order[1:][study[order][1:] == study[order][:-1]]
  lines = collections.defaultdict(list)
  for index in np.flatnonzero(np.isin(study, study[again])).tolist():
    lines[int(study[index])].append(index)
  others = []
  for indices in lines.values():
    if len({int(subject[index]) for index in indices}) > 1:
      others += [(index, "conflicting_study") for index in indices]
    else:
      others += [(index, "duplicate_study") for index in indices[1:]]
  stay = np.ones(len(study), bool)
  stay[[index for index, _ in others]] = False
  return np.flatnonzero(stay), others


def read_reports(root):
  """Reads reports and measurements; all 18 report columns count.

  A line that repeats another one of its study is counted; lines of a study
  that differ in subject, report or measurements make it `conflicting`.

  Raises:
    InputError: the file cannot be read, or an id is no number.
  """
  path = os.path.join(root, MEASUREMENTS)
  subjects, studies = array.array("q"), array.array("q")
  stops, ids, values = array.array("q"), array.array("i"), array.array("f")
  texts, blank = {}, 0
  names = ("subject_id", "study_id", *REPORT_FIELDS, *measurements.MEASURED)
  for line, entry in contract.read_table(path, names, TREE):
    subject, study = _ids(entry, path, line)
    subjects.append(subject)
    studies.append(study)
    for field in REPORT_FIELDS:
      text = " ".join(entry[field].split())
      if text:
        ids.append(texts.setdefault(text, len(texts)))
    stops.append(len(ids))
    cells = [entry[name].strip() for name in measurements.MEASURED]
    values.extend(map(_number, cells))
    blank += cells.count("")
  if not studies:
    raise InputError(f"{path}: no measurements")
  clean = np.array(values, np.float32).reshape(-1, len(measurements.MEASURED))
  clean = measurements.clean(clean)
  stop = np.array(stops, np.int64)
  return _ordered(
    Reports(
      study=np.array(studies, np.int64),
      subject=np.array(subjects, np.int64),
      start=np.concatenate([np.zeros(1, np.int64), stop[:-1]]),
      stop=stop,
      ids=np.array(ids, np.int32),
      texts=tuple(texts),
      values=clean,
      lines=len(studies),
      repeated=0,
      conflicting=np.zeros(0, np.int64),
      removed=int(np.isnan(clean).sum()) - blank,
    )
  )


def _ordered(table):
  """Returns the table by study, one line each, contradictions noted."""
  order = np.argsort(table.study, kind="stable")
  study = table.study[order]
  first = np.ones(len(study), bool)
  first[1:] = study[1:] != study[:-1]
  conflicting = [
    int(study[index])
    for index in np.flatnonzero(~first)
    if _content(table, order[index]) != _content(table, order[index - 1])
  ]
  keep = order[first]
  return dataclasses.replace(
    table,
    study=table.study[keep],
    subject=table.subject[keep],
    start=table.start[keep],
    stop=table.stop[keep],
    values=table.values[keep],
    repeated=int((~first).sum()),
    conflicting=np.unique(np.array(conflicting, np.int64)),
  )


def _content(table, line):
  """Returns what a line says, comparable."""
  report = table.ids[table.start[line] : table.stop[line]].tobytes()
  return int(table.subject[line]), report, table.values[line].tobytes()


def _ids(entry, path, line):
  """Returns subject and study of a line as whole numbers."""
  for name in ("subject_id", "study_id"):
    if not _ID.fullmatch(entry[name]):
      raise InputError(
        f"{path}, line {line}: {name} {entry[name][:40]!r} is no whole number"
      )
  return int(entry["subject_id"]), int(entry["study_id"])


def _number(text):
  try:
    return float(text)
  except ValueError:
    return math.nan
