"""Writes `enhanced.parquet` and `enhanced_records.parquet`, chunk by chunk.

The schema is that of ARCHITECTURE, with the cosine beside the score; what
the tables come from stands in the metadata of both files as well.
"""

import json
import os
import pathlib

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from fgclep_jax.errors import InputError
from fgclep_jax.reports import enhanced

_TEXT = pa.dictionary(pa.int32(), pa.string())
PAIRS = pa.schema(
  [
    ("record_id", _TEXT),
    ("feature", _TEXT),
    ("score", pa.float32()),
    ("threshold", pa.float32()),
    ("kept", pa.bool_()),
    ("cosine", pa.float32()),
    ("source", _TEXT),
    ("model_hash", _TEXT),
    ("prompt_hash", _TEXT),
  ]
)
RECORDS = pa.schema([("record_id", pa.string()), ("split", _TEXT)])
# Dictionaries of scores and statistics that nobody reads cost five times the
# rest; a threshold is mostly one number.
_REPEATED = ["threshold"] + [f.name for f in PAIRS if f.type == _TEXT]


def targets(path):
  """Returns the paths of the two tables; raises InputError for a bad name."""
  path = pathlib.Path(path)
  if path.suffix != ".parquet":
    raise InputError(f"--out {path}: give a file name that ends in .parquet")
  if path.name == enhanced.RECORDS_FILE:
    raise InputError(f"--out {path}: that name is for the table of records")
  return path, path.parent / enhanced.RECORDS_FILE


class Writer:
  """Writes both tables; they appear, whole, when the block ends well.

  Args of the constructor:
    path: of the pairs, ending in .parquet; the records lie beside it.
    features: F names.
    sources: names by `origin`.
    provenance: `model_hash` and `prompt_hash` of every line.
    about: dict for the files' metadata.
  """

  def __init__(self, path, features, sources, provenance, about):
    self._targets = targets(path)
    self._targets[0].parent.mkdir(parents=True, exist_ok=True)
    self._features = pa.array(features, pa.string())
    self._sources = pa.array(sources, pa.string())
    self._provenance = provenance
    self._about = {b"fgclep": json.dumps(about, sort_keys=True).encode()}

  def __enter__(self):
    self._partial = [
      target.with_name(f".{target.name}.{os.getpid()}")
      for target in self._targets
    ]
    self._pairs, self._records = (
      parquet.ParquetWriter(
        path, schema.with_metadata(self._about), compression="zstd",
        use_dictionary=repeated, write_statistics=False,
      )
      for path, schema, repeated in zip(
        self._partial, (PAIRS, RECORDS), (_REPEATED, ["split"]), strict=True
      )
    )  # fmt: skip
    return self

  def __exit__(self, kind, error, trace):
    try:
      self._pairs.close()
      self._records.close()
      if kind is None:
        for partial, target in zip(self._partial, self._targets, strict=True):
          os.replace(partial, target)
    finally:  # a full disk fails at the end as well
      for partial in self._partial:
        partial.unlink(missing_ok=True)

  def write(self, split, record_ids, pairs):
    """Adds the records of a chunk.

    Args:
      split: its name.
      record_ids: (c,) str.
      pairs: dict of (P,) arrays `record`, `feature`, `score`, `threshold`,
        `kept`, `cosine`, `origin`.
    """
    ids = pa.array(record_ids, pa.string())
    self._records.write_table(
      pa.table([ids, _same(split, len(ids))], schema=RECORDS)
    )
    count = len(pairs["record"])
    columns = [
      _coded(pairs["record"], ids),
      _coded(pairs["feature"], self._features),
      pa.array(pairs["score"], pa.float32()),
      pa.array(pairs["threshold"], pa.float32()),
      pa.array(pairs["kept"], pa.bool_()),
      pa.array(pairs["cosine"], pa.float32()),
      self._source(pairs["origin"]),
      _same(self._provenance["model_hash"], count),
      _same(self._provenance["prompt_hash"], count),
    ]
    self._pairs.write_table(pa.table(columns, schema=PAIRS))

  def _source(self, origin):
    """Only the sources that occur: readers take the dictionary for a list."""
    used, codes = np.unique(origin, return_inverse=True)
    return _coded(codes, self._sources.take(pa.array(used, pa.int32())))


def _coded(codes, names):
  return pa.DictionaryArray.from_arrays(
    pa.array(np.asarray(codes, np.int32)), names
  )


def _same(text, count):
  return _coded(np.zeros(count, np.int32), pa.array([text], pa.string()))
