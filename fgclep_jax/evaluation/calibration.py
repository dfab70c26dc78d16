"""Calibration of a head: do its probabilities mean what they say?

For heads whose scores are logits only; the cosines of zero-shot are no
probabilities. Shapes: n records, C classes, B bins, R resamples; weights
are (n,) or (R, n), non-negative; results (C,) or (R, C).
"""

import numpy as np
import scipy.optimize
import scipy.special

from fgclep_jax import metrics
from fgclep_jax.evaluation.table import FEW

BINS = 15
_LIMIT = 100.0  # of the temperature and of its inverse
MEASURES = ("ece", "brier", "log_loss")


def equal_count_bins(scores, weights=None, count=BINS):
  """Bins of equal weight along rising scores, (n, C) int in [0, count).

  Equal scores share the bin that the middle of their tie falls into, so
  the order of records changes nothing; a bin may stay empty.

  Args:
    scores: (n, C); probabilities or logits, their order is all that counts.
    weights: (n,), default 1.
    count: how many bins.
  """
  scores = np.asarray(scores)
  weights = np.ones(len(scores)) if weights is None else np.asarray(weights)
  bins = np.empty(scores.shape, np.int64)
  for own, column in zip(bins.T, scores.T, strict=True):
    _, tie = np.unique(column, return_inverse=True)
    held = np.bincount(tie, weights)
    middle = np.cumsum(held) - held / 2
    place = np.floor(count * middle / held.sum()).astype(np.int64)
    own[:] = np.minimum(place, count - 1)[tie]
  return bins


def calibration_error(chance, labels, bins, weights=None, count=BINS):
  """Expected calibration error: mean over records of |share - chance| of
  the record's bin.

  Args:
    chance: (n, C) probabilities. labels: (n, C) of 0 and 1.
    bins: (n, C) int, as of `equal_count_bins`.
    weights, count: see there; weights may be (R, n).
  """
  gap = np.asarray(chance, np.float64) - np.asarray(labels, bool)
  weights = _weights(weights, len(gap))
  error = np.empty((*weights.shape[:-1], gap.shape[1]))
  for c, (of_record, place) in enumerate(zip(gap.T, bins.T, strict=True)):
    spread = np.zeros((len(gap), count))
    spread[np.arange(len(gap)), place] = of_record
    error[..., c] = np.abs(weights @ spread).sum(-1)
  return error / weights.sum(-1)[..., None]


def brier(chance, labels, weights=None):
  """Mean squared difference of probability and label."""
  gap = np.asarray(chance, np.float64) - np.asarray(labels, bool)
  return _mean(gap**2, weights)


def log_loss(logits, labels, weights=None):
  """Mean negative log likelihood in nats, of logits, finite for any."""
  logits = np.asarray(logits, np.float64)
  loss = np.logaddexp(0, logits) - np.asarray(labels, bool) * logits
  return _mean(loss, weights)


def fit_temperature(logits, labels, weights=None):
  """The temperature T at which logits / T have the smallest log loss.

  One for all classes; between 1/100 and 100, where separable classes or
  constant labels would have it run away.
  """
  top = np.log(_LIMIT)
  found = scipy.optimize.minimize_scalar(
    lambda t: log_loss(logits * np.exp(-t), labels, weights).mean(),
    bounds=(-top, top),
    method="bounded",
    options={"xatol": 1e-7},
  )
  return float(np.exp(found.x))


def curves(chance, labels, bins, count=BINS):
  """Reliability curve of every class.

  Returns:
    C lists of (records, mean probability, share of positives), one of each
    bin that is not empty, in rising order.
  """
  found = []
  for p, y, place in zip(chance.T, labels.T, bins.T, strict=True):
    held = np.bincount(place, minlength=count)
    sums = [np.bincount(place, v, minlength=count) for v in (p, y)]
    found.append(
      [
        [int(held[b]), *(float(s[b] / held[b]) for s in sums)]
        for b in np.flatnonzero(held)
      ]
    )
  return found


def evaluate(work, task, tables):
  """Calibration of the trained encoder's probes: {fraction: block}.

  Args:
    work: `work.Work`. task: its name.
    tables: as `standard.evaluate` returns them.
  """
  choice = work.parts["choice"]
  found = {}
  for key in tables:
    if key[:2] != ("trained", "linear_probe"):
      continue
    judged = tables[key]
    if getattr(judged, "choice_scores", None) is not None:
      block = judge(
        tables["cohort"], judged.scores, judged.choice_scores,
        choice.labels(task), judged.summary["untrainable_classes"],
      )  # fmt: skip
      found[key[2]] = {"fitted_on": choice.split.name} | block
  return found


