"""What the `merl` protocol makes of scores, its faults included.

F1 and accuracy use the threshold that is best on the tested records
themselves; F1 counts scores at the threshold as positive, accuracy does not
(https://github.com/cheliu-computation/MERL-ICML2024). Every name says
`test_tuned`.
"""

import dataclasses

import numpy as np

from fgclep_jax import metrics
from fgclep_jax.evaluation import table


def tuned(scores, labels):
  """Best threshold, F1 there (>=) and accuracy there (>), each (C,).

  Of equal maxima the lowest threshold, as numpy's argmax over scikit-learn's
  rising thresholds. NaN for a class without positives.

  Args:
    scores: (n, C) floats.
    labels: (n, C) of 0 and 1.
  """
  labels = np.asarray(labels, bool)
  n = len(scores)
  order = np.argsort(-scores, axis=0, kind="stable")
  ranked = np.take_along_axis(scores, order, 0)
  hits = np.cumsum(np.take_along_axis(labels, order, 0), 0, dtype=np.int64)
  positives = hits[-1]
  last = np.ones(ranked.shape, bool)  # end of each tie
  last[:-1] = ranked[1:] != ranked[:-1]
  f1 = 2.0 * hits / (np.arange(1, n + 1)[:, None] + positives)
  f1[~last] = -1
  best = n - 1 - np.argmax(f1[::-1], 0)
  column = np.arange(ranked.shape[1])
  threshold = ranked[best, column]
  above = (ranked > threshold).sum(0)
  hits_above = np.where(above > 0, hits[above - 1, column], 0)
  accuracy = (n - positives - above + 2 * hits_above) / n
  found = threshold.astype(np.float64), f1[best, column], accuracy
  return tuple(np.where(positives > 0, value, np.nan) for value in found)


def macros_by_epoch(scores, labels):
  """Macro AUROC, F1 and accuracy after every epoch, each (P,).

  Args:
    scores: (P, n, C) float32.
    labels: (n, C) bool; classes that are not defined are left out.
  """
  labels = np.asarray(labels, bool)
  defined = metrics.usable(labels)
  found = []
  for one in scores:
    area = metrics.auroc(one, labels)
    _, f1, accuracy = tuned(one, labels)
    found.append([metrics.macro(v, defined) for v in (area, f1, accuracy)])
  return tuple(np.array(found).T)


def make_table(cohort, scores):
  """Judges one method as `table.make_table`, in the names of `merl`.

  Args:
    cohort: `table.Cohort` with the labels of the protocol.
    scores: (n, C) float32.
  """
  threshold, _, accuracy = tuned(scores, cohort.labels)
  reliable = np.full(len(threshold), table.FEW)  # as good as it gets on test
  judged = table.make_table(cohort, [scores], [threshold], reliable)
  summary = {_named(k): v for k, v in judged.summary.items()}
  summary["protocol"] = "merl"
  summary["macro_accuracy_test_tuned"] = metrics.macro(accuracy, cohort.defined)
  summary["per_class"] = {
    name: _class_row(row, accuracy[c])
    for c, (name, row) in enumerate(summary["per_class"].items())
  }
  return dataclasses.replace(
    judged, summary=summary, seeds=[summary["per_class"]]
  )


def _class_row(row, accuracy):
  found = {_named(k): v for k, v in row.items() if k != "flags"}
  return found | {"accuracy_test_tuned": accuracy, "flags": row["flags"]}


def _named(key):
  for name in ("f1", "threshold"):
    if name in key:
      return key.replace(name, f"{name}_test_tuned")
  return key
