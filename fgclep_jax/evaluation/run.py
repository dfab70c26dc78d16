"""Evaluates a model on the tasks of a dataset: the whole of one command."""

import dataclasses
import pathlib

import numpy as np

from fgclep_jax import metrics
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import baselines as plain
from fgclep_jax.evaluation import linear_probe, report, results, table
from fgclep_jax.evaluation.embed import embed_split
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


def evaluate(
  model, untrained, splits, tasks, out_dir, options=None, run=None,
  progress=lambda line: None,
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

  Returns:
    The content of results.json as a dict.

  Raises:
    InputError: unknown task or split, overlap with the training records.
  """
  options = options or Options()
  tasks = _tasks(splits, tasks, options.split)
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
  stores = _encode(encoders, parts, options, progress)
  features = {
    kind: {name: found.features for name, found in by_split.items()}
    for kind, by_split in stores.items()
  }
  features |= _plain_features(parts, options, progress)
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


def _encode(encoders, parts, options, progress):
  """Encoder -> split name -> Embeddings; every split encoded once."""
  splits = {part.split.name: part.split for part in parts.values()}
  stores = {}
  for kind, encoder in encoders.items():
    stores[kind] = {}
    for name, split in splits.items():
      progress(f"{kind} encoder: {len(split)} records of {name}")
      stores[kind][name] = embed_split(
        encoder, split, options.batch_size, options.cache_dir
      )
  return stores


def _plain_features(parts, options, progress):
  """Baseline -> split name -> (n, W) features."""
  splits = {part.split.name: part.split for part in parts.values()}
  features = {}
  if not options.probe_fractions:
    return features
  for name in options.baselines:
    progress(f"baseline {name}")
    features[name] = {
      k: plain.baseline_features(s, name) for k, s in splits.items()
    }
  if all(split.truth is not None for split in splits.values()):
    features["true_features"] = {k: s.truth for k, s in splits.items()}
  return features


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
  for kind, by_split in features.items():
    for fraction in options.probe_fractions:
      found[kind, "linear_probe", str(float(fraction))] = _probe(
        task, parts, by_split, cohort, fraction
      )
  return found


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
