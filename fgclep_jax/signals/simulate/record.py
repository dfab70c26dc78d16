"""One simulated record, from its number alone."""

import dataclasses

import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.signals.simulate import (
  arrhythmia,
  conduction,
  diagnoses,
  expression,
  findings,
  measure,
  noise,
  patients,
  synthesis,
  torso,
  wording,
)
from fgclep_jax.signals.simulate import rhythm as rhythms
from fgclep_jax.signals.simulate import shape as shapes
from fgclep_jax.signals.simulate.stream import Stream


@dataclasses.dataclass(frozen=True)
class SimulatedRecord:
  """A record with everything that is known about it.

  Attributes:
    record_id: e.g. "S00000042".
    patient_id: e.g. "P00000029"; one to three records share it.
    signal: (12, T) int16 microvolts, leads in the order of `leads.LEADS`.
    rate: Hz.
    statements: report, findings only.
    diagnoses: names out of DIAGNOSES that the record has.
    features: names out of FEATURES that the tracing shows.
    measurements: name with unit -> float; NaN where there is nothing.
    age: years.
    sex: 0 male, 1 female.
  """

  record_id: str
  patient_id: str
  signal: np.ndarray
  rate: int
  statements: tuple
  diagnoses: tuple
  features: tuple
  measurements: dict
  age: float
  sex: int


def simulate(index, seed=0, rate=500, seconds=10.0):
  """Record number `index` of the cohort `seed`.

  The same whatever other records are made, and within 1 µV the same on any
  machine. Takes about 5 ms.

  Args:
    index: 0 or more.
    seed: 0 or more; another seed is another cohort.
    rate: samples per second, at least 50.
    seconds: length, 5 to 60.

  Returns:
    SimulatedRecord.

  Raises:
    InputError: an argument is out of its range.
  """
  case = draw_case(index, seed, rate, seconds)
  potentials = electrode_potentials(case)
  signal = torso.leads_from_electrodes(potentials)
  signal *= 1e3
  np.rint(signal, out=signal)
  np.clip(signal, -32767, 32767, out=signal)
  values, features = truth(case)
  report = Stream("report", seed, index)
  return SimulatedRecord(
    record_id=f"S{index:08d}",
    patient_id=f"P{case.patient.number:08d}",
    signal=signal.astype(np.int16),
    rate=rate,
    statements=wording.write_report(
      report, case.names, case.severity, features
    ),
    diagnoses=case.names,
    features=features,
    measurements=values,
    age=case.patient.age,
    sex=case.patient.sex,
  )


@dataclasses.dataclass(frozen=True)
class Case:
  """Everything about a record but its samples and its report."""

  index: int
  seed: int
  rate: int
  seconds: float
  patient: patients.Patient
  names: tuple
  severity: dict
  shape: shapes.Shape
  rhythm: rhythms.Rhythm
  field: np.ndarray


def draw_case(index, seed=0, rate=500, seconds=10.0):
  """Patient, diagnoses, beat and rhythm of a record -> Case."""
  _check(index, seed, rate, seconds)
  patient = patients.draw_patient(patients.patient_number(index, seed), seed)
  age, sex = patient.age, patient.sex
  stream = Stream("record", seed, index)
  names = draw_diagnoses(patient, stream)
  severity = {name: stream.uniform() ** 0.75 for name in names}
  rhythm = arrhythmia.draw_rhythm(
    Stream("rhythm", seed, index), names, age, seconds
  )
  healthy = shapes.normal_shape(Stream("shape", seed, index), age, sex)
  shape = expression.express(healthy, names, severity, stream)
  shape = conduction.of_rhythm(shape, rhythm, stream)
  field = torso.replaced_electrodes(patient.field, stream)
  return Case(
    index, seed, rate, seconds, patient, names, severity, shape, rhythm, field
  )


def truth(case):
  """Measurements (name -> float) and names of the features of a Case."""
  shape, rhythm, seconds = case.shape, case.rhythm, case.seconds
  cycle = synthesis.typical_cycle(rhythm, seconds)
  beat = measure.measure_beat(shape, case.field, cycle)
  values = measure.measurements(beat, shape, rhythm, seconds)
  return values, findings.features(beat, shape, rhythm, values, seconds)


def draw_diagnoses(patient, stream):
  """Names of what the patient has in this record, chronic or passing."""
  passing = diagnoses.draw(
    stream, patient.age, patient.sex, patient.burdens, chronic=False
  )
  return diagnoses.together((*patient.chronic, *passing))


def draw_names(index, seed=0):
  """Names of the diagnoses of a record, without drawing the rest of it."""
  patient = patients.draw_patient(patients.patient_number(index, seed), seed)
  return draw_diagnoses(patient, Stream("record", seed, index))


def heart_potentials(case):
  """(9, T) mV at the electrodes from the heart alone."""
  stream = Stream("noise", case.seed, 2 * case.index)
  beats = {rhythms.CONDUCTED: case.shape}
  if (case.rhythm.kind == rhythms.ECTOPIC).any():
    beats[rhythms.ECTOPIC] = conduction.ectopic_shape(case.shape, stream)
  if (case.rhythm.kind == rhythms.PACED).any():
    beats = {rhythms.PACED: case.shape}
  return case.field @ synthesis.heart_vector(
    stream, case.rhythm, beats, case.rate, case.seconds
  )


def electrode_potentials(case):
  """(9, T) mV at the electrodes: heart and noise, rows as ELECTRODES."""
  stream = Stream("noise", case.seed, 2 * case.index + 1)
  potentials = noise.electrode_noise(stream, case.rate, case.seconds)
  potentials += heart_potentials(case)
  return noise.with_faults(stream, potentials, case.rate)


def _check(index, seed, rate, seconds):
  if not 0 <= index < 2**47:
    raise InputError(f"index {index}: give 0 or more")
  if not 0 <= seed < 2**64:
    raise InputError(f"seed {seed}: give 0 or more")
  if not 50 <= rate <= 5000:
    raise InputError(f"rate {rate} Hz: give 50 to 5000")
  if not 5 <= seconds <= 60:
    raise InputError(f"length {seconds} s: give 5 to 60")
