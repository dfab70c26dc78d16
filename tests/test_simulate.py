"""The simulated cohort: physics, determinism, truth, prevalence, reports."""

import itertools
import json
import pathlib

import numpy as np
import pytest
import scipy.signal

from fgclep_jax.errors import InputError
from fgclep_jax.signals import simulate
from fgclep_jax.signals.leads import LEADS
from fgclep_jax.signals.simulate import (
  diagnoses,
  noise,
  patients,
  record,
  stream,
  torso,
  wording,
)

COUNT = 400
ROW = {name: row for row, name in enumerate(LEADS)}
GOLDEN = pathlib.Path(__file__).parent / "golden_simulated.json"


@pytest.fixture(scope="module")
def cohort():
  return [simulate.simulate(index) for index in range(COUNT)]


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
  for index in (399, 3, 250):
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
  assert len(simulate.DIAGNOSES) >= 30
  assert len(simulate.FEATURES) >= 40


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
  """Shares follow the published ones within the limits of the table."""
  count = 6000
  cases = [record.draw_names(index, 3) for index in range(count)]
  for row in diagnoses.TABLE:
    share = np.mean([row.name in names for names in cases])
    # Four binomial deviations: patients with several records widen them.
    margin = 4 * np.sqrt(1.5 * row.wanted / count)
    assert abs(share - row.wanted) < margin, (row.name, share, row.wanted)
  alone = np.mean([names == (diagnoses.NORMAL,) for names in cases])
  assert 0.18 < alone < 0.30
  several = np.mean([len(names) > 1 for names in cases])
  assert several > 0.25
  assert all(diagnoses.NORMAL not in n or len(n) == 1 for n in cases)
  assert record.draw_case(17, 3).names == cases[17]


def test_every_frequency_has_a_source():
  for row in diagnoses.TABLE:
    assert row.source.startswith(("Reyna 2022", "Wagner 2020", "Kytö 2014"))
    assert 0 < row.published < 0.2
    assert diagnoses.RAREST <= row.wanted <= diagnoses.COMMONEST
    assert set(dict(row.burdens)) <= set(diagnoses.BURDENS)


def test_diagnoses_that_rule_each_other_out():
  for first, second in (
    ("ventricular pacing", "atrial fibrillation"),
    ("third degree AV block", "first degree AV block"),
    ("left bundle branch block", "anterior myocardial infarction"),
    ("right bundle branch block", "incomplete right bundle branch block"),
    ("Brugada pattern", "early repolarization"),
    ("sinus tachycardia", "sinus bradycardia"),
    ("left anterior fascicular block", "left posterior fascicular block"),
  ):
    assert len(diagnoses.together((first, second))) == 1, (first, second)
  both = ("atrial fibrillation", "left ventricular hypertrophy")
  assert diagnoses.together(both) == both
  assert diagnoses.together(()) == (diagnoses.NORMAL,)


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


def test_noise_is_as_large_as_in_real_records():
  """Drift of the leads, µV rms below 0.6 Hz, as in PTB-XL (see `noise`)."""
  sos = scipy.signal.butter(2, 0.6, fs=100, output="sos")
  drift = []
  for index in range(150):
    numbers = stream.Stream("noise", 0, 2 * index + 1)
    electrodes = noise.electrode_noise(numbers, 100, 10.0)
    made = torso.leads_from_electrodes(electrodes)
    drift.append(scipy.signal.sosfiltfilt(sos, made, axis=1).std(axis=1))
  middle = np.median(np.median(drift, axis=1)) * 1e3
  worst = np.median(np.max(drift, axis=1)) * 1e3
  assert 25 < middle < 70  # 46 in PTB-XL, the heart's own share in it
  assert 75 < worst < 190  # 126


def test_a_loose_electrode_spoils_a_part_of_its_leads():
  spoiled = 0
  for index in range(400):
    numbers = stream.Stream("noise", 3, index)
    before = np.zeros((9, 5000)) + np.arange(9)[:, None]
    after = noise.with_faults(numbers, before.copy(), 500)
    changed = (after != before).any(axis=1)
    assert changed.sum() <= 1
    if changed.any():
      spoiled += 1
      [row] = np.flatnonzero(changed)
      assert (after[row] != before[row]).mean() <= 0.2  # of ten seconds
  assert 2 <= spoiled <= 20


def test_flutter_waves_have_their_frequency():
  """Largest peak of aVF between 3.5 and 6 Hz at the flutter cycle."""
  hits = []
  for index in range(1500):
    if record.draw_names(index) == ("atrial flutter",):
      case = record.draw_case(index)
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
