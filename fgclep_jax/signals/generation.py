"""Turns the records of a dataset into examples, and keeps the account.

The example of a record is made by the same function whoever calls it: a
generator (here) or Beam's workers (`beam_generation`).
"""

import collections
import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fgclep_jax.errors import InputError
from fgclep_jax.signals import challenge, contract, header

# Splits that must be complete unless the user says otherwise.
HELD_OUT = ("validation", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
  """How the examples of a dataset are made.

  Attributes:
    find: module-level function (tools, index) -> row with `record_id` and
      `path`.
    make: module-level function (tools, row) -> example; raises RecordError
      for a record that cannot be read.
    tools: what both need: the opened archive, the enhanced tables.
    places: split -> ascending indices of its records.
    complete: splits in which no record may be lost.
    compare: note a digest of every signal, to find equal ones.
  """

  find: Callable
  make: Callable
  tools: Any
  places: Mapping[str, Sequence[int]]
  complete: tuple[str, ...] = ()
  compare: bool = False


def places(rows, splits):
  """Returns split -> indices of its rows, splits without rows left out."""
  found = {split: [] for split in splits}
  for index, row in enumerate(rows):
    found[row.split].append(index)
  return {split: indices for split, indices in found.items() if indices}


@dataclasses.dataclass(eq=False)
class Account:
  """What became of some records of one split.

  Lists hold the index of the record first: sorted by it they are the same
  whatever the order of the work.
  """

  kept: int = 0
  flags: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  patients: set = dataclasses.field(default_factory=set)
  dropped: list = dataclasses.field(default_factory=list)
  refused: list = dataclasses.field(default_factory=list)
  digests: list = dataclasses.field(default_factory=list)  # hexadecimal

  def absorb(self, other):
    """Adds another account to this one."""
    self.kept += other.kept
    self.flags.update(other.flags)
    self.patients |= other.patients
    self.dropped += other.dropped
    self.refused += other.refused
    self.digests += other.digests

  def to_json(self):
    """Returns the account as text, for `from_json`."""
    fields = vars(self) | {"patients": sorted(self.patients)}
    return json.dumps(fields)

  @classmethod
  def from_json(cls, text):
    """Returns the account of a text of `to_json`."""
    fields = json.loads(text)
    return cls(
      kept=fields["kept"],
      flags=collections.Counter(fields["flags"]),
      patients=set(fields["patients"]),
      **{
        name: [tuple(entry) for entry in fields[name]]
        for name in ("dropped", "refused", "digests")
      },
    )


def judge(recipe, split, index, account):
  """Returns record id and example, or None for a record not kept.

  Whatever the record comes to is noted in `account`; one that the build
  must not go without is noted as refused, with the message for the user.
  """
  row = recipe.find(recipe.tools, index)
  try:
    example = recipe.make(recipe.tools, row)
  except header.RecordError as error:
    if split in recipe.complete:
      message = contract.refusal(row.record_id, split, error)
      account.refused.append((index, message))
    else:
      loss = (index, row.record_id, row.path, error.reason, str(error))
      account.dropped.append(loss)
    return None
  except InputError as error:
    account.refused.append((index, str(error)))
    return None
  account.kept += 1
  account.flags.update(example["quality"]["flags"])
  if example["patient_id"]:
    account.patients.add(example["patient_id"])
  # Constant leads are equal without meaning anything.
  if recipe.compare and not example["quality"]["lead_flat"].all():
    digest = challenge.digest(example["ecg"]).hex()
    account.digests.append((index, row.record_id, digest))
  return row.record_id, example


@dataclasses.dataclass(eq=False)
class Job:
  """One build: a recipe and the account of all splits.

  Attributes:
    name: of the dataset.
    recipe, log: the latter may hold records dropped before.
    report: prints what else is to be said at the end.
    remake: makes the recipe again, in Beam's workers: a module-level function
      with what it needs as keyword arguments that JSON can hold.
    limit: examples of a split after which the build ends, None: all.
  """

  name: str
  recipe: Recipe
  log: contract.BuildLog
  report: Callable[[], None] | None = None
  remake: functools.partial | None = None
  limit: int | None = None
  same: challenge.SameSignals = dataclasses.field(
    default_factory=challenge.SameSignals
  )
  _split_of: dict = dataclasses.field(default_factory=dict)  # patient -> split

  def close(self, split, account, folder):
    """Enters the account of a whole split and writes that of the build.

    Raises:
      InputError: a record was refused, a patient is in two splits, or,
        after the last split, too many records were dropped.
    """
    if account.refused:
      raise InputError(min(account.refused)[1])
    for patient in account.patients:
      other = self._split_of.setdefault(patient, split)
      if other != split:
        raise InputError(
          f"patient {patient} is in {other} and {split}: splits must be "
          "patient-disjoint"
        )
    self.log.kept += account.kept
    self.log.flags.update(account.flags)
    for _, *loss in sorted(account.dropped):
      self.log.drop(*loss)
    for _, record_id, digest in sorted(account.digests):
      self.same.add(record_id, split, digest)
    self.log.write(folder)
    if self.recipe.compare:
      self.same.write(folder)
    if split == list(self.recipe.places)[-1]:
      self._finish(pathlib.Path(folder))

  def _finish(self, folder):
    print(f"{self.name}: {self.log.summary()}")
    if self.recipe.compare:
      print(f"{self.name}: {self.same.summary()}")
    if self.limit is not None:  # too little is read to judge the archive
      print(f"{self.name}: at most {self.limit} examples of each split")
      return
    if self.report:
      self.report()
    try:
      self.log.check()
    except InputError as error:
      # TFDS removes the folder of a build that has stopped.
      place = folder.parent / "stopped"
      self.log.write(place)
      raise InputError(f"{error}; all are named in {place}") from None


def examples(job, split, folder):
  """Yields record id and example of each record kept, in order.

  Args:
    job: Job.
    split: one of its splits.
    folder: of the dataset, for the account.
  """
  account, last = Account(), None
  with contract.exit_on_bad_input(job.name):
    for index in job.recipe.places[split]:
      kept = judge(job.recipe, split, int(index), account)
      if account.refused:  # no need to read the rest
        break
      if kept and account.kept == job.limit:
        last = kept  # nobody asks for more: the account comes before it
        break
      if kept:
        yield kept
    job.close(split, account, folder)
  if last:
    yield last
