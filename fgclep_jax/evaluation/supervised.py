"""Training on a task's labels: what frozen features are measured against.

`finetuned`: the checkpoint's encoder goes on learning, with a linear head
on its pooled features. `supervised`: the same encoder from fresh weights,
which owes nothing to pre-training. Both see the subsets of the probes.
"""

import dataclasses

import jax
import numpy as np

from fgclep_jax import metrics
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import results, table
from fgclep_jax.evaluation.standard import drawn_subsets
from fgclep_jax.models import two_tower
from fgclep_jax.models.embedder import Model
from fgclep_jax.signals import windows
from fgclep_jax.training import classifier

# The encoder that was trained before moves at a tenth of the head's rate.
RECIPES = {
  "finetuned": classifier.Recipe(encoder_rate=0.1),
  "supervised": classifier.Recipe(),
}
STARTS = {
  "finetuned": "checkpoint",
  "supervised": "fresh weights, drawn anew for every seed",
}


@dataclasses.dataclass(frozen=True)
class Records:
  """What the fits of a task share.

  fit: `parts.Part`; signals: its rows (B,) -> (B, 12, T) int16. seen: role
  -> signals (N, 12, T) of all windows of `choice` and `test`, and windows
  (n,) of each record. labels: role -> (n, C) bool. encoder: `Model` without
  text; parameters of a fit take the place of its own.
  """

  fit: object
  signals: object
  seen: dict
  labels: dict
  encoder: Model


def evaluate(work, task, cohort, progress=lambda line: None):
  """Trains and scores every method asked for, on every share.

  Args:
    work: `work.Work`. task: its name.
    cohort: `table.Cohort` of the tested records.
    progress: called with one line of text at a time.

  Returns:
    {(owner, kind, fraction): Table, or dict with the reason why there is
    none}; ("trained", "finetuned", ...) and ("supervised", "", ...).
  """
  methods = work.options.trained_methods
  fractions = work.options.fractions(task)
  if not methods or not fractions:
    return {}
  records = _records(work, task)
  found = {}
  for method in methods:
    for fraction in fractions:
      progress(f"task {task}: {method} on {fraction:.0%}")
      owner = ("trained", method) if method == "finetuned" else (method, "")
      found[*owner, str(float(fraction))] = _train(
        work, task, cohort, records, method, fraction
      )
  return found


def _records(work, task):
  """Records, read once; those trained on as the encoder was shown records."""
  model = work.encoders["trained"]
  data, mesh = model.config.data, model.mesh
  devices = jax.local_devices()[:1] if mesh is None else mesh.devices.flat
  samples = round(data.rate * data.seconds)
  fit, seen = work.parts["fit"], {}
  rows = fit.rows_of(task)
  for role in ("choice", "test"):
    part = work.parts[role]
    seen[role] = part.split.windows(
      part.rows_of(task), data.rate, samples, work.options.window
    )

  def signals(drawn):
    return fit.split.signals(
      rows[drawn], data.rate, samples, data.cache_gib, data.window
    )

  labels = {role: part.labels(task) for role, part in work.parts.items()}
  encoder = Model(model.config, None, _encoder_of(model)).on(devices)
  return Records(fit, signals, seen, labels, encoder)


def _encoder_of(model):
  """The parameters that are not of texts."""
  return {
    name: model.params[name]
    for name in two_tower.abstract(model.config, None)[1]
  }


def _train(work, task, cohort, records, method, fraction):
  """One method on one share of the training patients: Table, or reason."""
  encoder, labels = records.encoder, records.labels
  recipe = dataclasses.replace(RECIPES[method], epochs=work.options.epochs)
  # The same for all seeds, whose subsets differ by some records.
  total = recipe.steps(round(fraction * len(labels["fit"])))
  subsets = drawn_subsets(records.fit, task, fraction)
  fits, usable, scores = [], [], {"choice": [], "test": []}
  for seed, drawn in enumerate(subsets):
    usable.append(metrics.usable(labels["fit"][drawn]))
    params = classifier.start(
      encoder.config,
      encoder.params if method == "finetuned" else None,
      len(cohort.class_names),
      seed,
    )
    try:
      fits.append(_fit(params, records, drawn, recipe, total, seed))
    except InputError as error:
      return {"protocol": "standard", "macro_auroc": None, "reason": str(error)}
    for role, found in scores.items():
      own = _scores(records, fits[-1].params, role)
      # As of a probe: what cannot be learned scores a constant.
      found.append(np.where(usable[-1], own, 0).astype(np.float32))
  judged = table.judge(
    cohort, scores["test"], scores["choice"], labels["choice"], usable
  )
  choice = work.parts["choice"]
  results.add_fit_facts(judged.summary, cohort, usable, subsets, choice)
  judged.summary.update(
    start=STARTS[method],
    recipe=dataclasses.asdict(recipe),
    steps=total,
    best_step=[found.step for found in fits],
    validation=[found.curve for found in fits],
  )
  return judged


def _fit(params, records, drawn, recipe, total, seed):
  """The fit whose check on the records named choice is best."""
  fitted, chosen = records.labels["fit"][drawn], records.labels["choice"]
  judged = metrics.usable(fitted) & metrics.usable(chosen)
  if not judged.any():
    raise InputError(
      f"training on labels: none of {len(judged)} classes has positives and "
      f"negatives among both {len(fitted)} training and {len(chosen)} "
      "validation records; give more records"
    )

  def judge(params):
    scores = _scores(records, params, "choice")
    return metrics.macro(metrics.auroc(scores, chosen), judged)

  places, encoder = np.flatnonzero(drawn), records.encoder
  return classifier.fit(
    encoder.config, params, lambda rows: records.signals(places[rows]), fitted,
    judge, recipe, total, seed, encoder.mesh,
  )  # fmt: skip


def _scores(records, params, role):
  """Logits (n, C) float32, of each record's mean over its windows."""
  encoder, head = classifier.apart(params)
  kernel, bias = map(np.asarray, head)
  signals, counts = records.seen[role]
  _, features = records.encoder.having(encoder).encode_ecg(signals)
  return windows.mean_over(features, counts) @ kernel + bias
