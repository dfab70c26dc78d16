"""Ranking metrics against scikit-learn; bootstrap by its properties."""

import time

import numpy as np
import pytest
from sklearn import metrics as reference

from fgclep_jax import metrics
from fgclep_jax.errors import InputError


def _problem(rng, n=300, classes=6, levels=None):
  scores = rng.normal(size=(n, classes))
  labels = rng.random((n, classes)) < rng.uniform(0.05, 0.6, classes)
  scores = scores + labels * rng.uniform(0, 1.5, classes)
  if levels:
    scores = np.round(scores * levels) / levels
  labels[0], labels[1] = True, False  # every class is defined
  return scores, labels


@pytest.mark.parametrize("levels", [None, 1, 4])
def test_equal_to_scikit_learn_with_ties(levels):
  rng = np.random.default_rng(1)
  for _ in range(5):
    scores, labels = _problem(rng, levels=levels)
    area = metrics.auroc(scores, labels)
    precision = metrics.average_precision(scores, labels)
    for c in range(labels.shape[1]):
      want = reference.roc_auc_score(labels[:, c], scores[:, c])
      assert area[c] == pytest.approx(want, abs=1e-12)
      want = reference.average_precision_score(labels[:, c], scores[:, c])
      assert precision[c] == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("integers", [True, False])
def test_weighted_equals_scikit_learn_with_ties(integers):
  rng = np.random.default_rng(2)
  scores, labels = _problem(rng, levels=3)
  weights = rng.integers(0, 4, size=(150, 300))  # more than one block
  if not integers:
    weights = weights * rng.random((150, 300))
  area = metrics.auroc(scores, labels, weights)
  precision = metrics.average_precision(scores, labels, weights)
  assert area.shape == precision.shape == (150, 6)
  for r in (0, 77, 149):
    for c in range(6):
      given = (labels[:, c], scores[:, c])
      want = reference.roc_auc_score(*given, sample_weight=weights[r])
      assert area[r, c] == pytest.approx(want, abs=1e-12)
      want = reference.average_precision_score(*given, sample_weight=weights[r])
      assert precision[r, c] == pytest.approx(want, abs=1e-12)


def test_weights_are_multiplicities():
  rng = np.random.default_rng(3)
  scores, labels = _problem(rng, levels=2)
  counts = rng.integers(0, 3, 300)
  repeated = np.repeat(np.arange(300), counts)
  np.testing.assert_allclose(
    metrics.auroc(scores, labels, counts),
    metrics.auroc(scores[repeated], labels[repeated]),
    atol=1e-12,
  )


def test_constant_perfect_and_negated_scores():
  rng = np.random.default_rng(4)
  scores, labels = _problem(rng)
  perfect = labels + 0.0
  assert np.all(metrics.auroc(np.zeros_like(scores), labels) == 0.5)
  assert np.all(metrics.auroc(perfect, labels) == 1)
  assert np.all(metrics.auroc(-perfect, labels) == 0)
  np.testing.assert_allclose(
    metrics.auroc(-scores, labels),
    1 - metrics.auroc(scores, labels),
    atol=1e-12,
  )
  np.testing.assert_allclose(
    metrics.average_precision(np.zeros_like(scores), labels),
    labels.mean(0),
    atol=1e-12,
  )


def test_class_of_one_kind_is_undefined_and_leaves_the_others_alone():
  rng = np.random.default_rng(5)
  scores, labels = _problem(rng)
  before = metrics.auroc(scores, labels)
  labels[:, 2], labels[:, 4] = True, False
  after = metrics.auroc(scores, labels)
  assert np.isnan(after[[2, 4]]).all()
  others = [0, 1, 3, 5]
  assert np.array_equal(before[others], after[others])
  assert metrics.macro(after) == pytest.approx(before[others].mean())
  assert np.isnan(metrics.macro(after, np.zeros(6, bool)))
  rows = np.stack([after, after + 0.1])
  want = before[others].mean() + np.array([0, 0.1])
  np.testing.assert_allclose(metrics.macro(rows), want)
  some = np.array([1, 1, 0, 0, 0, 0], bool)
  np.testing.assert_allclose(metrics.macro(rows, some)[0], before[:2].mean())
  assert list(metrics.usable(labels)) == [1, 1, 0, 1, 0, 1]
  assert np.isnan(metrics.best_threshold(scores, labels)[4])


