"""The blocks that results.json is made of."""

import dataclasses
import datetime
import pathlib
import platform
import sys
import unicodedata

import numpy as np

from fgclep_jax import metrics
from fgclep_jax.reports.prompts import prompt_set_hash

ROLES = {
  "true_features": "ceiling: classifier on the true waveform features",
  "pooled_statistics": "floor: statistics of each lead, blind to waveform",
  "random_kernels": "baseline: random convolutions of the raw signal",
  "supervised": "baseline: the same encoder, trained on the labels alone",
}
CHOICES = (
  "C, the step of an encoder trained on labels, and the thresholds of F1, "
  "are chosen on the records named choice; "
  "nothing is chosen on the tested ones"
)


def describe_run():
  """Time, machine and command: all that may differ between equal runs."""
  now = datetime.datetime.now(datetime.UTC)
  return {
    "time": now.isoformat(timespec="seconds"),
    "machine": platform.machine(),
    "command": " ".join(map(_last_part, sys.argv)),
  }


def _last_part(argument):
  """Paths are named by their last part only: reports are passed on."""
  return pathlib.PurePath(argument).name or argument


def describe_model(model, split):
  """The block `model`: checkpoint, config, input contract, domain."""
  trained_on = model.checkpoint.get("dataset")
  config = model.config
  if dataclasses.is_dataclass(config):
    config = dataclasses.asdict(config)
  return {
    "checkpoint": dict(model.checkpoint),
    "config": config,
    "input": {
      "rate": model.rate,
      "samples": model.samples,
      "unit": "int16 microvolts",
      "leads": "I II III aVR aVL aVF V1 V2 V3 V4 V5 V6",
    },
    "trained_on": trained_on,
    "in_domain": None if trained_on is None else trained_on == split.dataset,
  }


def describe_data(parts, overlap, options):
  """The block `data`: which records were fitted, chosen and tested on."""
  split = parts["test"].split
  return {
    "dataset": split.dataset,
    "config": split.config,
    "split": split.name,
    "digest": split.digest,
    "partial": bool(split.partial),
    "window": options.window,
    "build": split.metadata.get("build"),
    "parts": {role: part.counts() for role, part in parts.items()},
    "choices": CHOICES,
    "overlap_records": overlap,
    "overlap_allowed": options.allow_overlap,
  }


def describe_cohort(cohort, options, labels="exact"):
  """The head of a task's block: counts, unit and seed of the bootstrap."""
  return {
    "labels": labels,
    "records": len(cohort.labels),
    "classes": list(cohort.class_names),
    "bootstrap": {
      "resamples": options.resamples,
      "seed": options.seed,
      "unit": cohort.unit,
      "units": cohort.units,
      "sha256": cohort.draws.digest,
    },
  }


def add_probe_facts(summary, cohort, probes, subsets, choice):
  """Adds to a probe's summary how it was fitted."""
  summary |= {
    "strength": [p.strength for p in probes],
    "strength_validation": [
      {str(k): v for k, v in p.validation.items()} for p in probes
    ],
  }
  usable = [p.trainable for p in probes]
  add_fit_facts(summary, cohort, usable, subsets, choice)


def add_fit_facts(summary, cohort, usable, subsets, choice):
  """Adds what was fitted on, and which classes could be learned there.

  Args:
    summary: of a table.
    cohort: Cohort of the tested records.
    usable: (C,) bool of each seed: the class has positives and negatives.
    subsets: (m,) bool of each seed, the records fitted on.
    choice: `parts.Part` that choices were made on.
  """
  trainable = np.all(usable, 0)
  names = np.array(cohort.class_names, dtype=object)
  area = np.array([r["auroc"] for r in summary["per_class"].values()])
  summary |= {
    "fitted_records": [int(drawn.sum()) for drawn in subsets],
    "chosen_on": choice.split.name,
    "untrainable_classes": list(names[~trainable]),
    "macro_trainable": metrics.macro(area, trainable & cohort.defined),
  }
  for name in summary["untrainable_classes"]:
    summary["per_class"][name]["flags"].append("untrainable")


def place(block, key, summary):
  """Puts a method's summary where the schema of a task's block has it.

  key: (owner, kind, fraction), owner `trained`, `untrained`, a baseline or
  the name of a model that stands beside, kind `zero_shot` or
  `linear_probe`, with `_merl` in that protocol, `finetuned`, or "" for the
  only kind of `supervised`; fraction "" for zero-shot.
  """
  owner, kind, fraction = key
  if owner == "untrained":
    block = block.setdefault("untrained", {})
  elif owner in ROLES:
    block = block.setdefault("baselines", {})
    block = block.setdefault(owner, {"role": ROLES[owner]})
  elif owner != "trained":
    block = block.setdefault("beside", {}).setdefault(owner, {})
  if kind and fraction:
    block = block.setdefault(kind, {})
  block[fraction or kind] = summary


