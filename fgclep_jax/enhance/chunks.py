"""What is proposed and stated for records, as arrays, chunk by chunk.

Shapes: n records, F features, U distinct statements, E width of embeddings,
P pairs (record, feature). The memory is that of one chunk.
"""

import dataclasses

import numpy as np

from fgclep_jax.errors import InputError

SIZE = 8192  # records of a chunk


@dataclasses.dataclass(frozen=True)
class Said:
  """Compressed rows: statement u has `values[offsets[u]:offsets[u + 1]]`."""

  offsets: np.ndarray
  values: np.ndarray

  def of(self, rows):
    """(position in rows, place in values), each (m,), of rows (k,)."""
    counts = np.diff(self.offsets)[rows]
    position = np.repeat(np.arange(len(rows)), counts)
    first = self.offsets[rows] - (np.cumsum(counts) - counts)
    return position, np.repeat(first, counts) + np.arange(len(position))


def said(table, names, features):
  """Lays {statement: names} out as Said; names not in `features` are left."""
  column = {name: j for j, name in enumerate(features)}
  rows = [[column[n] for n in names.get(t, ()) if n in column] for t in table]
  offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
  flat = np.array([j for row in rows for j in row], np.int64)
  return Said(offsets.astype(np.int64), flat)


@dataclasses.dataclass(frozen=True)
class Asked:
  """What the statements of a dataset say of the features.

  Attributes:
    features: F names.
    candidates: Said, proposed for the statement.
    origin: (m,) int8 who proposed each of the candidates' values.
    stated: Said, stated by the statement itself.
    must: Said, defined by the diagnosis that the statement names.
    finding: (U,) int, statements of one finding share a number.
  """

  features: tuple
  candidates: Said
  origin: np.ndarray
  stated: Said
  must: Said
  finding: np.ndarray


@dataclasses.dataclass(frozen=True)
class Chunk:
  """What is proposed for some records; pairs sorted by record, feature.

  Attributes:
    start, stop: which of the rows asked for.
    record, feature: (P,) int, record counted from `start`.
    cosine: (P,) float32.
    origin: (P,) int8, see Asked; of several the highest.
    silent: (P,) bool, the report does not state the feature: a candidate.
    source, statement: (Q,) int: pair `source` is proposed by `statement`.
    stated, must: (stop - start, F) bool.
  """

  start: int
  stop: int
  record: np.ndarray
  feature: np.ndarray
  cosine: np.ndarray
  origin: np.ndarray
  silent: np.ndarray
  source: np.ndarray
  statement: np.ndarray
  stated: np.ndarray
  must: np.ndarray


def of_split(split, embeddings, classes, asked, rows=None, size=SIZE):
  """Yields records of a split in Chunks, in order.

  Args:
    split: has `statement_ids`, `statement_offsets`, `name`.
    embeddings: (n, E) float32 unit rows, may lie on disk.
    classes: (F, E) unit rows of the features' texts.
    asked: Asked.
    rows: ascending positions; None takes all.
    size: records a chunk.
  """
  classes = np.ascontiguousarray(classes.T, np.float32)
  held = Said(split.statement_offsets, split.statement_ids)
  count = len(embeddings) if rows is None else len(rows)
  for start in range(0, count, size):
    stop = min(start + size, count)
    here = np.arange(start, stop) if rows is None else rows[start:stop]
    part = embeddings[start:stop] if rows is None else embeddings[here]
    with np.errstate(all="ignore"):  # said below, in one line
      scores = np.asarray(part, np.float32) @ classes
    if not np.isfinite(scores).all():
      raise InputError(
        f"scores of records {here[0]} to {here[-1]} of {split.name} are not "
        "finite: the checkpoint diverged; give an earlier --step"
      )
    owner, place = held.of(here)
    yield _chunk(start, stop, scores, held.values[place], owner, asked)


def _chunk(start, stop, scores, ids, owner, asked):
  shape, grids = scores.shape, []
  for known in (asked.stated, asked.must):
    grid = np.zeros(shape, bool)
    position, place = known.of(ids)
    grid[owner[position], known.values[place]] = True
    grids.append(grid)
  stated, must = grids
  position, place = asked.candidates.of(ids)
  codes = owner[position] * shape[1] + asked.candidates.values[place]
  there = np.zeros(stated.size, bool)
  there[codes] = True
  pairs = np.flatnonzero(there)
  number = np.empty(stated.size, np.int32)  # read where it was written only
  number[pairs] = np.arange(len(pairs))
  source = number[codes]
  origin = np.zeros(len(pairs), np.int8)
  np.maximum.at(origin, source, asked.origin[place])
  return Chunk(
    start, stop, pairs // shape[1], pairs % shape[1],
    scores.reshape(-1)[pairs], origin, ~stated.reshape(-1)[pairs], source,
    ids[position], stated, must,
  )  # fmt: skip
