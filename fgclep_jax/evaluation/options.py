"""How an evaluation goes about it, and what it refuses."""

import dataclasses

import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import baselines as plain
from fgclep_jax.evaluation import retrieval

PROTOCOLS = (("standard",), ("standard", "merl"))


@dataclasses.dataclass(frozen=True)
class Options:
  """How `evaluate` goes about it; the defaults are the protocol."""

  split: str = "test"
  probe_fractions: tuple = (1.0,)
  prompt_file: str | None = None  # of `merl` where that is asked for
  baselines: tuple = plain.NAMES
  resamples: int = 1000
  seed: int = 0
  inner_fraction: float = 0.15
  allow_overlap: bool = False
  batch_size: int = 64
  cache_dir: str | None = None
  window: str = "cover"  # what a long record is seen by
  probe_tasks: tuple | None = None  # None: every task is probed
  protocols: tuple = ("standard",)
  merl_schedule: str = "batch"  # see `merl_head.Recipe`
  merl_splits: str | None = None  # folder of the published split files
  with_examples: bool = False  # whether the report shows a few ECGs
  finetune: bool = False  # see `supervised`, as the next two
  supervised: bool = False
  epochs: float = 30.0
  select_step: bool = False  # of `merl`, see `selection`

  def __post_init__(self):
    if tuple(self.protocols) not in PROTOCOLS:
      raise InputError(
        f"protocol {','.join(self.protocols)!r}: give standard, or "
        "standard,merl: figures of merl stand beside standard ones"
      )
    if self.select_step and not self.merl:
      raise InputError(
        "--select-step chooses by labelled validation data, which standard "
        "never does: give --protocol standard,merl"
      )
    if self.trained_methods and not self.probe_fractions:
      raise InputError(
        "training on labels: give the shares of the train split, as "
        "--probe 0.1,1.0"
      )
    if not self.epochs > 0:
      raise InputError(f"--epochs {self.epochs}: give a number above 0")

  @property
  def merl(self):
    """Whether the `merl` protocol runs beside `standard`."""
    return "merl" in self.protocols

  @property
  def trained_methods(self):
    """Names of the methods that train an encoder on labels."""
    asked = {"finetuned": self.finetune, "supervised": self.supervised}
    return tuple(name for name, wanted in asked.items() if wanted)

  @property
  def standard_prompts(self):
    """File of the prompts of `standard`, None for the reviewed ones."""
    return None if self.merl else self.prompt_file

  def fractions(self, task):
    """Shares of the training patients that the task is probed on."""
    probed = self.probe_tasks is None or task in self.probe_tasks
    return self.probe_fractions if probed else ()


def choose_tasks(splits, tasks, options):
  """Names of the label tasks, and whether retrieval is one of the tasks.

  Raises:
    InputError: unknown split or task, or one without records.
  """
  name = options.split
  if name not in splits:
    raise InputError(
      f"no split {name!r} to evaluate: the dataset has {', '.join(splits)}"
    )
  split = splits[name]
  known = tuple(split.labels)
  if retrieval.has_texts(split):
    known += (retrieval.TASK,)
  if tuple(tasks) == ("all",):
    tasks = known
  for task in tasks:
    if task not in known:
      raise InputError(
        f"task {task!r} is not in dataset {split.dataset}: it has "
        f"{', '.join(known) or 'neither labels nor reports'}"
      )
  labelled = tuple(task for task in tasks if task != retrieval.TASK)
  for task in labelled:
    if not np.asarray(split.labelled[task], bool).any():
      raise InputError(f"no record of split {name!r} has a label of {task!r}")
  for task in set(options.probe_tasks or ()) - {*labelled}:
    raise InputError(
      f"task {task!r} to probe is not evaluated: that are "
      f"{', '.join(labelled) or 'none'}"
    )
  return labelled, retrieval.TASK in tasks


def check_models(models, splits, options):
  """No model may be without text, or trained on the split it is tested on.

  Args:
    models: name -> model, the first is `--workdir`.
  """
  split = splits[options.split]
  for name, model in models.items():
    if model.tokenizer is None:
      raise InputError(
        f"the checkpoint of {name} is an ECG encoder without tokenizer and "
        "text tower, classes cannot be named to it: give the workdir it was "
        "exported from, or an export of both towers"
      )
    origin = model.checkpoint.get("trained_on", {})
    same = (origin.get("dataset"), origin.get("split")) == (
      split.dataset, split.name,
    )  # fmt: skip
    if same and not options.allow_overlap:
      raise InputError(
        f"the checkpoint of {name} was trained on split {split.name!r} of "
        f"{split.dataset}: evaluate on another split"
      )
  taken = {"trained", "untrained", "selected", "true_features", "supervised"}
  taken |= {*plain.NAMES}
  if wrong := taken & models.keys():
    raise InputError(
      f"--beside {min(wrong)}: the name stands for another method; rename "
      "the folder"
    )