def test_order_of_records_and_classes_changes_nothing():
  rng = np.random.default_rng(6)
  scores, labels = _problem(rng, levels=3)
  rows, columns = rng.permutation(300), rng.permutation(6)
  np.testing.assert_allclose(
    metrics.auroc(scores[rows][:, columns], labels[rows][:, columns]),
    metrics.auroc(scores, labels)[columns],
    atol=1e-14,
  )


def test_f1_and_its_threshold():
  rng = np.random.default_rng(7)
  scores, labels = _problem(rng, levels=5)
  thresholds = metrics.best_threshold(scores, labels)
  f1 = metrics.f1_score(scores, labels, thresholds)
  for c in range(6):
    tried = {
      t: reference.f1_score(labels[:, c], scores[:, c] >= t)
      for t in np.unique(scores[:, c])
    }
    best = max(tried.values())
    assert f1[c] == pytest.approx(best, abs=1e-12)
    assert thresholds[c] == max(
      t for t, v in tried.items() if v >= best - 1e-12
    )
  weights = rng.integers(0, 3, (4, 300))
  many = metrics.f1_score(scores, labels, thresholds, weights)
  for r in range(4):
    want = reference.f1_score(
      labels[:, 1], scores[:, 1] >= thresholds[1], sample_weight=weights[r]
    )
    assert many[r, 1] == pytest.approx(want, abs=1e-12)


def test_nan_scores_and_unequal_shapes_are_refused():
  rng = np.random.default_rng(8)
  scores, labels = _problem(rng)
  with pytest.raises(InputError, match="differ in shape"):
    metrics.auroc(scores[:, :3], labels)
  scores[7, 2] = np.nan
  with pytest.raises(InputError, match="record 7, class 2"):
    metrics.auroc(scores, labels)


def test_stream_depends_on_seed_and_sorted_units_only():
  units = np.array(["b", "a", "c", "a", "d"])
  stream = metrics.Resamples(units, seed=3)
  weights = stream.weights(0, 50)
  assert np.array_equal(weights[20:30], stream.weights(20, 30))
  assert np.array_equal(weights[:, 1], weights[:, 3])  # one patient
  assert np.all(weights[:, [0, 1, 2, 4]].sum(1) == 4)
  order = [4, 2, 0, 1, 3]
  shuffled = metrics.Resamples(units[order], seed=3)
  assert np.array_equal(shuffled.weights(0, 50), weights[:, order])
  assert shuffled.digest == stream.digest
  other = metrics.Resamples(units, seed=4)
  assert other.digest != stream.digest
  assert not np.array_equal(other.weights(0, 50), weights)
  # Frozen: a change of the stream would unpair stored results.
  assert stream.weights(0, 2).tolist() == [
    [0, 2, 2, 2, 0],
    [0, 3, 1, 3, 0],
  ]


def test_resamples_draw_units_evenly():
  stream = metrics.Resamples([f"r{i}" for i in range(40)], seed=0)
  weights = stream.weights(0, 4000)
  np.testing.assert_allclose(weights.mean(0), 1, atol=0.08)
  np.testing.assert_allclose(weights.var(0), 1 - 1 / 40, atol=0.12)


def test_draws_without_a_rare_class_are_drawn_again():
  labels = np.zeros((60, 3), int)
  labels[:20, 0], labels[0, 1] = 1, 1  # class 1: one positive, 2: none
  stream = metrics.Resamples([f"r{i}" for i in range(60)])
  sets = {
    "common": np.array([True, False, False]),
    "rare": np.array([True, True, False]),
    "never": np.array([False, False, True]),
  }
  draws = metrics.accepted_draws(stream, labels, sets, 400, patience=4)
  assert draws.rows["never"] is None
  assert draws.acceptance["never"] == 0
  assert draws.acceptance["common"] == 1
  # 1 - (1 - 1/60)^60 = 0.635; standard error 0.02.
  assert draws.acceptance["rare"] == pytest.approx(0.635, abs=0.08)
  rare = draws.weights[draws.rows["rare"]]
  assert len(rare) == 400
  assert np.all(rare[:, 0] > 0)
  common = draws.weights[draws.rows["common"]]
  assert np.array_equal(common, stream.weights(0, 400))
  kept = stream.weights(0, 800)
  kept = kept[kept[:, 0] > 0][:400]
  assert np.array_equal(rare, kept)


