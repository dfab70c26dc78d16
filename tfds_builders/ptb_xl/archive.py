"""Reads the tables of an unpacked PTB-XL archive."""

import ast
import dataclasses
import os
import re

from fgclep_jax.errors import InputError
from fgclep_jax.signals import contract, published, releases

NAME = "ptb_xl"
TREE = releases.TREES[NAME]
SPLIT_OF_FOLD = releases.PTB_XL_SPLIT
SPLITS = published.SPLITS
RECORDS = releases.RECORDS[NAME]
SPLIT_SIZES = releases.SPLIT_SIZES[NAME]
choose_rate = releases.ptb_xl_rate
_COLUMNS = (
  "ecg_id",
  "patient_id",
  "age",
  "sex",
  "report",
  "scp_codes",
  "strat_fold",
  "filename_lr",
  "filename_hr",
)
_FILE_COLUMN = {100: "filename_lr", 500: "filename_hr"}


@dataclasses.dataclass(frozen=True)
class Row:
  """One record of `ptbxl_database.csv`."""

  record_id: str  # ecg_id as five digits
  patient_id: str  # whole number as text
  age: float  # years, NaN unknown, 90 for everybody over 89
  over_89: bool
  sex: int  # 0 male, 1 female, -1 unknown
  report: str
  codes: tuple[str, ...]
  split: str
  path: str  # below the root, without extension


def read_database(root, rate, known_codes):
  """Reads `ptbxl_database.csv`.

  Args:
    root: the archive's folder.
    rate: 100 or 500.
    known_codes: the SCP codes that may occur.

  Returns:
    A list of Row.

  Raises:
    InputError: a column is missing, a value cannot be read, a record
      occurs twice, or a patient is in two splits.
  """
  path = os.path.join(root, "ptbxl_database.csv")
  rows = []
  for line, entry in contract.read_table(path, _COLUMNS, TREE):
    try:
      rows.append(_row(entry, rate, known_codes))
    except (ValueError, TypeError, SyntaxError, RecursionError) as error:
      reason = str(error).splitlines()[0][:200]
      raise InputError(f"{path}, line {line}: {reason}") from error
  if not rows:
    raise InputError(f"{path}: no records")
  _check_rows(rows, path)
  return rows


def _row(entry, rate, known_codes):
  """Turns one line of the table into a Row; raises on any odd value."""
  ecg_id = int(entry["ecg_id"])
  # 300 stands for "over 89"; some rows hold the true age of 90 or more.
  age, over_89 = contract.known_age(float(entry["age"] or "nan"))
  path = entry[_FILE_COLUMN[rate]]
  # The release's own layout; a path that leads elsewhere is refused.
  if not re.fullmatch(rf"records{rate}/\d{{5}}/\d{{5}}_[lh]r", path):
    raise ValueError(f"unexpected file name {path[:60]!r}")
  codes = ast.literal_eval(entry["scp_codes"])
  if not isinstance(codes, dict):
    raise ValueError(f"scp_codes {entry['scp_codes'][:60]!r} is no dictionary")
  unknown = [code for code in codes if code not in known_codes]
  if unknown:
    raise ValueError(f"SCP code {unknown[0]!r} is not in scp_statements.csv")
  fold = int(entry["strat_fold"])
  if fold not in SPLIT_OF_FOLD:
    raise ValueError(f"strat_fold {fold}: 1 to 10 expected")
  sex = {"0": 0, "1": 1, "": -1}.get(entry["sex"].removesuffix(".0"))
  if sex is None:
    raise ValueError(f"sex {entry['sex'][:20]!r}: 0, 1 or nothing expected")
  return Row(
    record_id=f"{ecg_id:05d}",
    patient_id=str(int(float(entry["patient_id"]))),
    age=age,
    over_89=over_89,
    sex=sex,
    report=entry["report"],
    codes=tuple(codes),
    split=SPLIT_OF_FOLD[fold],
    path=path,
  )


def _check_rows(rows, path):
  """Raises when a record occurs twice or a patient is in two splits."""
  seen = set()
  split_of = {}
  for row in rows:
    if row.record_id in seen:
      raise InputError(f"{path}: record {row.record_id} occurs twice")
    seen.add(row.record_id)
    split = split_of.setdefault(row.patient_id, row.split)
    if split != row.split:
      raise InputError(
        f"{path}: patient {row.patient_id} is in {split} and {row.split}; "
        "splits must be patient-disjoint, use the table as published"
      )


def read_english_reports(root):
  """Reads `reports_en.csv` where present: record id -> report, else None."""
  path = os.path.join(root, "reports_en.csv")
  if not os.path.exists(path):
    return None
  reports = {}
  for line, row in contract.read_table(path, ("ecg_id", "report"), TREE):
    if not re.fullmatch(r"\d{1,5}", row["ecg_id"], re.ASCII):
      raise InputError(
        f"{path}, line {line}: ecg_id {row['ecg_id'][:20]!r} is no number"
      )
    reports[f"{int(row['ecg_id']):05d}"] = row["report"]
  return reports


def files_missing(root, rows):
  """Returns the rows whose header or samples are not there."""
  return [
    row
    for row in rows
    if not all(
      os.path.exists(os.path.join(root, row.path + ending))
      for ending in (".hea", ".dat")
    )
  ]


def is_complete(rows):
  """True for all records of release 1.0.3."""
  return len(rows) == RECORDS