def describe_prompts(prompts, source):
  """The block `prompts`: class -> texts, where from, and their hash."""
  return {
    "source": _last_part(source),
    "sha256": prompt_set_hash(prompts),
    "classes": {name: list(texts) for name, texts in prompts.items()},
  }


def paired_differences(tables):
  """Differences of macro AUROC on the same resamples, first minus second."""
  fractions = [k[2] for k in methods(tables) if k[1] == "linear_probe"]
  most = max(fractions, key=float, default="")
  probe = ("trained", "linear_probe", most)
  own = ("trained", "zero_shot", "")
  zero_shot = [key for key in methods(tables) if key[1] == "zero_shot"]
  pairs = [(own, key) for key in zero_shot if key != own]
  pairs += [
    (probe, (owner, "linear_probe", most))
    for owner in ("untrained", "random_kernels", "pooled_statistics")
  ]
  tuned, supervised = ("trained", "finetuned", most), ("supervised", "", most)
  pairs += [(tuned, probe), (tuned, supervised), (probe, supervised)]
  found = []
  for first, second in pairs:
    drawn = [getattr(tables.get(k), "resampled", None) for k in (first, second)]
    if drawn[0] is not None and drawn[1] is not None:
      names = {"first": label_of(first), "second": label_of(second)}
      found.append(names | metrics.paired_difference(*drawn))
  return found


def methods(tables):
  """Keys (owner, kind, fraction) of a task's tables."""
  return [key for key in tables if isinstance(key, tuple)]


def main_methods(tables):
  """{label: Table} of zero-shot and the largest probe of the trained
  encoder, as far as there are."""
  found = {}
  for kind in ("zero_shot", "linear_probe"):
    keys = [
      key
      for key in methods(tables)
      if key[:2] == ("trained", kind) and hasattr(tables[key], "scores")
    ]
    if keys:
      key = max(keys, key=lambda k: float(k[2] or 0))
      found[label_of(key)] = tables[key]
  return found


def label_of(key):
  """`linear_probe 1.0`, `untrained zero_shot`, ..."""
  owner, kind, fraction = key
  return " ".join(filter(None, [owner * (owner != "trained"), kind, fraction]))


def clean(value):
  """Plain JSON values: numbers to 6 decimals, NaN and infinities as None."""
  if isinstance(value, dict):
    return {str(k): clean(v) for k, v in value.items()}
  if isinstance(value, (list, tuple, np.ndarray)):
    return [clean(v) for v in value]
  if isinstance(value, (bool, np.bool_)):
    return bool(value)
  if isinstance(value, (int, np.integer)):
    return int(value)
  if isinstance(value, (float, np.floating)):
    return round(float(value), 6) if np.isfinite(value) else None
  return value if value is None else str(value)


def inert(text):
  """Text without control, escape or direction characters."""
  return "".join(
    f"\\u{ord(c):04x}" if unicodedata.category(c) in ("Cc", "Cf") else c
    for c in str(text)
  )


def methods_of(block):
  """(name, summary) of the `standard` methods of a task, best known first."""
  kinds = owners_of(block)
  for owner, entry in kinds.items():
    if "zero_shot" in entry:
      yield f"{owner}zero-shot", entry["zero_shot"]
  for owner, entry in kinds.items():
    for fraction, summary in entry.get("linear_probe", {}).items():
      yield f"{owner}probe {float(fraction):.0%}", summary
  for fraction, summary in block.get("finetuned", {}).items():
    yield f"fine-tuned {float(fraction):.0%}", summary
  supervised = block.get("baselines", {}).get("supervised", {})
  for fraction, summary in supervised.items():
    if fraction != "role":
      yield f"supervised (baseline) {float(fraction):.0%}", summary


def owners_of(block):
  """{start of a method's name: the block that holds its summaries}."""
  kinds = {"": block, "untrained: ": block.get("untrained", {})}
  for name, entry in block.get("beside", {}).items():
    kinds[f"beside {name}: "] = entry
  for name, entry in block.get("baselines", {}).items():
    kind = entry["role"].split(":")[0]
    kinds[f"{name.replace('_', ' ')} ({kind}): "] = entry
  return kinds


def macro_text(summary, suffix=""):
  """`0.913 [0.890, 0.934] over 5 classes`, or why there is no value."""
  value = summary.get(f"macro_auroc{suffix}")
  if value is None:
    reasons = summary.get("reasons", {})
    reason = reasons.get(f"macro_auroc{suffix}", summary.get("reason", ""))
    return inert(f"no value: {reason}")
  classes = summary[f"classes_averaged{suffix}"]
  text = with_interval(value, summary[f"ci95{suffix}"])
  return f"{text} over {classes} classes"


def with_interval(value, bounds):
  """`0.913 [0.890, 0.934]`."""
  between = f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""
  return "no value" if value is None else f"{value:.3f}{between}"
