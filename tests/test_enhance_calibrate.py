"""Presence learnt from reports that mention only some of what is there."""

import types

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from fgclep_jax.enhance import calibrate, chunks, verify
from fgclep_jax.errors import InputError


def capture(monkeypatch):
  """Makes the fits hand out (objective, start) and not step at all."""
  held = []

  def found(objective, start):
    held.append((objective, start))
    return start

  monkeypatch.setattr(calibrate, "_minimum", found)
  return held


def check_gradient(objective, size, rng):
  """Analytic against central differences, relative 1e-5 of the largest."""
  point = rng.normal(0, 0.5, size)
  value, gradient = objective(point)
  assert np.isfinite(value)
  step = 1e-5
  numeric = np.array(
    [
      (objective(point + d)[0] - objective(point - d)[0]) / (2 * step)
      for d in step * np.eye(size)
    ]
  )
  np.testing.assert_allclose(
    gradient, numeric, rtol=1e-5, atol=1e-5 * np.abs(numeric).max()
  )


def random_pairs(rng, records, count, findings):
  """Pairs with one to three cells each, and what is known of them."""
  total = records * 2
  feature = rng.integers(0, count, total)
  row = np.concatenate([np.arange(total), rng.integers(0, total, total)])
  cell = rng.integers(0, findings, len(row)) * count + feature[row]
  pairs = calibrate.Pairs(feature, rng.normal(size=total), row, cell, count)
  return pairs, rng.random(total) < 0.3


@pytest.mark.parametrize("shape", [(40, 5, 3), (7, 1, 1), (23, 4, 6)])
def test_gradient_of_the_heads(monkeypatch, shape):
  records, width, count = shape
  rng = np.random.default_rng(records)
  held = capture(monkeypatch)
  known = rng.random((records, count)) < 0.3
  rates = rng.uniform(0.2, 0.9, count)
  x = rng.normal(2, 3, (records, width))
  calibrate.fit_heads(x, known, rates, penalty=3.0)
  objective, start = held[0]
  check_gradient(objective, len(start), rng)


@pytest.mark.parametrize("shape", [(30, 4, 5), (9, 1, 1)])
def test_gradient_of_the_priors(monkeypatch, shape):
  records, count, findings = shape
  rng = np.random.default_rng(records)
  held = capture(monkeypatch)
  pairs, known = random_pairs(rng, records, count, findings)
  rates = rng.uniform(0.2, 0.9, count)
  calibrate.fit_priors(pairs, known, rates, findings)
  objective, start = held[0]
  check_gradient(objective, len(start), rng)


def test_loss_is_that_of_mentions():
  """Against the probability of a mention, r p, written out."""
  rng = np.random.default_rng(1)
  odds, rate = rng.normal(0, 3, 50), rng.uniform(0.1, 0.9, 50)
  known = rng.random(50) < 0.5
  p = 1 / (1 + np.exp(-odds))
  expected = np.where(known, -np.log(p), -np.log(1 - rate * p))
  loss, _ = calibrate._loss(odds, known, rate)
  np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_presence_is_bayes_rule():
  rng = np.random.default_rng(2)
  p, rate = 0.3, np.float64(0.7)
  there = rng.random(400_000) < p
  silent = ~(there & (rng.random(400_000) < rate))
  found = calibrate.presence(scipy.special.logit(p), rate)
  assert found == pytest.approx(there[silent].mean(), abs=0.004)
  assert calibrate.presence(40.0, 0.99) == pytest.approx(1, abs=1e-6)
  assert calibrate.presence(-40.0, 0.99) == pytest.approx(0, abs=1e-6)


def cohort(rng, records, weight, rates, base=-0.5):
  """Records of known presence probability whose reports mention it at rates.

  Every fourth record names a diagnosis that defines feature 0 or 1, with the
  feature then there for certain and mentioned at its rate.
  """
  count = weight.shape[1]
  pooled = rng.normal(size=(records, len(weight)))
  p = scipy.special.expit(pooled @ weight + base)
  there = rng.random((records, count)) < p
  must = there & (rng.random((records, count)) < 0.3)
  stated = there & (rng.random((records, count)) < rates)
  return types.SimpleNamespace(
    pooled=pooled, p=p, there=there, must=must, stated=stated
  )


