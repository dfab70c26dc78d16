"""Does each part of the method help? One factor at a time, paired.

  tfds build tfds_builders/simulated_ecg --config original \
    --data_dir data --file_format array_record
  python -m benchmarks.science.claims --data-dir data --out runs/claims

Trains every cell of `cells.py` for every seed from `configs/simulated.py` on
the simulated cohort, evaluates it on the test split (zero-shot on diagnoses
and on waveform features, linear probe on diagnoses, retrieval of reports), and
sets it beside the cell it differs from in one factor. Run again, it goes on
where it was; `--seeds 1` in a second process shares the work. With
`--table-only` only what is there is put together, also where some cells lack
seeds: how many each has stands beside it.

Differences are means over the seeds, paired record by record; intervals
(95 %) come from resampling the test patients alike on both sides, and say
nothing of other seeds: these are given one by one.
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
import time

import numpy as np

from benchmarks import common
from benchmarks.science import cells as cells_lib
from benchmarks.science import features, forest
from fgclep_jax import config as config_lib
from fgclep_jax import demo, metrics
from fgclep_jax.evaluation import compare, pairing, program
from fgclep_jax.training import loop

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "simulated.py"
BUILDER = ROOT / "tfds_builders" / demo.DATASET
TASKS = ("simulated", "features")
METHODS = ("zero_shot", "linear_probe 1.0")
RECALL, RESAMPLES = "R@10, ecg_to_text", 1000
SHOWN = {  # title: key of values and differences
  "diagnoses": "simulated, zero_shot",
  "features": "features, zero_shot",
  "probe": "simulated, linear_probe 1.0",
  "R@10": RECALL,
}
STAGES = ("features", "training", "evaluation")
RESULTS = "results.json"


def run_cell(cell, seed, data_dir, out, epochs, say=print):
  """Trains and evaluates one cell, unless that was done.

  Args:
    cell: `cells.Cell`.
    seed: of parameters, order and augmentation, and of what is planted.
    data_dir: folder with the built cohort.
    out: folder of all runs.
    epochs: of the first stage; the second has three tenths of it.
  """
  own = out / f"seed{seed}"
  folder = own / cell.folder
  if (folder / RESULTS).is_file():
    return
  config = config_lib.load(f"{CONFIG}:{'fine' if cell.features else ''}")
  config = config_lib.override(config, dict(cell.changes))
  first = own / cells_lib.DEFAULT
  init_from, dataset, start = "", "original", time.monotonic()
  data, seconds = data_dir, {}
  if cell.features:
    init_from, epochs = str(first / "run"), 0.3 * epochs
    if cell.features != "stated":
      table = features.table_of(cell, seed, first / "run", data_dir, own)
      data, dataset = folder / "data", "enhanced"
      demo.build(BUILDER, data, dataset, FGCLEP_ENHANCED=str(table))
    seconds["features"] = time.monotonic() - start
  config = dataclasses.replace(
    config,
    seed=seed,
    init_from=init_from,
    data=dataclasses.replace(config.data, config=dataset),
    optim=dataclasses.replace(config.optim, epochs=epochs),
  )
  say(f"seed {seed}: {cell.name}")
  start = time.monotonic()
  loop.train(config, folder / "run", data, lambda _: None)
  seconds["training"] = time.monotonic() - start
  program.evaluate(
    folder / "run", data_dir, demo.DATASET, folder,
    tasks=(*TASKS, "retrieval"), probe=(1.0,), probe_tasks=TASKS[:1],
    plain=False, say=lambda _: None,
  )  # fmt: skip
  seconds["evaluation"] = time.monotonic() - start - seconds["training"]
  (folder / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")
  shutil.rmtree(folder / "data", ignore_errors=True)
  if cell.name != cells_lib.DEFAULT:
    shutil.rmtree(folder / "run")


def table(cells, seeds, out):
  """{cell: row} of all cells that were run: values and differences.

  A cell has the seeds it was run with, a difference those of both its sides.
  """
  runs, hits = {}, {}
  for cell in cells:
    for seed in seeds:
      folder = out / f"seed{seed}" / cell.folder
      if (folder / RESULTS).is_file():
        runs.setdefault(cell.name, {})[seed] = pairing.read(folder)
        hits.setdefault(cell.name, {})[seed] = _hits(folder)
  rows = {}
  for cell in cells:
    if cell.name not in runs:
      continue
    own, other = runs[cell.name], runs.get(cell.against, {})
    row = {"factor": cell.factor, "against": cell.against, "seeds": [*own]}
    row |= _values([*own.values()])
    row["seconds"] = _seconds(out, own, cell)
    if both := [seed for seed in own if seed in other]:
      row["difference"] = _differences(
        [own[seed] for seed in both], [other[seed] for seed in both]
      )
      row["difference"][RECALL] = recall_difference(
        *(
          np.stack([hits[name][seed] for seed in both])
          for name in (cell.name, cell.against)
        ),
        own[both[0]],
      )
    rows[cell.name] = row
  return rows


def merged(runs):
  """Several seeds of one cell as one `pairing.Run`: scores (S, n, C)."""
  first = runs[0]
  for other in runs[1:]:
    pairing.check_data(first, other)
    for task in TASKS:
      pairing.check_task(first, other, task)
  arrays, content = dict(first.arrays), json.loads(json.dumps(first.content))
  for task in TASKS:
    for method in METHODS:
      name = f"{task}/{method}"
      if name in arrays:
        arrays[name] = np.stack(
          [run.arrays[name].reshape(arrays[f"{task}/labels"].shape)
           for run in runs]
        )  # fmt: skip
    areas = [
      run.content["tasks"][task]["zero_shot"]["macro_auroc"] for run in runs
    ]
    content["tasks"][task]["zero_shot"]["macro_auroc"] = np.mean(areas)
  return pairing.Run(first.name, content, arrays)


def _differences(runs, others):
  """{task and method: difference, interval, and that of each seed}."""
  whole = compare.compare(merged(runs), merged(others))["rows"]
  each = [
    compare.compare(run, other)["rows"]
    for run, other in zip(runs, others, strict=True)
  ]
  return {
    f"{row['task']}, {row['method']}": {
      "difference": row["first"] - row["second"],
      "ci95": row["ci95"],
      "of_seeds": [rows[i]["first"] - rows[i]["second"] for rows in each],
    }
    for i, row in enumerate(whole)
    if row["measure"] == "macro_auroc"
  }


def _hits(folder):
  """(n,) whether each ECG's own text is among its ten nearest."""
  with np.load(folder / "retrieval.npz") as ranks:
    return ranks["whole/trained ecg_to_text"] <= 10


