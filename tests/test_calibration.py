"""Calibration against scikit-learn and plain loops."""

import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from fgclep_jax.evaluation import calibration, table
from fgclep_jax.evaluation.calibration import BINS


def _case(seed, n=150, ties=False):
  """Logits, labels (a class of each kind) and integer weights."""
  rng = np.random.default_rng(seed)
  logits = rng.normal(-1, 2, (n, 5))
  if ties:
    logits = np.round(logits)
  labels = rng.random((n, 5)) < scipy.special.expit(0.6 * logits)
  labels[:, 3], labels[:, 4] = False, True  # single-class columns
  logits[:, 2] = 0.7  # constant scores
  return logits, labels, rng.integers(0, 4, n)


@pytest.mark.parametrize("ties", [False, True])
def test_brier_and_log_loss_are_those_of_sklearn(ties):
  logits, labels, weights = _case(1, ties=ties)
  chance = scipy.special.expit(logits)
  for own in (None, weights):
    brier = calibration.brier(chance, labels, own)
    loss = calibration.log_loss(logits, labels, own)
    for c in range(labels.shape[1]):
      pair = labels[:, c], chance[:, c]
      given = {"sample_weight": own, "labels": [False, True]}
      assert loss[c] == pytest.approx(
        sklearn.metrics.log_loss(*pair, **given), abs=1e-12
      )
      reference = np.average((pair[1] - pair[0]) ** 2, weights=own)
      assert brier[c] == pytest.approx(reference, abs=1e-12)
      if 0 < labels[:, c].mean() < 1:
        assert brier[c] == pytest.approx(
          sklearn.metrics.brier_score_loss(*pair, sample_weight=own), abs=1e-12
        )


def test_log_loss_of_huge_logits_is_finite():
  logits = np.array([[800.0, -800.0], [-800.0, 800.0]])
  labels = np.array([[1, 1], [0, 1]])
  np.testing.assert_allclose(calibration.log_loss(logits, labels), [0, 400])


def _error_by_hand(chance, labels, weights):
  """Equal-count bins and their error, record by record, in float64."""
  count, total = len(chance), float(sum(weights))
  place = []
  for i in range(count):
    below = sum(
      w for p, w in zip(chance, weights, strict=True) if p < chance[i]
    )
    tied = sum(
      w for p, w in zip(chance, weights, strict=True) if p == chance[i]
    )
    middle = below + tied / 2
    place.append(min(int(BINS * middle / total), BINS - 1))
  error = 0.0
  for b in range(BINS):
    inside = [i for i in range(count) if place[i] == b]
    gap = sum(weights[i] * (chance[i] - labels[i]) for i in inside)
    error += abs(gap)
  return error / total, place


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_calibration_error_by_hand(ties, weighted):
  logits, labels, weights = _case(2, 97, ties)
  weights = weights if weighted else np.ones(len(logits), int)
  chance = scipy.special.expit(logits)
  bins = calibration.equal_count_bins(chance, weights)
  found = calibration.calibration_error(chance, labels, bins, weights)
  for c in range(labels.shape[1]):
    error, place = _error_by_hand(
      list(chance[:, c]), list(labels[:, c]), list(weights)
    )
    assert list(bins[:, c]) == place
    assert found[c] == pytest.approx(error, abs=1e-12)


def test_bins_have_equal_counts_whatever_the_order():
  rng = np.random.default_rng(3)
  scores = rng.normal(size=(600, 1))
  bins = calibration.equal_count_bins(scores)
  assert list(np.bincount(bins[:, 0])) == [40] * BINS
  tied = np.round(scores, 1)
  rows = rng.permutation(600)
  np.testing.assert_array_equal(
    calibration.equal_count_bins(tied)[rows],
    calibration.equal_count_bins(tied[rows]),
  )
  # A weight of 2 is the record twice.
  weights = rng.integers(1, 3, 600)
  twice = calibration.equal_count_bins(np.repeat(tied, weights, axis=0))
  once = calibration.equal_count_bins(tied, weights)
  np.testing.assert_array_equal(twice, np.repeat(once, weights, axis=0))


