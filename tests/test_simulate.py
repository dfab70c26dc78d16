"""The simulated cohort: physics, determinism, truth, prevalence, reports."""

import itertools
import json
import pathlib

import numpy as np
import pytest
import scipy.signal
from sklearn.metrics import roc_auc_score

from fgclep_jax.errors import InputError
from fgclep_jax.signals import simulate
from fgclep_jax.signals.leads import LEADS
from fgclep_jax.signals.simulate import (
  diagnoses,
  patients,
  record,
  stream,
  torso,
  wording,
)

RATE = 500
COUNT = 450
ROW = {name: row for row, name in enumerate(LEADS)}
GOLDEN = pathlib.Path(__file__).parent / "golden_simulated.json"


@pytest.fixture(scope="module")
def cohort():
  return [simulate.simulate(index) for index in range(COUNT)]


@pytest.fixture(scope="module")
def beats(cohort):
  """(n, 12, 450) mV: median beat of each record from 200 ms before R."""
  return np.stack([median_beat(item.signal / 1e3) for item in cohort])


def r_peaks(signal):
  """Samples of the QRS complexes in (12, T) mV, by their steep slopes."""
  band = scipy.signal.butter(2, (8, 40), "bandpass", fs=RATE, output="sos")
  slope = np.diff(scipy.signal.sosfiltfilt(band, signal, axis=1), axis=1)
  energy = np.sqrt((slope**2).sum(axis=0))
  energy = np.convolve(energy, np.ones(40) / 40, "same")
  limit = 0.3 * np.percentile(energy, 99)
  return scipy.signal.find_peaks(energy, height=limit, distance=130)[0]


def median_beat(signal):
  peaks = r_peaks(signal)
  cut = [signal[:, p - 100 : p + 350] for p in peaks if 100 <= p <= 5000 - 350]
  beat = np.median(np.stack(cut), axis=0)
  return beat - np.median(beat[:, 20:50], axis=1, keepdims=True)


def relations(signal):
  """Largest departure from Einthoven's and Goldberger's relations."""
  i, ii, iii, avr, avl, avf = signal[:6]
  errors = (i + iii - ii, avr + (i + ii) / 2, avl - (i - iii) / 2)
  errors += (avf - (ii + iii) / 2, avr + avl + avf)
  return max(np.abs(error).max() for error in errors)


def test_lead_relations_are_exact_before_rounding():
  for index in (0, 7, 1234, 99999):
    case = record.draw_case(index, seed=5)
    leads = torso.leads_from_electrodes(record.electrode_potentials(case))
    assert relations(leads) < 1e-12
    rounded = simulate.simulate(index, seed=5).signal.astype(int)
    assert relations(rounded) <= 2.0  # µV
    assert np.abs(rounded - leads * 1e3).max() <= 0.5 + 1e-6


def test_chest_leads_are_against_wilsons_terminal():
  random = np.random.default_rng(0)
  potentials = random.normal(size=(9, 50))
  leads = torso.leads_from_electrodes(potentials)
  terminal = potentials[:3].mean(axis=0)
  np.testing.assert_allclose(leads[6:], potentials[3:] - terminal, atol=1e-12)
  # A potential common to all electrodes is not seen at all.
  np.testing.assert_allclose(
    torso.leads_from_electrodes(potentials + 7.0), leads, atol=1e-12
  )


def test_golden_records():
  """The frozen world: committed samples agree within 1 µV."""
  golden = json.loads(GOLDEN.read_text())
  assert golden["version"] == simulate.VERSION
  for row in golden["records"]:
    item = simulate.simulate(row["index"], row["seed"], row["rate"])
    found = item.signal[:, :: row["step"]].astype(int)
    assert np.abs(found - np.array(row["samples"])).max() <= 1
    assert list(item.diagnoses) == row["diagnoses"]
    assert list(item.features) == row["features"]
    assert list(item.statements) == row["statements"]
    assert item.patient_id == row["patient_id"]


