"""Intervals, axis and voltages of a 12-lead ECG, from its samples alone.

A second opinion on the simulator: it shares no code with it and knows
nothing but the leads and the sampling rate. All arithmetic is float64. QRS
complexes are found by their slopes in all leads together, beats alike are
made one median beat, and that is measured: bounds of QRS complex and P wave
by the speed of the potentials (the sum over the eight independent leads), the
end of T by the tangent to its steepest descent (Lepeschkin and Surawicz,
Circulation 1952;6:378-388), the axis by net areas in I and aVF.
"""

import dataclasses
import math

import numpy as np
import scipy.ndimage
import scipy.signal

from fgclep_jax.signals.leads import LEADS

RATE = 500
_INDEPENDENT = (0, 1, 6, 7, 8, 9, 10, 11)  # the other four are sums of these
_BEFORE, _AFTER = 0.40, 0.70  # s around the steepest point of the QRS
_ROW = {name: row for row, name in enumerate(LEADS)}
_T_ROWS = [_ROW[name] for name in ("I", "II", "V2", "V3", "V4", "V5", "V6")]


@dataclasses.dataclass(frozen=True)
class MedianBeat:
  """A median beat and its bounds.

  Attributes:
    signal: (12, T) mV, zero just before the QRS complex.
    onset, offset: samples of the QRS bounds.
    beats: number of beats in it.
    cycle: median s from one QRS complex to the next.
  """

  signal: np.ndarray
  onset: int
  offset: int
  beats: int
  cycle: float


def measure(signal, spikes=False):
  """Name -> float as the simulator's measurements; NaN for what is not seen.

  Args:
    signal: (12, T) mV at RATE, leads in the usual order.
    spikes: whether a pacemaker's spikes are to be cut out first.

  Returns:
    dict, or None when fewer than three QRS complexes are found.
  """
  signal = _without_drift(np.asarray(signal, np.float64))
  if spikes:
    signal = _without_spikes(signal)
  peaks = qrs_peaks(signal)
  if len(peaks) < 3:
    return None
  beat = _median_beat(signal, peaks)
  if beat is None:
    return None
  found = {"heart_rate_bpm": 60.0 * RATE / np.diff(peaks).mean()}
  start = _p_onset(beat)
  found["pr_interval_ms"] = (beat.onset - start) / RATE * 1e3
  found["qrs_duration_ms"] = (beat.offset - beat.onset) / RATE * 1e3
  found["qt_interval_ms"] = (_t_end(beat) - beat.onset) / RATE * 1e3
  found["qrs_axis_deg"] = _axis(beat)
  return found | _voltages(beat)


def _without_drift(signal):
  """Below 0.4 Hz is drift."""
  sos = scipy.signal.butter(2, 0.4, "highpass", fs=RATE, output="sos")
  return scipy.signal.sosfiltfilt(sos, signal, axis=1)


def _without_spikes(signal):
  """A running median over 18 ms: what is shorter than half of it goes."""
  return scipy.ndimage.median_filter(signal, size=(1, 9))


def qrs_peaks(signal):
  """Samples of the QRS complexes, where all leads together are steepest."""
  sos = scipy.signal.butter(2, (11, 35), "bandpass", fs=RATE, output="sos")
  rows = signal[list(_INDEPENDENT)]
  slope = np.diff(scipy.signal.sosfiltfilt(sos, rows, axis=1), axis=1)
  slope /= np.median(np.abs(slope), axis=1, keepdims=True) + 1e-6
  strong = np.sort(slope**2, axis=0)[:-1]  # one loose lead counts not
  energy = np.sqrt(scipy.ndimage.uniform_filter1d(strong.mean(axis=0), 45))
  usual = np.percentile([part.max() for part in np.array_split(energy, 8)], 40)
  peaks, _ = scipy.signal.find_peaks(
    energy, height=0.22 * usual, distance=int(0.22 * RATE)
  )
  # A peaked T wave: soon after a QRS complex and much less steep.
  kept = []
  for peak in peaks:
    soon = kept and peak - kept[-1] < 0.40 * RATE
    if not (soon and energy[peak] < 0.42 * energy[kept[-1]]):
      kept.append(peak)
  return np.array(kept, int)


