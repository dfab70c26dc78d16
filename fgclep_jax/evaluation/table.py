"""From scores to the table of a task: values, intervals, flags.

Shapes: n records, C classes, S seeds of one method, R resamples.
"""

import dataclasses

import numpy as np

from fgclep_jax import metrics
from fgclep_jax.evaluation.parts import unit_ids, unit_name

FEW = 10  # positives or negatives below which a class stands apart


@dataclasses.dataclass(frozen=True)
class Cohort:
  """The labelled records of one task in the evaluated split.

  labels (n, C) bool; record_ids (n,) str; defined, enough (C,) bool: the
  class has an AUROC, and FEW positives and negatives; draws: the resamples
  of the task, with the sets `all`, `enough` and each class by its number;
  unit_of_record (n,) int: position among the sorted units.
  """

  class_names: tuple
  labels: np.ndarray
  record_ids: np.ndarray
  defined: np.ndarray
  enough: np.ndarray
  draws: metrics.Draws
  unit: str
  units: int
  unit_of_record: np.ndarray


def make_cohort(class_names, labels, record_ids, patient_ids, resamples, seed):
  """Builds a Cohort; unit of resampling: patient, else record."""
  labels = np.asarray(labels, bool)
  units = unit_ids(patient_ids, record_ids)
  stream = metrics.Resamples(units, seed)
  defined, enough = metrics.usable(labels), metrics.usable(labels, FEW)
  sets = {"all": defined, "enough": enough}
  sets |= {c: np.arange(labels.shape[1]) == c for c in np.flatnonzero(defined)}
  sets = {name: mask for name, mask in sets.items() if mask.any()}
  draws = metrics.accepted_draws(stream, labels, sets, resamples)
  return Cohort(
    tuple(class_names), labels, np.asarray(record_ids, str), defined, enough,
    draws, unit_name(patient_ids), stream.unit_count, stream.unit_of_record,
  )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Table:
  """A method's result: `summary` for results.json, `resampled` (R,) macro
  AUROC over all defined classes (None without), `seeds`: per-class rows of
  each seed, `scores` (n, C) float32 of the first seed, `seed_scores`: those
  of all S, `subsets`: record ids a probe was fitted on, per seed,
  `choice_scores` (m, C): of the first seed for the records chosen on."""

  summary: dict
  resampled: np.ndarray
  seeds: list
  scores: np.ndarray
  seed_scores: tuple = ()
  subsets: tuple = ()
  choice_scores: np.ndarray | None = None


def make_table(cohort, scores, thresholds, chosen_on, extra=None):
  """Judges one method.

  Args:
    cohort: Cohort.
    scores: list of S (n, C) float32.
    thresholds: list of S (C,), NaN where there is none.
    chosen_on: (C,) positives among the records the thresholds come from.
    extra: more entries of the summary.

  Returns:
    Table; values are means over the seeds.
  """
  values, resampled = [], []
  for one, threshold in zip(scores, thresholds, strict=True):
    values.append(_values(one, cohort.labels, threshold, None))
    resampled.append(
      _values(one, cohort.labels, threshold, cohort.draws.weights)
    )
  mean = {k: np.mean([v[k] for v in values], 0) for k in values[0]}
  spread = {k: np.mean([v[k] for v in resampled], 0) for k in values[0]}
  summary = {"protocol": "standard", **_macros(cohort, mean, spread)}
  if len(scores) > 1:
    macros = [metrics.macro(v["auroc"], cohort.defined) for v in values]
    summary["seeds"] = len(scores)
    summary["seed_sd"] = float(np.std(macros, ddof=1))
    summary["seed_macro_auroc"] = macros
  threshold = thresholds[0] if len(scores) == 1 else None
  summary["per_class"] = _per_class(cohort, mean, spread, threshold, chosen_on)
  summary |= extra or {}
  seeds = [
    _per_class(cohort, v, None, t, chosen_on)
    for v, t in zip(values, thresholds, strict=True)
  ]
  rows = cohort.draws.rows.get("all")
  macro = None
  if rows is not None:
    macro = metrics.macro(spread["auroc"][rows], cohort.defined)
  return Table(summary, macro, seeds, scores[0], tuple(scores))


