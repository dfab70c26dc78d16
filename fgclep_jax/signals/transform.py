"""Pure functions on 12-lead signals (12, T): repair, units, rate, length."""

import fractions

import numpy as np

LIMIT = 32767  # -32768 means "no value" in 16-bit WFDB: never written


def invalid_runs(invalid):
  """Lists the runs of marked samples.

  Args:
    invalid: (L, T) bool.

  Returns:
    (n, 3) int32 rows of lead, first sample, number of samples.
  """
  if not invalid.any():
    return np.zeros((0, 3), np.int32)
  edges = np.zeros((invalid.shape[0], invalid.shape[1] + 2), np.int8)
  edges[:, 1:-1] = invalid
  step = np.diff(edges, axis=1)
  lead, start = np.nonzero(step == 1)
  stop = np.nonzero(step == -1)[1]
  return np.stack([lead, start, stop - start], 1).astype(np.int32)


def repair(signal, invalid, rate, max_share=0.01, max_gap=0.1):
  """Mends samples without a value, along time within each lead.

  A lead whose marked samples are at most `max_share` of it and whose
  longest gap is at most `max_gap` seconds is interpolated linearly, its
  ends held. In any other lead the marked samples become 0.

  Args:
    signal: (L, T), float or integer.
    invalid: (L, T) bool, samples without a value (NaN, inf, sentinel).
    rate: samples per second.
    max_share: share of a lead, 0 to 1.
    max_gap: seconds.

  Returns:
    float64 (L, T) without marked samples, and (L,) bool: the leads that
    were beyond repair and hold zeros.
  """
  mended = np.where(invalid, 0.0, signal)
  runs = invalid_runs(invalid)
  longest = np.zeros(len(signal), np.int64)
  np.maximum.at(longest, runs[:, 0], runs[:, 2])
  share = invalid.mean(axis=1)
  beyond = (share > max_share) | (longest > max_gap * rate) | (share == 1)
  time = np.arange(signal.shape[1])
  for lead in np.flatnonzero((longest > 0) & ~beyond):
    bad = invalid[lead]
    mended[lead, bad] = np.interp(time[bad], time[~bad], mended[lead, ~bad])
  return mended, beyond


def to_microvolts(values):
  """Rounds microvolts to int16, clipped to +-32.767 mV.

  Args:
    values: (L, T) finite float microvolts.

  Returns:
    (L, T) int16 and the number of clipped samples.
  """
  rounded = np.rint(values)
  clipped = 0
  if max(rounded.max(initial=0), -rounded.min(initial=0)) > LIMIT:
    clipped = np.count_nonzero(np.abs(rounded) > LIMIT)
    rounded = np.clip(rounded, -LIMIT, LIMIT)
  return rounded.astype(np.int16), int(clipped)


def resample(signal, rate, new_rate):
  """Changes the sampling rate by a polyphase filter, ends extended.

  Args:
    signal: (L, T) int16 microvolts or float.
    rate, new_rate: samples per second; their ratio is taken as a fraction
      with a denominator up to 1000.

  Returns:
    (L, ceil(T * new_rate / rate)) of the same type; integers are rounded
    and clipped to +-32767.
  """
  from scipy import signal as scipy_signal  # slow to import

  ratio = fractions.Fraction(new_rate / rate).limit_denominator(1000)
  if ratio == 1:
    return signal
  resampled = scipy_signal.resample_poly(
    signal.astype(np.float64),
    ratio.numerator,
    ratio.denominator,
    axis=1,
    padtype="line",
  )
  if signal.dtype.kind == "i":
    return to_microvolts(resampled)[0]
  return resampled.astype(signal.dtype)


def crop_or_pad(signal, length, start=0):
  """Cuts `length` samples from `start`, zeros where the signal has ended.

  Args:
    signal: (L, T).
    length: samples to return.
    start: first sample, 0 <= start < T.

  Returns:
    (L, length) and what was done: "same", "cropped" or "padded". A signal
    that is cut at its start and ends early is "padded".
  """
  piece = signal[:, start : start + length]
  short = length - piece.shape[1]
  if short:
    return np.pad(piece, ((0, 0), (0, short))), "padded"
  return piece, "same" if signal.shape[1] == length else "cropped"