def _median_beat(signal, peaks):
  """MedianBeat of the commonest kind of beat, or None."""
  cycle = float(np.median(np.diff(peaks))) / RATE
  before = int(_BEFORE * RATE)
  after = int(min(_AFTER, max(0.26, 0.98 * cycle)) * RATE)
  inside = [p for p in peaks if before <= p < signal.shape[1] - after]
  if len(inside) < 2:
    return None
  cut = np.stack([signal[:, p - before : p + after] for p in inside])
  cut = _aligned(signal, cut, inside, before, after)
  chosen = _alike(cut, before)
  if len(chosen) < 2:
    return None
  beat = np.median(cut[chosen], axis=0)
  sos = scipy.signal.butter(3, 70, fs=RATE, output="sos")
  beat = scipy.signal.sosfiltfilt(sos, beat, axis=1)
  onset, offset = _qrs_bounds(beat, before)
  level = beat[:, max(0, onset - 8) : max(1, onset - 1)].mean(axis=1)
  return MedianBeat(beat - level[:, None], onset, offset, len(chosen), cycle)


def _aligned(signal, cut, peaks, before, after):
  """The beats shifted by up to 20 ms to fit their median best."""
  model = np.median(cut, axis=0)[:, before - 40 : before + 40]
  found = []
  for peak in peaks:
    best, least = 0, math.inf
    for shift in range(-10, 11):
      middle = peak + shift
      part = signal[:, max(0, middle - 40) : middle + 40]
      if part.shape[1] != 80:
        continue
      error = np.abs(part - model).sum()
      if error < least:
        best, least = shift, error
    start = peak + best - before
    start = min(max(start, 0), signal.shape[1] - before - after)
    found.append(signal[:, start : start + before + after])
  return np.stack(found)


def _alike(cut, before):
  """Indices of the largest group of beats with like QRS complexes."""
  part = cut[:, list(_INDEPENDENT), before - 50 : before + 60]
  part = (part - part.mean(axis=2, keepdims=True)).reshape(len(cut), -1)
  part /= np.sqrt((part**2).sum(axis=1, keepdims=True)) + 1e-9
  alike = part @ part.T > 0.85
  return np.flatnonzero(alike[alike.sum(axis=1).argmax()])


def speed_of(beat):
  """(T,) mV/s of all independent leads together, smoothed over 6 ms."""
  slope = np.gradient(beat[list(_INDEPENDENT)], axis=1) * RATE
  return scipy.ndimage.uniform_filter1d(np.sqrt((slope**2).sum(axis=0)), 3)


def _qrs_bounds(beat, middle):
  speed = speed_of(beat)
  low = max(0, middle - 60)
  top = low + int(speed[low : middle + 60].argmax())
  # Where the leads rest between P and QRS, or the quietest part there is.
  rest = np.percentile(speed[: middle - 20], 15)
  limit = max(0.08 * speed[top], 1.8 * rest)
  onset = _quiet(speed, top, -1, limit, 6)
  return onset, _quiet(speed, top, 1, limit, 6)


def _quiet(speed, start, step, limit, count):
  """First sample from `start` on where `count` samples are below `limit`."""
  place, low = start, 0
  while 0 < place < len(speed) - 1 and low < count:
    place += step
    low = low + 1 if speed[place] < limit else 0
  return place - step * (low - 1)


