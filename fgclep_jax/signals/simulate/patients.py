"""Who lies under the electrodes: age, sex, burdens, and chronic disease."""

import dataclasses

import numpy as np

from fgclep_jax.signals.simulate import diagnoses, torso
from fgclep_jax.signals.simulate.stream import Stream

RECORDS_OF_PATIENTS = (1, 1, 1, 1, 1, 2, 3)
"""Ten records in a row belong to seven patients, in random order."""


@dataclasses.dataclass(frozen=True)
class Patient:
  """What stays the same from one record of a patient to the next.

  Attributes:
    number: number of the patient in the cohort.
    age: years.
    sex: 0 male, 1 female.
    burdens: standard normal loads of disease, by name.
    chronic: names of diagnoses that every record of the patient shows.
    field: (9, 3) lead field of the torso.
  """

  number: int
  age: float
  sex: int
  burdens: dict
  chronic: tuple
  field: np.ndarray


def patient_number(index, seed):
  """Number of the patient to whom record `index` belongs."""
  records = sum(RECORDS_OF_PATIENTS)
  block, place = divmod(index, records)
  sizes = Stream("block", seed, block).shuffled(RECORDS_OF_PATIENTS)
  before = block * len(RECORDS_OF_PATIENTS)
  return before + int(np.searchsorted(np.cumsum(sizes), place, "right"))


def draw_patient(number, seed):
  """The patient of that number, the same whatever was drawn before."""
  stream = Stream("patient", seed, number)
  age = round(float(np.clip(stream.normal(60.0, 17.0), 18.0, 89.0)))
  sex = int(stream.chance(0.48))
  burdens = {name: stream.normal() for name in diagnoses.BURDENS}
  chronic = diagnoses.draw(stream, age, sex, burdens, chronic=True)
  field = torso.patient_field(stream, age, sex)
  return Patient(number, float(age), sex, burdens, chronic, field)
