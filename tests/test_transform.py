"""Repair, units, resampling and length, against plain references."""

import numpy as np
import pytest

from fgclep_jax.signals import transform


def repair_reference(signal, invalid, rate, max_share=0.01, max_gap=0.1):
  """The rule of the contract, sample by sample."""
  mended = signal.astype(float)
  beyond = []
  for lead, bad in zip(mended, invalid, strict=True):
    longest = run = 0
    for is_bad in bad:
      run = run + 1 if is_bad else 0
      longest = max(longest, run)
    lost = bad.sum() > max_share * len(bad) or longest > max_gap * rate
    beyond.append(lost)
    good = np.flatnonzero(~bad)
    for t in np.flatnonzero(bad):
      before, after = good[good < t], good[good > t]
      if lost:
        lead[t] = 0
      elif not before.size:
        lead[t] = lead[after[0]]
      elif not after.size:
        lead[t] = lead[before[-1]]
      else:
        a, b = before[-1], after[0]
        lead[t] = lead[a] + (lead[b] - lead[a]) * (t - a) / (b - a)
  return mended, np.array(beyond)


@pytest.mark.parametrize("seed", range(8))
def test_repair_follows_the_rule(seed):
  rng = np.random.default_rng(seed)
  signal = rng.normal(0, 400, (12, 1000))
  invalid = np.zeros(signal.shape, bool)
  for lead in rng.permutation(12)[:9]:
    for _ in range(rng.integers(1, 4)):
      start = rng.integers(0, 1000)
      invalid[lead, start : start + rng.integers(1, 14)] = True
  invalid[3, :4] = invalid[5, -3:] = True
  dirty = np.where(invalid, rng.choice([np.nan, np.inf, -np.inf]), signal)
  mended, beyond = transform.repair(dirty, invalid, rate=100)
  expected, lost = repair_reference(signal, invalid, rate=100)
  np.testing.assert_allclose(mended, expected, rtol=0, atol=1e-9)
  np.testing.assert_array_equal(beyond, lost)


@pytest.mark.parametrize(("gap", "beyond"), [(10, False), (11, True)])
def test_the_longest_gap_is_100_ms(gap, beyond):
  invalid = np.zeros((1, 5000), bool)
  invalid[0, 100 : 100 + gap] = True
  _, lost = transform.repair(np.ones((1, 5000)), invalid, rate=100)
  assert lost[0] == beyond


def test_a_lead_without_any_value_becomes_zero():
  invalid = np.ones((1, 50), bool)
  mended, beyond = transform.repair(
    np.full((1, 50), np.nan), invalid, 500, max_share=1.0, max_gap=9.0
  )
  assert beyond[0]
  np.testing.assert_array_equal(mended, 0)


def test_a_gap_never_reaches_another_lead():
  signal = np.arange(24.0).reshape(12, 2).repeat(500, axis=1)
  invalid = np.zeros(signal.shape, bool)
  invalid[4, 200:205] = True
  mended, _ = transform.repair(signal, invalid, 500)
  np.testing.assert_array_equal(mended, signal)


def test_runs_are_listed_by_lead():
  invalid = np.zeros((12, 9), bool)
  invalid[2, :2] = invalid[2, 8] = invalid[11, 3:6] = True
  np.testing.assert_array_equal(
    transform.invalid_runs(invalid), [[2, 0, 2], [2, 8, 1], [11, 3, 3]]
  )
  assert transform.invalid_runs(np.zeros((12, 9), bool)).shape == (0, 3)


def test_microvolts_are_rounded_and_clipped():
  values = np.array([[0.5, 1.5, -0.6, 32767.4, 32767.6, -32768.0, 1e9, -1e9]])
  rounded, clipped = transform.to_microvolts(values)
  expected = [[0, 2, -1, 32767, 32767, -32767, 32767, -32767]]
  np.testing.assert_array_equal(rounded, expected)
  assert rounded.dtype == np.int16
  assert clipped == 4


@pytest.mark.parametrize(
  ("rate", "new_rate"), [(500, 100), (400, 500), (1000, 500), (360, 250)]
)
def test_resampling_keeps_a_slow_sine(rate, new_rate):
  """A 3 Hz sine far below both Nyquist rates is found again, within 1 %."""
  time = np.arange(10 * rate) / rate
  new_time = np.arange(10 * new_rate) / new_rate
  amplitude = np.arange(100, 1300, 100)[:, None]
  sine = amplitude * np.sin(2 * np.pi * 3 * time)
  expected = amplitude * np.sin(2 * np.pi * 3 * new_time)
  resampled = transform.resample(sine, rate, new_rate)
  assert resampled.shape == expected.shape
  inner = slice(new_rate, -new_rate)
  error = np.abs(resampled - expected) / amplitude
  assert error[:, inner].max() < 0.01
  integers = transform.resample(sine.astype(np.int16), rate, new_rate)
  assert integers.dtype == np.int16
  # Cut-off fractions of up to 1 uV in, and 0.5 uV rounding out.
  np.testing.assert_allclose(
    integers[:, inner], resampled[:, inner], rtol=0, atol=2
  )


def test_resampling_does_not_bend_the_ends():
  """An offset must not ring at the ends, as zero padding would."""
  signal = np.full((12, 5000), 3000, np.int16)
  resampled = transform.resample(signal, 500, 100)
  assert resampled.shape == (12, 1000)
  np.testing.assert_allclose(resampled, 3000, atol=1)


def test_the_same_rate_changes_nothing():
  signal = np.arange(24, dtype=np.int16).reshape(12, 2)
  assert transform.resample(signal, 500, 500.0) is signal


@pytest.mark.parametrize(
  ("length", "start", "done"),
  [(10, 0, "same"), (4, 0, "cropped"), (4, 3, "cropped"), (15, 0, "padded")],
)
def test_crop_or_pad(length, start, done):
  signal = np.arange(1, 121, dtype=np.int16).reshape(12, 10)
  piece, said = transform.crop_or_pad(signal, length, start)
  assert said == done
  assert piece.shape == (12, length)
  taken = min(length, 10 - start)
  np.testing.assert_array_equal(
    piece[:, :taken], signal[:, start : start + taken]
  )
  assert not piece[:, taken:].any()