def judge(cohort, scores, choice_scores, choice_labels, usable=None):
  """Judges one method, with the thresholds of F1 chosen on other records.

  Args:
    cohort: Cohort.
    scores: list of S (n, C) float32.
    choice_scores: list of S (m, C) float32 of the records chosen on.
    choice_labels: (m, C) bool.
    usable: list of S (C,) bool, classes that could be learned; by default
      all.

  Returns:
    Table, as of `make_table`.
  """
  thresholds = [metrics.best_threshold(x, choice_labels) for x in choice_scores]
  if usable is not None:
    thresholds = [
      np.where(can, x, np.nan)
      for can, x in zip(usable, thresholds, strict=True)
    ]
  chosen_on, _ = metrics.support(choice_labels)
  return make_table(cohort, scores, thresholds, chosen_on)


def _values(scores, labels, thresholds, weights):
  area, precision = metrics.ranking_metrics(scores, labels, weights)
  f1 = metrics.f1_score(scores, labels, thresholds, weights)
  return {"auroc": area, "auprc": precision, "f1": f1}


def _macros(cohort, mean, spread):
  """Macro values over all defined classes and over those with enough."""
  found = {}
  for name, suffix in (("all", ""), ("enough", "_n10")):
    mask = cohort.defined if name == "all" else cohort.enough
    rows = cohort.draws.rows.get(name)
    for metric in ("auroc", "auprc", "f1"):
      have = mask & ~np.isnan(mean[metric])
      key = f"macro_{metric}{suffix}"
      found[key] = metrics.macro(mean[metric], have)
      ci = "ci95" if metric == "auroc" else f"{metric}_ci95"
      found[f"{ci}{suffix}"] = None
      if rows is not None and have.any():
        drawn = metrics.macro(spread[metric][rows], have)
        found[f"{ci}{suffix}"] = list(metrics.interval(drawn))
    found[f"classes_averaged{suffix}"] = int(mask.sum())
    found[f"bootstrap_acceptance{suffix}"] = cohort.draws.acceptance.get(name)
  found["undefined_classes"] = [
    n for n, d in zip(cohort.class_names, cohort.defined, strict=True) if not d
  ]
  reasons = _reasons(cohort)
  return found | ({"reasons": reasons} if reasons else {})


def _reasons(cohort):
  """Why a macro value or its interval is null."""
  reasons = {}
  for name, suffix, mask in (
    ("all", "", cohort.defined),
    ("enough", "_n10", cohort.enough),
  ):
    if not mask.any():
      least = 1 if name == "all" else FEW
      reasons[f"macro_auroc{suffix}"] = (
        f"no class has at least {least} positives and negatives"
      )
    elif cohort.draws.rows[name] is None:
      reasons[f"ci95{suffix}"] = (
        "classes too rare: too few resamples keep a positive of each"
      )
  return reasons


def _per_class(cohort, mean, spread, thresholds, chosen_on):
  n_pos, _ = metrics.support(cohort.labels)
  n, rows = len(cohort.labels), cohort.draws.rows
  table = {}
  for c, name in enumerate(cohort.class_names):
    row = {"n": n, "n_pos": int(n_pos[c]), "prevalence": n_pos[c] / n}
    for metric in ("auroc", "auprc", "f1"):
      row[metric] = float(mean[metric][c])
      if spread is not None:
        row |= _bounds(metric, spread[metric], rows.get(c), c)
    if thresholds is not None:
      row["threshold"] = float(thresholds[c])
    row["flags"] = _flags(cohort, c, chosen_on)
    table[name] = row
  return table


def _bounds(metric, drawn, rows, c):
  low = high = float("nan")
  if rows is not None and not np.isnan(drawn[rows, c]).any():
    low, high = metrics.interval(drawn[rows, c])
  return {f"{metric}_lo": low, f"{metric}_hi": high}


def _flags(cohort, c, chosen_on):
  flags = []
  if not cohort.defined[c]:
    flags.append("undefined")
  elif not cohort.enough[c]:
    flags.append(f"n_pos<{FEW}")
  if chosen_on[c] < FEW:
    flags.append("threshold_unreliable")
  return flags
