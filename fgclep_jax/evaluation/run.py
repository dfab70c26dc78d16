"""Evaluates a model on the tasks of a dataset: the whole of one command."""

import dataclasses
import os
import pathlib
from concurrent import futures

import numpy as np
import threadpoolctl

from fgclep_jax import metrics
from fgclep_jax.data.sources import FEATURES
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import baselines as plain
from fgclep_jax.evaluation import linear_probe, report, results, table
from fgclep_jax.evaluation.embed import embed_all
from fgclep_jax.evaluation.parts import make_parts, unit_ids
from fgclep_jax.evaluation.zero_shot import class_embeddings, zero_shot_scores
from fgclep_jax.reports.prompts import class_prompts, prompt_set_hash

SUBSET_SEEDS = 5


@dataclasses.dataclass(frozen=True)
class Options:
  """How `evaluate` goes about it; the defaults are the protocol."""

  split: str = "test"
  probe_fractions: tuple = (1.0,)
  prompt_file: str | None = None
  baselines: tuple = plain.NAMES
  resamples: int = 1000
  seed: int = 0
  inner_fraction: float = 0.15
  allow_overlap: bool = False
  batch_size: int = 64
  cache_dir: str | None = None
  window: str = "cover"  # what a long record is seen by
  probe_tasks: tuple | None = None  # None: every task is probed

  def fractions(self, task):
    """Shares of the training patients that the task is probed on."""
    probed = self.probe_tasks is None or task in self.probe_tasks
    return self.probe_fractions if probed else ()


# Products are small here: BLAS threads would mostly wait for each other.
# Instead signals are read ahead, and each probe has a core of its own.
@threadpoolctl.threadpool_limits.wrap(limits=1, user_api="blas")
def evaluate(
  model, untrained, splits, tasks, out_dir, options=None, run=None,
  progress=lambda line: None, beside=None,
):  # fmt: skip
  """Scores a model and writes results.json, per_class.csv, report.html.

  Args:
    model: restored model (`encode_ecg`, `embed_text`, `checkpoint`, ...).
    untrained: the same model freshly initialised, or None.
    splits: name -> split of one dataset; `train`, the evaluated one and,
      unless that is `validation` itself, `validation` where it exists.
    tasks: names of tasks, or ("all",).
    out_dir: folder for the files.
    options: Options.
    run: dict written as the only block that may differ between two runs
      on the same inputs (time, host, command).
    progress: called with one line of text at a time.
    beside: name -> further restored model, compared zero-shot on the same
      records and resamples; it is not probed.

  Returns:
    The content of results.json as a dict.

  Raises:
    InputError: unknown task or split, overlap with the training records.
  """
  options, beside = options or Options(), beside or {}
  tasks = _tasks(splits, tasks, options.split)
  for task in set(options.probe_tasks or ()) - {*tasks}:
    raise InputError(
      f"task {task!r} to probe is not evaluated: that are {', '.join(tasks)}"
    )
  _check_models({"--workdir": model} | beside, splits, options)
  prompts = {
    task: class_prompts(
      task, splits[options.split].class_names[task], options.prompt_file
    )
    for task in tasks
  }
  parts, overlap = make_parts(
    splits, options.split, options.inner_fraction, options.allow_overlap
  )
  encoders = {"trained": model}
  if untrained is not None:
    encoders["untrained"] = untrained
  encoders |= beside
  stores, features = _read(encoders, beside, tasks, parts, options, progress)
  blocks, tables = {}, {}
  for task in tasks:
    progress(f"task {task}: scores and intervals")
    tables[task] = _task_tables(
      task, parts, encoders, stores, features, prompts[task], options
    )
    blocks[task] = _task_block(tables[task], prompts[task], options)
  content = {
    "schema": 1,
    "notice": "Research software. Not a medical device.",
    "model": results.describe_model(model, splits[options.split]),
    "beside": {
      name: results.describe_model(other, splits[options.split])
      for name, other in beside.items()
    },
    "data": results.describe_data(parts, overlap, options),
    "tasks": blocks,
    "run": run or {},
  }
  out_dir = pathlib.Path(out_dir)
  out_dir.mkdir(parents=True, exist_ok=True)
  content = results.write(out_dir, content, tables)
  report.write(out_dir, content, tables)
  for line in results.summary_lines(content):
    progress(line)
  return content


def _tasks(splits, tasks, name):
  if name not in splits:
    raise InputError(
      f"no split {name!r} to evaluate: the dataset has {', '.join(splits)}"
    )
  known = tuple(splits[name].labels)
  if tuple(tasks) == ("all",):
    tasks = known
  for task in tasks:
    if task not in known:
      raise InputError(
        f"task {task!r} is not in dataset {splits[name].dataset}: it has "
        f"{', '.join(known) or 'no labels'}"
      )
    if not np.asarray(splits[name].labelled[task], bool).any():
      raise InputError(f"no record of split {name!r} has a label of {task!r}")
  return tuple(tasks)


def _check_models(models, splits, options):
  """No model may have been trained on the split it is tested on."""
  split = splits[options.split]
  for name, model in models.items():
    origin = model.checkpoint.get("trained_on", {})
    same = (origin.get("dataset"), origin.get("split")) == (
      split.dataset, split.name,
    )  # fmt: skip
    if same and not options.allow_overlap:
      raise InputError(
        f"the checkpoint of {name} was trained on split {split.name!r} of "
        f"{split.dataset}: evaluate on another split"
      )
  taken = {"trained", "untrained", "true_features", *plain.NAMES}
  if wrong := taken & models.keys():
    raise InputError(
      f"--beside {min(wrong)}: the name stands for another method; rename "
      "the folder"
    )


