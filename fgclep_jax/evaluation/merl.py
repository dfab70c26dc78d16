"""The `merl` protocol: bug-compatible with the peers' public code.

Labels by the position of their column in each split's published file, CSN
labels by substring, the published prompts, subsets of rows with seed 42, a
head chosen on the tested records. What differs: the frozen encoder is in
evaluation mode (public code leaves BatchNorm in training mode) and keeps
the scaling of its own training; the head is trained in float32.
"""

import dataclasses
import os
from concurrent import futures

import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import (
  merl_head,
  merl_scores,
  merl_subset,
  results,
  table,
)
from fgclep_jax.evaluation.zero_shot import (
  add_token_counts,
  class_embeddings,
  zero_shot_scores,
)

ENCODERS = ("trained", "untrained")  # whose features are probed
# No checkpoint can be trained on min-max scaled input yet, so every row
# keeps its own scaling.
SCALING = "own"
DEPARTURES = (
  "encoder in evaluation mode",
  "head in float32",
  "signal as the dataset holds it, gaps repaired, at the model's rate and "
  "scaling",
)
NO_PROMPTS = "the published prompts were not given: --prompts CKEPE_prompt.json"


def has_task(split, task):
  """Whether a split has the labels of the protocol for a task."""
  return task in split.labels_merl


def class_names(split, task):
  """Class of each label column, as the split's published file has them."""
  names = split.metadata.get("class_names_merl", {}).get(split.name, {})
  return tuple(names.get(task, split.class_names[task]))


def evaluate(work, task):
  """Scores every method of a task; as `standard.evaluate`.

  Returns:
    {"cohort_merl": Cohort, (owner, kind, fraction): Table or reason}, kind
    `zero_shot_merl` or `linear_probe_merl`.
  """
  test, options = work.parts["test"], work.options
  rows, split = test.rows_of(task), test.split
  cohort = table.make_cohort(
    class_names(split, task), split.labels_merl[task][rows],
    split.record_ids[rows], split.patient_ids[rows], options.resamples,
    options.seed,
  )  # fmt: skip
  found = {"cohort_merl": cohort}
  for kind, encoder in work.merl_encoders.items():
    found[kind, "zero_shot_merl", ""] = _zero_shot(
      work, task, cohort, encoder, work.merl_stores[kind]
    )
  keys = [
    (kind, "linear_probe_merl", str(float(fraction)))
    for kind in ENCODERS
    if kind in work.merl_features
    for fraction in options.fractions(task)
  ]

  def probe(key):
    features = work.merl_features[key[0]]
    return _probe(work, task, cohort, features, float(key[2]))

  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return found | dict(zip(keys, pool.map(probe, keys), strict=True))


def extend(block, work, task, tables):
  """Puts the protocol's figures into a task's block of results.json."""
  cohort = tables["cohort_merl"]
  block["merl"] = results.describe_cohort(
    cohort, work.options, "merl: by position, csn by substring"
  )
  fitted = class_names(work.parts["fit"].split, task)
  pairs = zip(fitted, cohort.class_names, strict=True)
  block["merl"]["misplaced_columns"] = [
    {"column": c, "fitted": first, "tested": second}
    for c, (first, second) in enumerate(pairs)
    if first != second
  ]
  if work.selection is not None:
    block["merl"] |= {k: work.selection[k] for k in ("selection", "step")}
  for key in results.methods(tables):
    results.place(block, key, getattr(tables[key], "summary", tables[key]))
  if task in work.merl_prompts:
    block["zero_shot_merl"]["prompts"] = results.describe_prompts(
      work.merl_prompts[task], work.options.prompt_file
    )


