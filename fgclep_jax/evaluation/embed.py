"""Encodes every record of a split once, and keeps the result on disk.

A batch is always full: the last one is padded with silent records whose
results are cut off again, so no record is dropped and one shape compiles.
"""

import dataclasses
import hashlib
import os
import pathlib
import zipfile

import numpy as np

from fgclep_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Embeddings:
  """What an encoder says about the records of a split, in their order.

  record_ids: (n,) str. embedding: (n, E) float32 unit rows, beside text.
  features: (n, W) float32, pooled output before the projection.
  """

  record_ids: np.ndarray
  embedding: np.ndarray
  features: np.ndarray

  def __len__(self):
    return len(self.record_ids)


def embed_split(model, split, batch_size=64, cache_dir=None):
  """Encodes a split, or reads it from the cache.

  Args:
    model: has `rate`, `samples`, `checkpoint["hash"]` and
      `encode_ecg(int16 (B, 12, samples)) -> ((B, E), (B, W))`.
    split: has `record_ids`, `digest`, `name` and
      `signals(indices, rate, samples) -> int16 (B, 12, samples)`.
    batch_size: records encoded together; changes the speed only.
    cache_dir: folder of results kept by checkpoint, data and input form.

  Returns:
    Embeddings of all n records.

  Raises:
    InputError: empty split, or a record whose embedding is not finite.
  """
  if not len(split):
    raise InputError(f"split {split.name!r} holds no record to encode")
  path = None
  if cache_dir is not None:
    path = pathlib.Path(cache_dir) / f"{_key(model, split)}.npz"
    cached = _read(path, split)
    if cached is not None:
      return cached
  result = _encode(model, split, batch_size)
  if path is not None:
    _write(path, result)
  return result


def _encode(model, split, batch_size):
  embedding, features = [], []
  for start in range(0, len(split), batch_size):
    indices = np.arange(start, min(start + batch_size, len(split)))
    signals = split.signals(indices, model.rate, model.samples)
    padding = ((0, batch_size - len(indices)), (0, 0), (0, 0))
    unit, pooled = model.encode_ecg(np.pad(signals, padding))
    embedding.append(np.asarray(unit, np.float32)[: len(indices)])
    features.append(np.asarray(pooled, np.float32)[: len(indices)])
  result = Embeddings(
    np.asarray(split.record_ids, str),
    np.concatenate(embedding),
    np.concatenate(features),
  )
  finite = np.isfinite(result.embedding).all(1)
  finite &= np.isfinite(result.features).all(1)
  if not finite.all():
    bad = result.record_ids[~finite]
    raise InputError(
      f"{len(bad)} of {len(result)} embeddings of split {split.name!r} are "
      f"not finite, the first of record {bad[0]}: the checkpoint diverged; "
      "evaluate an earlier step"
    )
  return result


def _key(model, split):
  """Names what the numbers depend on: weights, records, input form."""
  parts = (
    "embeddings 1",
    model.checkpoint["hash"],
    split.dataset,
    split.config,
    split.name,
    split.digest,
    model.rate,
    model.samples,
  )
  text = "\n".join(map(str, parts))
  return f"{split.name}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _read(path, split):
  """The cached embeddings, or None when absent, damaged or of others."""
  try:
    # Opened here: np.load leaves a damaged file open.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
      found = Embeddings(
        stored["record_ids"], stored["embedding"], stored["features"]
      )
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
    return None
  same = np.array_equal(found.record_ids, np.asarray(split.record_ids, str))
  return found if same else None


def _write(path, result):
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
  np.savez(temporary, **dataclasses.asdict(result))
  temporary.replace(path)