def _p_onset(beat):
  """Sample where the P wave before the QRS begins, or NaN.

  NaN when nothing there is fast enough, against the rest of the segment.
  """
  stop = beat.onset - 2
  start = max(0, beat.onset - int(min(0.36, 0.55 * beat.cycle) * RATE))
  before = _t_end(beat) - beat.cycle * RATE  # of the beat before
  if math.isfinite(before) and before < stop - 50:
    start = max(start, int(before))
  if stop - start < 40:
    return math.nan
  rows = list(_INDEPENDENT)
  sos = scipy.signal.butter(2, 25, fs=RATE, output="sos")
  part = scipy.signal.sosfiltfilt(sos, beat.signal[rows, :stop], axis=1)
  slope = np.gradient(part, axis=1) * RATE
  speed = scipy.ndimage.uniform_filter1d(np.sqrt((slope**2).sum(axis=0)), 7)
  part = speed[start:stop]
  rest = np.percentile(part, 12)
  high, _ = scipy.signal.find_peaks(part[: len(part) - 8])
  high = high[part[high] > 0.5 * part[: len(part) - 8].max()]
  if not len(high):
    return math.nan
  top = start + int(high[-1])  # the last flank; before it may be a U wave
  if speed[top] < 3.0 * rest or speed[top] < 2.0:
    return math.nan
  fast = np.flatnonzero(speed[start : top + 1] > 0.45 * speed[top]) + start
  # At fast rates the T wave before ends where the P wave begins.
  reach = 0.13 if beat.cycle > 0.6 else 0.085
  fast = fast[fast > top - int(reach * RATE)]
  limit = rest + 0.15 * (speed[top] - rest)
  return float(_quiet(speed, int(fast[0]), -1, limit, 5))


def _t_end(beat):
  """Median over leads of where the tangent meets the baseline, or NaN."""
  found, sizes = [], []
  start = beat.offset + int(0.13 * math.sqrt(min(beat.cycle, 1.2)) * RATE)
  latest = beat.onset + int(0.66 * min(beat.cycle, 1.1) * RATE)
  for row in _T_ROWS:
    trace = scipy.ndimage.gaussian_filter1d(beat.signal[row], 4)
    later = trace[start:latest]
    if len(later) < 30:
      return math.nan
    peak = start + int(np.abs(later).argmax())
    size = trace[peak]
    if abs(size) < 0.1 or peak >= len(trace) - 10:
      continue
    stop = min(len(trace), peak + int(0.16 * RATE))
    slope = np.gradient(trace)[peak:stop] * np.sign(size)
    steep = int(slope.argmin())
    if slope[steep] >= 0:
      continue
    level = _after_t(trace, peak + steep)
    end = (
      peak
      + steep
      + (trace[peak + steep] - level) * np.sign(size) / -slope[steep]
    )
    found.append(end)
    sizes.append(abs(size))
  if not found:
    return math.nan
  order = np.argsort(sizes)[::-1][:4]  # the largest T waves tell best
  return float(np.median(np.array(found)[order]))


def _after_t(trace, steep):
  """Level of the baseline behind the T wave."""
  behind = trace[steep + int(0.05 * RATE) : steep + int(0.12 * RATE)]
  return 0.0 if len(behind) < 10 else 0.5 * float(np.median(behind))


def _axis(beat):
  area = beat.signal[:, beat.onset : beat.offset + 1].sum(axis=1)
  # Goldberger's leads are smaller than Einthoven's by the root of 3 over 2.
  return math.degrees(
    math.atan2(2 / math.sqrt(3) * area[_ROW["aVF"]], area[_ROW["I"]])
  )


def _voltages(beat):
  part = beat.signal[:, beat.onset : beat.offset + 1]
  r = np.maximum(part.max(axis=1), 0)
  return {
    "r_avl_mv": r[_ROW["aVL"]],
    "r_v1_mv": r[_ROW["V1"]],
    "s_v1_mv": _s(part[_ROW["V1"]]),
    "s_v3_mv": _s(part[_ROW["V3"]]),
    "r_v5_mv": r[_ROW["V5"]],
    "r_v6_mv": r[_ROW["V6"]],
  }


def _s(trace):
  """Depth behind the first positive wave, or of a QS complex."""
  positive = np.flatnonzero(trace > 0.03)
  deepest = float(-trace.min())
  if not len(positive) or -trace[: positive[0]].min(initial=0) > 0.8 * deepest:
    return max(0.0, deepest)
  return max(0.0, float(-trace[positive[0] :].min()))