def judge(cohort, logits, choice_logits, choice_labels, untrainable=()):
  """Calibration of one head before and after one temperature.

  Args:
    cohort: `table.Cohort` of the tested records.
    logits: (n, C) of the tested records.
    choice_logits, choice_labels: (m, C) of those the temperature is fitted
      on.
    untrainable: names of classes without a head; they have no value.

  Returns:
    dict for results.json; of a probe with several seeds: the first.
  """
  trained = np.array([n not in untrainable for n in cohort.class_names])
  logits = np.asarray(logits, np.float64)
  temperature = fit_temperature(
    np.asarray(choice_logits, np.float64)[:, trained], choice_labels[:, trained]
  )
  bins = equal_count_bins(logits)
  block = {
    "seed": 0,
    "temperature": temperature,
    "temperature_at_limit": abs(np.log(temperature)) > np.log(0.99 * _LIMIT),
    "fitted_records": len(choice_labels),
    "bins": BINS,
    "undefined_classes": _names(cohort, ~cohort.defined),
    "untrainable_classes": list(untrainable),
  }
  n_pos, _ = metrics.support(cohort.labels)
  block["per_class"] = {
    name: {"n": len(logits), "n_pos": int(n_pos[c])}
    for c, name in enumerate(cohort.class_names)
  }
  for when, scale in (("before", 1.0), ("after", temperature)):
    macros, rows = _judge(cohort, logits / scale, bins, trained)
    block[when] = macros
    for name, row in zip(cohort.class_names, rows, strict=True):
      block["per_class"][name][when] = row
  return block


def _judge(cohort, logits, bins, trained):
  """Macro values, and a row of each class, of logits as they are."""
  labels, draws = cohort.labels, cohort.draws
  chance = scipy.special.expit(logits)

  def values(weights):
    return {
      "ece": calibration_error(chance, labels, bins, weights),
      "brier": brier(chance, labels, weights),
      "log_loss": log_loss(logits, labels, weights),
    }

  value, drawn = values(None), values(draws.weights.astype(np.float64))
  macros = {}
  for name, suffix in (("all", ""), ("enough", f"_n{FEW}")):
    mask = trained & (cohort.defined if name == "all" else cohort.enough)
    rows = draws.rows.get(name)
    macros[f"classes_averaged{suffix}"] = int(mask.sum())
    for measure in MEASURES:
      key = f"{measure}{suffix}"
      macros[f"macro_{key}"] = metrics.macro(value[measure], mask)
      macros[f"{key}_ci95"] = None
      if rows is not None and mask.any():
        spread = metrics.macro(drawn[measure][rows], mask)
        bounds = _interval(measure, spread, macros[f"macro_{key}"])
        macros[f"{key}_ci95"] = list(bounds)
  shapes = curves(chance, labels, bins)
  return macros, [
    _row(c, value, drawn, draws.rows.get(c), shapes[c]) if trained[c] else None
    for c in range(len(trained))
  ]


def _row(c, value, drawn, rows, curve):
  row = {}
  for measure in MEASURES:
    row[measure] = float(value[measure][c])
    if rows is not None:
      low, high = _interval(measure, drawn[measure][rows, c], row[measure])
      row |= {f"{measure}_lo": low, f"{measure}_hi": high}
  return row | {"curve": curve}


def _interval(measure, drawn, value):
  """Interval of resampled values (R,).

  Noise widens gaps whichever way it goes: a resample's ECE lies above that
  of the records it is drawn from. This mean excess is taken off again.
  """
  if measure == "ece":
    drawn = np.maximum(drawn - (drawn.mean() - value), 0)
  return metrics.interval(drawn)


def _weights(weights, n):
  weights = np.ones(n) if weights is None else weights
  return np.asarray(weights, np.float64)


def _mean(values, weights):
  weights = _weights(weights, len(values))
  return weights @ values / weights.sum(-1)[..., None]


def _names(cohort, mask):
  names = zip(cohort.class_names, mask, strict=True)
  return [name for name, chosen in names if chosen]
