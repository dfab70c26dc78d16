"""Reads WFDB records: format 16 and MAT v4 with NumPy, others with `wfdb`.

Nothing in a header is trusted: file names stay in the record's folder, and
sizes are compared with the file before anything is allocated.
"""

import dataclasses
import itertools
import math
import os
import re

import numpy as np

from fgclep_jax.signals import files, leads, transform
from fgclep_jax.signals.header import (
  RecordError,
  header_path,
  read_header,
)
from fgclep_jax.signals.quality import BENCHMARK, Quality, assemble

__all__ = ["Record", "RecordError", "read_header", "read_record"]

SENTINEL = -32768  # "no value" in format 16
# Format -> bits in the file, bits of a value; the least value means "no
# value" except in format 8 (https://wfdb.io/spec/signal-files.html).
_BITS = {
  "8": (8, None),
  "16": (16, 16),
  "24": (24, 24),
  "32": (32, 32),
  "61": (16, 16),
  "80": (8, 8),
  "160": (16, 16),
  "212": (12, 12),
  "310": (32 / 3, 10),
  "311": (32 / 3, 10),
  "508": (None, 8),
  "516": (None, 16),
  "524": (None, 24),
}
# Packed with FLAC: a small file may expand without bound.
_MAX_FLAC_SAMPLES = 1 << 23


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
  """One ECG."""

  signal: np.ndarray  # (12, T) int16 microvolts, rows as `lead_names`
  rate: float  # Hz
  lead_names: tuple[str, ...]  # always leads.LEADS
  comments: tuple[str, ...]  # header comments without their `#`
  quality: Quality


def read_record(path, policy=BENCHMARK, header=None):
  """Reads one WFDB record.

  Args:
    path: the record, with or without `.hea`.
    policy: what to do with odd records: quality.BENCHMARK keeps and marks
      them, quality.TRAINING drops them (raises).
    header: header.Header to use instead of the file's, which need not
      exist then: for headers with a known, repaired fault.

  Returns:
    Record; equal to `wfdb.rdrecord` within rounding to 1 microvolt where
    that gives a number.

  Raises:
    RecordError: `.reason` is one of `missing_file`, `bad_header`,
      `bad_gain`, `bad_unit`, `bad_length`, `bad_checksum`, or a reason of
      `quality.assemble`.
  """
  header = header or read_header(path)
  path = header_path(path)
  try:
    if _is_plain(header):
      values, invalid = _read_format_16(path, header)
    else:
      values, invalid = _read_with_wfdb(path, header)
    names = [line.name for line in header.signals]
    signal, quality = assemble(values, names, header.rate, invalid, policy)
  except RecordError as error:
    raise RecordError(error.reason, f"{path}: {error}") from error
  return Record(signal, header.rate, leads.LEADS, header.comments, quality)


def check_files(path, header):
  """Compares the files of samples with a header, without opening them.

  Args:
    path: the record, with or without `.hea`.
    header: its header.Header.

  Returns:
    Samples of a signal; None for a packed format whose header says none.

  Raises:
    RecordError: `missing_file`, `bad_length`, `bad_header`.
  """
  path = header_path(path)
  length = header.length
  try:
    for name, group in itertools.groupby(header.signals, lambda s: s.file_name):
      if _is_plain(header):
        length = _measure_format_16(path, name, list(group), length)[2]
      else:
        _check_before_wfdb(path, name, list(group), length)
  except RecordError as error:
    raise RecordError(error.reason, f"{path}: {error}") from error
  return length


def _is_plain(header):
  """True for format 16 with one sample a frame, read without `wfdb`."""
  return all(
    line.format == "16" and line.per_frame == 1 and not line.skew
    for line in header.signals
  )


def _read_format_16(path, header):
  """Returns (n, T) microvolts and (n, T) bool invalid, or None for none."""
  blocks = []
  length = header.length
  for name, group in itertools.groupby(header.signals, lambda s: s.file_name):
    group = list(group)
    file, offset, length = _measure_format_16(path, name, group, length)
    blocks.append(files.read_samples(file, offset, (length, len(group))))
  adc = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
  adc = np.ascontiguousarray(adc.T)
  sums = adc.view(np.uint16).sum(axis=1, dtype=np.uint16)
  _verify(header.signals, adc[:, 0], sums)
  invalid = None
  low = int(adc.min())
  if low == SENTINEL:
    invalid = adc == SENTINEL
  scale = _whole_scale(header.signals)
  if scale == 1:
    return adc, invalid
  peak = max(int(adc.max()), -low) * abs(scale)
  # Whole numbers stay so: a quarter of the memory of floats.
  if scale and invalid is None and peak <= transform.LIMIT:
    adc *= np.int16(scale)
    return adc, None
  return _microvolts(adc, header.signals), invalid