WEIGHT = np.random.default_rng(5).normal(0, 1, (6, 4))
RATES = np.array([0.3, 0.5, 0.7, 0.4])


def test_heads_find_the_probabilities():
  """Nearly all of the log-odds, though reports hide half of what is there."""
  data = cohort(np.random.default_rng(6), 20_000, WEIGHT, RATES)
  fresh = cohort(np.random.default_rng(7), 4000, WEIGHT, RATES)
  heads = calibrate.fit_heads(data.pooled, data.stated, RATES, penalty=1.0)
  raw = heads.logits(fresh.pooled) * heads.spread + heads.centre
  np.testing.assert_allclose(
    scipy.special.expit(raw), fresh.p, atol=0.12, rtol=0
  )
  assert np.abs(scipy.special.expit(raw) - fresh.p).mean() < 0.025
  # Mentions alone, taken for presence, would be at most the rate.
  naive = calibrate.fit_heads(data.pooled, data.stated, np.full(4, 1e-9))
  assert np.isfinite(naive.weight).all()


def test_logits_are_standardised_and_those_of_a_plain_product():
  data = cohort(np.random.default_rng(8), 3000, WEIGHT, RATES)
  heads = calibrate.fit_heads(data.pooled * 7 + 3, data.stated, RATES)
  found = heads.logits(data.pooled * 7 + 3)
  assert found.dtype == np.float32
  np.testing.assert_allclose(found.mean(0), 0, atol=1e-3)
  np.testing.assert_allclose(found.std(0), 1, atol=1e-3)
  x = (data.pooled * 7 + 3 - heads.mean) / heads.scale
  plain = (x @ heads.weight + heads.bias - heads.centre) / heads.spread
  np.testing.assert_allclose(found, plain, atol=1e-4)


def test_the_penalty_shrinks_the_weights():
  data = cohort(np.random.default_rng(9), 2000, WEIGHT, RATES)
  size = [
    np.square(calibrate.fit_heads(data.pooled, data.stated, RATES, p).weight)
    for p in (1.0, 100.0, 1e4, 1e8)
  ]
  total = [float(weight.sum()) for weight in size]
  assert total == sorted(total, reverse=True)
  assert total[-1] < 1e-6 * total[0]


def test_a_feature_of_rate_zero_has_no_head():
  data = cohort(np.random.default_rng(10), 500, WEIGHT, RATES)
  heads = calibrate.fit_heads(data.pooled, data.stated, RATES * [1, 0, 1, 1])
  assert not heads.weight[:, 1].any()
  np.testing.assert_array_equal(heads.logits(data.pooled)[:, 1], 0)
  assert (np.abs(heads.weight[:, [0, 2, 3]]).sum(0) > 0).all()


def test_a_constant_input_does_no_harm():
  data = cohort(np.random.default_rng(11), 500, WEIGHT, RATES)
  data.pooled[:, 2] = 4.0
  heads = calibrate.fit_heads(data.pooled, data.stated, RATES)
  assert np.isfinite(heads.logits(data.pooled)).all()


def test_mention_rates_are_counted_beside_certain_presence():
  """To 0.02 at 6000 certain records a feature."""
  rng = np.random.default_rng(12)
  true = np.array([0.2, 0.8, 0.5])
  must = rng.random((30_000, 3)) < 0.2
  stated = must & (rng.random(must.shape) < true)
  stated |= ~must & (rng.random(must.shape) < 0.05)  # says nothing of rates
  rates, measured = calibrate.mention_rates(stated, must)
  np.testing.assert_allclose(rates, true, atol=0.02)
  assert measured.all()


