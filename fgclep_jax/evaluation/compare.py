"""The command `fgclep compare`: two results folders, paired.

Works from what `fgclep evaluate` stored, never from a model. Both runs are
judged on the same stored stream of resamples; where ids, labels, protocols
or resamples differ there is nothing to pair, and it is refused.
"""

import json
import pathlib

import numpy as np

from fgclep_jax import metrics
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import pairing, results, table

LEVEL = 0.05  # of the corrected tests
SETS = {"all": "macro_auroc", "enough": "macro_auroc_n10"}


def run(first, second, out=None, say=print):
  """Compares two folders of `fgclep evaluate`.

  Args:
    first, second: the folders; differences are first minus second.
    out: JSON file to write, or None.
    say: prints one line.

  Returns:
    The content of the file.

  Raises:
    InputError: a folder is incomplete, or the two cannot be paired.
  """
  path = pathlib.Path(out) if out else None
  if path is not None and path.suffix != ".json":
    raise InputError(f"--out {out}: give a file name that ends in .json")
  content = results.clean(compare(pairing.read(first), pairing.read(second)))
  for line in lines(content):
    say(line)
  if path is not None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="ascii")
  return content


def compare(first, second):
  """Paired differences of every method that both runs have.

  Args:
    first, second: `pairing.Run`.

  Returns:
    dict for JSON: the runs, `rows` (task, protocol, method, measure, both
    values, difference, ci95, share_not_above_zero, p, p_holm, verdict),
    `only_in_one`, the methods that cannot be compared, and `notes`.
  """
  tasks = [t for t in first.content["tasks"] if t in second.content["tasks"]]
  pairing.check_data(first, second)
  rows, alone = [], []
  for task in tasks:
    for protocol in pairing.check_task(first, second, task):
      found, single = _task(first, second, task, protocol)
      rows += found
      alone += single
  correct(rows)
  unshared = set(first.content["tasks"]) ^ set(second.content["tasks"])
  return {
    "schema": 1,
    "notice": "Research software. Not a medical device.",
    "first": _describe(first),
    "second": _describe(second),
    "data": {k: first.content["data"][k] for k in ("dataset", "split")},
    "tasks_in_one_only": sorted(unshared),
    "only_in_one": alone,
    "notes": [
      f"task {task}: the two have different prompts"
      for task in tasks
      if _prompts(first, task) != _prompts(second, task)
    ],
    "rows": rows,
  }


def _task(first, second, task, protocol):
  """Rows of one task and protocol, and methods only one run has."""
  end = pairing.PROTOCOLS[protocol]
  labels = first.arrays[f"{task}/labels{end}"].astype(bool)
  strap = first.content["tasks"][task]["bootstrap"]
  stream = pairing.StoredStream(strap["sha256"], first.arrays[f"{task}/units"])
  sets = {
    "all": metrics.usable(labels),
    "enough": metrics.usable(labels, table.FEW),
  }
  sets = {name: mask for name, mask in sets.items() if mask.any()}
  draws = metrics.accepted_draws(stream, labels, sets, strap["resamples"])
  methods = [_methods(run, task, protocol) for run in (first, second)]
  both = [m for m in methods[0] if m in methods[1]]
  rows = []
  for method in both:
    areas = [
      _areas(run_, task, method, labels, draws.weights)
      for run_ in (first, second)
    ]
    for name, mask in sets.items():
      row = {"task": task, "protocol": protocol, "method": method}
      row |= {"measure": SETS[name], "classes_averaged": int(mask.sum())}
      row |= {"records": len(labels), "unit": strap["unit"]}
      rows.append(row | _difference(areas, mask, draws.rows[name]))
  alone = [f"{task}: {m}" for m in methods[0] + methods[1] if m not in both]
  return rows, alone


def _methods(run_, task, protocol):
  """Labels of a run's score arrays, best known first."""
  fixed = {"record_ids", "units"}
  for end in pairing.PROTOCOLS.values():
    fixed |= {f"classes{end}", f"labels{end}"}
  found = []
  for name in run_.arrays:
    own, _, method = name.partition("/")
    if own != task or method in fixed:
      continue
    words = [w for w in method.split() if not w.replace(".", "").isdigit()]
    if words[-1].endswith("_merl") == (protocol == "merl"):
      found.append(method)
  return found


def _scores(run_, name, shape):
  """(S, n, C) scores of a method; raises InputError for NaN."""
  scores = run_.arrays[name]
  if scores.shape[-2:] != shape or not np.isfinite(scores).all():
    raise InputError(
      f"{run_.name}: scores of {name!r} are not finite values for "
      f"{shape[0]} records and {shape[1]} classes: evaluate again"
    )
  return scores.reshape(-1, *shape)


