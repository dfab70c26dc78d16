"""Evaluates a model on the tasks of a dataset: the whole of one command."""

import pathlib

import threadpoolctl

from fgclep_jax.evaluation import (
  calibration,
  confusion,
  examples,
  files,
  merl,
  overview,
  report,
  results,
  retrieval,
  selection,
  standard,
  subgroups,
  supervised,
)
from fgclep_jax.evaluation.options import Options, check_models, choose_tasks
from fgclep_jax.evaluation.parts import make_parts
from fgclep_jax.evaluation.work import Work, read
from fgclep_jax.reports.prompts import class_prompts


# Products are small here: BLAS threads would mostly wait for each other.
# Instead signals are read ahead, and each probe has a core of its own.
@threadpoolctl.threadpool_limits.wrap(limits=1, user_api="blas")
def evaluate(
  model, untrained, splits, tasks, out_dir, options=None, run=None,
  progress=lambda line: None, beside=None, steps=None,
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
    steps: step -> function that restores the model of that step, those
      that `merl` may choose from with `options.select_step`.

  Returns:
    The content of results.json as a dict.

  Raises:
    InputError: unknown task or split, overlap with the training records.
  """
  options, beside = options or Options(), beside or {}
  tasks, wants_retrieval = choose_tasks(splits, tasks, options)
  check_models({"--workdir": model} | beside, splits, options)
  parts, overlap = make_parts(
    splits, options.split, options.inner_fraction, options.allow_overlap
  )
  encoders = {"trained": model}
  if untrained is not None:
    encoders["untrained"] = untrained
  encoders |= beside
  work = _prepare(parts, encoders, beside, tasks, options, progress, steps)
  blocks, tables = {}, {}
  for task in tasks:
    progress(f"task {task}: scores and intervals")
    tables[task], blocks[task] = _task(work, task, progress)
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
  }
  if work.selection is not None:
    content["selection"] = work.selection
  arrays = None
  if wants_retrieval:
    progress("retrieval: ranks and intervals")
    content["retrieval"], arrays = retrieval.evaluate(work)
  content["run"] = run or {}
  out_dir = pathlib.Path(out_dir)
  out_dir.mkdir(parents=True, exist_ok=True)
  content = files.write(out_dir, content, tables, arrays)
  shown = examples.choose(work, tables) if options.with_examples else ()
  report.write(out_dir, content, tables, shown)
  for line in overview.summary_lines(content):
    progress(line)
  return content


def _prepare(parts, encoders, beside, tasks, options, progress, steps):
  """Prompts and files first: a missing one is told before hours of reading."""
  split = parts["test"].split
  prompts = {
    task: class_prompts(task, split.class_names[task], options.standard_prompts)
    for task in tasks
  }
  merl_prompts = {}
  for task in tasks:
    if not options.merl or not merl.has_task(split, task):
      continue
    if options.prompt_file:
      names = merl.class_names(split, task)
      merl_prompts[task] = class_prompts(task, names, options.prompt_file)
    for fraction in options.fractions(task):
      merl.fitted_rows(parts["fit"], task, fraction, options)
  roles = ("choice", "test") if tasks else ("test",)
  probed = any(options.fractions(task) for task in tasks)
  facts = None
  if options.select_step:
    chosen, facts = selection.choose(
      steps or {}, parts, prompts | merl_prompts, options, progress
    )
    if chosen.checkpoint["hash"] != encoders["trained"].checkpoint["hash"]:
      encoders = encoders | {selection.NAME: chosen}
  found = read(parts, encoders, beside, roles, options, probed, progress)
  own, cut = map(selection.apart, found[:2]), map(selection.apart, found[2:])
  return Work(
    parts, *selection.apart(encoders), *(kinds[0] for kinds in own),
    *(kinds[1] for kinds in cut), prompts, merl_prompts, options, facts,
  )  # fmt: skip


def _task(work, task, progress):
  """Tables and block of one task, under every protocol asked for."""
  tables = standard.evaluate(work, task)
  tables |= supervised.evaluate(work, task, tables["cohort"], progress)
  block = standard.block(work, task, tables)
  block["confusion"] = confusion.evaluate(tables)
  block["calibration"] = calibration.evaluate(work, task, tables)
  block["subgroups"] = subgroups.evaluate(work, task, tables)
  if work.options.merl and merl.has_task(work.parts["test"].split, task):
    progress(f"task {task}: protocol merl")
    found = merl.evaluate(work, task)
    merl.extend(block, work, task, found)
    tables |= found
  return tables, block
