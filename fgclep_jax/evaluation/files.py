"""The plain files of an evaluation, from which any table can be redone."""

import csv
import json

import numpy as np

from fgclep_jax.evaluation.results import clean, inert, label_of, methods

_COLUMNS = (
  "protocol", "task", "method", "fraction", "seed", "class", "n", "n_pos",
  "prevalence", "auroc", "auroc_lo", "auroc_hi", "auprc", "auprc_lo",
  "auprc_hi", "threshold", "f1", "f1_lo", "f1_hi", "flags",
  "threshold_test_tuned", "f1_test_tuned", "f1_test_tuned_lo",
  "f1_test_tuned_hi", "accuracy_test_tuned", "prompt_tokens",
)  # fmt: skip


def write(out_dir, content, tables, retrieval=None):
  """Writes results.json, per_class.csv, scores.npz, probe_subsets.json.

  Args:
    out_dir: existing folder.
    content: nested dict; NaN becomes null.
    tables: task -> {"cohort": Cohort, (owner, kind, fraction): Table}.
    retrieval: name -> array, for retrieval.npz.

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
  arrays, subsets = _arrays(tables)
  np.savez(out_dir / "scores.npz", **arrays)
  (out_dir / "probe_subsets.json").write_text(json.dumps(subsets) + "\n")
  if retrieval:
    np.savez(out_dir / "retrieval.npz", **retrieval)
  return content


def _arrays(tables):
  """Arrays of scores.npz, and record ids a probe was fitted on.

  Scores are (n, C), of a probe with several seeds (S, n, C). Units are kept
  as numbers: with the hash of their names the resamples can be drawn again.
  """
  arrays, subsets = {}, {}
  for task, found in tables.items():
    arrays[f"{task}/record_ids"] = found["cohort"].record_ids
    for name in ("cohort", "cohort_merl"):
      if name in found:
        end = name.removeprefix("cohort")
        arrays[f"{task}/labels{end}"] = found[name].labels
        names = np.array(found[name].class_names, str)
        arrays[f"{task}/classes{end}"] = names
    cohort = found["cohort"]
    arrays[f"{task}/units"] = np.asarray(cohort.unit_of_record, np.int32)
    for key in methods(found):
      judged = found[key]
      if isinstance(judged, dict):
        continue
      several = len(judged.seed_scores) > 1
      scores = np.stack(judged.seed_scores) if several else judged.scores
      arrays[f"{task}/{label_of(key)}"] = scores
      if key[0] == "trained" and len(judged.subsets):
        ids = [list(map(str, s)) for s in judged.subsets]
        end = key[1].removeprefix("linear_probe")
        subsets.setdefault(f"{task}{end}", {})[key[2]] = ids
  return arrays, subsets


def _csv_rows(tables):
  for task, found in tables.items():
    for key in methods(found):
      judged, fraction = found[key], key[2]
      if isinstance(judged, dict):
        continue
      per_seed = dict(enumerate(judged.seeds))
      if len(per_seed) == 1:
        summary = judged.summary.get("at_best_val", judged.summary)
        per_seed = {0: summary["per_class"]}
      else:
        per_seed["mean"] = judged.summary["per_class"]
      for seed, classes in per_seed.items():
        for name, row in classes.items():
          yield {
            "protocol": judged.summary["protocol"],
            "task": task,
            "method": label_of((*key[:2], "")),
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
