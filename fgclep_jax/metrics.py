"""Ranking metrics of multi-label scores, with bootstrap intervals.

Shapes: n records, C classes, R resamples. Scores are (n, C) floats, labels
(n, C) of 0 and 1, weights (n,) or (R, n), non-negative. A class without
positives or without negatives has no value: NaN here, `null` in results.
numpy only; nothing is approximated, ties count one half.
"""

import dataclasses
import hashlib

import numpy as np

from fgclep_jax.errors import InputError

_BLOCK = 128  # resamples worked on at a time: their weights stay in cache


def support(labels):
  """Returns n_pos (C,) and n_neg (C,), int64."""
  labels = np.asarray(labels, bool)
  n_pos = labels.sum(0)
  return n_pos, len(labels) - n_pos


def usable(labels, minimum=1):
  """(C,) bool: at least `minimum` positives and as many negatives."""
  n_pos, n_neg = support(labels)
  return (n_pos >= minimum) & (n_neg >= minimum)


def macro(values, mask=None):
  """Mean over the classes in `mask` (C,): (C,) -> float, (R, C) -> (R,).

  Without a mask: over the classes that are not NaN. NaN when there is none.
  """
  values = np.asarray(values, float)
  mask = ~np.isnan(values) if mask is None else np.asarray(mask, bool)
  total = np.where(mask, values, 0.0).sum(-1)
  with np.errstate(invalid="ignore"):
    mean = np.true_divide(total, mask.sum(-1))
  return float(mean) if values.ndim == 1 else mean


def auroc(scores, labels, weights=None):
  """Area under the ROC curve per class, exact (Mann-Whitney).

  Returns (C,) float64, or (R, C) for weights (R, n). Equals scikit-learn's
  `roc_auc_score(..., sample_weight=weights)`.
  """
  return ranking_metrics(scores, labels, weights)[0]


def average_precision(scores, labels, weights=None):
  """Average precision per class, step-wise, equal scores as one step.

  Returns (C,) float64, or (R, C) for weights (R, n). Equals scikit-learn's
  `average_precision_score`; the prevalence is its chance level.
  """
  return ranking_metrics(scores, labels, weights)[1]


def ranking_metrics(scores, labels, weights=None):
  """AUROC and average precision in one sweep, each (C,) or (R, C)."""
  scores, labels = _checked(scores, labels)
  single = weights is None or np.ndim(weights) == 1
  if weights is None:
    weights = np.ones((1, len(scores)), np.int64)
  weights = np.atleast_2d(weights)
  if weights.dtype.kind not in "iu":
    weights = weights.astype(np.float64)
  shape = (len(weights), scores.shape[1])
  area, precision = np.full(shape, np.nan), np.full(shape, np.nan)
  ranked = [_ranked(scores[:, c], labels[:, c]) for c in range(shape[1])]
  for start in range(0, len(weights), _BLOCK):
    block = slice(start, start + _BLOCK)
    transposed = np.ascontiguousarray(weights[block].T)
    for c, ranks in enumerate(ranked):
      area[block, c], precision[block, c] = _weighted(ranks, transposed)
  return (area[0], precision[0]) if single else (area, precision)


def _checked(scores, labels):
  scores, labels = np.asarray(scores), np.asarray(labels, bool)
  if scores.ndim == 1:
    scores, labels = scores[:, None], labels.reshape(len(labels), -1)
  if scores.shape != labels.shape:
    raise InputError(
      f"scores {scores.shape} and labels {labels.shape} differ in shape"
    )
  if np.isnan(scores).any():
    row, column = np.argwhere(np.isnan(scores))[0]
    raise InputError(
      f"{int(np.isnan(scores).sum())} scores are NaN, the first at record "
      f"{row}, class {column}: the model diverged or the signal holds NaN"
    )
  return scores, labels