def _read(encoders, beside, tasks, parts, options, progress):
  """Encodes and measures every split in one reading.

  Returns:
    encoder -> split name -> Embeddings, and kind of features -> split name
    -> (n, W). Without a probe nothing is fitted: the records to fit on are
    not read then, and models that stand beside are never probed.
  """
  probed = any(options.fractions(task) for task in tasks)
  judged = {parts[role].split.name for role in ("choice", "test")}
  stores, features = {kind: {} for kind in encoders}, {}
  for split in {p.split.name: p.split for p in parts.values()}.values():
    if not probed and split.name not in judged:
      continue
    chosen = {
      kind: encoder
      for kind, encoder in encoders.items()
      if split.name in judged or kind not in beside
    }
    measured = options.baselines if probed else ()
    others = {name: plain.Measuring(name) for name in measured}
    progress(f"{len(split)} records of {split.name}: {', '.join(chosen)}")
    found = embed_all(
      chosen, split, options.batch_size, options.cache_dir, options.window,
      tuple(others.values()),
    )  # fmt: skip
    for kind, store in found.items():
      stores[kind][split.name] = store
      if kind not in beside:
        features.setdefault(kind, {})[split.name] = store.features
    for name, measuring in others.items():
      features.setdefault(name, {})[split.name] = measuring.result()
    if probed and split.truth is not None:
      features.setdefault("true_features", {})[split.name] = split.truth
  return stores, features


def _task_tables(task, parts, encoders, stores, features, prompts, options):
  """(owner, kind, fraction) -> Table; fraction "" for zero-shot."""
  test = parts["test"]
  rows, split = test.rows_of(task), test.split
  cohort = table.make_cohort(
    split.class_names[task], split.labels[task][rows], split.record_ids[rows],
    split.patient_ids[rows], options.resamples, options.seed,
  )  # fmt: skip
  found = {"cohort": cohort}
  for kind, encoder in encoders.items():
    classes = class_embeddings(encoder, prompts)
    found[kind, "zero_shot", ""] = _zero_shot(
      task, parts, stores[kind], classes, cohort
    )
  probes = {
    (kind, "linear_probe", str(float(fraction))): (by_split, fraction)
    for kind, by_split in features.items()
    for fraction in options.fractions(task)
    # The true features are the labels of their own task.
    if (kind, task) != ("true_features", FEATURES)
  }

  def probe(job):
    by_split, fraction = job
    return _probe(task, parts, by_split, cohort, fraction)

  with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    judged = list(pool.map(probe, probes.values()))
  return found | dict(zip(probes, judged, strict=True))


def _zero_shot(task, parts, store, classes, cohort):
  def scores(part):
    embedding = store[part.split.name].embedding[part.rows_of(task)]
    return zero_shot_scores(embedding, classes)

  labels = parts["choice"].labels(task)
  thresholds = metrics.best_threshold(scores(parts["choice"]), labels)
  chosen_on, _ = metrics.support(labels)
  return table.make_table(
    cohort, [scores(parts["test"])], [thresholds], chosen_on
  )


def _probe(task, parts, by_split, cohort, fraction):
  """Linear probe on a share of the training patients: Table, or reason."""
  fit, choice = parts["fit"], parts["choice"]
  x, y = {}, {}
  for role, part in parts.items():
    x[role] = by_split[part.split.name][part.rows_of(task)]
    y[role] = part.labels(task)
  rows = fit.rows_of(task)
  units = unit_ids(fit.split.patient_ids[rows], fit.split.record_ids[rows])
  subsets, probes = [], []
  for seed in range(SUBSET_SEEDS if fraction < 1 else 1):
    drawn = linear_probe.stratified_subset(y["fit"], units, fraction, seed)
    subsets.append(np.asarray(fit.split.record_ids, str)[rows[drawn]])
    try:
      probes.append(
        linear_probe.fit_probe(
          x["fit"][drawn], y["fit"][drawn], x["choice"], y["choice"]
        )
      )
    except InputError as error:
      return {"protocol": "standard", "macro_auroc": None, "reason": str(error)}
  thresholds = [
    np.where(p.trainable, metrics.best_threshold(s, y["choice"]), np.nan)
    for p in probes
    for s in [p.scores(x["choice"])]
  ]
  chosen_on, _ = metrics.support(y["choice"])
  judged = table.make_table(
    cohort, [p.scores(x["test"]) for p in probes], thresholds, chosen_on
  )
  results.add_probe_facts(judged.summary, cohort, probes, subsets, choice)
  return dataclasses.replace(judged, subsets=subsets)


def _task_block(tables, prompts, options):
  """The block of one task in results.json."""
  cohort = tables["cohort"]
  block = results.describe_cohort(cohort, options)
  for key, judged in tables.items():
    if key != "cohort":
      results.place(block, key, getattr(judged, "summary", judged))
  block["zero_shot"]["prompts"] = {
    "source": options.prompt_file or "reviewed",
    "sha256": prompt_set_hash(prompts),
    "classes": {name: list(texts) for name, texts in prompts.items()},
  }
  block["paired"] = results.paired_differences(tables)
  return block