def test_rarely_certain_features_take_the_mean_rate():
  stated, must = np.zeros((2000, 3), bool), np.zeros((2000, 3), bool)
  must[:1000, 0] = True
  stated[:400, 0] = True
  stated[1500:1600, 1] = True  # never certain
  stated[:9, 2] = True  # too few statements to be calibrated
  rates, measured = calibrate.mention_rates(stated, must)
  np.testing.assert_allclose(rates, [0.4, 0.4, 0.0])
  assert measured.tolist() == [True, False, False]
  must[1500:1510, 1] = True  # ten certain, all said: drawn to the mean
  rates, measured = calibrate.mention_rates(stated, must)
  mean = 410 / 1010
  assert rates[1] == pytest.approx((10 + 50 * mean) / 60)
  assert not measured[1]
  # Many measured features vouch for the mean.
  more = [np.tile(part[:, :1], 4) for part in (stated, must)]
  rates, measured = calibrate.mention_rates(
    np.hstack([stated, more[0]]), np.hstack([must, more[1]])
  )
  assert measured.tolist() == [True, True, False, True, True, True, True]


def test_without_certain_presence_no_rate_is_measured():
  stated, must = np.ones((100, 2), bool), np.zeros((100, 2), bool)
  rates, measured = calibrate.mention_rates(stated, must)
  assert not measured.any()
  assert ((rates > 0) & (rates < 1)).all()
  must[:50] = True
  rates, measured = calibrate.mention_rates(stated, must)
  assert measured.all()
  assert (rates < 1).all()  # even where every certain presence is stated
  assert np.isfinite(calibrate.presence(np.array([50.0, -50.0]), rates)).all()
  with pytest.raises(InputError, match="--threshold quantile or fixed"):
    calibrate.mention_rates(np.zeros((100, 2), bool), must)


def test_the_top_rate_is_that_of_the_best_scoring():
  """To 0.1: the largest of noisy rates lies above the true one."""
  rng = np.random.default_rng(20)
  logits = rng.normal(0, 4, 20_000)
  there = rng.random(20_000) < scipy.special.expit(logits - 2)
  for rate in (0.2, 0.6):
    stated = there & (rng.random(20_000) < rate)
    assert calibrate.top_rate(logits, stated) == pytest.approx(rate, abs=0.1)
    order = rng.permutation(20_000)
    again = calibrate.top_rate(logits[order], stated[order])
    assert again == calibrate.top_rate(logits, stated)
  assert 0 < calibrate.top_rate(logits, np.zeros(20_000, bool)) < 1
  assert calibrate.top_rate(logits, np.ones(20_000, bool)) < 1


def test_cut_is_the_lowest_of_sufficient_mean():
  assert calibrate.cut(np.array([0.9, 0.5, 0.7]), 0.8) == (0.7, 0.8)
  threshold, expected = calibrate.cut(np.array([0.9, 0.5, 0.7]), 0.7)
  assert threshold == 0.5
  assert expected == pytest.approx(0.7)
  assert calibrate.cut(np.array([0.9, 0.5]), 0.95) == (2.0, None)
  assert calibrate.cut(np.array([]), 0.5) == (2.0, None)


def test_cut_keeps_equals_together_and_never_zero():
  """What `score >= threshold` keeps has the mean that is told."""
  rng = np.random.default_rng(13)
  tied = np.array([0.95] * 10 + [0.5] * 100)
  assert calibrate.cut(tied, 0.9)[0] == 0.95
  assert calibrate.cut(np.array([1.0, 0.0, 0.0]), 0.3)[0] == 1.0
  assert calibrate.cut(np.zeros(4), 0.3) == (2.0, None)
  for _ in range(200):
    scores = rng.integers(0, 11, rng.integers(1, 30)) / 10
    target = rng.uniform(0.05, 1)
    threshold, expected = calibrate.cut(scores, target)
    kept = scores[scores >= threshold]
    sufficient = [
      t for t in np.unique(scores[scores > 0])
      if scores[scores >= t].mean() >= target - 1e-12
    ]  # fmt: skip
    if not sufficient:
      assert (threshold, expected) == (2.0, None)
      continue
    assert threshold == sufficient[0]
    assert expected == pytest.approx(kept.mean())