def test_interval_covers_the_true_auroc():
  rng = np.random.default_rng(9)
  truth = 0.7602499389  # Phi(1 / sqrt(2)) for unit normals one apart
  covered, worlds = 0, 150
  for _ in range(worlds):
    labels = (np.arange(160) < 60)[:, None]
    scores = rng.normal(size=(160, 1)) + labels
    names = rng.permutation(10**6)[:160].astype(str)
    weights = metrics.Resamples(names).weights(0, 300)
    low, high = metrics.interval(metrics.auroc(scores, labels, weights)[:, 0])
    covered += low <= truth <= high
  assert 0.88 <= covered / worlds <= 0.99


def test_patients_widen_the_interval_of_repeated_records():
  rng = np.random.default_rng(10)
  labels = np.repeat(rng.random(60) < 0.4, 5)[:, None]
  scores = np.repeat(rng.normal(size=60), 5)[:, None] + labels
  patient = np.repeat(np.arange(60).astype(str), 5)
  record = np.arange(300).astype(str)

  def width(units):
    weights = metrics.Resamples(units).weights(0, 500)
    low, high = metrics.interval(metrics.auroc(scores, labels, weights)[:, 0])
    return high - low

  assert width(patient) > 1.7 * width(record)  # sqrt(5) = 2.2 expected


def test_pairing_sees_what_separate_intervals_do_not():
  rng = np.random.default_rng(11)
  scores, labels = _problem(rng, n=400, classes=1)
  better = scores + 0.25 * labels
  weights = metrics.Resamples(np.arange(400).astype(str)).weights(0, 500)
  first = metrics.auroc(better, labels, weights)[:, 0]
  second = metrics.auroc(scores, labels, weights)[:, 0]
  assert metrics.interval(first)[0] < metrics.interval(second)[1]
  result = metrics.paired_difference(first, second)
  assert result["ci95"][0] > 0
  assert result["share_not_above_zero"] == 0
  reverse = metrics.paired_difference(second, first)
  assert reverse["difference"] == -result["difference"]


def test_a_thousand_resamples_of_a_large_task_are_quick():
  rng = np.random.default_rng(12)
  n, classes = 4620, 4
  scores = rng.normal(size=(n, classes))
  labels = rng.random((n, classes)) < 0.06
  stream = metrics.Resamples(np.arange(n).astype(str))
  start = time.perf_counter()
  weights = stream.weights(0, 1000)
  metrics.auroc(scores, labels, weights)
  # 38 classes are to take under 20 s on one core: 4 classes 2.1 s.
  assert time.perf_counter() - start < 4


def _hard(rng, n=90):
  """Scores with ties, a constant column, columns of one kind, weights."""
  scores = np.round(rng.normal(size=(n, 7)), 1)
  scores[:, 2] = 0.25  # constant
  scores[:, 3] = np.where(rng.random(n) < 0.9, 0.0, scores[:, 3])
  labels = rng.random((n, 7)) < [0.5, 0.1, 0.4, 0.3, 0.5, 0.5, 0]
  labels[0], labels[1] = True, False
  labels[:, 4], labels[:, 5] = False, True  # one kind alone
  labels[:, 6] = np.arange(n) == 7  # a single positive
  weights = rng.random(n) * rng.integers(0, 3, n)
  weights[[0, 1, 7]] = 1.5
  return scores, labels, weights


def _pairwise(scores, labels, weights):
  """AUROC of one class in float64, every pair on its own; NaN without."""
  won = (scores[:, None] > scores) + 0.5 * (scores[:, None] == scores)
  pairs = np.outer(weights * labels, weights * ~labels).astype(np.float64)
  return (won * pairs).sum() / pairs.sum() if pairs.sum() else np.nan


