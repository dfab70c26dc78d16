"""Patient-disjoint parts of a split, the same wherever they are drawn."""

import hashlib

import numpy as np

from fgclep_jax.errors import InputError


def inner_validation(patient_ids, record_ids, fraction=0.15, seed=0):
  """Marks the records of an inner validation set.

  Choices are made on this part where the dataset's own validation split is
  kept for the final figure. Membership of a patient depends on nothing but
  the id and the seed, so training and evaluation agree without a file, and
  more records never move anybody.

  Args:
    patient_ids: (n,) str, '' where the patient is unknown: such a record
      stands for itself.
    record_ids: (n,) str.
    fraction: expected share of patients, between 0 and 1.
    seed: int, another seed gives another part.

  Returns:
    (n,) bool, True for inner validation.
  """
  if not 0 < fraction < 1:
    raise InputError(
      f"inner validation fraction {fraction}: give a share between 0 and 1"
    )
  if len(patient_ids) != len(record_ids):
    raise InputError(
      f"{len(patient_ids)} patient ids for {len(record_ids)} records"
    )
  marks = [
    _share(
      f"{seed}/patient/{patient}" if patient else f"{seed}/record/{record}"
    )
    < fraction
    for patient, record in zip(patient_ids, record_ids, strict=True)
  ]
  return np.array(marks, bool)


def _share(text):
  """A number in [0, 1) from the first 64 bits of the sha256 of a text."""
  word = hashlib.sha256(text.encode("utf-8")).digest()[:8]
  return int.from_bytes(word, "big") / 2**64
