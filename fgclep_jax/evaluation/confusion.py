"""What is called what at the thresholds chosen on validation."""

import numpy as np

from fgclep_jax import metrics
from fgclep_jax.evaluation import results


def counts(scores, labels, thresholds, weights=None):
  """True and false positives and negatives at scores >= thresholds.

  Args:
    scores: (n, C). labels: (n, C) of 0 and 1. thresholds: (C,).
    weights: (n,) or (R, n), default 1.

  Returns:
    tp, fp, fn, tn, each (C,) or (R, C) float64; NaN without a threshold.
  """
  labels = np.asarray(labels, bool)
  called = scores >= thresholds
  weights = np.ones(len(labels)) if weights is None else weights
  weights = np.asarray(weights, np.float64)
  missing = np.where(np.isnan(thresholds), np.nan, 0.0)
  return tuple(
    weights @ (predicted & truth).astype(np.float64) + missing
    for truth, predicted in (
      (labels, called), (~labels, called), (labels, ~called),
      (~labels, ~called),
    )
  )  # fmt: skip


def between_classes(scores, labels, thresholds):
  """How often records of one class are called another they do not have.

  Returns:
    (C, C) share: row the true class, column the called one, among records
    with the row's class and without the column's; on the diagonal the share
    of the class's records that are called it. NaN where there is no such
    record or no threshold. And (C, C) int, how many records that is.
  """
  truth = np.asarray(labels, bool).astype(np.float64)
  called = (scores >= thresholds).astype(np.float64)
  held = truth.T @ (1 - truth)
  hits = truth.T @ (called * (1 - truth))
  own = np.arange(truth.shape[1])
  held[own, own] = truth.sum(0)
  hits[own, own] = (truth * called).sum(0)
  share = np.divide(hits, held, out=np.full(held.shape, np.nan), where=held > 0)
  share[:, np.isnan(thresholds)] = np.nan
  return share, held.astype(int)


def evaluate(tables):
  """Zero-shot and the largest probe of the trained encoder: {method: block}.

  Args:
    tables: as `standard.evaluate` returns them; of a probe with several
      seeds the first counts.
  """
  return {
    label: _judge(tables["cohort"], judged)
    for label, judged in results.main_methods(tables).items()
  }


def _judge(cohort, judged):
  rows = judged.seeds[0]
  thresholds = np.array([rows[n]["threshold"] for n in cohort.class_names])
  given = judged.scores, cohort.labels, thresholds
  value, drawn = counts(*given), counts(*given, cohort.draws.weights)
  per_class = {}
  for c, name in enumerate(cohort.class_names):
    cells = zip(("tp", "fp", "fn", "tn"), value, strict=True)
    row = {k: None if np.isnan(v[c]) else int(v[c]) for k, v in cells}
    row["threshold"] = float(thresholds[c])
    own = cohort.draws.rows.get(c)
    tp, fp, fn, tn = (v[:, c] for v in drawn)
    for key, part, rest, now in (
      ("sensitivity", tp, fn, (value[0][c], value[2][c])),
      ("specificity", tn, fp, (value[3][c], value[1][c])),
    ):
      row |= _share(key, now, None if own is None else (part[own], rest[own]))
    per_class[name] = row
  share, held = between_classes(*given)
  return {"seed": 0, "per_class": per_class, "called": share, "records": held}


def _share(key, now, drawn):
  """Share of the first among both, with its interval."""
  if not sum(now) > 0:
    return {key: None, f"{key}_ci95": None}
  bounds = None
  if drawn is not None:
    bounds = list(metrics.interval(drawn[0] / (drawn[0] + drawn[1])))
  return {key: float(now[0] / sum(now)), f"{key}_ci95": bounds}
