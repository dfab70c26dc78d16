"""Weight files of a folder: safetensors and JSON, no pickle."""

import json
import os
import pathlib
import shlex
import types

import ml_dtypes  # noqa: F401  numpy learns the name bfloat16
import numpy as np
import safetensors
import safetensors.numpy

from fgclep_jax import tree
from fgclep_jax.errors import InputError

TYPES = ("F16", "BF16", "F32", "F64")


def files(folder):
  """The safetensors files of a folder: `model.safetensors`, or its parts.

  Raises:
    InputError: if there are none, a part is absent, or the index names files
      outside the folder.
  """
  whole = folder / "model.safetensors"
  index = folder / "model.safetensors.index.json"
  if whole.is_file():
    return [whole]
  if not index.is_file():
    raise InputError(_no_weights(folder))
  parts = read_json(index).get("weight_map")
  names = list(parts.values()) if isinstance(parts, dict) else []
  strange = [repr(name) for name in names if not _is_own_file(name)]
  if strange or not names:
    raise InputError(
      f"{index} must map tensors to safetensors files of its own folder: found "
      f"{', '.join(strange) or 'no weight_map'}"
    )
  names = sorted(set(names))
  if absent := [name for name in names if not (folder / name).is_file()]:
    raise InputError(
      f"{folder} lacks {', '.join(absent)} that {index.name} names: fetch it"
    )
  return [folder / name for name in names]


def _is_own_file(name):
  """Whether a name in an index is of a safetensors file beside the index."""
  return (
    isinstance(name, str)
    and name == pathlib.PurePath(name).name
    and name.endswith(".safetensors")
    and len(name) < 200  # no file's name is longer than 255 bytes
    and name.isascii()
    and name.isprintable()
  )


def _no_weights(folder):
  """Says what is missing, and how pickled weights become safetensors."""
  pickled = sorted(path.name for path in folder.glob("*.bin"))
  if not pickled:
    return f"{folder} holds no model.safetensors: give a BERT folder"
  source, target = (
    str(folder / name) for name in (pickled[0], "model.safetensors")
  )
  code = (
    "import torch, safetensors.torch as s; "
    f"w = torch.load({source!r}, map_location='cpu', weights_only=True); "
    "s.save_file({k: v.clone().contiguous() for k, v in w.items()}, "
    f"{target!r}, metadata={{'format': 'pt'}})"
  )
  return (
    f"{folder} holds only {', '.join(pickled)}, and pickled files are not "
    "read: convert once, with torch 2.10 or newer, by python -c "
    f"{shlex.quote(code)}"
  )


def open_file(path):
  """Opens a safetensors file; its header is checked against its size.

  Raises:
    InputError: if it is cut short or of another format.
  """
  try:
    return safetensors.safe_open(path, framework="numpy")
  except (safetensors.SafetensorError, OSError) as error:
    raise InputError(
      f"{path} is no sound safetensors file ({error}): fetch it again"
    ) from error


def float32(value):
  """Returns an array of any of `TYPES` as float32."""
  with np.errstate(over="ignore"):  # an infinity is reported by name
    return value.astype(np.float32, copy=False)


def read(path, wanted):
  """Reads a safetensors file that holds just the tensors that are wanted.

  Args:
    path: of the file.
    wanted: {name: anything with .shape and .dtype, which is float32}.

  Returns:
    {name: float32 array}.

  Raises:
    InputError: names every tensor that is missing, surplus, of another shape
      or type; nothing of another shape is read.
  """
  with open_file(path) as file:
    parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    found = {
      name: types.SimpleNamespace(
        shape=part.get_shape(),
        dtype="float32" if part.get_dtype() == "F32" else part.get_dtype(),
      )
      for name, part in parts.items()
    }
    if lines := tree.mismatches(found, wanted):
      raise InputError(
        f"{path} does not fit its config.json, fetch both again: "
        f"{'; '.join(lines)}"
      )
    return {name: file.get_tensor(name) for name in wanted}


def write(path, params, metadata=None):
  """Writes {name: float32 array} as safetensors, to the disk.

  Raises:
    InputError: a parameter is of another type.
  """
  arrays = {name: np.asarray(value) for name, value in params.items()}
  if strange := [n for n, x in arrays.items() if x.dtype != np.float32]:
    raise InputError(f"parameters that are not float32: {', '.join(strange)}")
  # `save_file` would let nobody but the owner read the file.
  metadata = metadata or {"format": "np"}
  write_bytes(path, safetensors.numpy.save(arrays, metadata))


def write_json(path, values):
  """Writes one JSON object, to the disk."""
  write_bytes(path, (json.dumps(values, indent=2) + "\n").encode())


def write_bytes(path, content):
  """Writes a file and waits until it is on the disk."""
  with open(path, "wb") as file:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def read_json(path, wanted="give a Hugging Face BERT folder"):
  """Reads a file that holds one JSON object.

  Args:
    path: of the file.
    wanted: what to do where there is none.
  """
  try:
    values = json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError as error:
    raise InputError(f"no {path}: {wanted}") from error
  except (OSError, ValueError, RecursionError) as error:
    raise InputError(f"{path} is no JSON ({error}): fetch it again") from error
  if not isinstance(values, dict):
    raise InputError(f"{path} holds no JSON object: fetch it again")
  return values
