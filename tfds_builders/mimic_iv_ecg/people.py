"""Age and sex from `patients.csv` of the MIMIC-IV module `hosp`.

MIMIC-IV-ECG itself has neither; that table has its own data use agreement.
"""

import array
import dataclasses
import math
import os

import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.signals import contract

FILE = "patients.csv"
_COLUMNS = ("subject_id", "gender", "anchor_age", "anchor_year")
_SEXES = {"M": 0, "F": 1}


@dataclasses.dataclass(frozen=True, eq=False)
class People:
  """The table, ordered by subject."""

  subject: np.ndarray  # (n,) int64
  sex: np.ndarray  # (n,) int8: 0 male, 1 female, -1 unknown
  anchor_age: np.ndarray  # (n,) int16 years in the anchor year, 91: over 89
  anchor_year: np.ndarray  # (n,) int16, shifted as all dates of a subject

  def find(self, subject, year):
    """Returns age in years (NaN unknown), whether over 89, and sex.

    Args:
      subject: number.
      year: of the recording, shifted; 0 unknown.
    """
    index = int(np.searchsorted(self.subject, subject))
    if index == len(self.subject) or self.subject[index] != subject:
      return math.nan, False, -1
    anchor = int(self.anchor_age[index])
    passed = year - int(self.anchor_year[index])
    # 91 stands for any age above 89: nothing is known about earlier years.
    known = year > 0 and not (anchor > 89 and passed < 0)
    age = anchor + passed if known else math.nan
    return *contract.known_age(age), int(self.sex[index])


def read(root):
  """Reads `patients.csv`; None where it does not lie in `root`.

  Raises:
    InputError: it cannot be read, or holds no numbers or a subject twice.
  """
  path = os.path.join(root, FILE)
  if not os.path.exists(path):
    return None
  subject, sex = array.array("q"), array.array("b")
  age, year = array.array("h"), array.array("h")
  for line, entry in contract.read_table(path, _COLUMNS):
    try:
      subject.append(int(entry["subject_id"]))
      age.append(int(entry["anchor_age"]))
      year.append(int(entry["anchor_year"]))
    except (ValueError, OverflowError) as error:
      raise InputError(f"{path}, line {line}: {error}") from error
    sex.append(_SEXES.get(entry["gender"].strip().upper(), -1))
  order = np.argsort(np.array(subject, np.int64), kind="stable")
  columns = [
    np.array(column, kind)[order]
    for column, kind in (
      (subject, np.int64),
      (sex, np.int8),
      (age, np.int16),
      (year, np.int16),
    )
  ]
  twice = np.flatnonzero(columns[0][1:] == columns[0][:-1])
  if len(twice):
    raise InputError(
      f"{path}: subject {columns[0][twice[0]]} occurs twice: use the table as "
      "published"
    )
  return People(*columns)