@pytest.mark.parametrize("weighting", ["none", "floats", "integers", "rows"])
def test_areas_equal_both_references_on_hard_columns(weighting):
  rng = np.random.default_rng(13)
  for _ in range(10):
    scores, labels, weights = _hard(rng)
    if weighting == "integers":
      weights = np.ceil(weights).astype(int)
    given = None if weighting == "none" else weights
    own = np.ones(len(scores)) if given is None else weights
    if weighting == "rows":
      given = np.stack([rng.permutation(weights), weights])
    area = np.atleast_2d(metrics.auroc(scores, labels, given))[-1]
    precision = metrics.average_precision(scores, labels, given)
    precision = np.atleast_2d(precision)[-1]
    assert area[2] == pytest.approx(0.5, abs=1e-12)
    assert list(np.isnan(area)) == [False] * 4 + [True] * 2 + [False]
    assert list(np.isnan(precision)) == list(np.isnan(area))
    for k in (0, 1, 2, 3, 6):
      column = labels[:, k], scores[:, k]
      np.testing.assert_allclose(
        area[k],
        [
          _pairwise(scores[:, k], labels[:, k], own),
          reference.roc_auc_score(*column, sample_weight=own),
        ],
        atol=1e-12,
      )
      want = reference.average_precision_score(*column, sample_weight=own)
      np.testing.assert_allclose(precision[k], want, atol=1e-12)


def test_weights_that_silence_a_kind_leave_no_value():
  rng = np.random.default_rng(14)
  scores, labels, _ = _hard(rng)
  weights = np.stack([1.0 * ~labels[:, 0], 1.0 * labels[:, 0]])
  area, precision = metrics.ranking_metrics(scores, labels, weights)
  assert np.isnan(area[:, 0]).all()
  assert np.isnan(precision[:, 0]).all()
  assert not np.isnan(area[:, 3]).any()
  f1 = metrics.f1_score(scores, labels, np.zeros(7), weights)
  assert np.isnan(f1[0, 0])
  assert f1[1, 0] > 0


def test_f1_equals_scikit_learn_on_hard_columns():
  rng = np.random.default_rng(15)
  for _ in range(10):
    scores, labels, weights = _hard(rng)
    thresholds = metrics.best_threshold(scores, labels)
    assert thresholds[2] == 0.25  # constant: all or nothing
    assert np.isnan(thresholds[4])
    assert thresholds[5] == scores[:, 5].min()  # positives alone: keep all
    f1 = metrics.f1_score(scores, labels, thresholds, weights)
    assert np.isnan(f1[4])
    for k in (0, 1, 2, 3, 5, 6):
      predicted = scores[:, k] >= thresholds[k]
      want = reference.f1_score(
        labels[:, k], predicted, sample_weight=weights
      )
      assert f1[k] == pytest.approx(want, abs=1e-12)
      plain = metrics.f1_score(scores, labels, thresholds)[k]
      tried = [
        reference.f1_score(labels[:, k], scores[:, k] >= t)
        for t in np.unique(scores[:, k])
      ]
      assert plain == pytest.approx(max(tried), abs=1e-12)


def test_counts_means_and_intervals_by_hand():
  rng = np.random.default_rng(16)
  _, labels, _ = _hard(rng)
  n_pos, n_neg = metrics.support(labels)
  assert list(n_pos) == [sum(column) for column in labels.T.tolist()]
  assert list(n_pos + n_neg) == [90] * 7
  for least in (1, 2, 30):
    want = [min(p, n) >= least for p, n in zip(n_pos, n_neg, strict=True)]
    assert list(metrics.usable(labels, least)) == want
  values = rng.random((5, 7))
  values[:, 3] = np.nan
  mask = np.array([1, 0, 1, 0, 1, 0, 1], bool)
  for row in values:
    assert metrics.macro(row) == pytest.approx(
      np.nanmean(row.astype(np.float64)), abs=1e-12
    )
  np.testing.assert_allclose(
    metrics.macro(values, mask), [np.mean(row[mask]) for row in values]
  )
  drawn = np.sort(rng.normal(size=1000))
  # Linear between order statistics: 0.025 * 999 = 24.975 from either end.
  low = drawn[24] + 0.975 * (drawn[25] - drawn[24])
  high = drawn[975] - 0.975 * (drawn[975] - drawn[974])
  found = metrics.interval(rng.permutation(drawn))
  np.testing.assert_allclose(found, [low, high], atol=1e-12)
  first, second = rng.normal(0.2, 1, 400), rng.normal(size=400)
  first[:9] = second[:9]  # equal draws count as not above zero
  paired = metrics.paired_difference(first, second)
  gaps = sorted(a - b for a, b in zip(first, second, strict=True))
  assert paired["difference"] == pytest.approx(sum(gaps) / 400, abs=1e-12)
  assert paired["share_not_above_zero"] == sum(g <= 0 for g in gaps) / 400
  np.testing.assert_allclose(paired["ci95"], metrics.interval(gaps))