def test_curve_of_a_calibrated_head_lies_on_the_line():
  rng = np.random.default_rng(4)
  logits = rng.normal(-1, 1.5, (30000, 1))
  chance = scipy.special.expit(logits)
  labels = rng.random(chance.shape) < chance
  bins = calibration.equal_count_bins(logits)
  (curve,) = calibration.curves(chance, labels, bins)
  count, given, share = np.array(curve).T
  assert count.sum() == 30000
  assert np.all(np.diff(given) > 0)
  np.testing.assert_allclose(given, share, atol=0.05)  # 4.5 sd of a bin
  assert calibration.calibration_error(chance, labels, bins)[0] < 0.02


def test_temperature_is_found_and_is_the_minimum():
  rng = np.random.default_rng(5)
  logits = rng.normal(-1, 1.5, (20000, 2))
  labels = rng.random(logits.shape) < scipy.special.expit(logits)
  for scale in (0.4, 1.0, 2.5):
    found = calibration.fit_temperature(scale * logits, labels)
    assert found == pytest.approx(scale, rel=0.06)
    best = calibration.log_loss(scale * logits / found, labels).mean()
    for other in (0.99 * found, 1.01 * found):
      assert best < calibration.log_loss(scale * logits / other, labels).mean()
  weights = rng.integers(0, 3, 500)
  repeated = np.repeat(np.arange(500), weights)
  assert calibration.fit_temperature(
    logits[:500], labels[:500], weights
  ) == pytest.approx(
    calibration.fit_temperature(logits[repeated], labels[repeated]), rel=1e-4
  )


def test_separable_labels_stop_at_the_limit():
  logits = np.linspace(-3, 3, 40)[:, None]
  found = calibration.fit_temperature(logits, logits > 0)
  assert found == pytest.approx(0.01, rel=0.01)


def test_a_head_is_judged_with_its_gaps_named():
  logits, labels, _ = _case(6, 240)
  names = ("a", "b", "constant", "never", "always")
  ids = [f"r{i}" for i in range(240)]
  patients = [f"p{i // 2}" for i in range(240)]
  cohort = table.make_cohort(names, labels, ids, patients, 100, 0)
  block = calibration.judge(
    cohort, 3 * logits, 3 * logits, labels, untrainable=["constant"]
  )
  assert block["undefined_classes"] == ["never", "always"]
  assert block["untrainable_classes"] == ["constant"]
  assert block["per_class"]["constant"]["before"] is None
  assert block["per_class"]["never"]["n_pos"] == 0
  assert block["per_class"]["never"]["before"]["brier"] > 0
  before, after = block["before"], block["after"]
  assert before["classes_averaged"] == 2
  chance = scipy.special.expit(3 * logits)
  brier = [
    sklearn.metrics.brier_score_loss(labels[:, c], chance[:, c]) for c in (0, 1)
  ]
  assert before["macro_brier"] == pytest.approx(np.mean(brier))
  low, high = before["brier_ci95"]
  assert low < before["macro_brier"] < high
  low, high = before["ece_ci95"]
  assert low < before["macro_ece"] < high
  # The interval of class a by hand, on the draws of its own.
  draws = cohort.draws
  loss = (chance[:, 0] - labels[:, 0]) ** 2
  drawn = [
    np.average(loss, weights=draws.weights[row]) for row in draws.rows[0]
  ]
  row = block["per_class"]["a"]["before"]
  assert [row["brier_lo"], row["brier_hi"]] == pytest.approx(
    np.percentile(drawn, [2.5, 97.5])
  )
  assert after["macro_log_loss"] < before["macro_log_loss"]
  assert block["temperature"] > 1.5
