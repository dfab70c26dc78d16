"""The commands `fgclep evaluate` and `fgclep embed`."""

import pathlib

import jax
import numpy as np

from fgclep_jax import inference
from fgclep_jax.data import sources
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import baselines, results
from fgclep_jax.evaluation import run as evaluation
from fgclep_jax.evaluation.embed import embed_split
from fgclep_jax.training import checkpoint


def evaluate(
  workdir,
  data_dir,
  dataset,
  out,
  *,
  dataset_config="original",
  split="test",
  tasks=("all",),
  probe=(),
  prompts=None,
  resamples=1000,
  plain=True,
  step=None,
  window="cover",
  beside=(),
  probe_tasks=None,
  protocols=("standard",),
  merl_schedule="batch",
  merl_splits=None,
  finetune=False,
  supervised=False,
  epochs=30.0,
  select_step=False,
  with_examples=False,
  say=print,
):
  """Restores a checkpoint and writes its results for a split.

  Args:
    workdir: of `fgclep train`.
    data_dir: folder of built datasets.
    dataset, dataset_config, split: what to evaluate on.
    out: folder of results.json, per_class.csv and report.html.
    tasks: names, or ("all",).
    probe: shares of the train split for the linear probe.
    prompts: JSON file of prompts, or None for the reviewed ones; with
      `merl` the published prompts, of which `standard` makes no use.
    resamples: of the bootstrap.
    plain: whether the untrained encoder and simple features stand beside.
    step: checkpoint; None takes the newest.
    window: what a long record is seen by, see `embed.embed_split`.
    beside: workdirs of further checkpoints, the newest step of each,
      compared zero-shot on the same records; named after their folders.
    probe_tasks: tasks that are probed; None takes all.
    protocols: ("standard",) or ("standard", "merl").
    merl_schedule, merl_splits: see `options.Options`.
    finetune, supervised: whether encoders are trained on labels, too.
    epochs: of these two, at most.
    select_step: whether `merl` takes the step that is best on labelled
      validation records; `standard` keeps `step`.
    with_examples: whether the report shows a few ECGs.
    say: prints one line.

  Returns:
    The content of results.json.
  """
  model = inference.load(workdir, step).on(jax.local_devices())
  others = _named(beside)
  names = sources.split_names(data_dir, dataset, dataset_config)
  if split not in names:
    raise InputError(
      f"{dataset}/{dataset_config} has no split {split!r}: it has "
      f"{', '.join(names)}"
    )
  wanted = [n for n in ("train", "validation", split) if n in names]
  splits = {
    name: sources.open_split(data_dir, dataset, dataset_config, name)
    for name in wanted
  }
  options = evaluation.Options(
    split=split,
    probe_fractions=tuple(probe),
    prompt_file=prompts,
    baselines=baselines.NAMES if plain else (),
    resamples=resamples,
    inner_fraction=model.config.data.inner_fraction,
    cache_dir=pathlib.Path(out) / "embeddings",
    window=window,
    probe_tasks=probe_tasks,
    protocols=protocols,
    merl_schedule=merl_schedule,
    merl_splits=merl_splits,
    finetune=finetune,
    supervised=supervised,
    epochs=epochs,
    select_step=select_step,
    with_examples=with_examples,
  )
  untrained = model.untrained() if plain else None
  content = evaluation.evaluate(
    model, untrained, splits, tuple(tasks), out, options,
    results.describe_run(), say, others,
    _restoring(workdir) if select_step else None,
  )  # fmt: skip
  say(f"report: {pathlib.Path(out).absolute() / 'report.html'}")
  return content


def embed(
  workdir, data_dir, dataset, config, split, out, step=None, window="cover"
):
  """Writes record ids, embeddings and features of a split to an .npz."""
  model = inference.load(workdir, step).on(jax.local_devices())
  found = embed_split(
    model, sources.open_split(data_dir, dataset, config, split), window=window
  )
  path = pathlib.Path(out)
  if path.suffix != ".npz":
    raise InputError(f"--out {out}: give a file name that ends in .npz")
  path.parent.mkdir(parents=True, exist_ok=True)
  np.savez(
    path,
    record_ids=found.record_ids,
    embedding=found.embedding,
    features=found.features,
  )
  return len(found)


def _restoring(workdir):
  """step -> function that restores it, of all steps kept."""

  def restoring(step):
    return lambda: inference.load(workdir, step).on(jax.local_devices())

  folder = pathlib.Path(workdir) / checkpoint.FOLDER
  return {step: restoring(step) for step in checkpoint.steps_of(folder)}


def _named(workdirs):
  """Folder name -> restored model."""
  found = {}
  for workdir in workdirs:
    name = pathlib.Path(workdir).resolve().name
    if name in found:
      raise InputError(
        f"--beside {workdir}: a folder named {name!r} stands there already; "
        "rename one of the two"
      )
    found[name] = inference.load(workdir).on(jax.local_devices())
  return found


def shares(text):
  """'0.1,1.0' -> (0.1, 1.0); '' -> ()."""
  try:
    found = tuple(float(part) for part in text.split(",") if part.strip())
  except ValueError:
    found = (0.0,)
  if any(not 0 < share <= 1 for share in found):
    raise InputError(f"--probe {text}: give shares in (0, 1], as 0.1,1.0")
  return found
