"""The probability that a record has a feature, learnt from reports alone.

Some presences are known and no absences: a report that states a feature has
it, and so has one that names a diagnosis which the feature defines (`must`,
certain: QRS > 120 ms in left bundle branch block). Any other report may
merely be silent. With p(x) the probability of presence and r the rate at
which reports mention what is there, a report states the feature with
probability r p(x) (Elkan and Noto, KDD 2008, "selected completely at
random"), so

  loss = - sum_known log p - sum_others log(1 - k p),

where k, how often a presence is known, is r without certain presences, and
a silent record has the feature with probability p (1 - r) / (1 - r p).
r is measured where presence is certain: how often a report that names a
diagnosis also states what defines it, feature by feature, the rarely certain
ones drawn to the mean. Where too few features are ever certain, a feature's
rate is that at which its best-scoring records state it. A feature that hardly
any report states cannot be calibrated: it is never kept. Two fits follow each
other, each on other patients than those it is applied to:

  heads: p from the pooled output of the coarse model's ECG encoder, one
    linear head a feature, over all records;
  priors: p from the head's logit among candidates that are not certain, with
    an offset for every feature and every (finding, feature), since candidates
    resemble each other more than they resemble the rest.

A certain candidate has the probability CERTAIN.

How far the assumptions hold is measured on simulated records
(docs/RESULTS.md). All functions are pure, float64, numpy and scipy.

Shapes: n records, W pooled features, F waveform features, P pairs (record,
feature) where the feature is a candidate, G (finding, feature) cells.
"""

import dataclasses

import numpy as np
import scipy.optimize
import scipy.sparse
import scipy.special

from fgclep_jax.errors import InputError

CERTAIN = 0.99  # probability of what a diagnosis has by definition
LEAST_STATED = 10  # reports that state a feature for it to be calibrated
LEAST_CERTAIN = 30  # records with a feature by definition, to measure its rate
ANCHORS = 5  # features so measured that the others take their mean rate
_NO_RATE = 0.5  # where nothing is known of it
_MOST_RATE = 0.99  # at 1 a silent report would prove absence
_RATE_PRIOR = 50.0  # certain records that the mean rate counts for
_HEAD_PENALTY = 100.0  # of the squared weights of standardised features
_SLOPE_PENALTY, _FEATURE_PENALTY, _CELL_PENALTY = 10.0, 0.3, 0.3
_MOST_STEPS = 500


@dataclasses.dataclass(frozen=True)
class Heads:
  """Linear heads: logits = (x - mean) / scale @ weight + bias.

  mean, scale (W,), weight (W, F), bias (F,), float32. centre, spread (F,)
  of the logits over the records of the fit.
  """

  mean: np.ndarray
  scale: np.ndarray
  weight: np.ndarray
  bias: np.ndarray
  centre: np.ndarray
  spread: np.ndarray

  def logits(self, pooled):
    """Standardised logits (n, F) float32 of pooled features (n, W)."""
    weight = self.weight / self.scale[:, None] / self.spread
    bias = (self.bias - self.centre) / self.spread
    bias = bias - self.mean @ weight
    return np.asarray(pooled, np.float32) @ weight + bias


@dataclasses.dataclass(frozen=True)
class Priors:
  """Log-odds of presence among candidates: offset + slope * logit + cells.

  offset, slope (F,) and cell (U, F) float32; U findings.
  """

  offset: np.ndarray
  slope: np.ndarray
  cell: np.ndarray


def mention_rates(stated, must):
  """How often reports state what is there, by feature.

  Args:
    stated, must: (n, F) bool.

  Returns:
    rates: (F,) float64; 0 for a feature that cannot be calibrated.
    measured: (F,) bool, whether a rate rests on certain presences: the
      feature's own, or those of at least ANCHORS other features.

  Raises:
    InputError: no feature is stated often enough.
  """
  usable = stated.sum(0) >= LEAST_STATED
  if not usable.any():
    raise InputError(
      "calibrated thresholds need a feature that at least "
      f"{LEAST_STATED} reports state, and there is none: give --threshold "
      "quantile or fixed"
    )
  certain, said = must.sum(0) * usable, (must & stated).sum(0) * usable
  own = certain >= LEAST_CERTAIN
  mean = said.sum() / max(certain.sum(), 1) if own.any() else _NO_RATE
  rates = (said + _RATE_PRIOR * mean) / (certain + _RATE_PRIOR)
  measured = usable & (own | (own.sum() >= ANCHORS))
  return np.where(usable, np.minimum(rates, _MOST_RATE), 0.0), measured


def known_rates(rates, stated, must):
  """How often a presence is known, stated or certain: (F,).

  A record with the feature states it at its rate, or names a diagnosis that
  it defines; how often the latter, is counted among those that state it.

  Args:
    rates: (F,) of mention, 0 where not calibrated.
    stated, must: (n, F) bool.
  """
  share = (stated & must).sum(0) / np.maximum(stated.sum(0), 1)
  found = np.minimum(rates + (1 - rates) * share, _MOST_RATE)
  return np.where(rates > 0, found, 0.0)


def top_rate(logits, stated):
  """The highest rate at which the best-scoring records state a feature.

  The rate of mention where the best-scoring records all have the feature.
  Taken over many cuts it leans high, so that presence is believed less.

  Args:
    logits: (n,) of records that the heads were not fitted on.
    stated: (n,) bool.
  """
  order = np.argsort(-logits, kind="stable")
  found = np.cumsum(stated[order])
  enough = found >= LEAST_STATED
  if not enough.any():
    return _NO_RATE
  rate = (found / np.arange(1, len(found) + 1))[enough].max()
  return min(float(rate), _MOST_RATE)


