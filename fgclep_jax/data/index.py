"""What a dataset holds beside its signals, found in one pass and cached.

Beside the dataset lie `statements.json` (the distinct statements),
`statement_index.npz` (ids of each record's statements, in stored order, as
offsets and ids a split) and `columns.npz` (ids, patients, labels). They are
made again when the dataset's digest has changed.
"""

import json
import pathlib
import zipfile
import zlib

import numpy as np

from fgclep_jax import atomic

FILES = ("statements.json", "statement_index.npz", "columns.npz")
INDEX = ("statement_ids", "statement_offsets")
# What an npz or JSON file may raise that was half written, or spoilt.
DAMAGED = (
  *(ValueError, LookupError, TypeError, AttributeError, EOFError),
  # Packed in a way that is not read; shapes beyond all memory.
  *(zipfile.BadZipFile, zlib.error, RuntimeError, MemoryError),
)
BLOCK = 4096  # rows that are held one by one; full blocks are arrays


def load_or_build(folder, digest, sources):
  """Returns ({split: columns}, table of distinct statements).

  Args:
    folder: of the built dataset.
    digest: str; caches of another digest are not used.
    sources: {split: sequence of examples}.
  """
  folder = pathlib.Path(folder)
  found = _load(folder, digest)
  if found is None:
    found = build(sources)
    _save(folder, digest, *found)
  return found


def build(sources):
  """Reads every example once.

  Returns:
    {split: {name: array}} with `record_id`, `patient_id`, `age`, `sex`,
    `labels/<task>` ..., `statement_ids`, `statement_offsets`; and the tuple
    of distinct statements in order of first appearance.
  """
  numbers = {}
  columns = {}
  for split, source in sources.items():
    blocks, rows, ids, offsets = [], [], [], [0]
    for example in source:
      texts = [*example["statements"], *example.get("features", ())]
      for text in texts:
        text = text.decode() if isinstance(text, bytes) else str(text)
        ids.append(numbers.setdefault(text, len(numbers)))
      offsets.append(len(ids))
      rows.append(_row(example))
      if len(rows) == BLOCK:
        blocks.append(_stack(rows))
        rows = []
    if rows:
      blocks.append(_stack(rows))
    columns[split] = {
      name: np.concatenate([block[name] for block in blocks])
      for name in blocks[0]
    } | {
      "statement_ids": np.array(ids, np.int32),
      "statement_offsets": np.array(offsets, np.int64),
    }
  return columns, tuple(numbers)


def group(columns, prefix):
  """{task: array} of the columns named `<prefix>/<task>`."""
  start = prefix + "/"
  return {
    name.removeprefix(start): value
    for name, value in columns.items()
    if name.startswith(start)
  }


def _row(example):
  row = {
    "record_id": np.array(example["record_id"].decode()),
    "patient_id": np.array(example["patient_id"].decode()),
    "age": np.float32(example["age"]),
    "sex": np.int8(example["sex"]),
  }
  for name in ("labels", "labels_merl"):
    for task, value in example.get(name, {}).items():
      row[f"{name}/{task}"] = np.asarray(value, np.uint8)
  for task, value in example.get("labelled", {}).items():
    row[f"labelled/{task}"] = np.bool_(value)
  for name, value in example.get("measurements", {}).items():
    row[f"measurements/{name}"] = np.float32(value)
  for name in ("truth", "codes"):
    if name in example:
      row[name] = np.asarray(example[name], np.uint8)
  return row


def _stack(rows):
  return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _load(folder, digest):
  """Returns the cached index, or None where there is none that fits."""
  if not all((folder / name).is_file() for name in FILES):
    return None
  try:
    stored = json.loads((folder / FILES[0]).read_text(encoding="utf-8"))
    if stored["digest"] != digest:
      return None
    columns = {}
    for name in FILES[1:]:
      with (
        open(folder / name, "rb") as handle,
        np.load(handle, allow_pickle=False) as file,
      ):
        if str(file["digest"]) != digest:
          return None
        for key in file.files:
          split, _, column = key.partition("|")
          if column:
            columns.setdefault(split, {})[column] = file[key]
  except (OSError, *DAMAGED):
    return None  # half written or of another version: made again
  return columns, tuple(stored["statements"])


def _save(folder, digest, columns, table):
  """Writes the caches whole or not at all; a read-only folder is no error."""
  arrays = {name: {"digest": np.array(digest)} for name in FILES[1:]}
  for split, group_ in columns.items():
    for column, value in group_.items():
      file = FILES[1] if column in INDEX else FILES[2]
      arrays[file][f"{split}|{column}"] = value
  text = json.dumps({"digest": digest, "statements": table}, indent=0)
  try:
    for name, group_ in arrays.items():
      atomic.write(folder / name, lambda f, g=group_: np.savez(f, **g))
    atomic.write_text(folder / FILES[0], text)
  except PermissionError:
    pass
