"""The four PTB-XL label tasks, from SCP codes to multi-hot vectors.

Class orders are the column orders of the published MERL split files
(https://github.com/cheliu-computation/MERL-ICML2024): those of the training
split for `exact`, and for `merl` those of each split's own file, where the
validation and test files of `sub` have three columns in another order.
"""

import numpy as np

from fgclep_jax.errors import InputError

_SUB = (
  "AMI LAFB/LPFB LVH STTC IMI SEHYP CRBBB WPW LAO/LAE NORM {} LMI ISCI ISCA "
  "NST CLBBB ILBBB IRBBB PMI RVH IVCD"
)
_FORM = (
  "PAC DIG HVOLT STD LPR QWAVE VCLVH NDT TAB LOWT ABQRS LNGQT PRC(S) NT STE "
  "NST PVC INVT LVOLT"
)
_RHYTHM = "SVARR BIGU STACH SARRH SBRAD TRIGU AFIB SR SVTAC PSVT AFLT PACE"
CODE_COLUMNS = (
  "",
  "diagnostic",
  "form",
  "rhythm",
  "diagnostic_class",
  "diagnostic_subclass",
)
TASKS = {
  "super": ("HYP", "NORM", "MI", "CD", "STTC"),
  "sub": tuple(_SUB.format("AVB RAO/RAE ISC").split()),
  "form": tuple(_FORM.split()),
  "rhythm": tuple(_RHYTHM.split()),
}
_MERL_SUB = tuple(_SUB.format("ISC AVB RAO/RAE").split())

# Members of each task in the complete archive: train, validation, test.
TASK_SIZES = {
  "super": (17084, 2146, 2158),
  "sub": (17084, 2146, 2158),
  "form": (7197, 901, 880),
  "rhythm": (16832, 2100, 2098),
}


def merl_order(task, split):
  """Returns the class order of a split's published file."""
  if task == "sub" and split != "train":
    return _MERL_SUB
  return TASKS[task]


def code_table(entries):
  """Reads the lines of `scp_statements.csv`.

  Args:
    entries: dicts column -> text; the code's own column is named "".

  Returns:
    SCP code -> task -> class name, only the tasks a code belongs to.

  Raises:
    InputError: a class is unknown.
  """
  table = {}
  for row in entries:
    table[row[""]] = classes = _classes_of(row)
    for task, name in classes.items():
      if name not in TASKS[task]:
        raise InputError(
          f"scp_statements.csv: code {row['']!r} has the unknown class "
          f"{name!r} of task {task}"
        )
  return table


def _classes_of(row):
  """Returns task -> class name of one code, underscores trimmed."""
  classes = {}
  if row["diagnostic"] == "1.0":
    classes["super"] = row["diagnostic_class"].strip("_")
    classes["sub"] = row["diagnostic_subclass"].strip("_")
  for task in ("form", "rhythm"):
    if row[task] == "1.0":
      classes[task] = row[""].strip("_")
  return classes


def members(codes, table):
  """Returns task -> set of class names; every code counts as present."""
  names = {task: set() for task in TASKS}
  for code in codes:
    for task, name in table[code].items():
      names[task].add(name)
  return names


def example_labels(codes, table, split):
  """Returns the entries `labels`, `labels_merl`, `labelled` of an example."""
  names = members(codes, table)

  def multi_hot(task, order):
    return np.array([name in names[task] for name in order], np.uint8)

  return {
    "labels": {task: multi_hot(task, TASKS[task]) for task in TASKS},
    "labels_merl": {
      task: multi_hot(task, merl_order(task, split)) for task in TASKS
    },
    "labelled": {task: bool(names[task]) for task in TASKS},
  }
