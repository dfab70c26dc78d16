"""What the processes of one run tell each other; nothing where one is alone.

Every function is called by all processes of a run at the same place of the
program, and waits for all of them.
"""

import hashlib
import json

import jax
import numpy as np
from jax.experimental import multihost_utils

from fgclep_jax.errors import InputError


def first():
  """Whether this process is the one that writes files and speaks."""
  return jax.process_index() == 0


def alone():
  return jax.process_count() == 1


def same(**values):
  """Compares plain values between processes.

  Raises:
    InputError: on every process, when a value differs on one of them.
  """
  if alone():
    return
  texts = [json.dumps(value, sort_keys=True) for value in values.values()]
  hashes = [hashlib.sha256(text.encode()).digest()[:8] for text in texts]
  own = np.frombuffer(b"".join(hashes), np.uint32).reshape(len(hashes), 2)
  found = multihost_utils.process_allgather(own)  # (processes, values, 2)
  for i, name in enumerate(values):
    other = (found[:, i] != found[0, i]).any(axis=1)
    if other.any():
      raise InputError(
        f"process {other.argmax()} has another {name.replace('_', ' ')} than "
        "process 0: start all with the same command, on folders that all see"
      )


def agree(asked, due, unreadable):
  """Tells all processes what each has met since the last time.

  Args:
    asked: whether this process was asked to stop.
    due: whether it is time to save.
    unreadable: {position: reason} of records it could not read.

  Returns:
    Whether any was asked to stop, whether it is time to save for any, and
    `unreadable` of all.
  """
  if alone():
    return asked, due, dict(unreadable)
  text = json.dumps(list(unreadable.items())).encode()
  own = np.array([asked, due, len(text)], np.int32)
  found = multihost_utils.process_allgather(own)
  asked, due, longest = found.max(axis=0)
  merged = {}
  if longest > len(b"[]"):
    padded = np.zeros(longest, np.uint8)
    padded[: len(text)] = np.frombuffer(text, np.uint8)
    for row, size in zip(
      multihost_utils.process_allgather(padded), found[:, 2], strict=True
    ):
      merged |= dict(json.loads(bytes(row[:size])))
  return bool(asked), bool(due), merged


def whole(tree):
  """Arrays on the mesh of a run, whole in the memory of every process."""
  if alone():
    return tree
  return multihost_utils.process_allgather(tree, tiled=True)


def share(count):
  """(n,) which of `count` rows this process works on."""
  return _shares(count)[jax.process_index()]


def joined(rows, count):
  """Rows of all processes, each its `share` of `count`, in their order."""
  if alone():
    return rows
  parts = _shares(count)
  padded = np.zeros((len(parts[0]), *rows.shape[1:]), rows.dtype)
  padded[: len(rows)] = rows
  found = multihost_utils.process_allgather(padded)
  return np.concatenate(
    [x[: len(part)] for x, part in zip(found, parts, strict=True)]
  )


def _shares(count):
  """The rows of every process; the first has the most."""
  return np.array_split(np.arange(count), jax.process_count())