def test_record_does_not_depend_on_what_was_made_before(cohort):
  for index in (449, 3, 250):
    again = simulate.simulate(index)
    np.testing.assert_array_equal(again.signal, cohort[index].signal)
    assert again.statements == cohort[index].statements
  other = simulate.simulate(3, seed=1)
  assert np.abs(other.signal - cohort[3].signal).max() > 100


def test_rate_changes_the_sampling_and_nothing_else():
  fast, slow = simulate.simulate(11, rate=500), simulate.simulate(11, rate=250)
  assert slow.signal.shape == (12, 2500)
  assert (fast.features, fast.statements) == (slow.features, slow.statements)
  apart = np.abs(fast.signal[:, ::2].astype(int) - slow.signal)
  assert np.percentile(apart, 99) < 30  # µV; noise above 125 Hz is left out


def test_format(cohort):
  for item in cohort[:50]:
    assert item.signal.shape == (12, 5000)
    assert item.signal.dtype == np.int16
    assert item.signal.min() > -32768
    assert 18 <= item.age <= 89
    assert item.sex in (0, 1)
    assert tuple(item.measurements) == simulate.MEASUREMENTS
    assert set(item.diagnoses) <= set(simulate.DIAGNOSES)
    assert item.statements
    assert all(isinstance(line, str) and line for line in item.statements)
  assert len(simulate.DIAGNOSES) >= 16
  assert len(simulate.FEATURES) >= 25


def test_patients_have_one_to_three_records(cohort):
  records = {}
  for item in cohort:
    records.setdefault(item.patient_id, []).append(item)
  assert {len(items) for items in records.values()} == {1, 2, 3}
  for items in records.values():
    assert len({(item.age, item.sex) for item in items}) == 1
  number = [patients.patient_number(index, 0) for index in range(COUNT)]
  assert all(0 <= b - a <= 1 for a, b in itertools.pairwise(number))


def test_prevalences():
  """Every diagnosis in 2 to 12 of 100 records; one in four normal."""
  cases = []
  for index in range(3000):
    patient = patients.draw_patient(patients.patient_number(index, 3), 3)
    numbers = stream.Stream("record", 3, index)
    cases.append(record.draw_diagnoses(patient, numbers))
  for name in simulate.DIAGNOSES[1:]:
    share = np.mean([name in names for names in cases])
    assert 0.02 < share < 0.12, (name, share)
  alone = np.mean([names == (diagnoses.NORMAL,) for names in cases])
  assert 0.2 < alone < 0.35
  several = np.mean([len(names) > 1 for names in cases])
  assert several > 0.2
  assert all(diagnoses.NORMAL not in n or len(n) == 1 for n in cases)


def test_prevalence_depends_on_age_and_sex():
  burdens = dict.fromkeys(diagnoses.BURDENS, 0.0)
  rows = {row.name: row for row in diagnoses.TABLE}

  def probability(name, age, sex):
    return rows[name].probability(age, sex, burdens)

  fibrillation, infarct = (
    "atrial fibrillation",
    "inferior myocardial infarction",
  )
  assert probability(fibrillation, 80, 0) > 2 * probability(fibrillation, 50, 0)
  assert probability(infarct, 60, 0) > 1.4 * probability(infarct, 60, 1)
  assert probability("long QT", 60, 1) > probability("long QT", 60, 0)


def test_features_and_diagnoses_are_not_one_to_one(cohort):
  """One feature comes from several diagnoses, and not from all of each."""
  table = {}
  for item in cohort:
    for name in item.diagnoses:
      table.setdefault(name, []).append(item.features)
  variants = [len(set(found)) / len(found) for found in table.values()]
  assert np.median(variants) > 0.5
  for feature in (
    "T wave inversion in I, aVL, V5 and V6",
    "ST elevation in II, III and aVF",
    "left axis deviation",
    "Q waves in V1-V3",
  ):
    causes = [
      name
      for name, found in table.items()
      if np.mean([feature in names for names in found]) > 0.15
    ]
    assert len(causes) >= 3, feature
  shown = {feature for item in cohort for feature in item.features}
  assert shown == set(simulate.FEATURES)


