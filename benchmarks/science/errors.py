"""What a model misses and what it calls without reason, with drawn ECGs.

  fgclep evaluate --workdir RUN --dataset ptb_xl --data-dir DATA \
    --split validation --task all --out RUN/evaluation
  python -m benchmarks.science.errors --results RUN/evaluation \
    --data-dir DATA --task super --finer sub,form,rhythm --out OUT

At the thresholds of results.json, which were chosen off the tested records:
how many records with a class are missed and how many without it are called,
and which finer labels they have, set beside how many of all records with (or
without) the class have them. The worst of both are drawn, the words of their
reports below: OUT holds waveforms and reports, keep it where the data are.
"""

import argparse
import json
import pathlib

import numpy as np
from scipy import stats

from fgclep_jax.data import sources
from fgclep_jax.evaluation import pairing
from fgclep_jax.signals import plot

DRAWN = 3  # of each class and kind of error
SHOWN = 4  # finer labels in the table
RATE, SECONDS = 100, 10


def analyse(run, task, finer, split, method="zero_shot"):
  """{class: {"missed" or "called": what is known of these errors}}.

  Args:
    run: `pairing.Run` of an evaluation of the split.
    task: whose errors.
    finer: names of tasks whose labels describe them.
    split: of `sources.open_split`.
    method: zero_shot.
  """
  labels, scores = run.arrays[f"{task}/labels"], run.arrays[f"{task}/{method}"]
  row_of = {str(name): row for row, name in enumerate(split.record_ids)}
  rows = np.array([row_of[str(i)] for i in run.arrays[f"{task}/record_ids"]])
  found = {}
  for column, name in enumerate(run.content["tasks"][task]["classes"]):
    own = run.content["tasks"][task][method]["per_class"][name]
    if own["threshold"] is None or own["auroc"] is None:
      continue  # nowhere to be chosen, or nothing to be told apart
    positive, score = labels[:, column], scores[:, column]
    called = score >= own["threshold"]
    found[name] = {"auroc": own["auroc"], "records": len(rows)}
    for kind, group, wrong, sign in (
      ("missed", positive, positive & ~called, 1),
      ("called", ~positive, ~positive & called, -1),
    ):
      order = np.argsort(sign * score, kind="stable")
      worst = [i for i in order if wrong[i]][:DRAWN]
      found[name][kind] = {
        "of": int(group.sum()),
        "wrong": int(wrong.sum()),
        "labels": shares(split, finer, rows[wrong], rows[group]),
        "worst": [int(rows[i]) for i in worst],
        "percentile": [float(100 * np.mean(score < score[i])) for i in worst],
      }
  return found


def shares(split, finer, wrong, group):
  """{label: (errors with it, records of the group with it)}; first those of
  which more are wrong than of the group."""
  found = {}
  for task in finer:
    for column, name in enumerate(split.class_names[task]):
      marked = split.labels[task][:, column] == 1
      counts = int(marked[wrong].sum()), int(marked[group].sum())
      if counts[0]:
        found[f"{task} {name}"] = counts
  rate = len(wrong) / max(len(group), 1)
  return dict(
    sorted(found.items(), key=lambda item: rate * item[1][1] - item[1][0])
  )


def draw(found, split, tasks, out):
  """Writes KIND-CLASS-1.png and so on, and returns their paths."""
  paths = []
  for name, kinds in found.items():
    for kind in ("missed", "called"):
      errors = zip(kinds[kind]["worst"], kinds[kind]["percentile"], strict=True)
      for number, (row, percentile) in enumerate(errors, 1):
        signal = split.signals(np.array([row]), RATE, RATE * SECONDS)[0]
        true = [
          label
          for task in tasks
          for label, mark in zip(
            split.class_names[task], split.labels[task][row], strict=True
          )
          if mark == 1
        ]
        words = "; ".join(split.statements[row])[:150]
        title = (
          f"{name} {kind}, percentile {percentile:.0f} of its scores; "
          f"labels {', '.join(dict.fromkeys(true))}\n{words}"
        )
        path = out / f"{kind}-{name}-{number}.png".replace("/", "_")
        plot.plot_ecg(signal, RATE, title, path, dpi=80)
        paths.append(path)
  return paths


def lines(found):
  """Markdown: a row for each class and kind of error."""
  yield "| class | AUROC | error | share | labels of the errors |"
  yield "|---|---|---|---|---|"
  for name, kinds in found.items():
    for kind in ("missed", "called"):
      own = kinds[kind]
      ci = stats.binomtest(own["wrong"], own["of"]).proportion_ci(
        method="wilson"
      )
      share = f"{own['wrong']} of {own['of']} ({ci.low:.0%}-{ci.high:.0%})"
      labels = [
        f"{label} {wrong} of {of}"
        for label, (wrong, of) in list(own["labels"].items())[:SHOWN]
      ]
      yield (
        f"| {name} | {kinds['auroc']:.3f} | {kind} | {share} | "
        f"{', '.join(labels)} |"
      )


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--results", required=True, help="of fgclep evaluate")
  parser.add_argument("--data-dir", required=True)
  parser.add_argument("--task", default="super")
  parser.add_argument("--finer", default="sub,form,rhythm")
  parser.add_argument("--out", type=pathlib.Path, required=True)
  flags = parser.parse_args()
  run = pairing.read(flags.results)
  data = run.content["data"]
  split = sources.open_split(
    flags.data_dir, data["dataset"], data["config"], data["split"]
  )
  finer = [name for name in flags.finer.split(",") if name]
  found = analyse(run, flags.task, finer, split)
  flags.out.mkdir(parents=True, exist_ok=True)
  draw(found, split, finer, flags.out)
  counts = {
    name: {
      kind: {key: own[key] for key in ("of", "wrong", "labels")}
      for kind, own in kinds.items()
      if isinstance(own, dict)
    }
    for name, kinds in found.items()
  }
  text = json.dumps(counts, indent=2) + "\n"
  (flags.out / "errors.json").write_text(text, encoding="utf-8")
  for line in lines(found):
    print(line)


if __name__ == "__main__":
  main()
