"""What is asked of a checkpoint that has the right checksums.

Checksums show what happened to a file by accident. Whoever changes it on
purpose can write them anew, so its content is a stranger's all the same.
"""

import contextlib
import math

import jax
import numpy as np

from fgclep_jax.errors import InputError

# Arrays may be so many times larger than the files that hold them: a start
# of zeros packs well, trained parameters hardly at all.
MOST_PACKED, FREE = 1000, 1 << 26
_KINDS = {
  "config": dict,
  "vocabulary": list,
  "trained_on": dict,
  "versions": dict,
}


@contextlib.contextmanager
def reading(folder):
  """Turns whatever a step's files make their reader raise into one line."""
  try:
    yield
  except (InputError, MemoryError, jax.errors.JaxRuntimeError):
    raise
  except Exception as error:  # Orbax and TensorStore raise many types
    reason = " ".join(str(error).split())[:200]
    raise InputError(
      f"{folder} cannot be used, {type(error).__name__} ({reason}): give "
      "another step, or put back a copy"
    ) from error


def check_meta(meta, folder):
  """Returns what a step says of itself, once it has the right form.

  Raises:
    InputError: it is no object, has no format, or a part of another kind.
  """
  if not isinstance(meta, dict) or type(meta.get("format")) is not int:
    raise InputError(f"{folder} cannot be used: its meta names no format")
  wrong = [
    name
    for name, kind in _KINDS.items()
    if name in meta and not isinstance(meta[name], kind)
  ]
  if not all(isinstance(x, str) for x in meta.get("vocabulary", ())):
    wrong.append("vocabulary")
  if wrong:
    raise InputError(
      f"{folder} cannot be used: {', '.join(wrong)} in its meta is not what "
      "`fgclep train` writes"
    )
  return meta


def check_size(shapes, folder):
  """Raises InputError for arrays that their files can never hold.

  Args:
    shapes: of anything with .shape and .dtype.
    folder: of the step.
  """
  wanted = sum(
    math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in shapes
  )
  held = sum(x.stat().st_size for x in folder.rglob("*") if x.is_file())
  if wanted > MOST_PACKED * held + FREE:
    raise InputError(
      f"{folder} cannot be used: {held} bytes of files name arrays of "
      f"{wanted} bytes"
    )
