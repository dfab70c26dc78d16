"""The nine classes of CPSC2018 and the split used without published files."""

import numpy as np

from fgclep_jax.signals import releases

TASK = "cpsc"
# In the column order of the published MERL files
# (https://github.com/cheliu-computation/MERL-ICML2024, `icbeb`).
CLASSES = (
  "AFIB",
  "VPC",
  "NORM",
  "1AVB",
  "CRBBB",
  "STE",
  "PAC",
  "CLBBB",
  "STD",
)
TASKS = {TASK: CLASSES}
# Class numbers of REFERENCE.csv.
NUMBERED = (
  "NORM",
  "AFIB",
  "1AVB",
  "CLBBB",
  "CRBBB",
  "PAC",
  "VPC",
  "STD",
  "STE",
)
# SNOMED CT codes of the Challenge's headers.
CODES = {
  "426783006": "NORM",
  "164889003": "AFIB",
  "270492004": "1AVB",
  "164909002": "CLBBB",
  "59118001": "CRBBB",
  "284470004": "PAC",
  "164884008": "VPC",
  "429622005": "STD",
  "164931005": "STE",
}
# The class in words: the statements of the `enhanced` config.
NAMES = {
  "NORM": "normal ECG",
  "AFIB": "atrial fibrillation",
  "1AVB": "first degree atrioventricular block",
  "CLBBB": "left bundle branch block",
  "CRBBB": "right bundle branch block",
  "PAC": "premature atrial contraction",
  "VPC": "premature ventricular contraction",
  "STD": "ST segment depression",
  "STE": "ST segment elevation",
}
RECORDS = releases.RECORDS["cpsc2018"]
SPLIT_SIZES = releases.SPLIT_SIZES["cpsc2018"]


def multi_hot(names):
  """Returns (9,) uint8 of a collection of class names."""
  return np.array([name in names for name in CLASSES], np.uint8)


def own_splits():
  """Returns record id -> split, for use without the published files.

  The rule the published files are described by, over the sorted ids of the
  whole release: one fifth to test, then a tenth of the rest to validation,
  each the first part of a permutation with seed 42 (scikit-learn's
  `train_test_split(random_state=42)`). The sizes are the published ones, the
  members are not: the publishers drew over the order of their directory.
  """
  ids = np.array([f"A{number:04d}" for number in range(1, RECORDS + 1)])
  train, test = _draw(ids, 0.2)
  train, validation = _draw(train, 0.1)
  parts = {"train": train, "validation": validation, "test": test}
  return {str(i): split for split, part in parts.items() for i in part}


def _draw(ids, share):
  """Returns the rest and the drawn share of an array of ids."""
  order = np.random.RandomState(42).permutation(len(ids))
  size = int(np.ceil(share * len(ids)))
  return ids[order[size:]], ids[order[:size]]
