"""Which part of a long record is looked at, against plain loops."""

import numpy as np
import pytest
from scipy import io

from fgclep_jax.errors import InputError
from fgclep_jax.signals import windows


@pytest.fixture
def rng():
  return np.random.default_rng(20)


def record(rng, samples):
  return rng.integers(-3000, 3000, (12, samples)).astype(np.int16)


@pytest.mark.parametrize("samples", [1, 99, 100, 101, 157])
def test_first(rng, samples):
  signal = record(rng, samples)
  found = windows.first(signal, 100)
  assert found.shape == (12, 100)
  assert found.dtype == np.int16
  kept = min(samples, 100)
  np.testing.assert_array_equal(found[:, :kept], signal[:, :kept])
  assert not found[:, kept:].any()


@pytest.mark.parametrize(
  ("samples", "start"), [(60, 0), (100, 0), (101, 0), (102, 1), (257, 78)]
)
def test_centre(rng, samples, start):
  signal = record(rng, samples)
  found = windows.centre(signal, 100)
  kept = min(samples, 100)
  assert found.shape == (12, 100)
  np.testing.assert_array_equal(found[:, :kept], signal[:, start:][:, :kept])
  assert not found[:, kept:].any()


@pytest.mark.parametrize(
  ("samples", "expected"),
  [
    (40, [0]),
    (100, [0]),
    (101, [0, 1]),
    (200, [0, 100]),
    (250, [0, 100, 150]),
    (300, [0, 100, 200]),
  ],
)
def test_cover(rng, samples, expected):
  signal = record(rng, samples)
  found = windows.cover(signal, 100)
  assert windows.starts(samples, 100).tolist() == expected
  assert found.shape == (len(expected), 12, 100)
  seen = np.zeros(max(samples, 100), bool)
  for window, start in zip(found, expected, strict=True):
    kept = min(samples, 100)
    np.testing.assert_array_equal(
      window[:, :kept], signal[:, start : start + kept]
    )
    assert not window[:, kept:].any()
    seen[start : start + 100] = True
  assert seen.all()


def published_merl(data):
  """The steps of the published loader, written down a second time."""
  data = data[:, :2500]
  data = np.concatenate([data, np.zeros((12, 5000 - data.shape[1]))], axis=1)
  low, high = np.min(data), np.max(data)
  return (data - low) / (high - low + 1e-8)


@pytest.mark.parametrize("samples", [2400, 2500, 9000])
def test_merl(rng, samples):
  signal = record(rng, samples)
  found = windows.merl(signal)
  assert found.shape == (12, 5000)
  assert found.dtype == np.float32
  expected = published_merl(signal / 1000)
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
  # The fault it is compatible with: padding is not zero, the rest is unseen.
  assert found[0, -1] == pytest.approx(0.5, abs=0.05)
  later = signal.copy()
  later[:, 2500:] += 500
  np.testing.assert_array_equal(windows.merl(later), found)


def test_merl_with_sentinels(rng):
  signal = record(rng, 5000)
  runs = np.array([[3, 10, 5]], np.int32)
  found = windows.merl(signal, 5000, 5000, runs)
  raw = signal.astype(float)
  raw[3, 10:15] = -32768
  raw -= raw.min()
  np.testing.assert_allclose(found, raw / raw.max(), rtol=0, atol=1e-6)
  assert (found[3, 10:15] == 0).all()
  assert found[0].min() > 0.8  # flattened by the outlier


def test_a_constant_record_stays_finite():
  assert not windows.merl(np.zeros((12, 3000), np.int16)).any()


def test_bad_lengths():
  signal = np.zeros((12, 10), np.int16)
  for function in (windows.first, windows.centre, windows.cover):
    with pytest.raises(InputError, match="window of 0 samples"):
      function(signal, 0)
  with pytest.raises(InputError, match="keep 6 of 5"):
    windows.merl(signal, 6, 5)


def test_merl_on_a_real_record(shared):
  """Rounding to whole microvolts moves the scaled values by little."""
  path = shared / "cpsc2018" / "TrainingSet" / "A1982.mat"
  data = io.loadmat(path)["ECG"][0, 0]["data"]
  found = windows.merl(np.rint(data * 1000).astype(np.int16))
  span = np.ptp(data[:, :2500])
  error = np.abs(found - published_merl(data)).max()
  assert error < 0.0015 / span
