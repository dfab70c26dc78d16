"""Can a P wave and an early beat be seen at the model's 100 samples a second?

    python -m benchmarks.science.signs

Left atrial enlargement and premature atrial complexes are among what a model
learns worst on the simulated cohort. Here they are measured on the noisy
samples, by code that shares nothing with the simulator but the leads' names,
and set against the truth: how deep V1 falls and how broad the P wave of II is
before the QRS complex, and how early the earliest beat comes that looks like
the others. AUROC over all records, and against the normal ones. Nothing is
fitted. Takes a minute of one core; `benchmarks/results/signs.json`.
"""

import argparse

import numpy as np
import scipy.signal
from sklearn.metrics import roc_auc_score

from benchmarks import common
from benchmarks.science import delineate
from fgclep_jax.signals import simulate
from fgclep_jax.signals.leads import LEADS

RATE = 100
_UP = delineate.RATE // RATE
_V1, _II = LEADS.index("V1"), LEADS.index("II")
_BEFORE, _AFTER = 50, 60  # samples around the steepest point of the QRS
_P = (125, 25)  # samples before it between which the P wave lies
QUANTITIES = {
  "depth of V1 before QRS": "left atrial enlargement",
  "width of P in II": "left atrial enlargement",
  "prematurity": "premature atrial complexes",
}
"""What is measured -> the diagnosis it should tell."""


def measure(signal):
  """The three quantities of a record; NaN without three beats.

  Args:
    signal: (12, T) mV at RATE, leads in the usual order.

  Returns:
    (3,) float, in the order of QUANTITIES: mV, ms, share of the usual cycle.
  """
  fine = scipy.signal.resample_poly(signal, _UP, 1, axis=1)
  band = scipy.signal.butter(
    2, 0.4, "highpass", fs=delineate.RATE, output="sos"
  )
  fine = scipy.signal.sosfiltfilt(band, fine, axis=1)
  peaks = delineate.qrs_peaks(fine)
  whole = (peaks >= _P[0]) & (peaks + _AFTER <= fine.shape[1])
  if whole.sum() < 3:
    return np.full(3, np.nan)
  return np.array([*_p_wave(fine, peaks[whole]), _earliest(fine, peaks)])


def _p_wave(fine, peaks):
  """Depth (mV) of V1 and width (ms) of II, on the median beat."""
  cut = [fine[:, p - _P[0] : p - _P[1]] for p in peaks]
  beat = np.median(np.stack(cut), axis=0)
  depth = np.median(beat[_V1]) - beat[_V1].min()
  trace = beat[_II] - np.percentile(beat[_II], 20)
  wide = (trace > 0.3 * trace.max()).sum()
  return depth, 1e3 * wide / delineate.RATE


def _earliest(fine, peaks):
  """How early a beat like the others comes: 1 - RR / median RR."""
  cycles = np.diff(peaks)
  place = np.flatnonzero((peaks >= _BEFORE) & (peaks + _AFTER <= fine.shape[1]))
  beats = np.stack([
    fine[:, peaks[k] - _BEFORE : peaks[k] + _AFTER] for k in place
  ])  # fmt: skip
  beats -= beats.mean(axis=2, keepdims=True)
  beats = beats.reshape(len(beats), -1)
  usual = np.median(beats, axis=0)
  alike = beats @ usual
  alike /= np.linalg.norm(beats, axis=1) * np.linalg.norm(usual) + 1e-9
  chosen = place[(alike > 0.8) & (place > 0)]
  if not len(chosen):
    return np.nan
  return 1 - cycles[chosen - 1].min() / np.median(cycles)


def areas(count, seed):
  """{quantity: AUROC of its diagnosis, and numbers of records}."""
  made = [simulate.simulate(index, seed, RATE) for index in range(count)]
  found = np.stack([measure(item.signal / 1e3) for item in made])
  found = np.where(np.isfinite(found), found, np.nanmin(found, axis=0))
  normal = np.array(["normal ECG" in item.diagnoses for item in made])
  table = {}
  for values, (name, diagnosis) in zip(
    found.T, QUANTITIES.items(), strict=True
  ):
    truth = np.array([diagnosis in item.diagnoses for item in made])
    beside = truth | normal
    table[f"{diagnosis}: {name}"] = {
      "records_with_it": int(truth.sum()),
      "auroc_all": roc_auc_score(truth, values),
      "auroc_against_normal": roc_auc_score(truth[beside], values[beside]),
    }
  return table


def main():
  """Measures, prints and writes the table."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--records", type=int, default=3000)
  parser.add_argument("--seed", type=int, default=0)
  given = parser.parse_args()
  common.write(
    "signs",
    {
      "table": areas(given.records, given.seed),
      "records": given.records,
      "seed": given.seed,
      "rate": RATE,
      "simulator_version": simulate.VERSION,
    },
  )


if __name__ == "__main__":
  main()
