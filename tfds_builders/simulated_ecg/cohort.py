"""Which records are made, and which split each belongs to."""

import dataclasses
import os

import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.signals import simulate

SPLITS = ("train", "validation", "test")
# Of ten patients in a row seven train, one validates, two test.
SPLIT_OF_PATIENT = ("train",) * 7 + ("validation",) + ("test",) * 2


@dataclasses.dataclass(frozen=True)
class Cohort:
  """Which records are made."""

  records: int
  seed: int
  rate: int  # Hz

  @classmethod
  def from_environment(cls):
    """Reads FGCLEP_SIMULATED_{RECORDS,SEED,RATE}; raises InputError."""
    return cls(
      records=_whole_number("FGCLEP_SIMULATED_RECORDS", 6000, 1, 10**7),
      seed=_whole_number("FGCLEP_SIMULATED_SEED", 0, 0, 2**63 - 1),
      rate=_whole_number("FGCLEP_SIMULATED_RATE", 500, 100, 1000),
    )

  def split_of(self, index):
    """Name of the split that record `index` belongs to, by its patient."""
    patient = simulate.patient_number(index, self.seed)
    return SPLIT_OF_PATIENT[patient % len(SPLIT_OF_PATIENT)]

  def places(self):
    """Returns split -> (n,) indices of its records, empty ones left out."""
    split = np.fromiter(
      (SPLITS.index(self.split_of(index)) for index in range(self.records)),
      np.uint8,
      self.records,
    )
    found = {name: np.flatnonzero(split == i) for i, name in enumerate(SPLITS)}
    return {name: places for name, places in found.items() if len(places)}


def _whole_number(name, default, low, high):
  given = os.environ.get(name, str(default))
  if not given.isascii() or not given.isdigit():
    raise InputError(f"{name}={given!r}: give a whole number from {low} on")
  if not low <= int(given) <= high:
    raise InputError(f"{name}={given}: give {low} to {high}")
  return int(given)
