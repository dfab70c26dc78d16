"""Another witness: neurokit2 (Makowski et al., Behav. Res. Methods 2021).

Its R peaks of all leads give the heart rate. Its bounds of waves, found lead
by lead (method `prominence`), are read in II and V5, where P, R and T are
upright in most records; a QRS complex is narrower in one lead than in all.
"""

import warnings

import neurokit2
import numpy as np

RATE = 500
_READ = (1, 10)  # II and V5
_SPANS = {
  "pr_interval_ms": ("ECG_P_Onsets", "ECG_R_Onsets"),
  "qrs_duration_ms": ("ECG_R_Onsets", "ECG_R_Offsets"),
  "qt_interval_ms": ("ECG_R_Onsets", "ECG_T_Offsets"),
}

MEASURED = ("heart_rate_bpm", *_SPANS)


def measure(signal, spikes=False):
  """As `delineate.measure`, without axis and voltages."""
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    rates, spans = [], {name: [] for name in _SPANS}
    for row, trace in enumerate(np.asarray(signal, np.float64)):
      clean = neurokit2.ecg_clean(trace, sampling_rate=RATE)
      peaks = neurokit2.ecg_peaks(clean, sampling_rate=RATE)[1]["ECG_R_Peaks"]
      if len(peaks) > 2:
        rates.append(60.0 * RATE / np.diff(peaks).mean())
        if row in _READ and not spikes:
          _spans(clean, peaks, spans)
  found = {"heart_rate_bpm": _median(rates)}
  return found | {name: _median(values) for name, values in spans.items()}


def _spans(clean, peaks, spans):
  """Adds the median length (ms) of each span in one lead."""
  try:
    found = neurokit2.ecg_delineate(
      clean, peaks, sampling_rate=RATE, method="prominence"
    )[1]
  except (ValueError, IndexError, ZeroDivisionError):
    return  # a lead without the waves it looks for
  for name, (start, stop) in _SPANS.items():
    first, last = (np.array(found[key], float) for key in (start, stop))
    if len(first) == len(last):
      spans[name].append(_median(last - first) / RATE * 1e3)


def _median(values):
  values = np.asarray(values, float)
  values = values[np.isfinite(values)]
  return float(np.median(values)) if len(values) else np.nan
