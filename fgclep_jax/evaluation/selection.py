"""Which checkpoint `merl` judges: as published, chosen by benchmark labels.

`standard` never does this: it takes the newest checkpoint, or the one that
was asked for by its step.
"""

import pathlib

import numpy as np

from fgclep_jax import metrics
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation.embed import embed_split
from fgclep_jax.evaluation.merl import class_names
from fgclep_jax.evaluation.work import merl_form
from fgclep_jax.evaluation.zero_shot import class_embeddings, zero_shot_scores

NAME = "selected"  # of the chosen encoder, until it takes its place
WORDS = "merl, labelled validation data"


def choose(steps, parts, prompts, options, progress=lambda line: None):
  """Best mean zero-shot macro AUROC over the tasks' validation records.

  Args:
    steps: step -> function that restores its model.
    parts: role -> `parts.Part`; the records named choice are looked at.
    prompts: task -> class -> prompts, of the tasks that are asked for.
    options: Options.
    progress: called with one line of text at a time.

  Returns:
    The chosen model (of equal ones the earliest), and the facts: words,
    step, records looked at, and the macro AUROC of every step and task.

  Raises:
    InputError: nothing to choose from, or to choose by.
  """
  part = parts["choice"]
  prompts = {t: p for t, p in prompts.items() if t in part.split.labels_merl}
  if not prompts:
    raise InputError(
      f"--select-step: no task asked for has labels of merl in "
      f"{part.split.dataset}"
    )
  if len(steps) < 2:
    raise InputError(
      f"--select-step: {len(steps)} checkpoint to choose from: let training "
      "keep more of them (--keep 10)"
    )
  found, best = {}, None
  for step in sorted(steps):
    model = steps[step]()
    found[step] = _macros(model, part, prompts, options)
    mean = found[step]["mean"]
    progress(f"step {step}: {mean:.4f} zero-shot on {part.split.name}")
    if best is None or mean > found[best[0]]["mean"]:
      best = step, model
  step, model = best
  progress(f"selection: {WORDS}: step {step}")
  facts = {
    "selection": WORDS,
    "step": step,
    "checkpoint": dict(model.checkpoint),
    "chosen_on": part.split.name,
    "prompts": pathlib.PurePath(options.prompt_file or "reviewed").name,
    "macro_auroc": found,
  }
  return model, facts


def _macros(model, part, prompts, options):
  """Macro AUROC of every task, and `mean`, over the tasks that have one."""
  split = merl_form(part.split)
  store = embed_split(
    model, split, options.batch_size, options.cache_dir,
    getattr(split, "form", options.window),
  )  # fmt: skip
  found = {}
  for task, texts in prompts.items():
    rows = part.rows_of(task)
    # In the order of the label columns, which splits need not share.
    texts = {name: texts[name] for name in class_names(part.split, task)}
    scores = zero_shot_scores(
      store.embedding[rows], class_embeddings(model, texts)
    )
    area = metrics.auroc(scores, part.split.labels_merl[task][rows])
    found[task] = metrics.macro(area)
  values = [value for value in found.values() if not np.isnan(value)]
  if not values:
    raise InputError(
      f"--select-step: no class of {', '.join(prompts)} has positives and "
      f"negatives among the records of {part.split.name}"
    )
  return found | {"mean": float(np.mean(values))}


def apart(kinds):
  """{encoder: anything} of `standard`, and that of `merl`.

  In the second the chosen encoder, where there is one, is `trained`.
  """
  own = {name: x for name, x in kinds.items() if name != NAME}
  return own, own | ({"trained": kinds[NAME]} if NAME in kinds else {})