@dataclasses.dataclass(frozen=True)
class _Ranked:
  """One class sorted by falling score; only this depends on the scores."""

  order: np.ndarray  # (n,) record indices, highest score first
  negative: np.ndarray  # (n,) bool in that order
  positive: np.ndarray  # (P,) positions of the positives
  above: np.ndarray  # (P,) position where the tie of a positive begins
  through: np.ndarray  # (P,) position behind the tie of a positive


def _ranked(scores, labels):
  order = np.argsort(-scores, kind="stable")
  ranked, positive = scores[order], np.flatnonzero(labels[order])
  ascending = ranked[::-1]
  values = ranked[positive]
  above = len(ranked) - np.searchsorted(ascending, values, side="right")
  through = len(ranked) - np.searchsorted(ascending, values, side="left")
  return _Ranked(order, ~labels[order], positive, above, through)


def _weighted(ranks, weights):
  """AUROC and average precision, each (R,), for weights (n, R)."""
  n, resamples = weights.shape
  exact = np.int64 if weights.dtype.kind in "iu" else np.float64
  ordered = weights[ranks.order]
  negatives = np.zeros((n + 1, resamples), exact)
  np.cumsum(ordered * ranks.negative[:, None], axis=0, out=negatives[1:])
  own = ordered[ranks.positive].astype(exact)
  higher, through = negatives[ranks.above], negatives[ranks.through]
  all_positive, all_negative = own.sum(0), negatives[-1]
  # A positive beats the negatives below its tie and half of those inside.
  lost = (own * (higher + through)).sum(0) / 2.0
  caught = np.zeros((len(own) + 1, resamples), exact)
  np.cumsum(own, axis=0, out=caught[1:])
  reached = np.searchsorted(ranks.positive, ranks.through, side="left")
  found = caught[reached].astype(float)
  with np.errstate(divide="ignore", invalid="ignore"):
    area = 1.0 - lost / (all_positive.astype(float) * all_negative)
    steps = np.where(own > 0, own * (found / (found + through)), 0.0)
    precision = steps.sum(0) / all_positive
  defined = (all_positive > 0) & (all_negative > 0)
  return np.where(defined, area, np.nan), np.where(defined, precision, np.nan)


def best_threshold(scores, labels):
  """Threshold (C,) of the highest F1 when scores >= it count as positive.

  Of equal maxima the highest threshold. NaN for a class without positives.
  """
  scores, labels = _checked(scores, labels)
  thresholds = np.full(scores.shape[1], np.nan)
  for c in np.flatnonzero(labels.any(0)):
    order = np.argsort(-scores[:, c], kind="stable")
    ranked, hits = scores[order, c], np.cumsum(labels[order, c])
    last = np.append(ranked[1:] != ranked[:-1], True)  # end of each tie
    f1 = 2.0 * hits / (np.arange(1, len(hits) + 1) + hits[-1])
    thresholds[c] = ranked[last][np.argmax(f1[last])]
  return thresholds


def f1_score(scores, labels, thresholds, weights=None):
  """F1 at the given thresholds (C,): (C,), or (R, C) for weights (R, n).

  NaN where the threshold is NaN or the class has no positive weight.
  """
  scores, labels = _checked(scores, labels)
  weights = np.ones(len(scores)) if weights is None else np.asarray(weights)
  weights = weights.astype(np.float64)
  predicted = scores >= thresholds
  hits = weights @ (predicted & labels)
  positives = weights @ labels.astype(float)
  with np.errstate(divide="ignore", invalid="ignore"):
    f1 = 2 * hits / (weights @ predicted.astype(float) + positives)
  return np.where((positives > 0) & ~np.isnan(thresholds), f1, np.nan)