def reports(rng, records):
  """A cohort as Chunks: findings that propose features, which may be there.

  Findings 0 to 2 propose the features f and f + 1; their presence depends on
  the ECG and on the finding. The rare findings 3 to 7 define one feature each.
  Returns chunks, pooled, folds, Asked, truth of the pairs.
  """
  count, findings = 5, 8
  first = np.array([0, 1, 2, 0, 1, 2, 3, 4])
  second = np.array([1, 2, 3, 0, 1, 2, 3, 4])
  finding = rng.choice(findings, records, p=[0.3] * 3 + [0.02] * 5)
  pooled = rng.normal(size=(records, 6))
  lift = np.array([1.5, 0.0, -1.5, 0, 0, 0, 0, 0])[finding][:, None]
  there = rng.random((records, count)) < scipy.special.expit(
    pooled @ np.pad(WEIGHT, [(0, 0), (0, 1)]) * 1.5 - 0.3 + lift
  )
  rows = np.arange(records)
  must = np.zeros((records, count), bool)
  must[rows, first[finding]] = finding > 2
  there |= must
  stated = there & (rng.random(there.shape) < 0.4)
  proposed = np.zeros((records, count), bool)
  proposed[rows, first[finding]] = proposed[rows, second[finding]] = True
  record, feature = np.nonzero(proposed)
  part = chunks.Chunk(
    0, records, record, feature, rng.random(len(record)).astype(np.float32),
    np.zeros(len(record), np.int8), ~stated[record, feature],
    np.arange(len(record)), finding[record], stated, must,
  )  # fmt: skip
  asked = types.SimpleNamespace(
    features=tuple("abcde"), finding=np.arange(findings)
  )
  return types.SimpleNamespace(
    part=part, pooled=pooled.astype(np.float32), asked=asked, must=must,
    folds=rng.integers(0, 2, records), there=there[record, feature],
  )  # fmt: skip


@pytest.fixture(scope="module")
def fitted():
  data = reports(np.random.default_rng(14), 12_000)
  verifier = verify.calibrated(
    [data.part], data.pooled, data.folds, data.asked, 0.85
  )
  return data, verifier


def silent_of(data, verifier):
  """Score and truth of the candidates whose presence is not certain."""
  score, threshold = verifier.judge(data.part, data.pooled, data.folds)
  return score, threshold, data.there, data.part.silent


def test_probabilities_hold_on_fresh_records(fitted):
  """Ten bins, each within 0.08; precision at least the target - 0.02."""
  _, verifier = fitted
  fresh = reports(np.random.default_rng(15), 12_000)
  score, threshold, there, silent = silent_of(fresh, verifier)
  score, there, kept = (
    score[silent],
    there[silent],
    (score >= threshold)[silent],
  )
  edges = np.quantile(score, np.linspace(0, 1, 11))
  place = np.clip(np.searchsorted(edges, score, "right") - 1, 0, 9)
  for k in range(10):
    assert abs(score[place == k].mean() - there[place == k].mean()) < 0.08, k
  assert 0.83 < there[kept].mean() < 0.91
  assert verifier.about["expected_precision"] == pytest.approx(0.85, abs=2e-3)
  assert kept.mean() > 0.2
  assert there.mean() < 0.65  # before: the filter did something


def test_the_head_is_used_and_not_the_prior_alone(fitted):
  _, verifier = fitted
  assert all((priors.slope > 0.1).any() for priors in verifier.priors)


def test_the_order_of_the_records_changes_nothing(fitted):
  data, verifier = fitted
  rng = np.random.default_rng(16)
  order = rng.permutation(len(data.pooled))
  place = np.argsort(order)  # old record -> new
  part = data.part
  pairs = np.lexsort((part.feature, place[part.record]))
  shuffled = chunks.Chunk(
    0, part.stop, place[part.record][pairs], part.feature[pairs],
    part.cosine[pairs], part.origin[pairs], part.silent[pairs], part.source,
    part.statement[pairs], part.stated[order], part.must[order],
  )  # fmt: skip
  again = verify.calibrated(
    [shuffled], data.pooled[order], data.folds[order], data.asked, 0.85
  )
  first = verifier.probabilities(part, data.pooled, data.folds)
  second = again.probabilities(shuffled, data.pooled[order], data.folds[order])
  np.testing.assert_allclose(second, first[pairs], atol=3e-3)
  assert again.threshold == pytest.approx(verifier.threshold, abs=3e-3)


