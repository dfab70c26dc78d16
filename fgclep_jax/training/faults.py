"""What went wrong on the way: steps that were skipped, records not read."""

import collections
import pathlib

from fgclep_jax.errors import RunError
from fgclep_jax.training.writer import Lines

NON_FINITE = "nonfinite.jsonl"
UNREADABLE = "unreadable.jsonl"


class Faults:
  """Keeps two files of JSON lines, one line a step with something to tell.

  `nonfinite.jsonl` names the records of every batch whose loss or gradient
  was not finite, `unreadable.jsonl` those records of a batch that could not
  be read, with the reason. Both hold every step once, over restarts too.

  Args of the constructor:
    workdir: folder of the run.
    start: the step the run goes on from.
    most: steps that are skipped in a row before the run stops; 0 never.
    train: `data.batches.Batches`.
  """

  def __init__(self, workdir, start, most, train):
    workdir = pathlib.Path(workdir)
    self._path = workdir / NON_FINITE
    self._skipped = Lines(self._path, start)
    self._unreadable = Lines(workdir / UNREADABLE, start)
    self._most, self._train = most, train
    kept = {row["step"] for row in self._skipped.kept}
    self._row = 0
    while start - self._row in kept:
      self._row += 1

  def note(self, step, values, records):
    """Writes what there is to tell of a step.

    Args:
      step: its number.
      values: its metrics.
      records: (B,) positions in the split.

    Returns:
      Metrics `unreadable` and `unreadable_<reason>`, where there are any.
    """
    ids = self._train.split.record_ids
    self._row = self._row + 1 if values["skipped"] else 0
    if values["skipped"]:
      named = [str(ids[i]) for i in records]
      self._skipped.write({"step": step, "records": named})
    reasons = {
      str(ids[i]): self._train.unreadable[i]
      for i in records.tolist()
      if i in self._train.unreadable
    }
    if not reasons:
      return {}
    self._unreadable.write({"step": step, "records": reasons})
    return {"unreadable": len(reasons)} | {
      f"unreadable_{reason}": count
      for reason, count in collections.Counter(reasons.values()).items()
    }

  def check(self, step):
    """Raises RunError when too many steps in a row were skipped."""
    if self._most and self._row >= self._most:
      raise RunError(
        f"{self._row} steps in a row up to step {step} had a loss or gradient "
        f"that is not finite, their records are in {self._path}: look at "
        "them, lower optim.learning-rate, or raise max-skipped-in-a-row"
      )

  def summary(self):
    """One line of the records that could not be read, or None."""
    found = collections.Counter(list(self._train.unreadable.values()))
    if not found:
      return None
    reasons = ", ".join(f"{reason} {n}" for reason, n in found.items())
    return (
      f"{found.total()} of {self._train.drawn} records could not be read "
      f"({reasons}): see {UNREADABLE} in the workdir"
    )

  def close(self):
    self._skipped.close()
    self._unreadable.close()