class Resamples:
  """The stored stream of bootstrap resamples of a set of records.

  Draw k is a pure function of (seed, sorted distinct unit ids, k): as many
  units as there are, with replacement; every record counts as often as its
  unit was drawn. Models, classes and label sets that share the records
  therefore share their resamples, and stay paired.

  Args:
    unit_ids: (n,) str, unit of each record: the patient, or the record
      itself where the patient is unknown.
    seed: int.
  """

  def __init__(self, unit_ids, seed=0):
    units, self.unit_of_record = np.unique(
      np.asarray(unit_ids, str), return_inverse=True
    )
    if not len(units):
      raise InputError("no record to resample: the split is empty")
    text = "\n".join([str(seed), *units])
    self.seed, self.unit_count = seed, len(units)
    self.digest = hashlib.sha256(text.encode()).hexdigest()

  def weights(self, start, stop):
    """Draws start..stop-1: (stop - start, n) int32 record weights."""
    counts = np.empty((stop - start, self.unit_count), np.int32)
    key = int(self.digest[:32], 16)
    for row, draw in enumerate(range(start, stop)):
      stream = np.random.Philox(key=key, counter=draw << 64)
      # Raw words, scaled in integers: the same on every numpy release.
      words = stream.random_raw(self.unit_count) >> np.uint64(32)
      units = (words * np.uint64(self.unit_count)) >> np.uint64(32)
      counts[row] = np.bincount(
        units.astype(np.int64), minlength=self.unit_count
      )
    return counts[:, self.unit_of_record]


@dataclasses.dataclass(frozen=True)
class Draws:
  """The draws one label matrix can use, for several sets of classes.

  weights: (D, n) int32; `rows[name]` (R,) indexes it with the first R draws
  in which every class of the set keeps a positive and a negative, or None
  when the stream was given up. acceptance[name]: accepted / looked at.
  """

  weights: np.ndarray
  rows: dict
  acceptance: dict
  digest: str


def accepted_draws(stream, labels, sets, resamples=1000, patience=50):
  """Draws until each set of classes has its `resamples` usable draws.

  Args:
    stream: Resamples of the records.
    labels: (n, C) of 0 and 1.
    sets: name -> (C,) bool, the classes a figure is a mean over.
    resamples: accepted draws wanted per set.
    patience: a set that has not got them after patience * resamples draws
      is given up: its classes are too rare for an interval.
  """
  labels = np.asarray(labels, np.float32)
  kept, found = [], {name: [] for name in sets}
  looked = dict.fromkeys(sets, 0)
  offset = 0
  for start in range(0, patience * resamples, resamples):
    open_sets = [n for n in sets if len(found[n]) < resamples]
    if not open_sets:
      break
    weights = stream.weights(start, start + resamples)
    positive = weights.astype(np.float32) @ labels
    negative = weights.sum(1, dtype=np.float32)[:, None] - positive
    defined = (positive > 0) & (negative > 0)
    wanted = np.zeros(resamples, bool)
    accepted = {}
    for name in open_sets:
      good = np.flatnonzero(defined[:, sets[name]].all(1))
      good = good[: resamples - len(found[name])]
      full = len(found[name]) + len(good) == resamples
      looked[name] += int(good[-1]) + 1 if full else resamples
      accepted[name] = good
      wanted[good] = True
    position = offset + np.cumsum(wanted) - 1
    for name, good in accepted.items():
      found[name].extend(position[good])
    kept.append(weights[wanted])
    offset += int(wanted.sum())
  full = {n: len(found[n]) == resamples for n in sets}
  return Draws(
    np.concatenate(kept),
    {n: np.array(found[n], int) if full[n] else None for n in sets},
    {n: len(found[n]) / max(looked[n], 1) for n in sets},
    stream.digest,
  )


def interval(values, level=0.95):
  """Percentile interval (low, high) of resampled values (R,)."""
  tail = 50 * (1 - level)
  low, high = np.percentile(values, [tail, 100 - tail])
  return float(low), float(high)


def paired_difference(first, second):
  """Compares two models on the same resamples.

  Args:
    first, second: (R,) macro values of the same accepted draws.

  Returns:
    dict: mean difference first - second, ci95, share of draws <= 0.
  """
  difference = np.asarray(first) - np.asarray(second)
  return {
    "difference": float(difference.mean()),
    "ci95": list(interval(difference)),
    "share_not_above_zero": float((difference <= 0).mean()),
  }
