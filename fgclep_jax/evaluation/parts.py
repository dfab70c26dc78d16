"""Which records are fitted on, chosen on and tested on."""

import dataclasses

import numpy as np

from fgclep_jax.data.split import inner_validation
from fgclep_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Part:
  """Some records of a split: fitted on, chosen on, or tested on."""

  role: str
  split: object
  rows: np.ndarray  # (n,) int

  def rows_of(self, task):
    """(m,) int rows of this part that belong to the task."""
    return self.rows[np.asarray(self.split.labelled[task], bool)[self.rows]]

  def labels(self, task):
    """(m, C) bool labels of those rows."""
    return np.asarray(self.split.labels[task], bool)[self.rows_of(task)]

  def counts(self):
    """How many records and patients, of which split."""
    ids = unit_ids(self.split.patient_ids, self.split.record_ids)[self.rows]
    return {
      "split": self.split.name,
      "records": len(self.rows),
      "patients": len(set(ids)),
    }


def make_parts(splits, name, inner_fraction=0.15, allow_overlap=False):
  """Which records are fitted on, chosen on and tested on.

  Nothing is chosen on the evaluated records: where they are the validation
  split, or there is none, a patient-disjoint part of train takes its place.

  Args:
    splits: name -> split of one dataset.
    name: of the evaluated split.
    inner_fraction: share of training patients to choose on, if needed.
    allow_overlap: go on when training patients are among the evaluated.

  Returns:
    dict of Part by role, and the number of test records whose patient or
    record is also among the fitted or chosen ones.
  """
  if name == "train" or "train" not in splits:
    raise InputError(
      f"evaluation of split {name!r} among {', '.join(splits)}: needs a "
      "train split beside the evaluated one"
    )
  train, test = splits["train"], splits[name]
  everything = np.arange(len(train))
  if name == "validation" or "validation" not in splits:
    inner = inner_validation(
      train.patient_ids, train.record_ids, inner_fraction
    )
    fit = Part("fit", train, everything[~inner])
    choice = Part("choice", train, everything[inner])
  else:
    other = splits["validation"]
    fit = Part("fit", train, everything)
    choice = Part("choice", other, np.arange(len(other)))
  seen = _units(fit) | _units(choice)
  own = unit_ids(test.patient_ids, test.record_ids)
  overlap = sum(unit in seen for unit in own)
  if overlap and not allow_overlap:
    raise InputError(
      f"{overlap} of {len(test)} records of split {name!r} share a patient "
      "with the training records: mend the splits, or give --allow-overlap"
    )
  parts = (fit, choice, Part("test", test, np.arange(len(test))))
  return {part.role: part for part in parts}, overlap


def _units(part):
  ids = unit_ids(part.split.patient_ids, part.split.record_ids)
  return set(ids[part.rows])


def unit_ids(patient_ids, record_ids):
  """(n,) str: the patient, or the record where the patient is unknown."""
  pairs = zip(patient_ids, record_ids, strict=True)
  return np.array([f"p/{p}" if p else f"r/{r}" for p, r in pairs])


def unit_name(patient_ids):
  """What is resampled where these are the patients, '' unknown."""
  known = [bool(patient) for patient in patient_ids]
  if all(known):
    return "patient"
  return "patient, record where unknown" if any(known) else "record"
