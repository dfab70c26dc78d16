"""The linear probe against scikit-learn, and how it draws and chooses."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fgclep_jax import metrics
from fgclep_jax.data.split import inner_validation
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import linear_probe


def _problem(rng, n=400, width=30, classes=4, noise=1.0):
  mixing = rng.normal(size=(width, width))  # correlated features
  features = rng.normal(size=(n, width)) @ mixing + 5
  truth = rng.normal(size=(width, classes)) / np.sqrt(width)
  logits = (features - 5) @ np.linalg.inv(mixing) @ truth * 3
  labels = logits + noise * rng.logistic(size=(n, classes)) > 1
  return features.astype(np.float32), labels


@pytest.mark.parametrize("strength", [1e-4, 1e-2, 1.0, 100.0])
def test_same_optimum_as_scikit_learn(strength):
  rng = np.random.default_rng(1)
  features, labels = _problem(rng)
  standard = np.asarray(features, float)
  standard = (standard - standard.mean(0)) / standard.std(0)
  weight, bias = linear_probe.LogisticSolver(standard, labels).fit(strength)
  for c in range(labels.shape[1]):
    head = LogisticRegression(
      C=strength, solver="newton-cholesky", tol=1e-10, max_iter=1000
    ).fit(standard, labels[:, c])
    ours = standard @ weight[:, c] + bias[c]
    np.testing.assert_allclose(
      ours, head.decision_function(standard), atol=2e-3 * max(1, strength)
    )
    area = metrics.auroc(ours[:, None], labels[:, [c]])
    want = metrics.auroc(
      head.decision_function(standard)[:, None], labels[:, [c]]
    )
    assert abs(area - want)[0] < 1e-4


def test_a_warm_start_changes_nothing():
  rng = np.random.default_rng(2)
  features, labels = _problem(rng)
  standard = (features - features.mean(0)) / features.std(0)
  standard = standard.astype(np.float64)
  warm = linear_probe.LogisticSolver(standard, labels)
  warm.fit(1e-3)
  warm.fit(1.0)
  weight, _ = warm.fit(0.1)
  cold, _ = linear_probe.LogisticSolver(standard, labels).fit(0.1)
  np.testing.assert_allclose(weight, cold, atol=2e-4)


def test_more_features_than_records_and_constant_columns_converge():
  rng = np.random.default_rng(3)
  features, labels = _problem(rng, n=60, width=200)
  features[:, 7] = 3.25
  probe = linear_probe.fit_probe(features, labels, features, labels)
  scores = probe.scores(features)
  assert np.isfinite(scores).all()
  assert np.all(metrics.auroc(scores, labels) > 0.95)
  assert probe.scale[7] == 1


def test_convergence_is_asserted(monkeypatch):
  rng = np.random.default_rng(4)
  features, labels = _problem(rng)
  monkeypatch.setattr(linear_probe, "_MOST_STEPS", 2)
  with pytest.raises(RuntimeError, match="did not converge"):
    linear_probe.fit_probe(features, labels, features, labels)


def test_strength_is_chosen_on_validation_for_all_classes():
  rng = np.random.default_rng(5)
  features, labels = _problem(rng, n=520, width=120, noise=4.0)
  fit, val = slice(0, 220), slice(220, 520)
  probe = linear_probe.fit_probe(
    features[fit], labels[fit], features[val], labels[val]
  )
  assert list(probe.validation) == sorted(linear_probe.STRENGTHS)
  assert probe.validation[probe.strength] == max(probe.validation.values())
  assert probe.strength < 10  # noise: strong penalty wins
  area = metrics.auroc(probe.scores(features[val]), labels[val])
  assert metrics.macro(area) == pytest.approx(
    probe.validation[probe.strength], abs=1e-6
  )
  first = features[fit].astype(np.float64)
  np.testing.assert_allclose(probe.mean, first.mean(0))


def test_untrainable_classes_score_a_constant():
  rng = np.random.default_rng(6)
  features, labels = _problem(rng)
  train = labels.copy()
  train[:, 2] = False
  probe = linear_probe.fit_probe(features, train, features, labels)
  assert list(probe.trainable) == [True, True, False, True]
  scores = probe.scores(features)
  assert np.all(scores[:, 2] == scores[0, 2])
  assert metrics.auroc(scores, labels)[2] == 0.5
  with pytest.raises(InputError, match="none of 4 classes"):
    linear_probe.fit_probe(features, labels & False, features, labels)


def test_subsets_hold_whole_patients_and_every_kind_of_label():
  rng = np.random.default_rng(7)
  units = rng.integers(0, 2000, 3000).astype(str)
  labels = rng.random((3000, 5)) < [0.5, 0.3, 0.2, 0.1, 0.02]
  previous = None
  for seed in range(5):
    drawn = linear_probe.stratified_subset(labels, units, 0.1, seed)
    assert not set(units[drawn]) & set(units[~drawn])
    share = len(set(units[drawn])) / len(set(units))
    assert share == pytest.approx(0.1, abs=0.001)
    # Independent draws would scatter the rarest class by 30 %.
    for c in range(5):
      expected = 0.1 * labels[:, c].sum()
      assert abs(labels[drawn, c].sum() - expected) < 0.25 * expected + 3
    again = linear_probe.stratified_subset(labels, units, 0.1, seed)
    assert np.array_equal(drawn, again)
    assert previous is None or not np.array_equal(drawn, previous)
    previous = drawn
  assert linear_probe.stratified_subset(labels, units, 1.0, 0).all()
  with pytest.raises(InputError, match="above 0, at most 1"):
    linear_probe.stratified_subset(labels, units, 1.5, 0)


def test_subsets_stratify_a_class_of_twenty():
  rng = np.random.default_rng(8)
  units = np.arange(2000).astype(str)
  labels = np.zeros((2000, 3), bool)
  labels[:, 0] = rng.random(2000) < 0.5
  labels[:20, 2] = True
  counts = [
    linear_probe.stratified_subset(labels, units, 0.1, s)[:20].sum()
    for s in range(40)
  ]
  assert set(counts) <= {1, 2, 3}
  assert np.mean(counts) == pytest.approx(2, abs=0.35)


def test_inner_validation_is_stable_and_patient_disjoint():
  records = np.array([f"{i:05d}" for i in range(4000)])
  patients = np.array([str(i // 2) for i in range(4000)])
  patients[3000:] = ""
  inner = inner_validation(patients, records, 0.15)
  assert inner.mean() == pytest.approx(0.15, abs=0.02)
  assert np.array_equal(inner[:3000:2], inner[1:3000:2])
  assert 0 < inner[3000:].mean() < 1  # unknown patients are not one person
  order = np.random.default_rng(9).permutation(4000)[:500]
  moved = inner_validation(patients[order], records[order], 0.15)
  assert np.array_equal(moved, inner[order])
  other = inner_validation(patients, records, 0.15, seed=1)
  assert not np.array_equal(other, inner)
  # Frozen: training and evaluation must agree across releases.
  assert [int(i) for i in np.flatnonzero(inner[:60:2])] == [10, 11, 17, 24, 25]
  with pytest.raises(InputError, match="between 0 and 1"):
    inner_validation(patients, records, 1.0)


def test_wide_features_have_the_optimum_of_scikit_learn_too():
  rng = np.random.default_rng(10)
  features, labels = _problem(rng, n=50, width=90)
  standard = np.asarray(features, float)
  standard = (standard - standard.mean(0)) / standard.std(0)
  weight, bias = linear_probe.LogisticSolver(standard, labels).fit(0.1)
  assert weight.shape == (90, 4)
  head = LogisticRegression(C=0.1, tol=1e-10, max_iter=5000)
  head.fit(standard, labels[:, 0])
  np.testing.assert_allclose(weight[:, 0], head.coef_[0], atol=1e-3)
  assert bias[0] == pytest.approx(head.intercept_[0], abs=1e-2)
