"""Weight files of a folder from outside: safetensors and JSON, no pickle."""

import json
import pathlib
import shlex

import ml_dtypes  # noqa: F401  numpy learns the name bfloat16
import numpy as np
import safetensors

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


def read_json(path):
  """Reads a file that holds one JSON object."""
  try:
    values = json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError as error:
    raise InputError(f"no {path}: give a Hugging Face BERT folder") from error
  except (OSError, ValueError, RecursionError) as error:
    raise InputError(f"{path} is no JSON ({error}): fetch it again") from error
  if not isinstance(values, dict):
    raise InputError(f"{path} holds no JSON object: fetch it again")
  return values
