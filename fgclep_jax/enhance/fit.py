"""From Options to a verifier, fitted on records that are not judged by it."""

import dataclasses
import hashlib

import numpy as np

from fgclep_jax.enhance import chunks, verify
from fgclep_jax.errors import InputError
from fgclep_jax.reports import features
from fgclep_jax.reports.stated import stated

HELD_OUT = "test"  # never calibrated on
_CALIBRATING = 40_000  # records at most that thresholds are fitted on
_WORDINGS = 8  # of a feature, that its text embedding is the mean of


@dataclasses.dataclass(frozen=True)
class Options:
  """How candidates are judged.

  Attributes:
    method: one of `verify.METHODS`.
    target: precision aimed at by `calibrated`.
    value: cosine of `fixed`.
    share: of the candidates that `quantile` keeps.
    plant: share of wrong candidates added on purpose, to see them caught.
    resamples: of the intervals, where the truth is known.
    max_reject_rate: share of findings that may stay without an answer.
    seed: of plants, calibrating records, examples and intervals.
    chunk: records scored at a time.
  """

  method: str = "calibrated"
  target: float = 0.9
  value: float = 0.95
  share: float = 0.3
  plant: float = 0.0
  resamples: int = 1000
  max_reject_rate: float = 0.05
  seed: int = 0
  chunk: int = chunks.SIZE

  def __post_init__(self):
    """Raises InputError: nothing may be wrong after a night of asking."""
    if self.method not in verify.METHODS:
      raise InputError(
        f"--threshold {self.method}: choose {', '.join(verify.METHODS)}"
      )
    for what, value, good, wanted in (
      ("--target", self.target, 0 < self.target < 1, "a number in (0, 1)"),
      ("--cosine", self.value, -1 <= self.value <= 1, "a number in [-1, 1]"),
      ("--share", self.share, 0 < self.share <= 1, "a number in (0, 1]"),
      ("--plant", self.plant, 0 <= self.plant < 1, "a number in [0, 1)"),
      ("--bootstrap", self.resamples, self.resamples > 0, "1 or more"),
      ("--seed", self.seed, self.seed >= 0, "0 or more"),
    ):
      if not good:
        raise InputError(f"{what} {value}: give {wanted}")


def wordings(table):
  """Feature -> its name and some statements that state it alone."""
  texts = {feature.name: [feature.name] for feature in features.VOCABULARY}
  for statement in table:
    names = stated(statement)
    if len(names) == 1 and len(texts[names[0]]) <= _WORDINGS:
      texts[names[0]].append(statement)
  return texts


def units_of(split):
  """(n,) str: the patient, or the record where the patient is unknown."""
  return np.where(split.patient_ids == "", split.record_ids, split.patient_ids)


def folds_of(units):
  """(n,) int, the same for a patient wherever it occurs."""
  units = units.tolist()
  fold = {
    unit: hashlib.sha256(unit.encode()).digest()[0] % verify.FOLDS
    for unit in set(units)
  }
  return np.array([fold[unit] for unit in units], np.int64)


def make_verifier(splits, stores, classes, questions, options):
  count = len(questions.features)
  if options.method == "fixed":
    return verify.Fixed(options.value, count)
  parts, pooled, folds, first = [], [], [], 0
  for name, rows in _calibrating(splits, options.seed).items():
    split, store = splits[name], stores[name]
    for part in chunks.of_split(
      split, store.embedding, classes, questions, rows, options.chunk
    ):
      parts.append(
        dataclasses.replace(
          part, start=part.start + first, stop=part.stop + first
        )
      )
    first += len(rows)
    pooled.append(store.pooled[rows])
    folds.append(folds_of(units_of(split)[rows]))
  if options.method == "quantile":
    return verify.quantile(parts, options.share, count)
  return verify.calibrated(
    parts, np.concatenate(pooled), np.concatenate(folds), questions,
    options.target,
  )  # fmt: skip


def _calibrating(splits, seed):
  """Split name -> ascending rows that thresholds are fitted on."""
  names = [name for name in splits if name != HELD_OUT] or list(splits)
  total = sum(len(splits[name]) for name in names)
  share = min(1.0, _CALIBRATING / total)
  draw = np.random.default_rng(seed)
  return {
    name: np.sort(
      draw.choice(
        len(splits[name]), round(share * len(splits[name])), replace=False
      )
    )
    for name in names
  }


def judged_chunks(split, store, classes, questions, verifier, size):
  """Yields (Chunk, dict of (P,) arrays of its candidates)."""
  folds = folds_of(units_of(split))
  for part in chunks.of_split(
    split, store.embedding, classes, questions, size=size
  ):
    rows = slice(part.start, part.stop)
    score, threshold = verifier.judge(part, store.pooled[rows], folds[rows])
    new = part.silent
    yield (
      part,
      {
        "record": part.record[new],
        "feature": part.feature[new],
        "score": score[new],
        "threshold": threshold[new],
        "kept": (score >= threshold)[new],
        "cosine": part.cosine[new],
        "origin": part.origin[new],
      },
    )
