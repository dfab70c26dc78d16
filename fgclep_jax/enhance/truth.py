"""What is known of a record's features: present, absent, or unknown.

Simulated records know them all. Elsewhere the machine's own measurements
decide the features that have a limit on rate, duration or axis; values near
the limit are unknown, since two methods of measuring differ by that much.
"""

import numpy as np

UNKNOWN = -1
MARGIN = {"bpm": 3.0, "ms": 10.0, "degrees": 10.0}
"""On either side of a limit: unknown. PR > 200 ms: 190 to 210."""
SECTORS = {
  "left axis deviation": (-90, -30),
  "right axis deviation": (100, 180),
  "extreme axis deviation": (-180, -90),
}
"""Degrees; the axis is a circle, so that a deviation has two ends."""


def of_split(split, features):
  """Truth of every record of a split: (n, F) int8, or None where unknown.

  Args:
    split: `data.sources.Split`.
    features: `reports.features.Feature`s, F of them.
  """
  if split.truth is not None:
    known = np.full((len(split), len(features)), UNKNOWN, np.int8)
    column = {name: j for j, name in enumerate(split.feature_names)}
    for i, feature in enumerate(features):
      if feature.name in column:
        known[:, i] = split.truth[:, column[feature.name]]
    return known
  known = measured(split.measurements, features, len(split))
  return known if (known != UNKNOWN).any() else None


def source_of(split):
  """Where the truth of a split comes from, for the report."""
  return (
    "simulated truth" if split.truth is not None else "machine measurements"
  )


def measured(measurements, features, count):
  """Truth by measurements alone.

  Args:
    measurements: {name: (n,)} of MIMIC-IV-ECG's machine or the simulator,
      times in ms, NaN unknown.
    features: F of them.
    count: n.

  Returns:
    (n, F) int8: 1 present, 0 absent, UNKNOWN.
  """
  values = _values(measurements)
  known = np.full((count, len(features)), UNKNOWN, np.int8)
  for i, feature in enumerate(features):
    if feature.limit is None or feature.leads:
      continue
    comparison, limit, unit = feature.limit
    if (feature.wave, unit) not in values:
      continue
    value = values[feature.wave, unit]
    if feature.name in SECTORS:
      over = _inside(value, *SECTORS[feature.name])
    else:
      over = value - limit if comparison == ">" else limit - value
    sure = np.abs(over) > MARGIN[unit]  # not where it is NaN
    known[sure, i] = over[sure] > 0
  return known


def _inside(degrees, low, high):
  """How far angles lie inside a sector, negative outside."""
  away = (degrees - (low + high) / 2 + 180) % 360 - 180
  return (high - low) / 2 - np.abs(away)


def _values(given):
  """(wave, unit) -> (n,) values; QT corrected by Bazett."""
  if "heart_rate_bpm" in given:
    return {
      ("rate", "bpm"): given["heart_rate_bpm"],
      ("P", "ms"): given["p_duration_ms"],
      ("PR", "ms"): given["pr_interval_ms"],
      ("QRS", "ms"): given["qrs_duration_ms"],
      ("QT", "ms"): given["qtc_interval_ms"],
      ("axis", "degrees"): given["qrs_axis_deg"],
    }
  if "rr_interval" not in given:
    return {}
  rate = np.where(given["rate"] > 0, given["rate"], np.nan)
  duration = given["p_end"] - given["p_onset"]
  return {
    ("rate", "bpm"): rate,
    ("P", "ms"): np.where(duration > 0, duration, np.nan),
    ("PR", "ms"): given["pr"],
    ("QRS", "ms"): given["qrs"],
    ("QT", "ms"): given["qt"] * np.sqrt(rate / 60),
    ("axis", "degrees"): given["qrs_axis"],
  }
