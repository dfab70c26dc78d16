"""Encodes every record of a dataset once, on disk, resumable.

Apart from the evaluation's cache because of the size: 800,000 records are
written block by block, and a run that was killed goes on at its last block.
"""

import dataclasses
import json
import pathlib

import numpy as np

from fgclep_jax import atomic
from fgclep_jax.data.index import DAMAGED
from fgclep_jax.evaluation.embed import cache_key

BLOCK = 1024  # records between two notes of progress


@dataclasses.dataclass(frozen=True)
class Store:
  """What the ECG encoder says of a split; lies on disk, read when looked at.

  embedding: (n, E) float32 unit rows. pooled: (n, W) float32, the output
  before the projection.
  """

  embedding: np.ndarray
  pooled: np.ndarray


def encode(model, split, folder, say=lambda line: None):
  """Returns the Store of a split, encoding what is not yet there.

  Args:
    model: has `rate`, `samples`, `checkpoint["hash"]`, `encode_ecg`.
    split: `data.sources.Split`.
    folder: gets `<split>-<key>-{embedding,pooled}.npy` and a note of
      progress.
    say: prints one line.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  stem = cache_key(model, split, "enhance")
  paths = [folder / f"{stem}-{part}.npy" for part in ("embedding", "pooled")]
  note = folder / f"{stem}.json"
  done = _progress(note, paths)
  stores = _opened(paths) if done else None
  if stores is None:
    done = 0
    note.unlink(missing_ok=True)  # new arrays are not to be believed
  for start in range(done, len(split), BLOCK):
    stop = min(start + BLOCK, len(split))
    rows = np.arange(start, stop)
    parts = model.encode_ecg(split.signals(rows, model.rate, model.samples))
    stores = stores or [
      np.lib.format.open_memmap(
        path, "w+", np.float32, (len(split), part.shape[1])
      )
      for path, part in zip(paths, parts, strict=True)
    ]
    for store, part in zip(stores, parts, strict=True):
      store[start:stop] = part
      store.flush()
    atomic.write_text(note, json.dumps({"records": stop}))
    if stop == len(split) or stop % (16 * BLOCK) == 0:
      say(f"encoded {stop} of {len(split)} records of {split.name}")
  return Store(*(np.load(path, mmap_mode="r") for path in paths))


def _opened(paths):
  """The arrays on disk, or None where one of them is damaged."""
  try:
    return [np.load(p, mmap_mode="r+", allow_pickle=False) for p in paths]
  except (OSError, *DAMAGED):
    return None


def _progress(note, paths):
  """Records whose rows are on disk."""
  if not all(path.is_file() for path in paths):
    return 0
  try:
    return json.loads(note.read_text())["records"]
  except (OSError, ValueError, KeyError, TypeError):
    return 0