def test_what_no_report_states_is_never_kept():
  data = reports(np.random.default_rng(17), 3000)
  data.part.stated[:, 3] = False
  verifier = verify.calibrated(
    [data.part], data.pooled, data.folds, data.asked, 0.3
  )
  score, threshold, _, _ = silent_of(data, verifier)
  never = data.part.feature == 3
  assert never.any()
  np.testing.assert_array_equal(score[never], 0)
  assert not (score >= threshold)[never].any()
  assert (score >= threshold)[~never].any()


def test_how_often_a_presence_is_known():
  """By simulation: stated at the rate, or certain independently of that."""
  rng = np.random.default_rng(19)
  present = rng.random((200_000, 3)) < 0.3
  rates = np.array([0.2, 0.6, 0.0])
  stated = present & (rng.random(present.shape) < rates)
  must = present & (rng.random(present.shape) < [0.5, 0.1, 0.3])
  found = calibrate.known_rates(rates, stated, must)
  truly = (stated | must).sum(0) / present.sum(0)
  np.testing.assert_allclose(found[:2], truly[:2], atol=0.02)
  assert found[2] == 0  # not calibrated


def test_certain_presences_do_not_turn_the_heads():
  """However common they are, the head's score rises with the truth."""
  rng = np.random.default_rng(20)
  x = rng.normal(size=(6000, 4))
  present = rng.random(6000) < 1 / (1 + np.exp(-2 * x[:, 0]))
  stated = (present & (rng.random(6000) < 0.2))[:, None]
  # Certain where another column says so: a third of all records.
  must = (present & (x[:, 1] > -0.3))[:, None]
  rates = np.array([0.2])
  often = calibrate.known_rates(rates, stated, must)
  heads = calibrate.fit_heads(x, stated | must, often)
  assert np.corrcoef(heads.logits(x)[:, 0], x[:, 0])[0, 1] > 0.5


def test_each_fold_is_judged_by_the_other():
  """What a fold's own reports say does not change its own scores."""
  data = reports(np.random.default_rng(18), 3000)
  mine = data.folds[data.part.record] == 0
  first = verify.calibrated(
    [data.part], data.pooled, data.folds, data.asked, 0.8
  )
  score = first.probabilities(data.part, data.pooled, data.folds)
  rates = first.rates
  often = calibrate.known_rates(rates, data.part.stated, data.must)
  own = data.folds == 0
  data.part.stated[own] ^= True  # nonsense
  heads = calibrate.fit_heads(
    data.pooled[~own], (data.part.stated | data.must)[~own], often
  )
  np.testing.assert_array_equal(heads.weight, first.heads[0].weight)
  wrong = verify.Calibrated(
    [heads, heads], first.priors, rates, 0.5, data.asked, {}
  ).probabilities(data.part, data.pooled, data.folds)
  np.testing.assert_array_equal(wrong[mine], score[mine])
  assert not np.allclose(wrong[~mine], score[~mine])


def test_odd_sizes():
  """One feature, one finding, no candidates, one patient."""
  rng = np.random.default_rng(19)
  data = reports(rng, 600)
  one = data.part.feature == 4
  number = np.cumsum(one) - 1
  part = chunks.Chunk(
    0, 600, data.part.record[one], data.part.feature[one] - 4,
    data.part.cosine[one], data.part.origin[one], data.part.silent[one],
    number[one], np.zeros(one.sum(), int),
    data.part.stated[:, 4:], data.part.must[:, 4:],
  )  # fmt: skip
  asked = types.SimpleNamespace(features=("a",), finding=np.zeros(1, int))
  found = verify.calibrated([part], data.pooled, data.folds, asked, 0.6)
  scores = found.probabilities(part, data.pooled, data.folds)
  assert scores.shape == (one.sum(),)
  assert ((scores >= 0) & (scores <= 1)).all()
  none = np.zeros(0, int)
  empty = chunks.Chunk(
    0, 600, none, none, none.astype(np.float32), none.astype(np.int8),
    none.astype(bool), none, none, part.stated, part.must,
  )  # fmt: skip
  found = verify.calibrated([empty], data.pooled, data.folds, asked, 0.6)
  assert found.probabilities(empty, data.pooled, data.folds).shape == (0,)
  assert found.about["expected_precision"] is None
  with pytest.raises(InputError, match="several patients"):
    verify.calibrated([part], data.pooled, data.folds * 0, asked, 0.6)
