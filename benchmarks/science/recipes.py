"""PTB-XL sample: the papers' recipes and ours, with the same budget.

  tfds build tfds_builders/ptb_xl --config original --manual_dir RAW \
    --data_dir data --file_format array_record
  python -m benchmarks.science.recipes --data-dir data --out runs/recipes
  python -m benchmarks.science.recipes --data-dir data --out runs/recipes \
    --report

The first command trains every candidate of every recipe on folds 1-8 less an
inner part, and prints its zero-shot AUROC on the super classes of that part,
on which every choice is made. The second evaluates the best candidate of each
recipe, its first seed, on fold 9. Run again, they go on where they were: no
fold 9 is looked at twice. `--recipes NAME` in a second process shares the work.

All go through the real records equally often, in batches of the same size,
with the same augmentation, and learn their text tower from scratch. Those of
`TOWERS` differ in the method alone; ResNet-18 has its own, larger encoder.
"""

import argparse
import dataclasses
import json
import pathlib
import time

import numpy as np

from benchmarks import common
from fgclep_jax import config as config_lib
from fgclep_jax import inference, metrics
from fgclep_jax.data import sources
from fgclep_jax.evaluation import (
  compare,
  embed,
  pairing,
  parts,
  program,
  results,
  zero_shot,
)
from fgclep_jax.reports.prompts import class_prompts
from fgclep_jax.training import loop

CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "ptbxl_sample.py"
DATASET, FOLD_9 = "ptb_xl", "validation"
TASKS = ("super", "sub", "form", "rhythm")  # the first decides
INNER, SECONDS = "inner.json", "seconds.json"


@dataclasses.dataclass(frozen=True)
class Recipe:
  """One way of training and the values that the inner part chooses from.

  Attributes:
    name: in the table.
    base: argument of `configs/ptbxl_sample.py`.
    changes: {field: value} of `config.override`.
    choices: {label: further changes}.
    seeds: each choice is trained with; the mean decides.
  """

  name: str
  base: str
  changes: dict
  choices: dict
  seeds: tuple = (0,)


def _rates(*values):
  return {f"rate {x:g}": {"optim.learning_rate": str(x)} for x in values}


SIGMOID = {"loss.name": "sigmoid"}
TOWERS = (
  Recipe("ours, real records alone", "real", SIGMOID, _rates(1e-3, 2e-3)),
  Recipe(
    "FG-CLEP v1",
    "real",
    SIGMOID
    | {"loss.rule": "pair", "loss.bias": "None", "loss.multiplicity": "1.0"},
    _rates(1e-3, 2e-3),
  ),
  Recipe(
    "FG-CLEP v2",
    "real",
    {
      "loss.name": "fnm", "loss.rule": "pair", "loss.similarity": "frozen",
      "loss.bias": "None", "loss.multiplicity": "1.0",
      "data.statements_per_record": "1", "model.alignment": "attention",
      "model.ecg.pool": "mean",
    },
    _rates(1e-3, 2e-3),
  ),
  Recipe(
    "FOCAL v3",
    "real",
    SIGMOID
    | {
      "loss.rule": "pair", "loss.bias": "None", "loss.multiplicity": "1.0",
      "model.alignment": "transport", "model.ecg.pool": "mean",
    },
    _rates(1e-3, 2e-3),
  ),
)  # fmt: skip
RECIPES = (
  *TOWERS,
  Recipe(
    "CLIP softmax, ResNet-18",
    "real",
    {
      "model.ecg.name": "resnet18", "model.ecg.pool": "mean",
      "loss.name": "softmax", "loss.scale": str(1 / 0.07), "loss.bias": "None",
      "data.text": "report", "model.text.max_tokens": "64",
    },
    _rates(5e-4, 2e-3),
  ),
  Recipe(
    "ours, simulated records first",
    "",
    {},
    {
      "4,000 records": SIGMOID,
      "4,000 records, softmax": {"loss.name": "softmax"},
    },
  ),
)  # fmt: skip


def config_of(recipe, choice, seed):
  config = config_lib.load(f"{CONFIG}:{recipe.base}")
  changes = recipe.changes | recipe.choices[choice]
  config = config_lib.override(config, changes)
  return dataclasses.replace(config, seed=seed)


def folder_of(out, recipe, choice, seed):
  name = f"{recipe.name}, {choice}".replace(", ", "-").replace(" ", "-")
  return out / name / f"seed{seed}"


def train(recipe, choice, seed, data_dir, out, epochs=None):
  """Trains one candidate and writes its score on the inner part."""
  folder = folder_of(out, recipe, choice, seed)
  if (folder / INNER).is_file():
    return
  config = config_of(recipe, choice, seed)
  if epochs:
    optim = dataclasses.replace(config.optim, epochs=epochs)
    data = config.data
    if data.simulated_records:
      data = dataclasses.replace(data, simulated_records=64, simulated_epochs=1)
    config = dataclasses.replace(config, optim=optim, data=data)
  start = time.monotonic()
  loop.train(config, folder / "run", data_dir, lambda _: None)
  seconds = {"training": time.monotonic() - start}
  score = inner_score(folder / "run", data_dir)
  (folder / SECONDS).write_text(json.dumps(seconds), encoding="utf-8")
  (folder / INNER).write_text(json.dumps({"macro_auroc": score}))
  print(f"{recipe.name}, {choice}, seed {seed}: {score:.3f}", flush=True)


