"""The measurements the ECG machine made, cleaned, and what follows from them.

Machines write a large number, such as 29999, where they found nothing.
"""

import numpy as np

TIMES = ("rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end")
AXES = ("p_axis", "qrs_axis", "t_axis")
MEASURED = TIMES + AXES
DERIVED = ("pr", "qrs", "qt", "rate")
NAMES = MEASURED + DERIVED
UNITS = (
  dict.fromkeys(TIMES, "ms")
  | dict.fromkeys(AXES, "degrees")
  | {"pr": "ms", "qrs": "ms", "qt": "ms", "rate": "1/min"}
)
MAX_TIME = 5000  # ms; 0 is the least
MAX_AXIS = 360  # degrees, of either sign


def clean(values):
  """Returns a copy with NaN for what cannot have been measured.

  Args:
    values: (n, 9) float32, columns as MEASURED.
  """
  values = np.array(values, np.float32)
  times, axes = values[:, : len(TIMES)], values[:, len(TIMES) :]
  times[~((times >= 0) & (times <= MAX_TIME))] = np.nan
  axes[~(np.abs(axes) <= MAX_AXIS)] = np.nan
  return values


def example(row):
  """Returns the field `measurements` of an example.

  PR runs from the onset of P to that of QRS, QT from the onset of QRS to
  the end of T; an interval that is not positive is unknown, NaN.

  Args:
    row: (9,) float32, cleaned, columns as MEASURED.

  Returns:
    dict of NAMES -> float32 in UNITS.
  """
  found = dict(zip(MEASURED, row.tolist(), strict=True))
  found["pr"] = _positive(found["qrs_onset"] - found["p_onset"])
  found["qrs"] = _positive(found["qrs_end"] - found["qrs_onset"])
  found["qt"] = _positive(found["t_end"] - found["qrs_onset"])
  found["rate"] = 60000 / _positive(found["rr_interval"])
  return {name: np.float32(found[name]) for name in NAMES}


def _positive(value):
  return value if value > 0 else np.nan
