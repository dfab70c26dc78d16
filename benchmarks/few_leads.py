"""How much of what twelve leads show is left with fewer.

  fgclep train --config configs/simulated.py:coarse --data-dir DATA \
    --augment.lead-masking 0.5 --workdir MASKED
  fgclep train --config configs/simulated.py:coarse --data-dir DATA \
    --workdir PLAIN
  python -m benchmarks.few_leads --masked MASKED --plain PLAIN --data-dir DATA

Zero-shot macro AUROC on the simulated test split, of the diagnoses that limb
leads can show: all but those that are defined by chest leads. `kept` is the
share of the gain over chance with twelve leads of the same model, (AUROC with
these leads - 0.5) / (AUROC with twelve - 0.5); 95 % intervals from 1000
resamples of patients, the same for all rows. Where I and II are there, the
other limb leads are derived from them.
"""

import argparse

import numpy as np

from benchmarks import common
from fgclep_jax import inference, metrics
from fgclep_jax.data import sources
from fgclep_jax.evaluation import zero_shot
from fgclep_jax.reports import prompts
from fgclep_jax.signals import leads

TASK, DATASET = "simulated", "simulated_ecg"
CHEST = {  # what is defined by voltages or ST segments of V1 to V6
  "Brugada pattern",
  "acute anterior myocardial infarction",
  "anterior ischemia",
  "anterior myocardial infarction",
  "incomplete right bundle branch block",
  "left ventricular hypertrophy",
  "posterior myocardial infarction",
  "right ventricular hypertrophy",
}
SUBSETS = {
  "twelve": leads.LEADS,
  "I, II": ("I", "II"),
  "II": ("II",),
  "V2": ("V2",),
}
RESAMPLES = 1000


def scores(model, split, names, classes):
  """(n, C) cosines of the records seen by these leads."""
  signals = split.signals(np.arange(len(split)), model.rate, model.samples)
  rows = leads.rows_of(names)
  seen = model.embed_ecg(signals[:, rows], model.rate, names)
  return zero_shot.zero_shot_scores(seen, classes)


def judge(model, split):
  """{subset: (R + 1,) macro AUROC}: of all records, then of R resamples."""
  texts = prompts.class_prompts(TASK, split.class_names[TASK])
  classes = zero_shot.class_embeddings(model, texts)
  shown = np.array([name not in CHEST for name in texts])
  labels = split.labels[TASK][:, shown]
  draws = metrics.accepted_draws(
    metrics.Resamples(split.patient_ids),
    labels,
    {"all": np.ones(shown.sum(), bool)},
    RESAMPLES,
  )
  weights = np.concatenate([np.ones((1, len(split))), draws.weights])
  found = {}
  for subset, names in SUBSETS.items():
    values = scores(model, split, names, classes)[:, shown]
    found[subset] = metrics.auroc(values, labels, weights).mean(-1)
  return found


def rows(name, found):
  """{row: {column: figure}} of one model."""
  table = {}
  for subset, values in found.items():
    kept = (values - 0.5) / (found["twelve"] - 0.5)
    low, high = metrics.interval(kept[1:])
    table[f"{name}, {subset}"] = {
      "auroc": float(values[0]),
      "kept": float(kept[0]),
      "kept_low": low,
      "kept_high": high,
    }
  return table


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--masked", required=True, help="trained with masking")
  parser.add_argument("--plain", required=True, help="trained without")
  parser.add_argument("--data-dir", required=True)
  flags = parser.parse_args()
  split = sources.open_split(flags.data_dir, DATASET, split="test")
  table = {}
  for name in ("masked", "plain"):
    model = inference.load(getattr(flags, name))
    table |= rows(name, judge(model, split))
  names = split.class_names[TASK]
  common.write(
    "few_leads",
    {
      "records": len(split),
      "diagnoses": [name for name in names if name not in CHEST],
      "table": table,
    },
  )


if __name__ == "__main__":
  main()
