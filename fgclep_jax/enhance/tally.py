"""Counts what was asked and kept while the records go by."""

import numpy as np

from fgclep_jax.enhance import judge, truth

BINS = 40  # of a feature's distribution of scores
JUDGED = 50_000  # records at most that are compared with the truth


class Tally:
  """Counts by feature; memory does not grow with the records.

  Args of the constructor:
    names: F features.
    low: least score that can be, 0 for probabilities and -1 for cosines.
  """

  def __init__(self, names, low):
    self.names = names
    self.edges = np.linspace(low, 1, BINS + 1)
    self.stated = np.zeros(len(names), np.int64)
    self.counts = np.zeros((2, len(names), BINS), np.int64)  # dropped, kept

  def add(self, chunk, feature, score, kept):
    """Adds a `chunks.Chunk` and its judged candidates, (P,) each."""
    self.stated += chunk.stated.sum(0)
    cell = np.searchsorted(self.edges, score, "right") - 1
    cell = np.clip(cell, 0, BINS - 1)
    code = (kept * len(self.names) + feature) * BINS + cell
    found = np.bincount(code, minlength=self.counts.size)
    self.counts += found.reshape(self.counts.shape)

  def pairs(self):
    """Totals."""
    kept, asked = int(self.counts[1].sum()), int(self.counts.sum())
    return {
      "candidates": asked,
      "kept": kept,
      "keep_rate": kept / asked if asked else None,
      "stated": int(self.stated.sum()),
    }

  def features(self):
    """Feature -> counts and distribution of scores, those asked only."""
    found, edges = {}, self.edges.tolist()
    for f, name in enumerate(self.names):
      dropped, kept = self.counts[:, f]
      asked = int(dropped.sum() + kept.sum())
      if asked:
        found[name] = {
          "asked": asked,
          "kept": int(kept.sum()),
          "keep_rate": int(kept.sum()) / asked,
          "stated": int(self.stated[f]),
          "histogram": {
            "edges": edges,
            "kept": kept.tolist(),
            "dropped": dropped.tolist(),
          },
        }
    return found


class Trial:
  """Candidates of the records whose truth is known, to be judged at the end.

  Args of the constructor:
    split: its records are judged, at most JUDGED of them.
    known: (n, F) int8, see `truth`.
    units: (n,) str, patients.
    names: F features.
  """

  def __init__(self, split, known, units, names):
    self._names = names
    self.split, self.source = split.name, truth.source_of(split)
    self.count = min(len(split), JUDGED)
    self.known, self.units = known[: self.count], units[: self.count]
    self._parts = []

  def add(self, first, pairs):
    """Adds judged candidates of a chunk that starts at record `first`."""
    record = pairs["record"] + first
    mine = record < self.count
    part = {k: v[mine] for k, v in pairs.items()} | {"record": record[mine]}
    self._parts.append(part)

  def result(self, sweep, resamples, seed):
    """What the truth says of the candidates, before and after.

    Args:
      sweep: {label: threshold of the score} for the sensitivity.
      resamples, seed: of the intervals.

    Returns:
      {"truth": ..., "sensitivity": [...], "sweep": ...}.
    """
    columns = {
      key: np.concatenate([part[key] for part in self._parts])
      for key in self._parts[0]
    }

    def judged(score, kept, draws=resamples):
      pairs = judge.Pairs(
        columns["record"], columns["feature"], score, kept, self.known,
        self.units,
      )  # fmt: skip
      return pairs, judge.summary(pairs, draws, seed)

    score, cosine = columns["score"], columns["cosine"]
    pairs, summary = judged(score, columns["kept"])
    rows = []
    for label, threshold in sweep.items():
      _, found = judged(score, score >= threshold)
      keys = ("kept", "keep_rate", "precision", "recall_of_candidates")
      rows.append({"label": label} | {key: found[key] for key in keys})
    return {
      "truth": {
        "source": self.source,
        "split": self.split,
        "records": self.count,
        "known_features": int((self.known != truth.UNKNOWN).any(0).sum()),
        "summary": summary,
        "fixed_0.95": judged(cosine, cosine >= 0.95)[1],
        "by_feature": judge.by_feature(pairs, self._names),
      },
      "sensitivity": rows,
      "sweep": judge.sweep(pairs),
    }
