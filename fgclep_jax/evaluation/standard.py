"""The `standard` protocol: zero-shot scores and linear probes."""

import dataclasses
import os
from concurrent import futures

import numpy as np

from fgclep_jax.data.sources import FEATURES
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import linear_probe, results, table
from fgclep_jax.evaluation.parts import unit_ids
from fgclep_jax.evaluation.zero_shot import (
  add_token_counts,
  class_embeddings,
  zero_shot_scores,
)

SUBSET_SEEDS = 5


def evaluate(work, task):
  """Scores every method of a task.

  Args:
    work: `work.Work`.
    task: its name.

  Returns:
    {"cohort": Cohort, (owner, kind, fraction): Table or dict with the
    reason why there is none}; fraction "" for zero-shot.
  """
  test, options = work.parts["test"], work.options
  rows, split = test.rows_of(task), test.split
  cohort = table.make_cohort(
    split.class_names[task], split.labels[task][rows], split.record_ids[rows],
    split.patient_ids[rows], options.resamples, options.seed,
  )  # fmt: skip
  found = {"cohort": cohort}
  for kind, encoder in work.encoders.items():
    classes = class_embeddings(encoder, work.prompts[task])
    judged = _zero_shot(task, work.parts, work.stores[kind], classes, cohort)
    add_token_counts(judged.summary, encoder, work.prompts[task])
    found[kind, "zero_shot", ""] = judged
  probes = {
    (kind, "linear_probe", str(float(fraction))): (by_split, fraction)
    for kind, by_split in work.features.items()
    for fraction in options.fractions(task)
    # The true features are the labels of their own task.
    if (kind, task) != ("true_features", FEATURES)
  }

  def probe(job):
    by_split, fraction = job
    return _probe(task, work.parts, by_split, cohort, fraction)

  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    judged = list(pool.map(probe, probes.values()))
  return found | dict(zip(probes, judged, strict=True))


def block(work, task, tables):
  """The block of one task in results.json, without other protocols."""
  found = results.describe_cohort(tables["cohort"], work.options)
  for key in results.methods(tables):
    results.place(found, key, getattr(tables[key], "summary", tables[key]))
  found["zero_shot"]["prompts"] = results.describe_prompts(
    work.prompts[task], work.options.standard_prompts or "reviewed"
  )
  found["paired"] = results.paired_differences(tables)
  return found


def _zero_shot(task, parts, store, classes, cohort):
  def scores(part):
    embedding = store[part.split.name].embedding[part.rows_of(task)]
    return zero_shot_scores(embedding, classes)

  choice = parts["choice"]
  return table.judge(
    cohort, [scores(parts["test"])], [scores(choice)], choice.labels(task)
  )


def _probe(task, parts, by_split, cohort, fraction):
  """Linear probe on a share of the training patients: Table, or reason."""
  fit, choice = parts["fit"], parts["choice"]
  x, y = {}, {}
  for role, part in parts.items():
    x[role] = by_split[part.split.name][part.rows_of(task)]
    y[role] = part.labels(task)
  ids = np.asarray(fit.split.record_ids, str)[fit.rows_of(task)]
  subsets, probes = drawn_subsets(fit, task, fraction), []
  for drawn in subsets:
    try:
      probes.append(
        linear_probe.fit_probe(
          x["fit"][drawn], y["fit"][drawn], x["choice"], y["choice"]
        )
      )
    except InputError as error:
      return {"protocol": "standard", "macro_auroc": None, "reason": str(error)}
  choice_scores = [p.scores(x["choice"]) for p in probes]
  judged = table.judge(
    cohort, [p.scores(x["test"]) for p in probes], choice_scores, y["choice"],
    [p.trainable for p in probes],
  )  # fmt: skip
  results.add_probe_facts(judged.summary, cohort, probes, subsets, choice)
  return dataclasses.replace(
    judged,
    subsets=[ids[drawn] for drawn in subsets],
    choice_scores=choice_scores[0],
  )


def drawn_subsets(fit, task, fraction):
  """Which labelled rows of a part are fitted on, by seed: list of (m,) bool.

  Args:
    fit: `parts.Part`. task: its name.
    fraction: share of the patients; all of them are drawn once.
  """
  rows = fit.rows_of(task)
  units = unit_ids(fit.split.patient_ids[rows], fit.split.record_ids[rows])
  return [
    linear_probe.stratified_subset(fit.labels(task), units, fraction, seed)
    for seed in range(SUBSET_SEEDS if fraction < 1 else 1)
  ]