def recall_difference(hits, others, run):
  """That of R@10, all records having a text.

  Args:
    hits, others: (S, n) bool, of each seed.
    run: `pairing.Run`, whose records these are.
  """
  seeds = (hits.astype(float) - others).mean(1)
  each = hits.mean(0) - others.mean(0)
  task = TASKS[0]
  stream = pairing.StoredStream(
    run.content["tasks"][task]["bootstrap"]["sha256"],
    run.arrays[f"{task}/units"],
  )
  weights = stream.weights(0, RESAMPLES)
  return {
    "difference": float(each.mean()),
    "ci95": [
      float(x) for x in metrics.interval(weights @ each / weights.sum(1))
    ],
    "of_seeds": [float(x) for x in seeds],
  }


def _values(runs):
  """Macro AUROCs and R@10, of each seed."""
  found = {}
  for task in TASKS:
    blocks = [run.content["tasks"][task] for run in runs]
    found[f"{task}, zero_shot"] = [
      block["zero_shot"]["macro_auroc"] for block in blocks
    ]
    if "linear_probe" in blocks[0]:
      found[f"{task}, linear_probe 1.0"] = [
        block["linear_probe"]["1.0"]["macro_auroc"] for block in blocks
      ]
  for way in ("ecg_to_text", "text_to_ecg"):
    found[f"R@10, {way}"] = [
      run.content["retrieval"]["galleries"]["whole"][way]["recall@10"]
      for run in runs
    ]
  return found


def _seconds(out, seeds, cell):
  """Mean over the seeds of each stage's seconds."""
  found = [
    json.loads((out / f"seed{seed}" / cell.folder / "seconds.json").read_text())
    for seed in seeds
  ]
  return {name: float(np.mean([s[name] for s in found])) for name in found[0]}


def lines(rows):
  """Two tables as Markdown, all values times 100: means, then differences."""
  head = ["factor", "cell", "seeds", *SHOWN, ", ".join(STAGES) + " (s)"]
  yield f"| {' | '.join(head)} |"
  yield "|---" * len(head) + "|"
  for name, row in rows.items():
    values = [f"{100 * np.mean(row[key]):.1f}" for key in SHOWN.values()]
    stages = [f"{row['seconds'].get(stage, 0):.0f}" for stage in STAGES]
    cells = [row["factor"], name, str(len(row["seeds"])), *values]
    yield f"| {' | '.join(cells)} | {', '.join(stages)} |"
  yield ""
  yield f"| cell minus | the other | {' | '.join(SHOWN)} |"
  yield "|---" * (2 + len(SHOWN)) + "|"
  for name, row in rows.items():
    if found := row.get("difference"):
      cells = [_minus(found.get(key)) for key in SHOWN.values()]
      yield f"| {name} | {row['against']} | {' | '.join(cells)} |"


def _minus(found):
  if not found:
    return ""
  signs = "".join("+-"[x < 0] for x in found["of_seeds"])
  if found["ci95"] is None:  # some class is too rare to be resampled
    return f"{100 * found['difference']:+.1f} (no interval) {signs}"
  low, high = (100 * bound for bound in found["ci95"])
  return f"{100 * found['difference']:+.1f} ({low:+.1f} to {high:+.1f}) {signs}"


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--data-dir", type=pathlib.Path, required=True)
  parser.add_argument("--out", type=pathlib.Path, required=True)
  parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
  parser.add_argument("--cells", nargs="+", help="names or factors; all")
  parser.add_argument("--epochs", type=float, default=10.0)
  parser.add_argument("--table-only", action="store_true")
  flags = parser.parse_args()
  try:
    cells = cells_lib.find(flags.cells)
  except ValueError as error:
    parser.error(str(error))
  if not flags.table_only:
    for seed in flags.seeds:
      for cell in cells:
        run_cell(cell, seed, flags.data_dir, flags.out, flags.epochs)
  rows = table(cells, flags.seeds, flags.out)
  content = {"seeds": flags.seeds, "epochs": flags.epochs, "table": rows}
  content["machine"] = common.machine()
  text = json.dumps(content, indent=2) + "\n"
  (flags.out / "claims.json").write_text(text, encoding="utf-8")
  forest.draw(rows, SHOWN, flags.out / "claims.svg")
  for line in lines(rows):
    print(line)


if __name__ == "__main__":
  main()
