"""What of a long record is looked at: pure functions on one signal.

CPSC2018 holds 6 to 60 s; datasets store records whole, and the reader
chooses. Zeros follow a record that is too short.
"""

import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.signals import transform

CHOICES = ("first", "centre", "cover")
MERL_RATE, MERL_SAMPLES = 500, 5000
MERL_KEPT = {"cpsc2018": 2500}  # samples of a record; elsewhere all 5000
SENTINEL = -32768  # "no value" in the raw files


def first(signal, length):
  """Returns the first `length` samples, (12, length).

  Args:
    signal: (12, T) int16 microvolts or float.
    length: samples.
  """
  return transform.crop_or_pad(signal, _positive(length))[0]


def centre(signal, length):
  """Returns the middle `length` samples, (12, length).

  With an odd number of samples to spare, one more is cut at the end.
  """
  start = max(signal.shape[1] - _positive(length), 0) // 2
  return transform.crop_or_pad(signal, length, start)[0]


def starts(samples, length):
  """Returns the first samples (n,) int64 of windows that cover a record.

  Windows of `length` follow each other without overlap, except the last,
  which ends with the record. A shorter record has one window.
  """
  count = max(-(-samples // _positive(length)), 1)
  found = np.arange(count, dtype=np.int64) * length
  found[-1] = max(samples - length, 0)
  return found


def cover(signal, length):
  """Returns all windows of a record, (n, 12, length), n >= 1.

  The embedding of a record is the mean over its windows.
  """
  return np.stack(
    [
      transform.crop_or_pad(signal, length, start)[0]
      for start in starts(signal.shape[1], length)
    ]
  )


def mean_over(values, counts):
  """Means of (N, W) rows over each record's windows, (B, W) float32.

  Args:
    values: a row of each window, those of one record after another.
    counts: (B,) windows of each record, at least 1.
  """
  starts = np.cumsum(counts) - counts
  sums = np.add.reduceat(np.asarray(values, np.float32), starts, axis=0)
  return sums / np.asarray(counts, np.float32)[:, None]


def choose(signal, length, window):
  """Returns the windows that `window` names, (n, 12, length).

  Args:
    signal: (12, T) int16 microvolts or float.
    length: samples.
    window: `first` or `centre`, one each, or `cover`, all of them.
  """
  if window == "cover":
    return cover(signal, length)
  if window not in CHOICES:
    raise InputError(f"window {window!r}: choose one of {', '.join(CHOICES)}")
  return (first if window == "first" else centre)(signal, length)[None]


def merl(signal, keep=2500, length=5000, invalid_runs=()):
  """Returns the input of the `merl` protocol, faults included.

  The first `keep` samples, zeros up to `length`, then the whole array is
  scaled to [0, 1] at once: padding is not 0 any more, and one outlier
  flattens every lead. MERL keeps 2500 samples of CPSC2018 and 5000 of the
  other sets, and leaves "no value" as -32768 in Chapman-Shaoxing-Ningbo.

  Args:
    signal: (12, T) int16 microvolts at 500 Hz.
    keep, length: samples, keep <= length.
    invalid_runs: (n, 3) rows of lead, first sample, number of samples; put
      back as -32768. Empty: repaired samples stay.

  Returns:
    (12, length) float32, rows as given: leads are placed by name, so the
    swap of aVL and aVF in the published code has nothing to do here.
  """
  if not 0 < keep <= length:
    raise InputError(f"keep {keep} of {length} samples: give 1 to {length}")
  signal = np.array(signal, np.float64)
  for lead, start, count in np.asarray(invalid_runs, int).reshape(-1, 3):
    signal[lead, start : start + count] = SENTINEL
  # Millivolts: the published scale, which only the 1e-8 can tell apart.
  padded = first(signal[:, :keep] / 1000, length)
  low, high = padded.min(), padded.max()
  return ((padded - low) / (high - low + 1e-8)).astype(np.float32)


def _positive(length):
  if length < 1:
    raise InputError(f"window of {length} samples: give at least 1")
  return length
