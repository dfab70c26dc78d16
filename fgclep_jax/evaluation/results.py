"""The content of results.json and the plain files beside it."""

import csv
import dataclasses
import datetime
import json
import pathlib
import platform
import sys
import unicodedata

import numpy as np

from fgclep_jax import metrics

ROLES = {
  "true_features": "ceiling: classifier on the true waveform features",
  "pooled_statistics": "floor: statistics of each lead, blind to waveform",
  "random_kernels": "baseline: random convolutions of the raw signal",
}
CHOICES = (
  "C, and the thresholds of F1, are chosen on the records named choice; "
  "nothing is chosen on the tested ones"
)
_COLUMNS = (
  "protocol", "task", "method", "fraction", "seed", "class", "n", "n_pos",
  "prevalence", "auroc", "auroc_lo", "auroc_hi", "auprc", "auprc_lo",
  "auprc_hi", "threshold", "f1", "f1_lo", "f1_hi", "flags",
)  # fmt: skip


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
    "parts": {role: part.counts() for role, part in parts.items()},
    "choices": CHOICES,
    "overlap_records": overlap,
    "overlap_allowed": options.allow_overlap,
  }


def describe_cohort(cohort, options):
  """The head of a task's block: counts, unit and seed of the bootstrap."""
  return {
    "labels": "exact",
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
  trainable = np.all([p.trainable for p in probes], 0)
  names = np.array(cohort.class_names, dtype=object)
  area = np.array([r["auroc"] for r in summary["per_class"].values()])
  summary |= {
    "strength": [p.strength for p in probes],
    "strength_validation": [
      {str(k): v for k, v in p.validation.items()} for p in probes
    ],
    "fitted_records": [len(s) for s in subsets],
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
  `linear_probe`, fraction "" for zero-shot.
  """
  owner, kind, fraction = key
  if owner == "untrained":
    block = block.setdefault("untrained", {})
  elif owner in ROLES:
    block = block.setdefault("baselines", {})
    block = block.setdefault(owner, {"role": ROLES[owner]})
  elif owner != "trained":
    block = block.setdefault("beside", {}).setdefault(owner, {})
  if fraction:
    block.setdefault(kind, {})[fraction] = summary
  else:
    block[kind] = summary


def paired_differences(tables):
  """Differences of macro AUROC on the same resamples, first minus second."""
  fractions = [fraction for _, _, fraction in _methods(tables) if fraction]
  most = max(fractions, key=float, default="")
  probe = ("trained", "linear_probe", most)
  own = ("trained", "zero_shot", "")
  zero_shot = [key for key in _methods(tables) if key[1] == "zero_shot"]
  pairs = [(own, key) for key in zero_shot if key != own]
  pairs += [
    (probe, (owner, "linear_probe", most))
    for owner in ("untrained", "random_kernels", "pooled_statistics")
  ]
  found = []
  for first, second in pairs:
    drawn = [getattr(tables.get(k), "resampled", None) for k in (first, second)]
    if drawn[0] is not None and drawn[1] is not None:
      names = {"first": _label(first), "second": _label(second)}
      found.append(names | metrics.paired_difference(*drawn))
  return found


def _methods(tables):
  return [key for key in tables if key != "cohort"]


def _label(key):
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


def write(out_dir, content, tables):
  """Writes results.json, per_class.csv, scores.npz, probe_subsets.json.

  Args:
    out_dir: existing folder.
    content: nested dict; NaN becomes null.
    tables: task -> {"cohort": Cohort, (owner, kind, fraction): Table}.

  Returns:
    The content as written.
  """
  content = clean(content)
  text = json.dumps(content, indent=2, allow_nan=False)
  (out_dir / "results.json").write_text(text + "\n", encoding="ascii")
  with open(
    out_dir / "per_class.csv", "w", encoding="utf-8", newline=""
  ) as file:
    writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in _csv_rows(tables):
      writer.writerow({k: _cell(v) for k, v in row.items()})
  arrays, subsets = {}, {}
  for task, found in tables.items():
    cohort = found["cohort"]
    arrays[f"{task}/record_ids"] = cohort.record_ids
    arrays[f"{task}/labels"] = cohort.labels
    arrays[f"{task}/classes"] = np.array(cohort.class_names, str)
    for key in _methods(found):
      judged = found[key]
      if isinstance(judged, dict):
        continue
      arrays[f"{task}/{_label(key)}"] = judged.scores
      if key[:2] == ("trained", "linear_probe"):
        ids = [list(map(str, s)) for s in judged.subsets]
        subsets.setdefault(task, {})[key[2]] = ids
  np.savez(out_dir / "scores.npz", **arrays)
  (out_dir / "probe_subsets.json").write_text(json.dumps(subsets) + "\n")
  return content


def _csv_rows(tables):
  for task, found in tables.items():
    for key in _methods(found):
      judged, fraction = found[key], key[2]
      if isinstance(judged, dict):
        continue
      per_seed = dict(enumerate(judged.seeds))
      if len(per_seed) == 1:
        per_seed = {0: judged.summary["per_class"]}
      else:
        per_seed["mean"] = judged.summary["per_class"]
      for seed, classes in per_seed.items():
        for name, row in classes.items():
          yield {
            "protocol": "standard",
            "task": task,
            "method": _label((*key[:2], "")),
            "fraction": fraction,
            "seed": seed if fraction else "",
            "class": name,
            **row,
            "flags": " ".join(row["flags"]),
          }


def _cell(value):
  """A CSV cell that no spreadsheet takes for a formula."""
  value = clean(value)
  if isinstance(value, str):
    value = inert(value)
    return f"'{value}" if value[:1] in "=+-@" and value else value
  return "" if value is None else value


def inert(text):
  """Text without control, escape or direction characters."""
  return "".join(
    f"\\u{ord(c):04x}" if unicodedata.category(c) in ("Cc", "Cf") else c
    for c in str(text)
  )


def summary_lines(content):
  """One line per task and method, and per paired difference."""
  for task, block in content["tasks"].items():
    for name, summary in methods_of(block):
      yield f"{task:10s} {inert(name):42s} {macro_text(summary)}"
    for pair in block["paired"]:
      low, high = pair["ci95"]
      names = f"{pair['first']} minus {pair['second']}".replace("_", " ")
      yield (
        f"{task:10s} {inert(names):42s} {pair['difference']:+.3f} "
        f"[{low:+.3f}, {high:+.3f}]"
      )


def methods_of(block):
  """(name, summary) of every method in a task's block, best known first."""
  kinds = {"": block, "untrained: ": block.get("untrained", {})}
  for name, entry in block.get("beside", {}).items():
    kinds[f"beside {name}: "] = entry
  for name, entry in block.get("baselines", {}).items():
    kind = entry["role"].split(":")[0]
    kinds[f"{name.replace('_', ' ')} ({kind}): "] = entry
  for owner, entry in kinds.items():
    if "zero_shot" in entry:
      yield f"{owner}zero-shot", entry["zero_shot"]
  for owner, entry in kinds.items():
    for fraction, summary in entry.get("linear_probe", {}).items():
      yield f"{owner}probe {float(fraction):.0%}", summary


def macro_text(summary, suffix=""):
  """`0.913 [0.890, 0.934] over 5 classes`, or why there is no value."""
  value = summary.get(f"macro_auroc{suffix}")
  if value is None:
    reasons = summary.get("reasons", {})
    reason = reasons.get(f"macro_auroc{suffix}", summary.get("reason", ""))
    return inert(f"no value: {reason}")
  bounds = summary[f"ci95{suffix}"]
  between = f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""
  classes = summary[f"classes_averaged{suffix}"]
  return f"{value:.3f}{between} over {classes} classes"
