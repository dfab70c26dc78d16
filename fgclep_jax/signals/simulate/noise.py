"""What the electrodes add: drift, mains, muscle, movement, lost contact.

Sizes are those of 567 records of PTB-XL (100 Hz): the median lead has 46 µV
rms below 0.6 Hz in the median record and 97 in one of ten, the worst lead
126 and 401. Bursts of muscle noise, pulled and loose electrodes (5, 12 and 2
in 100 records) are commoner than PTB-XL's notes on quality (1, 3 and 0.1).
"""

import functools

import numpy as np

from fgclep_jax.signals.simulate.torso import ELECTRODES

_DRIFT_WAVES = 10
_MUSCLE_BAND = (12.0, 130.0)  # Hz
_PULLED, _BURST, _LOOSE = 0.12, 0.05, 0.02
"""Chances that a record has one."""


def electrode_noise(stream, rate, seconds):
  """(9, T) mV of noise at the electrodes; the heart is not in it."""
  count = len(ELECTRODES)
  drift, gain = _bases(rate, seconds)
  times = np.arange(drift.shape[1]) / rate
  level = 0.023 * stream.scale(0.6) * stream.scale(1.0, (count, 1))
  drift_weights = level * stream.normal(0.0, 1.0, (count, len(drift)))
  mains_weights, mains = _mains(stream)
  noise = _muscle(stream, gain, times)
  noise += drift_weights @ drift
  if 2 * mains < rate:  # else the recorder's filter has taken it away
    angle = 2 * np.pi * mains * times
    noise += mains_weights @ np.stack([np.sin(angle), np.cos(angle)])
  if stream.chance(_PULLED):
    _move(stream, noise, times, seconds)
  return noise


def with_faults(stream, potentials, rate):
  """Potentials (9, T) mV with an electrode that loses contact, in place.

  For 0.3 to 2 s its amplifier sees the mains and its own slow return to zero
  instead of the heart. A limb electrode spoils all leads that use it.
  """
  if not stream.chance(_LOOSE):
    return potentials
  samples = potentials.shape[1]
  electrode = stream.integer(0, len(ELECTRODES) - 1)
  first = stream.integer(0, samples - 1)
  count = min(samples - first, int(stream.uniform(0.3, 2.0) * rate))
  after = np.arange(count) / rate
  size = stream.uniform(0.3, 1.5) * stream.pick((-1, 1))
  lost = size * np.exp(-after / stream.uniform(0.3, 1.5))
  mains = stream.pick((50.0, 60.0))
  if 2 * mains < rate:
    turn = 2 * np.pi * (mains * after + stream.uniform())
    lost += stream.uniform(0.02, 0.1) * np.sin(turn)
  potentials[electrode, first : first + count] = lost
  return potentials


@functools.lru_cache(maxsize=8)
def _bases(rate, seconds):
  """Drift waves (20, T) of 0.05 .. 0.5 Hz, and the muscle spectrum."""
  samples = round(rate * seconds)
  turns = np.arange(samples) / rate / (2 * seconds)
  order = np.arange(1, _DRIFT_WAVES + 1)[:, None]
  angle = 2 * np.pi * order * turns
  drift = np.concatenate([np.cos(angle), np.sin(angle)])
  drift /= np.concatenate([order, order])
  frequency = np.arange(int(_MUSCLE_BAND[1] * seconds) + 1) / seconds
  low, high = _MUSCLE_BAND
  gain = 1 / (1 + (low / np.maximum(frequency, 1e-3)) ** 4)
  gain *= np.exp(-0.5 * (frequency / (0.55 * high)) ** 2)
  return drift, gain / np.sqrt((gain**2).sum())


def _mains(stream):
  """Weights (9, 2) of sine and cosine, and their frequency in Hz."""
  count = len(ELECTRODES)
  frequency = stream.pick((50.0, 60.0)) + stream.normal(0.0, 0.02)
  level = 0.002 * stream.scale(0.9)
  level = level * stream.scale(0.4, (count, 1))
  phase = 0.5 * stream.normal(0.0, 1.0, (count, 1))
  weights = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
  return level * weights, frequency


def _muscle(stream, gain, times):
  """Band noise whose strength comes and goes, stronger at the limbs."""
  count, samples = len(ELECTRODES), len(times)
  # Sums of a thousand waves are normal whatever their weights are.
  limit = np.sqrt(3.0)
  parts = stream.uniform(-limit, limit, (count, 2 * len(gain)))
  level = 0.0025 * stream.scale(0.6) * stream.scale(0.35, (count, 1))
  level[:3] *= 1.8
  parts *= level * samples / 2
  bins = min(len(gain), samples // 2)
  spectrum = parts.view(complex)[:, :bins] * gain[:bins]
  noise = np.fft.irfft(spectrum, samples)  # bins above are zero
  cycles = stream.uniform(0.5, 2.0)
  turn = np.arange(samples) * (cycles / samples) + stream.uniform()
  strength = 1 + 0.5 * np.sin(2 * np.pi * turn)
  if stream.chance(_BURST):  # a limb is tensed for a second or two
    middle, width = stream.uniform() * times[-1], stream.uniform(0.3, 1.0)
    strength += stream.uniform(3.0, 8.0) * np.exp(
      -(((times - middle) / width) ** 2)
    )
  noise *= strength
  return noise


def _move(stream, noise, times, seconds):
  """One electrode is pulled: a bump that dies away, in place."""
  electrode = stream.integer(0, len(ELECTRODES) - 1)
  start = stream.uniform(0.0, seconds)
  size = stream.uniform(0.15, 0.6) * stream.pick((-1, 1))
  after = np.maximum(times - start, 0.0)
  rise = 1 - np.exp(-after / 0.06)
  decay = np.exp(-after / stream.uniform(0.25, 0.7))
  noise[electrode] += size * rise * decay