def fit_heads(pooled, known, rates, penalty=_HEAD_PENALTY):
  """Fits Heads.

  Args:
    pooled: (n, W).
    known: (n, F) bool, stated by the report or certain by its diagnosis.
    rates: (F,) of `known_rates`; features of rate 0 get a head of zeros.
    penalty: of the squared weights of standardised features.
  """
  pooled = np.asarray(pooled, np.float64)
  mean, scale = pooled.mean(0), np.maximum(pooled.std(0), 1e-9)
  x = (pooled - mean) / scale
  usable = rates > 0
  known, rate = known[:, usable], rates[usable]
  shape = (x.shape[1] + 1, known.shape[1])

  def objective(flat):
    weight = flat.reshape(shape)
    loss, slope = _loss(x @ weight[1:] + weight[0], known, rate)
    gradient = np.concatenate([slope.sum(0)[None], x.T @ slope])
    gradient[1:] += penalty * weight[1:]
    return loss.sum() + penalty / 2 * np.sum(weight[1:] ** 2), gradient.ravel()

  start = np.zeros(shape)
  start[0] = scipy.special.logit((known.sum(0) + 1) / (len(x) + 2))
  found = _minimum(objective, start.ravel()).reshape(shape)
  weight = np.zeros((shape[0], len(rates)))
  weight[:, usable] = found
  logits = x @ weight[1:] + weight[0]
  spread = np.maximum(logits.std(0), 1e-9)
  parts = (mean, scale, weight[1:], weight[0], logits.mean(0), spread)
  return Heads(*(part.astype(np.float32) for part in parts))


def fit_priors(pairs, known, rates, findings):
  """Fits Priors on the candidates of the calibrating records.

  Args:
    pairs: Pairs.
    known: (P,) bool, stated by the report.
    rates: (F,) of mention, above 0 for every feature of the pairs.
    findings: U, rows of the cells.
  """
  rate = rates[pairs.feature]
  count = pairs.count
  used, place = np.unique(pairs.cell, return_inverse=True)
  member = scipy.sparse.csr_matrix(
    (np.ones(len(place)), (pairs.row, place)), (len(known), len(used))
  )
  penalty = np.concatenate(
    [
      [0.0, 0.0],
      np.full(count, _FEATURE_PENALTY),
      np.full(count, _SLOPE_PENALTY),
      np.full(len(used), _CELL_PENALTY),
    ]
  )

  def parts(flat):
    offset, slope = np.split(flat[2 : 2 + 2 * count], 2)
    return offset + flat[0], slope + flat[1], flat[2 + 2 * count :]

  def objective(flat):
    offset, slope, cell = parts(flat)
    odds = offset[pairs.feature] + slope[pairs.feature] * pairs.logit
    loss, d = _loss(odds + member @ cell, known, rate)
    d_slope = d * pairs.logit
    gradient = np.concatenate(
      [
        [d.sum(), d_slope.sum()],
        np.bincount(pairs.feature, d, count),
        np.bincount(pairs.feature, d_slope, count),
        member.T @ d,
      ]
    )
    total = loss.sum() + np.sum(penalty * flat**2) / 2
    return total, gradient + penalty * flat

  offset, slope, cell = parts(_minimum(objective, np.zeros(len(penalty))))
  grid = np.zeros(findings * count, np.float32)
  grid[used] = cell
  return Priors(
    offset.astype(np.float32),
    slope.astype(np.float32),
    grid.reshape(findings, count),
  )


@dataclasses.dataclass(frozen=True)
class Pairs:
  """Candidate pairs of the calibrating records.

  Attributes:
    feature: (P,) int.
    logit: (P,) standardised logit of the heads.
    row, cell: (Q,) int each: pair `row` was proposed by `cell`, which is
      finding * F + feature; a pair may have several.
    count: F.
  """

  feature: np.ndarray
  logit: np.ndarray
  row: np.ndarray
  cell: np.ndarray
  count: int


def presence(log_odds, rate):
  """Probability that a silent record has the feature, same shape."""
  # The same as p (1 - r) / (1 - r p).
  return scipy.special.expit(log_odds + np.log1p(-rate))


def cut(probabilities, target):
  """The lowest probability to keep so that the mean above is `target`.

  Args:
    probabilities: (P,) of all candidates; those of 0 are never kept.
    target: expected precision of what is kept.

  Returns:
    (threshold, expected precision); (2.0, None) where nothing reaches it.
  """
  ranked = np.sort(probabilities[probabilities > 0])[::-1]
  expected = np.cumsum(ranked, dtype=np.float64) / np.arange(1, len(ranked) + 1)
  # Equal probabilities are kept together or not at all.
  last = np.append(ranked[1:] < ranked[:-1], True)[: len(ranked)]
  reached = np.flatnonzero(last & (expected >= target))
  if not len(reached):
    return 2.0, None
  return float(ranked[reached[-1]]), float(expected[reached[-1]])


def _loss(log_odds, known, rate):
  """Loss of every element, and its derivative by the log-odds."""
  p = scipy.special.expit(log_odds)
  silent = 1 - rate * p
  loss = np.where(known, np.logaddexp(0, -log_odds), -np.log(silent))
  slope = np.where(known, p - 1, rate * p * (1 - p) / silent)
  return loss, slope


def _minimum(objective, start):
  found = scipy.optimize.minimize(
    objective,
    start,
    jac=True,
    method="L-BFGS-B",
    options={"maxiter": _MOST_STEPS, "maxfun": 2 * _MOST_STEPS},
  )
  return found.x
