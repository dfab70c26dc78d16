"""P waves and early beats are there at 100 samples a second."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.science import signs
from fgclep_jax.signals import simulate
from fgclep_jax.signals.simulate import record

SEED, EACH = 2027, 12


@pytest.fixture(scope="module")
def measured():
  """{diagnosis: (n, 3)} of records that have nothing else."""
  wanted = {*signs.QUANTITIES.values(), "normal ECG"}
  found = {name: [] for name in wanted}
  for index in itertools.count():
    name, *others = record.draw_names(index, SEED)
    if not others and len(found.get(name, range(EACH))) < EACH:
      made = simulate.simulate(index, SEED, signs.RATE)
      found[name].append(signs.measure(made.signal / 1e3))
    if all(len(values) == EACH for values in found.values()):
      return {name: np.stack(values) for name, values in found.items()}


@pytest.mark.parametrize("name", signs.QUANTITIES)
def test_sign_tells_the_diagnosis_from_normal(measured, name):
  place = list(signs.QUANTITIES).index(name)
  with_it = measured[signs.QUANTITIES[name]][:, place]
  without = measured["normal ECG"][:, place]
  truth = [1] * len(with_it) + [0] * len(without)
  assert roc_auc_score(truth, [*with_it, *without]) > 0.75


def test_signs_of_a_made_up_record():
  """Eight beats a second apart, the fifth 0.3 s early, P waves of V1 down."""
  times = np.arange(1000) / signs.RATE
  beats = np.array([1.0, 2.0, 3.0, 4.0, 4.7, 6.0, 7.0, 8.0])
  signal = np.zeros((12, 1000))
  for beat in beats:
    signal += np.exp(-0.5 * ((times - beat) / 0.012) ** 2)
    p = np.exp(-0.5 * ((times - beat + 0.15) / 0.02) ** 2)
    signal[1] += 0.2 * p
    signal[6] -= 0.1 * p
  depth, wide, early = signs.measure(signal)
  assert depth == pytest.approx(0.1, abs=0.02)
  # Above three tenths of its top, a Gaussian is 3.1 of its widths wide.
  assert wide == pytest.approx(62, abs=12)
  assert early == pytest.approx(0.3, abs=0.02)
  assert np.isnan(signs.measure(np.zeros((12, 1000)))).all()
