"""Reads the MATLAB structs of the original CPSC2018 archive."""

import dataclasses
import math
import os
import zlib

import numpy as np

from fgclep_jax.signals import challenge, leads, quality
from fgclep_jax.signals.header import RecordError

RATE = 500  # Hz, documented; the files hold neither rate nor lead names
_MAX_BYTES = 1 << 26  # a minute of 12 leads in float64 is 3 MB
_MATRIX, _COMPRESSED = 14, 15  # types of elements of a MAT v5 file
_MAX_DEPTH = 20


@dataclasses.dataclass(frozen=True, eq=False)
class StructRecord:
  """One record: signal (12, T) int16 microvolts and who it is from."""

  signal: np.ndarray
  quality: quality.Quality
  age: float  # years as written, NaN when empty
  sex: int  # 0 male, 1 female, -1 unknown


def read_struct(path):
  """Reads `ECG` (sex, age, data) of one file.

  The leads have no names; their documented order is I II III aVR aVL aVF
  V1..V6, in millivolts.

  Args:
    path: the `.mat` file.

  Returns:
    StructRecord.

  Raises:
    RecordError: `missing_file`, `bad_header`, `bad_length`, or a reason of
      quality.assemble.
  """
  try:
    sex, age, data = _fields(path)
    with np.errstate(over="ignore", invalid="ignore"):
      values = data * 1000
    signal, found = quality.assemble(
      values, leads.LEADS, RATE, ~np.isfinite(values)
    )
  except RecordError as error:
    raise RecordError(error.reason, f"{path}: {error}") from error
  return StructRecord(signal, found, age, sex)


def _fields(path):
  """Returns sex, age and (12, T) float64 millivolts of a file."""
  _check_size(path)
  from scipy import io  # slow to import

  try:
    struct = io.loadmat(path, variable_names=["ECG"])["ECG"][0, 0]
    sex, age, data = (np.asarray(struct[k]) for k in ("sex", "age", "data"))
    sex = challenge.sex_of(str(sex.flat[0])) if sex.size else -1
    age = float(age.flat[0]) if age.size else math.nan
  except Exception as error:  # scipy raises many types on a damaged file
    raise RecordError(
      "bad_header",
      f"no struct ECG with sex, age and data ({str(error)[:120]})",
    ) from error
  if data.ndim != 2 or data.dtype.kind not in "fiu" or len(data) != 12:
    raise RecordError(
      "bad_length", f"data {data.dtype} {data.shape}: 12 rows expected"
    )
  return sex, age, data.astype(np.float64)


def _check_size(path):
  """Refuses files that would expand without bound."""
  try:
    size = os.path.getsize(path)
    if not os.path.isfile(path):
      raise RecordError("missing_file", "not a regular file")
    if size > _MAX_BYTES:
      raise RecordError("bad_header", f"{size} bytes, at most {_MAX_BYTES}")
    with open(path, "rb") as file:
      content = file.read()
  except OSError as error:
    raise RecordError("missing_file", str(error.strerror)) from error
  position = 128  # after the file's header
  while position + 8 <= len(content):
    kind, length = np.frombuffer(content, "<u4", 2, position).tolist()
    if kind == _COMPRESSED:
      body = content[position + 8 : position + 8 + length]
      try:
        expander = zlib.decompressobj()
        _check_elements(expander.decompress(body, _MAX_BYTES))
      except zlib.error as error:
        raise RecordError("bad_header", f"damaged ({error})") from error
      if not expander.eof:
        raise RecordError("bad_header", "cut short, or expands too far")
    position += 8 + length
  if content[126:128] != b"IM":
    raise RecordError("bad_header", "no little-endian MAT file of version 5")
  _check_elements(content[128:])


def _check_elements(content, depth=0):
  """Refuses arrays of more values than bytes, which would fill the memory."""
  if depth > _MAX_DEPTH:
    raise RecordError("bad_header", "arrays nested too deep")
  position = 0
  while position + 8 <= len(content):
    kind, length = np.frombuffer(content, "<u4", 2, position).tolist()
    if kind >> 16:  # up to four bytes within the tag itself
      length = 0
    body = content[position + 8 : position + 8 + length]
    if kind == _MATRIX and len(body) >= 32:  # flags, dimensions, the rest
      size = int(np.frombuffer(body, "<u4", 1, 20)[0])
      size = min(size, len(body) - 24) // 4
      dimensions = np.frombuffer(body, "<i4", size, 24).tolist()
      if min(dimensions, default=0) < 0 or math.prod(dimensions) > len(body):
        raise RecordError(
          "bad_header", f"{len(body)} bytes for an array of {dimensions[:9]}"
        )
      _check_elements(body[16:], depth + 1)
    position += 8 + length + -length % 8