def test_reports(cohort):
  """About 55 of 100 reports are without any waveform feature."""
  words = {w: n for n, ws in wording.FEATURE_WORDINGS.items() for w in ws}
  without = np.mean(
    [not any(line in words for line in item.statements) for item in cohort]
  )
  assert 0.48 < without < 0.62
  for item in cohort:
    told = {words[line] for line in item.statements if line in words}
    assert told <= set(item.features)
  named, hedged = [], 0
  for item in cohort:
    lines = " | ".join(item.statements).lower()
    hedged += any(h.lower() in lines for h in wording.HEDGES)
    for name in item.diagnoses:
      known = wording.DIAGNOSIS_WORDINGS[name]
      named.append(any(words.lower() in lines for words in known))
  assert 0.88 < np.mean(named) < 0.99
  assert 0.02 < hedged / len(cohort) < 0.2


def test_wordings_are_complete_and_distinct():
  assert tuple(wording.DIAGNOSIS_WORDINGS) == simulate.DIAGNOSES
  assert set(wording.FEATURE_WORDINGS) == set(simulate.FEATURES)
  lines = [
    line
    for table in (wording.DIAGNOSIS_WORDINGS, wording.FEATURE_WORDINGS)
    for wordings in table.values()
    for line in wordings
  ]
  assert len({line.lower() for line in lines}) == len(lines)


def test_heart_rate_against_the_tracing(cohort):
  wide = {"ventricular pacing", "premature ventricular complexes"}
  errors = []
  for item in cohort:
    if not wide & set(item.diagnoses):
      cycles = np.diff(r_peaks(item.signal / 1e3)) / RATE
      errors.append(60 / cycles.mean() - item.measurements["heart_rate_bpm"])
  assert np.mean(np.abs(errors) < 2.0) > 0.97  # beats a minute


def test_axis_against_the_tracing(cohort, beats):
  """Net areas in I and aVF of the noisy median beat."""
  apart = []
  for item, beat in zip(cohort, beats, strict=True):
    if "ventricular pacing" in item.diagnoses:
      continue
    half = round(item.measurements["qrs_duration_ms"] / 4) + 2
    area = beat[:, 100 - half : 100 + half].sum(axis=1)
    angle = np.rad2deg(
      np.arctan2(2 / np.sqrt(3) * area[ROW["aVF"]], area[ROW["I"]])
    )
    turn = angle - item.measurements["qrs_axis_deg"]
    apart.append(abs((turn + 180) % 360 - 180))
  assert np.median(apart) < 8
  assert np.mean(np.array(apart) < 30) > 0.85


def test_voltages_against_the_tracing(cohort, beats):
  for name, lead in (("r_v5_mv", "V5"), ("r_avl_mv", "aVL")):
    claimed = np.array([item.measurements[name] for item in cohort])
    seen = beats[:, ROW[lead], 50:170].max(axis=1)
    assert np.median(np.abs(seen - claimed)) < 0.09  # mV
    assert np.corrcoef(seen, claimed)[0, 1] > 0.95
  claimed = np.array([item.measurements["st_v2_mv"] for item in cohort])
  half = [item.measurements["qrs_duration_ms"] / 2 for item in cohort]
  place = [100 + round((ms + 60) / 1e3 * RATE) for ms in half]
  seen = beats[np.arange(len(beats)), ROW["V2"], place]
  assert np.corrcoef(seen, claimed)[0, 1] > 0.7