def _zero_shot(work, task, cohort, encoder, store):
  if task not in work.merl_prompts:
    return {"protocol": "merl", "macro_auroc": None, "reason": NO_PROMPTS}
  test = work.parts["test"]
  embedding = store[test.split.name].embedding[test.rows_of(task)]
  classes = class_embeddings(encoder, work.merl_prompts[task])
  judged = merl_scores.make_table(cohort, zero_shot_scores(embedding, classes))
  add_token_counts(judged.summary, encoder, work.merl_prompts[task])
  return dataclasses.replace(
    judged, summary=judged.summary | {"scaling": SCALING}
  )


def _probe(work, task, cohort, by_split, fraction):
  """The head on a share of the training rows: Table, or reason."""
  fit = work.parts["fit"]
  ids, rows, facts = fitted_rows(fit, task, fraction, work.options)
  x, y = {}, {}
  for role, part in work.parts.items():
    x[role] = by_split[part.split.name][part.rows_of(task)]
    labels = np.asarray(part.split.labels_merl[task], bool)
    y[role] = labels[part.rows_of(task)]
  recipe = merl_head.Recipe(schedule=work.options.merl_schedule)
  try:
    heads = merl_head.train(x["fit"][rows], y["fit"][rows], recipe)
    judged = _judge(cohort, heads, x, y)
  except InputError as error:
    return {"protocol": "merl", "macro_auroc": None, "reason": str(error)}
  facts |= {
    "classes_without_positive": [
      name
      for name, any_ in zip(
        class_names(fit.split, task), y["fit"][rows].any(0), strict=True
      )
      if not any_
    ],
    # As text: 1e-8 would be rounded away.
    "recipe": dataclasses.asdict(recipe) | {"epsilon": f"{recipe.epsilon:g}"},
    "departures": list(DEPARTURES),
    "final_loss": float(heads.loss[-1].mean()),
  }
  return dataclasses.replace(
    judged, summary=judged.summary | facts, subsets=[ids[rows]]
  )


def fitted_rows(fit, task, fraction, options):
  """Record ids (n,) str of a task, the rows (k,) drawn, and facts on both.

  Args:
    fit: `parts.Part` to fit on. task: its name.
    fraction: share of the rows.
    options: Options.
  """
  ids = np.asarray(fit.split.record_ids, str)[fit.rows_of(task)]
  order, words = merl_subset.row_order(ids, task, options.merl_splits)
  rows = order[merl_subset.subset(len(order), fraction)]
  facts = {"fitted_records": len(rows), "of_records": len(order)}
  return ids, rows, facts | {"row_order": words}


def _judge(cohort, heads, x, y):
  """The run at its best epoch on validation, and at its best on test."""
  on_choice, _, _ = merl_scores.macros_by_epoch(
    heads.scores(x["choice"]), y["choice"]
  )
  scores = heads.scores(x["test"])
  area, f1, accuracy = merl_scores.macros_by_epoch(scores, y["test"])
  for macro, part in ((on_choice, "chosen on"), (area, "tested")):
    if np.isnan(macro).all():
      raise InputError(
        f"no class has positives and negatives among the records {part}"
      )
  chosen, most = int(np.argmax(on_choice)), int(np.argmax(area))
  at_best = merl_scores.make_table(cohort, scores[chosen])
  tuned = merl_scores.make_table(cohort, scores[most]).summary
  summary = {
    "protocol": "merl",
    "scaling": SCALING,
    "max_test_auroc": tuned["macro_auroc"],
    "max_test_auroc_ci95": tuned["ci95"],
    "max_test_auroc_n10": tuned["macro_auroc_n10"],
    "max_test_auroc_ci95_n10": tuned["ci95_n10"],
    "max_test_epoch": most + 1,
    "max_test_f1": f1.max(),
    "max_test_accuracy": accuracy.max(),
    "test_tuned": "max_test_* are maxima over epochs on the tested records",
    "at_best_val": {"epoch": chosen + 1, "val_auroc": on_choice[chosen]}
    | at_best.summary,
    "optimism": tuned["macro_auroc"] - at_best.summary["macro_auroc"],
  }
  return dataclasses.replace(at_best, summary=summary)
