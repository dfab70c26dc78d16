"""A few tested ECGs, as the model is shown them, and their closest prompts.

Only on request: the report then holds waveforms. Report text, ids and
anything on the patient stay out of it.
"""

import dataclasses
import hashlib

import numpy as np

from fgclep_jax.evaluation import figures
from fgclep_jax.signals import plot

COUNT = 5
CLOSEST = 3  # classes of each task


@dataclasses.dataclass(frozen=True)
class Example:
  """An ECG and what the model finds in it.

  png: bytes of the picture. closest: list of (task, class, prompts, cosine,
  whether the class is among the record's labels), highest cosine first.
  """

  png: bytes
  closest: list


def choose(work, tables):
  """Draws the examples; which ones depends on the ids only, never a score.

  Args:
    work: `work.Work`.
    tables: task -> tables as `standard.evaluate` returns them.

  Returns:
    list of Example, at most COUNT.
  """
  split, model = work.parts["test"].split, work.encoders["trained"]
  found = []
  for number, row in enumerate(chosen_rows(split.record_ids, tables), 1):
    signals, _ = split.windows(
      np.array([row]), model.rate, model.samples, "first"
    )
    title = f"Example {number}, at {model.rate} Hz, as the model is shown it"
    png = figures.png(plot.plot_ecg(signals[0], model.rate, title))
    found.append(Example(png, closest(work, tables, split.record_ids[row])))
  return found


def chosen_rows(record_ids, tables, count=COUNT):
  """(k,) positions of the records with the smallest hash of their id,
  among those that are part of a task."""
  judged = {i for found in tables.values() for i in found["cohort"].record_ids}
  rows = [r for r, i in enumerate(record_ids) if not judged or str(i) in judged]

  def key(row):
    return hashlib.sha256(str(record_ids[row]).encode()).hexdigest()

  return sorted(rows, key=key)[:count]


def closest(work, tables, record_id, count=CLOSEST):
  """The classes of each task with the highest zero-shot cosines."""
  lines = []
  for task, found in tables.items():
    cohort = found["cohort"]
    rows = np.flatnonzero(cohort.record_ids == str(record_id))
    if not len(rows):
      continue
    scores = found["trained", "zero_shot", ""].scores[rows[0]]
    for c in np.argsort(-scores, kind="stable")[:count]:
      name = cohort.class_names[c]
      lines.append(
        (
          task, name, tuple(work.prompts[task][name]), float(scores[c]),
          bool(cohort.labels[rows[0], c]),
        )
      )  # fmt: skip
  return lines