def test_durations_against_the_clean_tracing():
  """QRS and PR by the speed of the heart vector, without noise."""
  qrs_errors, pr_errors = [], []
  for index in range(200):
    case = record.draw_case(index)
    if case.rhythm.atrial != "sinus" or case.shape.spike.any():
      continue
    item = simulate.simulate(index)
    leads = torso.leads_from_electrodes(record.heart_potentials(case))
    qrs = case.rhythm.qrs
    dominant = np.flatnonzero((case.rhythm.kind == 0) & (qrs > 1) & (qrs < 8))
    onset = round(qrs[dominant[0]] * RATE)
    speed = np.sqrt((np.diff(leads, axis=1) ** 2).sum(axis=0))
    part = speed[onset - 10 : onset + 120]
    fast = np.flatnonzero(part > 0.07 * part.max())
    length = (fast[-1] - fast[0]) / RATE * 1e3
    qrs_errors.append(length - item.measurements["qrs_duration_ms"])
    if len(case.names) == 1 and case.names[0] != "second degree AV block":
      pr_errors.append(pr_from_speed(speed, onset) - pr_claim(item))
  assert np.median(np.abs(qrs_errors)) < 14  # ms
  assert np.median(np.abs(pr_errors)) < 14


def pr_claim(item):
  return item.measurements["pr_interval_ms"]


def pr_from_speed(speed, onset):
  """ms from the first rise of the last P wave before `onset`."""
  part = speed[onset - 175 : onset - 8]
  peak = part[40:].max()
  quiet = np.flatnonzero(part < 0.12 * peak)
  rise = np.flatnonzero(part[40:] > 0.5 * peak)[0] + 40
  return (175 - quiet[quiet < rise].max()) / RATE * 1e3


def net(lead):
  return lambda beat: beat[ROW[lead], 65:145].sum()


def level(lead, start, stop):
  return lambda beat: np.median(beat[ROW[lead], start:stop])


def width(beat):
  size = np.sqrt((beat[:, 40:200] ** 2).sum(axis=0))
  return (size > 0.35 * size.max()).sum()


# diagnosis -> (what is measured on the median beat, +1 larger or -1 smaller)
SIGNS = {
  "left bundle branch block": (net("V1"), -1),
  "right bundle branch block": (lambda b: b[ROW["V1"], 100:150].max(), 1),
  "left anterior fascicular block": (net("aVF"), -1),
  "left ventricular hypertrophy": (
    lambda b: b[ROW["V5"]].max() - b[ROW["V1"]].min(),
    1,
  ),
  "right ventricular hypertrophy": (net("I"), -1),
  "anterior myocardial infarction": (lambda b: b[ROW["V2"], 70:110].max(), -1),
  "inferior myocardial infarction": (lambda b: b[ROW["aVF"], 70:100].min(), -1),
  "lateral ischemia": (level("V5", 160, 200), -1),
  "acute pericarditis": (level("II", 150, 170), 1),
  "long QT": (lambda b: np.abs(b[:, 260:300]).sum(), 1),
  "ventricular pacing": (width, 1),
}


@pytest.mark.parametrize("name", SIGNS)
def test_diagnosis_shows_where_it_should(cohort, beats, name):
  """Separates records with the diagnosis from normal ones."""
  rule, sign = SIGNS[name]
  pairs = [
    (name in item.diagnoses, sign * rule(beat))
    for item, beat in zip(cohort, beats, strict=True)
    if name in item.diagnoses or item.diagnoses == (diagnoses.NORMAL,)
  ]
  truth, scores = zip(*pairs, strict=True)
  assert sum(truth) >= 8
  assert roc_auc_score(truth, scores) > 0.75


RHYTHMS = {
  "sinus bradycardia": ("heart_rate_bpm", -1),
  "sinus tachycardia": ("heart_rate_bpm", 1),
  "atrial fibrillation": ("rr_variation", 1),
  "premature atrial complexes": ("rr_variation", 1),
  "premature ventricular complexes": ("rr_variation", 1),
  "second degree AV block": ("rr_variation", 1),
}


@pytest.mark.parametrize("name", RHYTHMS)
def test_rhythm_shows_in_the_detected_beats(cohort, name):
  key, sign = RHYTHMS[name]
  truth, scores = [], []
  for item in cohort:
    if name in item.diagnoses or item.diagnoses == (diagnoses.NORMAL,):
      cycles = np.diff(r_peaks(item.signal / 1e3))
      found = {
        "heart_rate_bpm": 1 / cycles.mean(),
        "rr_variation": cycles.std() / cycles.mean(),
      }
      truth.append(name in item.diagnoses)
      scores.append(sign * found[key])
  assert roc_auc_score(truth, scores) > 0.8


