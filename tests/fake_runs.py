"""Training runs without a dataset: seconds, and the same numbers for ever."""

import numpy as np

from fgclep_jax.training import setup
from tests import data_fakes, tiny_runs

SIZES = {
  "data.seconds": "1",
  "data.batch-size": "8",
  "model.ecg.width": "8",
  "model.ecg.heads": "1",
  "model.ecg.mlp": "16",
  "model.ecg.patch-seconds": "0.5",
  "model.text.width": "8",
  "model.text.heads": "1",
  "model.text.mlp": "16",
  "model.embedding": "8",
}


def config(**changes):
  """As `tiny_runs.config`, and smaller."""
  dotted = {name.replace("-", "_").replace(".", "__"): v
            for name, v in SIZES.items()}  # fmt: skip
  return tiny_runs.config(**(dotted | changes))


def without_dataset(monkeypatch):
  """Makes every split a fake one, its patients its own."""
  monkeypatch.setattr(setup.sources, "open_split", _open)


def _open(_, __, ___="original", name="train"):
  split = data_fakes.split(records=40, seed=len(name))
  split.name = name
  split.patient_ids = np.char.add(f"{name}-", split.patient_ids)
  return split
