"""Encodes every record of a split once, and keeps the result on disk.

A batch is always full: it is padded with silent records whose results are
cut off again, so no record is dropped and one shape compiles.
"""

import dataclasses
import hashlib
import os
import pathlib

import numpy as np

from fgclep_jax.data.index import DAMAGED
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation.sweep import sweep
from fgclep_jax.signals import windows


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


def embed_split(model, split, batch_size=64, cache_dir=None, window="cover"):
  """Encodes a split, or reads it from the cache.

  Args:
    model: has `rate`, `samples`, `checkpoint["hash"]` and
      `encode_ecg(int16 (B, 12, samples)) -> ((B, E), (B, W))`.
    split: has `record_ids`, `digest`, `name` and
      `windows(indices, rate, samples, window) -> int16 (N, 12, samples)`
      and how many of them each record has.
    batch_size: windows encoded together; changes the speed only.
    cache_dir: folder of results kept by checkpoint, data and input form.
    window: what a long record is seen by: `first`, `centre`, or `cover`:
      embeddings and features are the means over windows that cover the
      record, embeddings scaled to unit length again.

  Returns:
    Embeddings of all n records.

  Raises:
    InputError: empty split, or a record whose embedding is not finite.
  """
  found = embed_all({"": model}, split, batch_size, cache_dir, window)
  return found[""]


def embed_all(
  models, split, batch_size=64, cache_dir=None, window="cover", others=()
):
  """Encodes a split with several models in one reading.

  Args:
    models: name -> model; the other arguments are those of `embed_split`.
    others: further viewers, shown the same signals, see `sweep.sweep`.

  Returns:
    name -> Embeddings, in the order of `models`.

  Raises:
    InputError: empty split, or a record whose embedding is not finite.
  """
  if not len(split):
    raise InputError(f"split {split.name!r} holds no record to encode")
  paths, found = {}, {}
  if cache_dir is not None:
    folder = pathlib.Path(cache_dir)
    for name, model in models.items():
      paths[name] = folder / f"{cache_key(model, split, window)}.npz"
      found[name] = _read(paths[name], split)
  new = {
    name: Encoding(model, batch_size)
    for name, model in models.items()
    if found.get(name) is None
  }
  sweep(split, (*new.values(), *others), batch_size, window)
  for name, encoding in new.items():
    found[name] = encoding.result(split)
    if name in paths:
      _write(paths[name], found[name])
  return {name: found[name] for name in models}


class Encoding:
  """Gathers what a model says about a split, block by block.

  Args of the constructor:
    model: see `embed_split`.
    batch_size: windows encoded together; changes the speed only.
  """

  def __init__(self, model, batch_size=64):
    self.rate, self.samples = model.rate, model.samples
    self._model, self._batch_size = model, batch_size
    self._embedding, self._features = [], []

  def see(self, signals, counts):
    """Encodes int16 (N, 12, samples), `counts` (B,) windows a record."""
    unit, pooled = self._encode(signals)
    mean = windows.mean_over(unit, counts)
    several = counts > 1
    lengths = np.linalg.norm(mean[several], axis=1, keepdims=True)
    mean[several] /= np.maximum(lengths, 1e-12)
    self._embedding.append(mean)
    self._features.append(windows.mean_over(pooled, counts))

  def _encode(self, signals):
    """(N, 12, T) in full batches -> (N, E) unit rows, (N, W)."""
    size, parts = self._batch_size, []
    for start in range(0, len(signals), size):
      batch = signals[start : start + size]
      padding = ((0, size - len(batch)), (0, 0), (0, 0))
      found = self._model.encode_ecg(np.pad(batch, padding))
      parts.append([np.asarray(x, np.float32)[: len(batch)] for x in found])
    return tuple(np.concatenate(kind) for kind in zip(*parts, strict=True))

  def result(self, split):
    """Embeddings of the split whose records have all been seen.

    Raises:
      InputError: a record's embedding is not finite.
    """
    result = Embeddings(
      np.asarray(split.record_ids, str),
      np.concatenate(self._embedding),
      np.concatenate(self._features),
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


def cache_key(model, split, form):
  """A file name of what numbers depend on: weights, records, input form."""
  parts = (
    "embeddings 2",
    model.checkpoint["hash"],
    split.dataset,
    split.config,
    split.name,
    split.digest,
    model.rate,
    model.samples,
    form,
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
  except (OSError, *DAMAGED):
    return None
  same = np.array_equal(found.record_ids, np.asarray(split.record_ids, str))
  return found if same else None


def _write(path, result):
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
  np.savez(temporary, **dataclasses.asdict(result))
  temporary.replace(path)