def _whole_scale(lines):
  """Returns the microvolts of a unit where all signals have the same, a whole
  number of at most 1000, and no baseline; otherwise 0.
  """
  scale = lines[0].scale
  for line in lines:
    if line.scale != scale or line.baseline:
      return 0
  return int(scale) if abs(scale) <= 1000 and scale == int(scale) else 0


def _measure_format_16(path, name, group, length):
  """Returns path, bytes to skip and samples a signal of one file.

  `length` is the header's, or None: as many as the file holds.
  """
  file, size = files.data_file(path, name)
  offset = files.common_offset(group)
  if length is None:
    length = max(size - offset, 0) // (2 * len(group))
  expected = offset + 2 * len(group) * length
  if size != expected or not length:
    raise RecordError(
      "bad_length",
      f"{name} has {size} bytes, {len(group)} signals of {length} samples "
      f"in format 16 make {expected}",
    )
  return file, offset, length


def _read_with_wfdb(path, header):
  """Reads any other format; returns as `_read_format_16`."""
  for name, group in itertools.groupby(header.signals, lambda s: s.file_name):
    _check_before_wfdb(path, name, list(group), header.length)
  import wfdb  # slow to import, and rarely needed

  stem = os.path.abspath(path).removesuffix(".hea")
  try:
    record = wfdb.rdrecord(stem, physical=False, smooth_frames=False)
    frames = [
      np.asarray(samples, np.int64).reshape(-1, line.per_frame)
      for samples, line in zip(record.e_d_signal, header.signals, strict=True)
    ]
    first = np.stack([frame[:, 0] for frame in frames])
  except Exception as error:  # wfdb raises many types on a damaged file
    raise RecordError(
      "bad_header", f"wfdb cannot read it ({str(error)[:200]})"
    ) from error
  if first.shape[1] != (header.length or first.shape[1]):
    raise RecordError(
      "bad_length",
      f"{first.shape[1]} samples read, {header.length} in the header",
    )
  if not any(line.skew for line in header.signals):  # skew moves the ends
    sums = np.array([frame.sum() & 0xFFFF for frame in frames])
    _verify(header.signals, first[:, 0], sums)
  invalid = np.zeros(first.shape, bool)
  for row, line in enumerate(header.signals):
    bits = _BITS[line.format][1]
    if bits:
      invalid[row] = (frames[row] == -(1 << (bits - 1))).any(axis=1)
  # Several samples per frame are averaged, as `wfdb` does.
  adc = np.stack([frame.mean(axis=1) for frame in frames])
  return _microvolts(adc, header.signals), invalid


def _check_before_wfdb(path, name, group, length):
  """Refuses files that `wfdb` would read wrongly or without bound."""
  if not re.fullmatch(r"[-\w]+\.?\w*", name, re.ASCII):
    raise RecordError("bad_header", f"file name {name[:60]!r}")
  _, size = files.data_file(path, name)
  form, offset = group[0].format, files.common_offset(group)
  if form not in _BITS or any(line.format != form for line in group):
    raise RecordError("bad_header", f"{name}: format {form} cannot be read")
  bits = _BITS[form][0]
  total = (length or 0) * sum(line.per_frame for line in group)
  if bits is None:
    if not 0 < total <= _MAX_FLAC_SAMPLES:
      raise RecordError(
        "bad_length",
        f"{total} samples declared, format {form} is read from 1 up to "
        f"{_MAX_FLAC_SAMPLES}",
      )
    return
  expected = offset + math.ceil(total * bits / 8)
  # Packed formats may round up to a whole group of samples.
  if length is not None and not expected <= size <= expected + 3:
    raise RecordError(
      "bad_length",
      f"{name} has {size} bytes, {total} samples in format {form} make "
      f"{expected}",
    )


def _verify(lines, first, sums):
  """Compares first values (n,) and sums (n,) with the header, mod 65536."""
  for line, value, total in zip(
    lines, first.tolist(), sums.tolist(), strict=True
  ):
    if line.initial is not None and (value - line.initial) & 0xFFFF:
      raise RecordError(
        "bad_checksum",
        f"lead {line.name}: first value {value}, header says {line.initial}",
      )
    if line.checksum is not None and (total - line.checksum) & 0xFFFF:
      raise RecordError(
        "bad_checksum",
        f"lead {line.name}: checksum {total}, header says "
        f"{line.checksum & 0xFFFF}",
      )


def _microvolts(adc, lines):
  """Returns (n, T) float64 microvolts of (n, T) ADC values."""
  scale = np.array([[line.scale] for line in lines])
  baseline = np.array([[line.baseline] for line in lines])
  values = np.subtract(adc, baseline, dtype=np.float64)
  values *= scale
  return values
