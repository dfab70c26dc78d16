"""Files of samples: found beside their header, measured, read."""

import os
import stat

import numpy as np

from fgclep_jax.signals.header import RecordError


def data_file(path, name):
  """Returns path and bytes of a regular file beside the header."""
  folder = os.path.dirname(path)
  file = os.path.join(folder, name)
  try:
    status = os.lstat(file)
    if stat.S_ISLNK(status.st_mode):
      inside = os.path.realpath(folder) + os.sep
      if not os.path.realpath(file).startswith(inside):
        raise RecordError(
          "bad_header", f"{name} is a link that leaves the record's folder"
        )
      status = os.stat(file)
  except OSError as error:
    raise RecordError(
      "missing_file", f"cannot read {name} ({error.strerror})"
    ) from error
  if not stat.S_ISREG(status.st_mode):
    raise RecordError("missing_file", f"{name} is not a regular file")
  return file, status.st_size


def common_offset(group):
  """Returns the bytes to skip; the signals of one file must agree."""
  if len({line.byte_offset for line in group}) > 1:
    raise RecordError(
      "bad_header", f"{group[0].file_name} has several byte offsets"
    )
  return group[0].byte_offset


def read_samples(file, offset, shape):
  """Returns int16 of a file, which was measured before; `np.fromfile` is slow.

  Raises:
    RecordError: `missing_file`, `bad_length`.
  """
  samples = np.empty(shape, "<i2")
  try:
    with open(file, "rb", buffering=0) as opened:
      if offset:
        opened.seek(offset)
      count = opened.readinto(samples)
  except OSError as error:
    raise RecordError(
      "missing_file", f"cannot read {os.path.basename(file)} ({error.strerror})"
    ) from error
  if count != samples.nbytes:
    raise RecordError(
      "bad_length",
      f"{os.path.basename(file)} gave {count} bytes, {samples.nbytes} expected",
    )
  return samples
