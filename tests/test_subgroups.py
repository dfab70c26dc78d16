"""Subgroups and confusion against scikit-learn and plain counting."""

import numpy as np
import pytest
import sklearn.metrics

from fgclep_jax.evaluation import confusion, subgroups, table

NAMES = ("common", "tied", "rare among women", "never")


def _cohort(n=400, seed=0, patients=True):
  rng = np.random.default_rng(seed)
  labels = rng.random((n, 4)) < [0.4, 0.3, 0.25, 0]
  sex = rng.integers(-1, 2, n)
  women = np.flatnonzero((sex == 1) & labels[:, 2])
  labels[women[4:], 2] = False
  scores = (labels + rng.normal(0, 1, labels.shape)).astype(np.float32)
  scores[:, 1] = np.round(scores[:, 1])
  owner = [f"p{i // 2}" if patients else "" for i in range(n)]
  ids = [f"r{i:03d}" for i in range(n)]
  cohort = table.make_cohort(NAMES, labels, ids, owner, 200, 0)
  return cohort, scores, sex, rng.uniform(5, 100, n)


def test_groups_have_their_borders():
  sex = [0, 1, -1, 0, 1, 0, 1, 0]
  age = [17.9, 18, 39.9, 40, 79.9, 80, 300, np.nan]
  found = subgroups.attributes(sex, age)
  grouped, by_sex = found["sex"]
  assert grouped.sum() == 7
  assert {k: list(np.flatnonzero(m)) for k, m in by_sex.items()} == {
    "male": [0, 3, 5, 7], "female": [1, 4, 6],
  }  # fmt: skip
  grouped, by_age = found["age"]
  assert {k: list(np.flatnonzero(m)) for k, m in by_age.items()} == {
    "18-39": [1, 2], "40-59": [3], "60-79": [4], "80+": [5, 6],
  }  # fmt: skip
  assert list(np.flatnonzero(~grouped)) == [0, 7]


def _auroc(labels, scores, rows):
  return sklearn.metrics.roc_auc_score(labels[rows], scores[rows])


def test_cells_are_those_of_sklearn():
  cohort, scores, sex, age = _cohort()
  grouped, groups = subgroups.attributes(sex, age)["age"]
  found = subgroups.judge(cohort, scores, grouped, groups)
  drawn = cohort.draws.weights[cohort.draws.rows["enough"]]
  for name, mask in groups.items():
    per_class = found[name]["per_class"]
    rest = np.flatnonzero(grouped & ~mask)
    own = np.flatnonzero(mask)
    for c in (0, 1):
      row, truth = per_class[NAMES[c]], cohort.labels[:, c]
      assert row["n_pos"] == truth[mask].sum()
      area = _auroc(truth, scores[:, c], own)
      assert row["auroc"] == pytest.approx(area)
      other = _auroc(truth, scores[:, c], rest)
      assert row["gap"] == pytest.approx(area - other)
      assert row["gap_ci95"][0] < row["gap"] < row["gap_ci95"][1]
    gaps = []
    for weights in drawn:  # the interval of one cell, draw by draw
      areas = [
        sklearn.metrics.roc_auc_score(
          cohort.labels[rows, 0], scores[rows, 0], sample_weight=weights[rows]
        )
        for rows in (own, rest)
      ]
      gaps.append(areas[0] - areas[1])
    assert per_class["common"]["gap_ci95"] == pytest.approx(
      np.percentile(gaps, [2.5, 97.5])
    )


def test_small_cells_show_counts_only():
  cohort, scores, sex, age = _cohort()
  grouped, groups = subgroups.attributes(sex, age)["sex"]
  found = subgroups.judge(cohort, scores, grouped, groups)
  few = found["female"]["per_class"]["rare among women"]
  assert few == {"n": int((sex == 1).sum()), "n_pos": 4}
  assert found["female"]["classes_averaged"] == 2
  # Men have a value there, but nothing to compare it with.
  alone = found["male"]["per_class"]["rare among women"]
  assert "auroc" in alone
  assert "gap" not in alone
  assert found["male"]["classes_averaged"] == 3
  assert found["male"]["gap_classes"] == 2
  assert found["male"]["macro_gap"] == pytest.approx(
    -found["female"]["macro_gap"]
  )
  values = [found["female"]["per_class"][n]["auroc"] for n in NAMES[:2]]
  assert found["female"]["macro_auroc"] == pytest.approx(np.mean(values))


def test_a_group_without_records_has_no_value():
  cohort, scores, _, _ = _cohort(60)
  grouped, groups = subgroups.attributes(np.zeros(60), np.full(60, np.nan))[
    "sex"
  ]
  found = subgroups.judge(cohort, scores, grouped, groups)
  assert np.isnan(found["female"]["macro_auroc"])
  assert found["female"]["ci95"] is None
  assert found["female"]["per_class"]["common"] == {"n": 0, "n_pos": 0}
  assert np.isnan(found["male"]["macro_gap"])


def test_confusion_is_that_of_sklearn():
  cohort, scores, _, _ = _cohort()
  labels = cohort.labels
  thresholds = np.array([0.5, 1.0, 0.8, np.nan])  # 1.0 is a score of "tied"
  weights = np.random.default_rng(1).integers(0, 3, (2, len(labels)))
  found = confusion.counts(scores, labels, thresholds)
  drawn = confusion.counts(scores, labels, thresholds, weights)
  for c in range(3):
    called = scores[:, c] >= thresholds[c]
    tn, fp, fn, tp = sklearn.metrics.confusion_matrix(
      labels[:, c], called
    ).ravel()
    assert [v[c] for v in found] == [tp, fp, fn, tn]
    tn, fp, fn, tp = sklearn.metrics.confusion_matrix(
      labels[:, c], called, sample_weight=weights[1]
    ).ravel()
    assert [v[1, c] for v in drawn] == [tp, fp, fn, tn]
  assert all(np.isnan(v[3]) for v in found)


def test_confusion_between_classes_counts_records_of_one_without_other():
  labels = np.array([[1, 0], [1, 0], [1, 1], [0, 1], [0, 0]], bool)
  scores = np.array([[1, 1], [0, 0], [1, 1], [1, 0], [1, 1]], float)
  share, held = confusion.between_classes(scores, labels, np.array([0.5, 0.5]))
  np.testing.assert_array_equal(held, [[3, 2], [1, 2]])
  np.testing.assert_allclose(share, [[2 / 3, 1 / 2], [1, 1 / 2]])
  share, _ = confusion.between_classes(scores, labels, np.array([0.5, np.nan]))
  assert np.isnan(share[:, 1]).all()