def inner_score(workdir, data_dir):
  """Zero-shot macro AUROC of the super classes on the inner part."""
  model = inference.load(workdir)
  split = sources.open_split(data_dir, DATASET, "original", "train")
  both = {"train": split, FOLD_9: split}  # the second is not looked at
  fraction = model.config.data.inner_fraction
  inner = parts.make_parts(both, FOLD_9, fraction, allow_overlap=True)[0]
  part = inner["choice"]
  prompts = class_prompts(TASKS[0], split.class_names[TASKS[0]])
  found = embed.embed_split(model, split)
  scores = zero_shot.zero_shot_scores(
    found.embedding[part.rows_of(TASKS[0])],
    zero_shot.class_embeddings(model, prompts),
  )
  labels = part.labels(TASKS[0])
  return metrics.macro(metrics.auroc(scores, labels), metrics.usable(labels))


def chosen(recipe, out):
  """{choice: scores of the seeds on the inner part}, of those that all seeds
  have, and the choice with the best mean."""
  found = {}
  for choice in recipe.choices:
    files = [
      folder_of(out, recipe, choice, seed) / INNER for seed in recipe.seeds
    ]
    if all(file.is_file() for file in files):
      scores = [json.loads(file.read_text())["macro_auroc"] for file in files]
      found[choice] = scores
  return found, max(found, key=lambda choice: np.mean(found[choice]))


def report(recipe, data_dir, out, trial=False):
  """Evaluates the best candidate's first seed on fold 9, unless that was done.

  Returns:
    Folder of the evaluation, and the row of the table.
  """
  scores, best = chosen(recipe, out)
  folder = folder_of(out, recipe, best, recipe.seeds[0])
  last = recipe is RECIPES[-1]  # with all that others need but once
  done = folder / "fold9" / "results.json"
  start = time.monotonic()
  if not done.is_file():
    program.evaluate(
      folder / "run", data_dir, DATASET, done.parent, split=FOLD_9,
      tasks=(*TASKS, "retrieval"), probe=(1.0,),
      plain=last, supervised=last and not trial, with_examples=last,
      say=lambda _: None,
    )  # fmt: skip
    seconds = json.loads((folder / SECONDS).read_text())
    seconds["evaluation"] = time.monotonic() - start
    (folder / SECONDS).write_text(json.dumps(seconds), encoding="utf-8")
  content = json.loads(done.read_text(encoding="utf-8"))
  row = {"chosen": best, "inner": scores}
  row["seconds"] = json.loads((folder / SECONDS).read_text())
  row["fold 9"] = {
    task: {
      name: [found["macro_auroc"], found.get("ci95")]
      for name, found in results.methods_of(block)
    }
    for task, block in content["tasks"].items()
  }
  return done.parent, row


def differences(folder, ours):
  """{task and method: ours minus theirs, and interval}, paired by record."""
  found = compare.compare(pairing.read(ours), pairing.read(folder))["rows"]
  return {
    f"{row['task']}, {row['method']}": [
      row["first"] - row["second"], row["ci95"]
    ]
    for row in found
    if row["measure"] == "macro_auroc"
  }  # fmt: skip


def lines(rows):
  """Markdown: zero-shot and probe on each task, AUROC times 100."""
  tasks = list(next(iter(rows.values()))["fold 9"])
  yield "| recipe | method | " + " | ".join(tasks) + " |"
  yield "|---" * (2 + len(tasks)) + "|"
  for name, row in rows.items():
    for method in row["fold 9"][tasks[0]]:
      cells = [_cell(*row["fold 9"][task][method]) for task in tasks]
      yield f"| {name} | {method} | {' | '.join(cells)} |"


def _cell(value, bounds):
  if value is None:
    return "none"
  if not bounds:
    return f"{100 * value:.1f} (no interval)"
  low, high = (100 * bound for bound in bounds)
  return f"{100 * value:.1f} ({low:.1f}-{high:.1f})"


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--data-dir", type=pathlib.Path, required=True)
  parser.add_argument("--out", type=pathlib.Path, required=True)
  parser.add_argument("--recipes", nargs="+", metavar="NAME")
  parser.add_argument(
    "--epochs",
    type=float,
    help="fewer, for a trial, without supervised training",
  )
  parser.add_argument("--report", action="store_true", help="fold 9, once")
  flags = parser.parse_args()
  known = {recipe.name: recipe for recipe in RECIPES}
  if unknown := sorted(set(flags.recipes or ()) - known.keys()):
    parser.error(f"no recipe {', '.join(unknown)}: {'; '.join(known)}")
  recipes = [known[name] for name in flags.recipes or known]
  for recipe in recipes:
    for choice in recipe.choices:
      for seed in recipe.seeds:
        train(recipe, choice, seed, flags.data_dir, flags.out, flags.epochs)
  if not flags.report:
    return
  found = [
    report(r, flags.data_dir, flags.out, bool(flags.epochs)) for r in recipes
  ]
  rows = {}
  for recipe, (folder, row) in zip(recipes, found, strict=True):
    if folder != found[-1][0]:
      row["ours minus it"] = differences(folder, found[-1][0])
    rows[recipe.name] = row
  content = {"table": rows, "machine": common.machine()}
  text = json.dumps(content, indent=2) + "\n"
  (flags.out / "recipes.json").write_text(text, encoding="utf-8")
  for line in lines(rows):
    print(line)


if __name__ == "__main__":
  main()
