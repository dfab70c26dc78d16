"""Some records, drawn at random, with what was kept and dropped of them."""

import numpy as np

from fgclep_jax.enhance import chunks, fit, truth
from fgclep_jax.reports import features

COUNT = 10


def draw(split, store, classes, questions, verifier, model, seed):
  """Returns COUNT dicts for `report.write`.

  Args:
    split: of which the records are.
    store: `embeddings.Store` of it.
    classes: (F, E) unit rows.
    questions: `chunks.Asked`.
    verifier: see `verify`.
    model: gives rate and length of the signals.
    seed: of the draw.
  """
  drawn = np.random.default_rng(seed).permutation(len(split))
  rows = np.sort(drawn[:COUNT])
  known = truth.of_split(split, features.lookup(questions.features))
  (part,) = chunks.of_split(split, store.embedding, classes, questions, rows)
  folds = fit.folds_of(fit.units_of(split)[rows])
  score, threshold = verifier.judge(part, store.pooled[rows], folds)
  signals = split.signals(rows, model.rate, model.samples)
  return [
    {
      "record": f"{split.name} {place + 1}",
      "signal": signals[place],
      "rate": model.rate,
      "statements": _statements(split, row),
      "truth": None if known is None else _truth(known[row], questions),
    }
    | _judged(part, place, score, score >= threshold, questions)
    for place, row in enumerate(rows)
  ]


def _judged(part, place, score, kept, questions):
  found = {"kept": [], "dropped": []}
  for pair in np.flatnonzero((part.record == place) & part.silent):
    name = questions.features[part.feature[pair]]
    found["kept" if kept[pair] else "dropped"].append(
      (name, float(score[pair]))
    )
  return found


def _statements(split, row):
  start, stop = split.statement_offsets[row : row + 2]
  return [split.table[i] for i in split.statement_ids[start:stop]]


def _truth(known, questions):
  return {
    name: int(value)
    for name, value in zip(questions.features, known, strict=True)
    if value != truth.UNKNOWN
  }
