"""The heart vector over a whole record: beats, P waves, restless atria."""

import numpy as np

from fgclep_jax.signals.simulate import rhythm as rhythms
from fgclep_jax.signals.simulate import shape as shapes

# Seconds before and after the onset of a QRS complex or a P wave.
_QRS_WINDOW, _T_WINDOW, _P_WINDOW = (0.04, 0.24), (0.0, 0.85), (0.03, 0.30)


def qt_interval(qtc, cycle):
  """QT (s) at RR intervals `cycle` (s): Bazett, held from 40 to 200/min."""
  return qtc * np.sqrt(np.clip(cycle, 0.30, 1.5))


def heart_vector(stream, rhythm, beats, rate, seconds):
  """(3, T) mV.

  Args:
    stream: numbers of the record's rhythm.
    rhythm: Rhythm.
    beats: kind of beat -> Shape.
    rate: Hz.
    seconds: length.
  """
  total = np.zeros((3, round(rate * seconds)))
  typical = typical_cycle(rhythm, seconds)
  before = np.diff(rhythm.qrs, prepend=rhythm.qrs[0] - typical)
  size = 1 + 0.035 * np.sin(
    2 * np.pi * 0.25 * rhythm.qrs + stream.uniform(0, 6)
  )
  size = size + stream.normal(0.0, 0.012, len(size))
  for kind, shape in beats.items():
    chosen = rhythm.kind == kind
    if not chosen.any():
      continue
    qt = float(qt_interval(shape.qtc, typical))
    own = 0.75 * typical + 0.25 * np.clip(before[chosen], 0.3, 1.6)
    shift = qt_interval(shape.qtc, own) - qt
    waves = shapes.ventricular_waves(shape, qt)
    moves = waves[:, 6] > 0  # ST and T are long, QRS is short
    onsets, sizes = rhythm.qrs[chosen], size[chosen]
    _add(total, waves[~moves], onsets, sizes, shift, rate, _QRS_WINDOW)
    _add(total, waves[moves], onsets, sizes, shift, rate, _T_WINDOW)
  shape = beats.get(rhythms.CONDUCTED) or next(iter(beats.values()))
  for ectopic in (False, True):
    times = rhythm.p[rhythm.p_ectopic == ectopic]
    waves = shapes.p_waves(shape, ectopic)
    ones = np.ones(len(times))
    _add(total, waves, times, ones, 0 * ones, rate, _P_WINDOW)
  if rhythm.atrial in ("fibrillation", "flutter"):
    total += _restless_atria(stream, rhythm, rate, total.shape[1])
  return total


def typical_cycle(rhythm, seconds):
  """Median RR interval of the record in seconds."""
  inside = rhythm.qrs[(rhythm.qrs > -1.5) & (rhythm.qrs < seconds + 0.5)]
  return float(np.median(np.diff(inside)))


def _add(total, waves, onsets, sizes, shifts, rate, window):
  """Adds the waves at all onsets to `total` (3, T) in place."""
  samples = total.shape[1]
  keep = (onsets > -window[1]) & (onsets < samples / rate + window[0])
  onsets, sizes, shifts = onsets[keep], sizes[keep], shifts[keep]
  first = np.ceil((onsets - window[0]) * rate).astype(int)
  steps = np.arange(int((window[0] + window[1]) * rate))
  local = (first[:, None] + steps) / rate - onsets[:, None]
  vectors = shapes.evaluate(waves, local, shifts) * sizes[:, None, None]
  for start, piece in zip(first.tolist(), vectors, strict=True):
    low, high = max(start, 0), min(start + len(steps), samples)
    if low < high:
      total[:, low:high] += piece[:, low - start : high - start]


def _restless_atria(stream, rhythm, rate, samples):
  """(3, samples) mV of fibrillatory or flutter waves."""
  times = np.arange(samples) / rate
  if rhythm.atrial == "flutter":
    turn = 2 * np.pi * (times / rhythm.cycle + stream.uniform())
    saw = np.sin(turn) + 0.5 * np.sin(2 * turn) + 0.22 * np.sin(3 * turn)
    if stream.chance(0.8):  # round the tricuspid ring, against the clock
      saw = -saw
    way = np.array([0.02, 0.10, -0.035]) * stream.uniform(0.9, 1.8)
    return way[:, None] * saw
  frequency = stream.uniform(5.0, 8.0)
  level = 0.030 * stream.scale(0.4)
  waves = np.empty((3, samples))
  for axis, part in enumerate((0.5, 0.8, -1.0)):
    slow = np.sin(2 * np.pi * stream.uniform(0.2, 0.5) * times + axis)
    wander = 1.2 * np.sin(2 * np.pi * stream.uniform(0.4, 0.9) * times)
    turn = 2 * np.pi * frequency * times + wander + stream.uniform(0, 1.5)
    waves[axis] = (
      part * (1 + 0.4 * slow) * (np.sin(turn) + 0.35 * np.sin(2 * turn + 1.0))
    )
  return level * waves
