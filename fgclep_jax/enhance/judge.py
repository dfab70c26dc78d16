"""How true the candidates are, before and after verification.

A pair is a (record, feature); its truth is present, absent or unknown, and
unknown pairs are counted and left out. Definitions: precision = kept and
present / kept and known; recall = kept and present / all features present,
asked or not; recall of candidates = kept and present / candidates present.
Intervals resample patients. Beside the filter stand the same keep rate at
random and by the features' frequency alone: a filter that does not beat
those verifies nothing.

Shapes: n records, F features, P candidate pairs, R resamples.
"""

import dataclasses

import numpy as np

from fgclep_jax import metrics
from fgclep_jax.enhance.truth import UNKNOWN


@dataclasses.dataclass(frozen=True)
class Pairs:
  """Candidate pairs of some records, and what is known of them.

  Attributes:
    record: (P,) int, position among the n judged records.
    feature: (P,) int, column.
    score: (P,) float32 cosine.
    kept: (P,) bool.
    truth: (n, F) int8, see `truth.of_split`.
    units: (n,) str, patient of each record, or the record itself.
  """

  record: np.ndarray
  feature: np.ndarray
  score: np.ndarray
  kept: np.ndarray
  truth: np.ndarray
  units: np.ndarray

  @property
  def known(self):
    """(P,) int8 truth of the pairs."""
    return self.truth[self.record, self.feature]


def summary(pairs, resamples=1000, seed=0):
  """Counts, precision and recall with 95 % intervals.

  Returns:
    dict of `pairs`, `unknown`, `kept`, `keep_rate` and, before and after
    (suffix `_before`), `precision`, `recall`, `recall_of_candidates`, each
    {"value", "ci95"}; `auroc` of the score over all pairs and the mean over
    features (`auroc_by_feature`); `at_random`, `by_frequency`: precision of
    as many pairs chosen otherwise.
  """
  known = pairs.known
  judged = known != UNKNOWN
  draws = metrics.Resamples(pairs.units, seed).weights(0, resamples)
  present = (pairs.truth == 1).sum(1)
  found = {
    "pairs": len(known),
    "unknown": int((~judged).sum()),
    "kept": int(pairs.kept.sum()),
    "keep_rate": _ratio(pairs.kept.sum(), len(known)),
  }
  for suffix, chosen in (("_before", np.ones_like(judged)), ("", pairs.kept)):
    chosen = chosen & judged
    right = _per_record(pairs, chosen & (known == 1))
    found |= {
      f"precision{suffix}": _interval(right, _per_record(pairs, chosen), draws),
      f"recall{suffix}": _interval(right, present, draws),
    }
    if not suffix:
      possible = _per_record(pairs, judged & (known == 1))
      found["recall_of_candidates"] = _interval(right, possible, draws)
  found |= _separation(pairs, judged)
  return found | _chance(pairs, judged, seed)


def by_feature(pairs, names):
  """Feature -> counts and precision before and after, those asked only."""
  known, table = pairs.known, {}
  for f in np.unique(pairs.feature):
    mine = (pairs.feature == f) & (known != UNKNOWN)
    kept, right = mine & pairs.kept, mine & (known == 1)
    table[names[f]] = {
      "candidates": int((pairs.feature == f).sum()),
      "known": int(mine.sum()),
      "kept": int(((pairs.feature == f) & pairs.kept).sum()),
      "precision_before": _ratio(right.sum(), mine.sum()),
      "precision": _ratio((kept & right).sum(), kept.sum()),
      "recall_of_candidates": _ratio((kept & right).sum(), right.sum()),
    }
  return table


def sweep(pairs, points=200):
  """Precision and recall at rising thresholds: dict of lists.

  `expected_precision` is the mean score of what is kept: where scores are
  probabilities of presence it should follow `precision`.
  """
  known = pairs.known
  judged = known != UNKNOWN
  score, right = pairs.score[judged], known[judged] == 1
  order = np.argsort(-score, kind="stable")
  score, right = score[order], right[order]
  kept = np.arange(1, len(score) + 1)
  if not len(score):
    return None
  # Equal scores are kept together.
  ends = np.flatnonzero(np.append(score[1:] < score[:-1], True))
  drawn = np.unique(np.linspace(0, len(ends) - 1, points).astype(int))
  places = ends[drawn][::-1]
  found, mean = np.cumsum(right), np.cumsum(score, dtype=np.float64) / kept
  return {
    "threshold": score[places].tolist(),
    "precision": (found / kept)[places].tolist(),
    "recall_of_candidates": (found / max(found[-1], 1))[places].tolist(),
    "expected_precision": mean[places].tolist(),
  }


def _per_record(pairs, chosen):
  return np.bincount(pairs.record[chosen], minlength=len(pairs.truth))


def _interval(numerator, denominator, draws):
  """Ratio of sums over records, with its bootstrap interval."""
  value = _ratio(numerator.sum(), denominator.sum())
  if value is None:
    return {"value": None, "ci95": None}
  with np.errstate(divide="ignore", invalid="ignore"):
    drawn = (draws @ numerator) / (draws @ denominator)
  drawn = drawn[np.isfinite(drawn)]
  return {"value": value, "ci95": list(metrics.interval(drawn))}


def _separation(pairs, judged):
  """AUROC of the score, present against absent: free of any threshold."""
  score, right = pairs.score[judged], pairs.known[judged] == 1
  values = []
  for f in np.unique(pairs.feature[judged]):
    mine = pairs.feature[judged] == f
    if 0 < right[mine].sum() < mine.sum():
      values.append(metrics.auroc(score[mine, None], right[mine, None])[0])
  whole = None
  if 0 < right.sum() < len(right):
    whole = float(metrics.auroc(score[:, None], right[:, None])[0])
  mean = float(np.mean(values)) if values else None
  return {"auroc": whole, "auroc_by_feature": mean}


def _chance(pairs, judged, seed):
  """Precision of as many known pairs, chosen without the model."""
  count = int((pairs.kept & judged).sum())
  known, feature = pairs.known[judged] == 1, pairs.feature[judged]
  often = np.bincount(feature, minlength=pairs.truth.shape[1])[feature]
  tie = np.random.default_rng(seed).permutation(len(known))
  commonest = np.lexsort((tie, -often))[:count]
  return {
    "at_random": {"precision": _ratio(known.sum(), len(known))},
    "by_frequency": {"precision": _ratio(known[commonest].sum(), count)},
  }


def _ratio(above, below):
  return float(above / below) if below else None
