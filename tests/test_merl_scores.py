"""Test-tuned F1 and accuracy against scikit-learn, used as published."""

import numpy as np
import pytest
import sklearn.metrics

from fgclep_jax import metrics
from fgclep_jax.evaluation import merl_scores, table


def _public_code(scores, labels):
  """F1, its threshold and accuracy of one class, as the public code."""
  precision, recall, thresholds = sklearn.metrics.precision_recall_curve(
    labels, scores
  )
  total = precision + recall
  f1 = np.divide(
    2 * precision * recall, total, out=np.zeros_like(total), where=total > 0
  )
  threshold = thresholds[np.argmax(f1)]
  accuracy = sklearn.metrics.accuracy_score(labels, scores > threshold)
  return threshold, f1.max(), accuracy


@pytest.mark.parametrize("digits", [1, 2, 7])
def test_faults_of_f1_and_accuracy(digits):
  rng = np.random.default_rng(digits)
  labels = rng.random((300, 6)) < [0.5, 0.3, 0.1, 0.02, 0.6, 0.2]
  scores = np.round(labels * 0.7 + rng.normal(size=(300, 6)), digits)
  scores = scores.astype(np.float32)
  scores[:, 4] = 0.25  # constant
  found = merl_scores.tuned(scores, labels)
  for c in range(6):
    want = _public_code(scores[:, c], labels[:, c])
    got = [value[c] for value in found]
    assert got == pytest.approx(want, abs=1e-6)
    # The strict sign differs from the one that F1 was counted with.
    loose = sklearn.metrics.accuracy_score(labels[:, c], scores[:, c] >= got[0])
    assert c != 4 or loose != got[2]


def test_of_equal_maxima_the_lowest_threshold():
  scores = np.array([[4.0], [3.0], [2.0], [1.0]])
  labels = np.array([[1], [0], [0], [1]])
  # F1 2/3 at threshold 4 (1 of 1 found, 1 missed) and at 1 (all).
  threshold, f1, accuracy = merl_scores.tuned(scores, labels)
  assert (threshold[0], accuracy[0]) == (1.0, 0.25)
  assert f1[0] == pytest.approx(2 / 3)
  assert metrics.best_threshold(scores, labels)[0] == 4.0


def test_class_without_positives_has_no_value():
  scores = np.random.default_rng(1).normal(size=(20, 2))
  labels = np.zeros((20, 2), bool)
  labels[:5, 0] = True
  for value in merl_scores.tuned(scores, labels):
    assert np.isfinite(value[0])
    assert np.isnan(value[1])
  by_epoch = merl_scores.macros_by_epoch(scores[None], labels)
  area = metrics.auroc(scores, labels)[0]
  assert by_epoch[0] == pytest.approx([area])


def test_table_names_what_was_tuned_on_test():
  rng = np.random.default_rng(2)
  labels = rng.random((80, 3)) < 0.4
  labels[:, 2] = False
  scores = (labels + rng.normal(size=(80, 3))).astype(np.float32)
  ids = [f"r{i}" for i in range(80)]
  cohort = table.make_cohort("abc", labels, ids, ids, 50, 0)
  judged = merl_scores.make_table(cohort, scores)
  summary, row = judged.summary, judged.summary["per_class"]["a"]
  threshold, f1, accuracy = merl_scores.tuned(scores, labels)
  assert summary["protocol"] == "merl"
  assert row["f1_test_tuned"] == pytest.approx(f1[0])
  assert row["threshold_test_tuned"] == pytest.approx(threshold[0])
  assert row["accuracy_test_tuned"] == pytest.approx(accuracy[0])
  assert summary["macro_f1_test_tuned"] == pytest.approx(f1[:2].mean())
  assert summary["macro_accuracy_test_tuned"] == pytest.approx(
    accuracy[:2].mean()
  )
  assert summary["undefined_classes"] == ["c"]
  names = {*summary, *row}
  assert not [n for n in names if "f1" in n and "test_tuned" not in n]