def test_flutter_waves_have_their_frequency():
  """Largest peak of aVF between 3.5 and 6 Hz at the flutter cycle."""
  hits = []
  for index in range(700):
    case = record.draw_case(index)
    if case.names == ("atrial flutter",):
      leads = torso.leads_from_electrodes(record.heart_potentials(case))
      quiet = scipy.signal.medfilt(leads[ROW["aVF"]], 61)
      power = np.abs(np.fft.rfft(quiet * np.hanning(5000)))
      band = np.arange(35, 60)
      found = band[power[band].argmax()] / 10
      hits.append(abs(found - 1 / case.rhythm.cycle) < 0.15)
  assert len(hits) > 10
  assert np.mean(hits) > 0.7


def test_measured_limits_agree_with_the_features(cohort):
  limits = {
    "heart rate < 60 bpm": ("heart_rate_bpm", -60),
    "heart rate > 100 bpm": ("heart_rate_bpm", 100),
    "PR interval > 200 ms": ("pr_interval_ms", 200),
    "QRS duration > 120 ms": ("qrs_duration_ms", 120),
    "QTc interval > 460 ms": ("qtc_interval_ms", 460),
    "R wave in aVL > 1.1 mV": ("r_avl_mv", 1.1),
  }
  for feature, (name, limit) in limits.items():
    for item in cohort:
      value = item.measurements[name]
      beyond = value > limit if limit > 0 else value < -limit
      assert (feature in item.features) == beyond


def test_amplitudes_are_those_of_real_records(cohort, shared):
  """Median peak-to-peak of each lead within 35 % of PTB-XL, folds 1-8."""
  table = (shared / "ptbxl" / "ptbxl_database.csv").read_text("utf-8")
  lines = table.splitlines()
  names = lines[0].split(",")
  assert names[-3] == "strat_fold"
  training = [line.split(",") for line in lines[1:]]
  training = [row for row in training if row[-3] in set("12345678")]
  real = []
  for row in training[::5]:
    samples = np.fromfile(shared / "ptbxl" / f"{row[-2]}.dat", "<i2")
    real.append(np.ptp(samples.reshape(-1, 12), axis=0))
  real = np.median(real, axis=0)
  made = np.median([np.ptp(item.signal, axis=1) for item in cohort], axis=0)
  ratio = made / real
  assert ((ratio > 0.65) & (ratio < 1.35)).all(), ratio.round(2)


def test_stream_numbers():
  numbers = stream.Stream("noise", 1, 2)
  normal = numbers.normal(2.0, 3.0, 200_001)
  assert abs(normal.mean() - 2.0) < 0.03
  assert abs(normal.std() - 3.0) < 0.03
  uniform = numbers.uniform(-1.0, 1.0, (100, 50))
  assert uniform.shape == (100, 50)
  assert uniform.min() >= -1.0
  assert uniform.max() < 1.0
  picks = [numbers.pick("ab", (3, 1)) for _ in range(4000)]
  assert abs(picks.count("a") / 4000 - 0.75) < 0.03
  assert sorted(numbers.shuffled([3, 1, 2])) == [1, 2, 3]
  assert {numbers.integer(1, 3) for _ in range(100)} == {1, 2, 3}
  first = stream.Stream("noise", 1, 2).uniform(size=5)
  for other in (("rhythm", 1, 2), ("noise", 2, 2), ("noise", 1, 3)):
    assert not np.isin(stream.Stream(*other).uniform(size=5), first).any()


@pytest.mark.parametrize(
  "arguments",
  [
    {"index": -1},
    {"index": 0, "seed": -1},
    {"index": 0, "rate": 10},
    {"index": 0, "seconds": 1.0},
  ],
)
def test_bad_arguments(arguments):
  with pytest.raises(InputError, match="give"):
    simulate.simulate(**arguments)
