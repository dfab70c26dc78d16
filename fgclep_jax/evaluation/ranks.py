"""Ranks of retrieval and what is reported of them: pure functions.

Shapes: N records, U distinct texts, Q queries, R resamples. A rank is 1 plus
the number of incorrect items that score at least as high as the best
correct one: ties count against the model, so an encoder that gives every
record the same embedding scores 0.
"""

import numpy as np

from fgclep_jax import metrics

DEPTHS = (1, 5, 10)
# Cosines closer than float32 tells apart are ties, whatever the order in
# which a product was summed.
TIE = 1e-7
_SCORES = 2**24  # held at a time: 128 MiB
_DRAWS = 64  # resamples weighted at a time


def text_ranks(ecg, text, text_of):
  """ECG -> text: rank (N,) of each record's text among the distinct ones.

  Args:
    ecg: (N, E) unit rows. text: (U, E) unit rows.
    text_of: (N,) int, the text of each record.
  """
  return _ranks(ecg, text, text_of, np.ones(len(text), np.int64))


def own_text_ranks(ecg, text, text_of):
  """ECG -> text: rank (N,) of the own report among N, one a record.

  Only the own one is correct: a report that another record has too scores
  as high and counts against it.
  """
  counts = np.bincount(text_of, minlength=len(text))
  return _ranks(ecg, text, text_of, counts)


def _ranks(queries, items, correct, counts):
  """Rank of item `correct[i]` for query i; item j stands there counts[j]
  times."""
  found = np.empty(len(queries), np.int64)
  for block in _blocks(len(queries), len(items)):
    scores = _cosines(queries[block], items)
    own = scores[np.arange(len(scores)), correct[block]]
    found[block] = (scores >= own[:, None] - TIE) @ counts
  return found


def record_ranks(ecg, text, text_of):
  """Text -> ECG: rank (U,) of the best record that has the text."""
  members = _members(text_of, len(text))
  found = np.empty(len(text), np.int64)
  for block in _blocks(len(text), len(ecg)):
    scores = _cosines(text[block], ecg)
    for query, own in enumerate(scores, block.start):
      correct = own[members[query]]
      least = correct.max() - TIE
      found[query] = 1 + (own >= least).sum() - (correct >= least).sum()
  return found


def own_record_ranks(ecg, text, text_of):
  """Text -> ECG: rank (N,) of the record among N for its own report."""
  found = np.empty(len(ecg), np.int64)
  members = _members(text_of, len(text))
  for block in _blocks(len(text), len(ecg)):
    scores = _cosines(text[block], ecg)
    for query, own in enumerate(scores, block.start):
      mine = members[query]
      least = own[mine] - TIE
      found[mine] = len(ecg) - np.searchsorted(np.sort(own), least)
  return found


def _blocks(queries, items):
  """Slices of the queries with at most _SCORES scores each."""
  size = max(_SCORES // items, 1)
  return [slice(i, min(i + size, queries)) for i in range(0, queries, size)]


def _members(text_of, count):
  """Records of each text, a list of `count` int arrays."""
  order = np.argsort(text_of, kind="stable")
  sizes = np.bincount(text_of, minlength=count)
  return np.split(order, np.cumsum(sizes)[:-1])


def _cosines(first, second):
  first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
  return first @ second.T


def chance(items, correct, depth):
  """Recall at `depth` of a random order, mean over queries.

  1 - C(N - m, k) / C(N, k) for N items of which m are correct.

  Args:
    items: N.
    correct: (Q,) int, m of each query, at least 1.
    depth: k.
  """
  missed = np.ones(len(correct))
  for i in range(min(depth, items)):
    missed *= np.maximum(items - correct - i, 0) / (items - i)
  return float(1 - missed.mean())


def recalls(ranks, weights, groups=None):
  """Recall at DEPTHS, and the median rank, for each weighting of queries.

  Args:
    ranks: (Q,) int.
    weights: (R, Q), non-negative.
    groups: (Q,) int in [0, G), or None. With groups, recall is the mean
      over groups of the mean within each, groups without weight left out.

  Returns:
    dict `recall@k` -> (R,), and without groups `median_rank` -> (R,).
  """
  weights = np.asarray(weights, np.float64)
  if groups is not None:
    weights = _grouped(weights, groups)
  total = weights.sum(1)
  found = {f"recall@{k}": weights @ (ranks <= k) / total for k in DEPTHS}
  if groups is None:
    found["median_rank"] = _medians(ranks, weights, total)
  return found


def _grouped(weights, groups):
  """Weights with which every group that has any weighs the same."""
  order = np.argsort(groups, kind="stable")
  sizes = np.bincount(groups)
  starts = np.cumsum(sizes) - sizes
  sums = np.add.reduceat(weights[:, order], starts, axis=1)
  share = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
  return weights * share[:, groups]


def _medians(ranks, weights, total):
  """Weighted medians (R,): the mean of the lower and the upper one."""
  order = np.argsort(ranks, kind="stable")
  ranked, reached = ranks[order], np.cumsum(weights[:, order], axis=1)
  half = total[:, None] / 2
  slack = 1e-9 * total[:, None]  # weights of texts are fractions
  lower = (reached < half - slack).sum(1)
  upper = (reached <= half + slack).sum(1)
  last = len(ranks) - 1
  return (ranked[np.minimum(lower, last)] + ranked[np.minimum(upper, last)]) / 2


def resampled(ranks, stream, resamples, of_record=None, groups=None):
  """Recalls and median rank of bootstrap resamples, (R,) each.

  Patients of the queries are drawn, the gallery stays.

  Args:
    ranks: (Q,) int.
    stream: `metrics.Resamples` of the N records.
    resamples: R.
    of_record: (N,) int or None: the query of each record. A query of
      several records counts as often as these were drawn on average; None
      means that every record is a query.
    groups: see `recalls`.
  """
  parts = []
  for start in range(0, resamples, _DRAWS):
    weights = stream.weights(start, min(start + _DRAWS, resamples))
    if of_record is not None:
      weights = _mean_by(weights, of_record)
    parts.append(recalls(ranks, weights, groups))
  return {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}


def _mean_by(weights, of_record):
  """(R, N) -> (R, U) means over the records of each query."""
  order = np.argsort(of_record, kind="stable")
  sizes = np.bincount(of_record)
  starts = np.cumsum(sizes) - sizes
  return np.add.reduceat(weights[:, order], starts, axis=1) / sizes


def summarise(ranks, drawn, groups=None):
  """Values with 95 % intervals.

  Args:
    ranks: (Q,) int.
    drawn: as returned by `resampled` with the same groups.
    groups: see `recalls`.

  Returns:
    dict: `recall@1`, `recall@1_ci95`, ..., `median_rank` and its interval.
  """
  values = recalls(ranks, np.ones((1, len(ranks))), groups)
  found = {"queries": len(ranks) if groups is None else int(groups.max()) + 1}
  for name, value in values.items():
    found[name] = float(value[0])
    found[f"{name}_ci95"] = list(metrics.interval(drawn[name]))
  return found