def _areas(run_, task, method, labels, weights):
  """Means over seeds of the AUROC: (C,), and (D, C) resampled."""
  scores = _scores(run_, f"{task}/{method}", labels.shape)
  value = np.mean([metrics.auroc(one, labels) for one in scores], 0)
  if method == "zero_shot":
    stored = run_.content["tasks"][task][method]["macro_auroc"]
    stored = np.nan if stored is None else stored
    found = metrics.macro(value, metrics.usable(labels))
    if not np.allclose(stored, found, rtol=0, atol=2e-6, equal_nan=True):
      raise InputError(
        f"{run_.name}: results.json and scores.npz are not of the same "
        f"evaluation (task {task}: {stored:.6f} and {found:.6f}): evaluate "
        "again"
      )
  return value, np.mean([metrics.auroc(s, labels, weights) for s in scores], 0)


def _difference(areas, mask, rows):
  """Both values and what sets them apart; without interval where the
  classes are too rare for one."""
  values = [metrics.macro(value, mask) for value, _ in areas]
  found = {"first": values[0], "second": values[1], "resamples": 0}
  if rows is None:
    absent = dict.fromkeys(("ci95", "share_not_above_zero", "p"))
    return found | absent | {"difference": values[0] - values[1]}
  drawn = [metrics.macro(spread[rows], mask) for _, spread in areas]
  difference = drawn[0] - drawn[1]
  least = min((difference <= 0).sum(), (difference >= 0).sum())
  found |= metrics.paired_difference(*drawn)
  found["resamples"] = len(difference)
  return found | {"p": min(1.0, 2 * (least + 1) / (len(difference) + 1))}


def correct(rows):
  """Adds `p_holm`, over the tasks of a method and measure, and `verdict`.

  p is two-sided, from the shares of resamples on either side of 0; a
  difference counts as shown where its interval excludes 0, and as shown
  among all tasks where Holm's step-down leaves p at most 0.05.
  """
  families = {}
  for row in rows:
    row["p_holm"] = None
    if row["ci95"] is not None:
      key = row["protocol"], row["method"], row["measure"]
      families.setdefault(key, []).append(row)
  for family in families.values():
    family.sort(key=lambda row: row["p"])
    largest = 0.0
    for done, row in enumerate(family):
      largest = max(largest, min(1.0, (len(family) - done) * row["p"]))
      row["p_holm"] = largest
  for row in rows:
    row["verdict"] = _verdict(row)


def _verdict(row):
  if row["ci95"] is None:
    return "no interval: classes too rare"
  low, high = row["ci95"]
  if low <= 0 <= high:
    return "no difference shown"
  better = "first better" if low > 0 else "second better"
  after = row["p_holm"] <= LEVEL
  return better if after else f"{better}, not after Holm"


def _prompts(run_, task):
  return run_.content["tasks"][task]["zero_shot"]["prompts"]["sha256"]


def _describe(run_):
  checkpoint = run_.content["model"]["checkpoint"]
  return {
    "folder": pathlib.PurePath(run_.name).name,
    "checkpoint": checkpoint["hash"],
    "step": checkpoint.get("step"),
  }


def lines(content):
  """The comparison as lines of text; values times 100."""
  for which in ("first", "second"):
    run_ = content[which]
    yield results.inert(
      f"{which}: {run_['folder']}, step {run_['step']}, "
      f"{str(run_['checkpoint'])[:12]}"
    )
  yield (
    f"{'task':10s} {'method':34s} {'over':>7s} {'first':>6s} {'second':>6s} "
    f"{'minus':>7s} {'95 %':>15s} {'<= 0':>6s} {'Holm p':>7s} verdict"
  )
  for row in content["rows"]:
    yield results.inert(_line(row))
  yield from map(results.inert, content["notes"])
  for name in content["only_in_one"]:
    yield results.inert(f"only in one of the two, not compared: {name}")
  for name in content["tasks_in_one_only"]:
    yield results.inert(f"task in one of the two, not compared: {name}")
  yield (
    "macro AUROC x 100, first minus second on the same resamples; over: "
    "classes, n10 those with at least 10 positives and negatives; Holm: over "
    "the tasks of a method. Only `better` is a difference, of these two "
    "checkpoints: intervals cover the test records, not another training run."
  )


def _line(row):
  over = f"{row['classes_averaged']}{'n10' if 'n10' in row['measure'] else ''}"
  head = (
    f"{row['task']:10s} {row['method'].replace('_', ' '):34s} {over:>7s} "
    f"{100 * row['first']:6.1f} {100 * row['second']:6.1f} "
    f"{100 * row['difference']:+7.2f} "
  )
  if row["ci95"] is None:
    return f"{head}{'-':>15s} {'-':>6s} {'-':>7s} {row['verdict']}"
  low, high = (f"{100 * bound:+.2f}" for bound in row["ci95"])
  return (
    f"{head}{f'{low} {high}':>15s} {100 * row['share_not_above_zero']:5.1f}% "
    f"{row['p_holm']:7.4f} {row['verdict']}"
  )
