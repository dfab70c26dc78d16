"""Baseline features against plain loops, and that they see waveforms."""

import numpy as np
import pytest

from fgclep_jax import metrics
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import baselines, linear_probe
from fgclep_jax.evaluation.sweep import sweep
from tests.evaluation_fakes import FakeSplit


def _signals(rng, n=5, samples=200):
  return rng.integers(-900, 900, (n, 12, samples)).astype(np.int16)


def test_kernel_features_equal_a_plain_convolution():
  rng = np.random.default_rng(1)
  signals = _signals(rng)
  kernels = baselines.random_kernels(seed=3, count=20, samples=200)
  assert kernels.count == 20
  found = baselines.kernel_features(signals, kernels)
  assert found.shape == (5, 40)
  x = signals / 250.0
  x = x - x.mean(-1, keepdims=True)
  column = 0
  for dilation, weight, bias in kernels.groups:
    for k in range(len(bias)):
      taps = weight[:, k].reshape(12, 9).astype(float)
      for i in range(5):
        output = np.full(200, float(bias[k]))
        for lead in range(12):
          for tap in range(9):
            shift = (tap - 4) * dilation
            source = np.arange(200) + shift
            inside = (source >= 0) & (source < 200)
            output[inside] += taps[lead, tap] * x[i, lead, source[inside]]
        share = np.mean(output > 0)
        assert found[i, column] == pytest.approx(share, abs=0.011)
        assert found[i, 20 + column] == pytest.approx(output.max(), abs=1e-3)
      column += 1


def test_kernels_are_balanced_and_depend_on_the_seed():
  kernels = baselines.random_kernels(seed=0)
  assert kernels.count == 400
  used = []
  for dilation, weight, bias in kernels.groups:
    assert 8 * dilation < baselines.SAMPLES
    assert np.all(np.abs(bias) <= 1)
    taps = weight.T.reshape(-1, 12, 9)
    np.testing.assert_allclose(taps.sum(-1), 0, atol=1e-5)
    used += list((np.abs(taps).sum(-1) > 0).sum(-1))
  assert min(used) == 1
  assert max(used) == 12
  other = baselines.random_kernels(seed=1)
  assert not np.array_equal(kernels.groups[0][2], other.groups[0][2])


def test_constant_offset_does_not_matter_and_batches_do_not_either():
  rng = np.random.default_rng(2)
  signals = _signals(rng, n=21)
  kernels = baselines.random_kernels(seed=0, count=30, samples=200)
  found = baselines.kernel_features(signals, kernels)
  moved = baselines.kernel_features(signals + np.int16(50), kernels)
  np.testing.assert_allclose(found[:, 30:], moved[:, 30:], atol=1e-3)
  single = baselines.kernel_features(signals[17:18], kernels)
  np.testing.assert_allclose(found[17:18, 30:], single[:, 30:], atol=1e-4)


def test_pooled_statistics_by_hand():
  signals = np.zeros((2, 12, 5), np.int16)
  signals[1, 3] = [0, 1000, 2000, 3000, 4000]
  found = baselines.pooled_statistics(signals).reshape(2, 11, 12)
  assert not found[0].any()
  want = [2, np.sqrt(2), 0, 0.2, 1, 2, 3, 3.8, 4, 1, 0]
  np.testing.assert_allclose(found[1, :, 3], want, atol=1e-5)
  assert not np.delete(found[1], 3, axis=1).any()


def test_kernels_see_a_shape_that_statistics_do_not():
  """A small wave and its mirror image in time hold the same values."""
  rng = np.random.default_rng(3)
  ramp = np.concatenate([np.linspace(0, 900, 30), np.zeros(30)])
  labels = rng.random((240, 1)) < 0.5
  signals = np.zeros((240, 12, 600), np.int16)
  for i, mirrored in enumerate(labels[:, 0]):
    start = rng.integers(0, 60)
    wave = np.tile(ramp[::-1] if mirrored else ramp, 10)
    signals[i] = np.roll(wave, start) + rng.normal(0, 30, (12, 600))
  kernels = baselines.random_kernels(seed=0, count=60, samples=600)

  def area(features):
    probe = linear_probe.fit_probe(
      features[:120], labels[:120], features[120:180], labels[120:180]
    )
    return metrics.auroc(probe.scores(features[180:]), labels[180:])[0]

  assert area(baselines.kernel_features(signals, kernels)) > 0.99
  statistics = baselines.pooled_statistics(signals)
  assert area(statistics) < 0.8


def _measured(split, name, **how):
  measuring = baselines.Measuring(name)
  sweep(split, (measuring,), **how)
  return measuring.result()


def test_whole_split_in_batches():
  split = FakeSplit("test", 11, ("a", "b"))
  signals = split.signals(np.arange(11), 100, 1000)
  found = _measured(split, "pooled_statistics", block=4)
  want = baselines.pooled_statistics(signals)
  np.testing.assert_array_equal(found, want)
  found = _measured(split, "random_kernels", block=4)
  want = baselines.kernel_features(signals, baselines.random_kernels())
  np.testing.assert_array_equal(found, want)
  with pytest.raises(InputError, match="no baseline 'magic'"):
    baselines.Measuring("magic")


def test_a_long_record_has_the_mean_over_its_windows():
  rng = np.random.default_rng(6)
  signals = rng.integers(-900, 900, (5, 12, baselines.SAMPLES)).astype(np.int16)

  class Split:
    def __len__(self):
      return 2

    def windows(self, indices, rate, samples, window):
      assert (rate, samples, window) == (100, baselines.SAMPLES, "cover")
      return signals, np.array([2, 3])

  found = _measured(Split(), "pooled_statistics")
  each = baselines.pooled_statistics(signals)
  want = [each[:2].mean(0), each[2:].mean(0)]
  np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)
