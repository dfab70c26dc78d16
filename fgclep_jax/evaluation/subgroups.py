"""Subgroups: AUROC by sex and age band, and the gap to everybody else.

A cell, a class within a group, with fewer than 10 positives or negatives
shows its counts only. Exploratory: many cells, none corrected for it.
"""

import numpy as np

from fgclep_jax import metrics
from fgclep_jax.evaluation import results
from fgclep_jax.evaluation.table import FEW

SEXES = ((0, "male"), (1, "female"))
AGES = ((18, 40), (40, 60), (60, 80), (80, np.inf))  # completed years


def attributes(sex, age):
  """Who belongs to which group.

  Args:
    sex: (n,) 0 male, 1 female, anything else unknown.
    age: (n,) years, NaN unknown.

  Returns:
    {attribute: ((n,) bool in one of the groups, {group: (n,) bool})}.
  """
  sex, age = np.asarray(sex), np.asarray(age, np.float64)
  by_sex = {name: sex == code for code, name in SEXES}
  by_age = {
    f"{low}-{high - 1}" if np.isfinite(high) else f"{low}+": (
      (age >= low) & (age < high)
    )
    for low, high in AGES
  }
  found = {"sex": by_sex, "age": by_age}
  return {
    name: (np.any(list(groups.values()), 0), groups)
    for name, groups in found.items()
  }


def evaluate(work, task, tables):
  """Zero-shot and the largest probe of the trained encoder, by group.

  Args:
    work: `work.Work`. task: its name.
    tables: as `standard.evaluate` returns them.

  Returns:
    dict for results.json: {attribute: {"in_no_group", "groups": {group:
    {"n", method: block}}}}.
  """
  test = work.parts["test"]
  rows = test.rows_of(task)
  known = attributes(test.split.sex[rows], test.split.age[rows])
  chosen = results.main_methods(tables)
  found = {}
  for attribute, (grouped, groups) in known.items():
    found[attribute] = {
      "in_no_group": int((~grouped).sum()),
      "groups": {name: {"n": int(m.sum())} for name, m in groups.items()},
    }
    for method, judged in chosen.items():
      blocks = judge(tables["cohort"], judged.scores, grouped, groups)
      for name, block in blocks.items():
        found[attribute]["groups"][name][method] = block
  return found


def judge(cohort, scores, grouped, groups):
  """AUROC within each group, and minus that of the other groups.

  Args:
    cohort: `table.Cohort` of n records and C classes.
    scores: (n, C).
    grouped: (n,) bool, in one of the groups.
    groups: {name: (n,) bool}.

  Returns:
    {name: {"macro_auroc", "ci95", "classes_averaged", "macro_gap",
    "gap_ci95", "gap_classes", "per_class": {class: row}}}. A macro value
    is over the classes whose cell is large enough.
  """
  rows, seen = cohort.draws.rows.get("enough"), {}
  weights = None if rows is None else cohort.draws.weights[rows]

  def areas(mask):
    """(C,) and (R, C) AUROC within a mask, NaN where there are too few."""
    key = mask.tobytes()
    if key not in seen:
      seen[key] = _areas(scores[mask], cohort.labels[mask], weights, mask)
    return seen[key]

  return {
    name: _block(cohort, mask, areas(mask), areas(grouped & ~mask))
    for name, mask in groups.items()
  }


def _areas(scores, labels, weights, mask):
  enough = metrics.usable(labels, FEW)
  value = np.full(labels.shape[1], np.nan)
  drawn = np.full((0 if weights is None else len(weights), len(value)), np.nan)
  if enough.any():
    scores, labels = scores[:, enough], labels[:, enough]
    value[enough] = metrics.auroc(scores, labels)
    if len(drawn):
      drawn[:, enough] = metrics.auroc(scores, labels, weights[:, mask])
  return value, drawn


def _block(cohort, mask, own, rest):
  value, drawn = own
  gap, gap_drawn = value - rest[0], drawn - rest[1]
  n_pos, n_neg = metrics.support(cohort.labels[mask])
  per_class = {}
  for c, name in enumerate(cohort.class_names):
    row = {"n": int(n_pos[c] + n_neg[c]), "n_pos": int(n_pos[c])}
    if not np.isnan(value[c]):
      row["auroc"] = float(value[c])
      row["auroc_ci95"] = _interval(drawn[:, c])
    if not np.isnan(gap[c]):
      row |= {"gap": float(gap[c]), "gap_ci95": _interval(gap_drawn[:, c])}
    per_class[name] = row
  have, compared = ~np.isnan(value), ~np.isnan(gap)
  return {
    "macro_auroc": metrics.macro(value, have),
    "ci95": _interval(_macro(drawn, have)),
    "classes_averaged": int(have.sum()),
    "macro_gap": metrics.macro(gap, compared),
    "gap_ci95": _interval(_macro(gap_drawn, compared)),
    "gap_classes": int(compared.sum()),
    "per_class": per_class,
  }


def _macro(drawn, mask):
  """(R,) means over the classes of a mask, NaN where one has no value."""
  if not mask.any():
    return np.zeros(0)
  return drawn[:, mask].mean(1)


def _interval(drawn):
  """Of resampled values; a draw without a value is as good as drawn again.

  None where more than half of the draws are without.
  """
  there = drawn[~np.isnan(drawn)]
  if not len(there) or 2 * len(there) < len(drawn):
    return None
  return list(metrics.interval(there))
