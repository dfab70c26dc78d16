"""WFDB headers (`.hea`), read strictly: a header is input from outside.

Format: https://wfdb.io/spec/header-files.html. Stricter than the standard
where it would make us guess: rate, gain and unit must be written down.
"""

import dataclasses
import functools
import math
import os
import re
import stat
from typing import NamedTuple

from fgclep_jax.errors import InputError

MAX_HEADER_BYTES = 1 << 20
MAX_LINE = 1000  # characters of a record or signal line
MAX_SAMPLES = 1 << 40  # per signal; files are measured before allocation
MICROVOLTS = {"mv": 1e3, "uv": 1.0, "v": 1e6}

_NUMBER = r"[+-]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][+-]?\d{1,3})?"
_RATE = re.compile(rf"({_NUMBER})(?:/[^\s]*)?", re.ASCII)
_GAIN = re.compile(
  rf"({_NUMBER})(?:\(([+-]?\d{{1,10}})\))?(?:/(\S+))?", re.ASCII
)
_FORMAT = re.compile(
  r"(\d{1,4})(?:x(\d{1,4}))?(?::(\d{1,9}))?(?:\+(\d{1,9}))?", re.ASCII
)
_INTEGER = r"[+-]?\d{1,13}"
# file format gain resolution zero first-value checksum block-size name
_SIGNAL = re.compile(
  rf"(\S+)\s+(\S+)(?:\s+(\S+)(?:\s+{_INTEGER}(?:\s+({_INTEGER})"
  rf"(?:\s+({_INTEGER})(?:\s+({_INTEGER})(?:\s+{_INTEGER}"
  r"(?:\s+(\S.*))?)?)?)?)?)?)?",
  re.ASCII,
)


class RecordError(InputError):
  """A record that cannot be used.

  Attributes:
    reason: name of the counter, e.g. `bad_gain`, `missing_file`.
  """

  def __init__(self, reason, message):
    super().__init__(message)
    self.reason = reason


class SignalLine(NamedTuple):  # quicker to make than a frozen dataclass
  """One signal of a header; microvolts = (adc - baseline) * scale."""

  file_name: str
  format: str  # WFDB format number: "16", "212", ...
  per_frame: int  # samples per frame
  skew: int
  byte_offset: int
  scale: float  # microvolts per ADC unit
  baseline: int
  initial: int | None  # first ADC value, None when not written
  checksum: int | None  # sum of ADC values modulo 65536, or None
  name: str  # of the lead, as written


@dataclasses.dataclass(frozen=True)
class Header:
  """A WFDB header: `rate` in Hz, `length` in samples (None: not written)."""

  name: str
  rate: float
  length: int | None
  signals: tuple[SignalLine, ...]
  comments: tuple[str, ...]


def read_header(path):
  """Reads and checks a header file, without touching the samples.

  Args:
    path: the record, with or without `.hea`.

  Returns:
    Header.

  Raises:
    RecordError: `missing_file`, `bad_header`, `bad_gain`, `bad_unit`.
  """
  path = header_path(path)
  try:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
      raise RecordError("missing_file", f"{path}: not a regular file")
    if status.st_size > MAX_HEADER_BYTES:
      raise RecordError(
        "bad_header",
        f"{path}: {status.st_size} bytes, a header has at most "
        f"{MAX_HEADER_BYTES}",
      )
    with open(path, "rb", buffering=0) as file:
      text = file.read(status.st_size).decode("utf-8", "replace")
  except (OSError, ValueError) as error:  # ValueError: NUL in the path
    if isinstance(error, RecordError):
      raise
    raise RecordError(
      "missing_file", f"{path}: cannot read the header ({error})"
    ) from error
  return parse_header(text, path)


def header_path(path):
  """Returns the path of a record's header as text."""
  path = os.fspath(path)
  return path if path.endswith(".hea") else path + ".hea"


def parse_header(text, path="header"):
  """Parses the text of a header; see `read_header`. `path` is for errors."""
  lines, comments = [], []
  for line in text.replace("\r", "\n").split("\n"):
    line = line.strip()
    if line.startswith("#"):
      comments.append(line.strip(" \t#"))
    elif line:
      lines.append(line)
  try:
    if not lines:
      raise RecordError("bad_header", "no record line")
    name, count, rate, length = _record_line(lines[0])
    if len(lines) != count + 1:
      raise RecordError(
        "bad_header",
        f"{count} signals declared, {len(lines) - 1} signal lines found",
      )
    if max(map(len, lines)) > MAX_LINE:
      raise RecordError("bad_header", f"a line above {MAX_LINE} characters")
    signals = tuple(_signal_line(line) for line in lines[1:])
  except RecordError as error:
    raise RecordError(error.reason, f"{path}: {error}") from error
  return Header(name, rate, length, signals, tuple(comments))


def _record_line(line):
  """Returns name, number of signals, rate in Hz, samples (None: unknown)."""
  fields = line.split()
  if len(fields) < 3:
    raise RecordError(
      "bad_header", f"record line {line[:60]!r}: name, signals, rate expected"
    )
  if "/" in fields[0]:
    raise RecordError("bad_header", "records of several segments are not read")
  count = _integer(fields[1], "number of signals")
  rate = _RATE.fullmatch(fields[2])
  rate = float(rate[1]) if rate else 0.0
  if not 1 <= rate <= 1e5:
    raise RecordError(
      "bad_header", f"rate {fields[2][:40]!r}: 1 to 100000 Hz expected"
    )
  length = _integer(fields[3], "number of samples") if len(fields) > 3 else 0
  if count < 1 or not 0 <= length <= MAX_SAMPLES:
    raise RecordError("bad_header", f"{count} signals of {length} samples")
  # Georgia's early headers write `E00015.mat` as the record's name.
  return fields[0].removesuffix(".mat"), count, rate, length or None


def _signal_line(line):
  match = _SIGNAL.fullmatch(line)
  if not match:
    raise RecordError(
      "bad_header",
      f"signal line {line[:60]!r}: file, format, gain, resolution, zero, "
      "first value, checksum, block size, lead name expected",
    )
  file_name, token, gain, zero, initial, checksum, name = match.groups()
  _check_file_name(file_name)
  return SignalLine(
    file_name,
    *_conversion(token, gain or "", zero or "0"),
    None if initial is None else int(initial),
    None if checksum is None else int(checksum),
    name or "",
  )


@functools.lru_cache(maxsize=256)
def _check_file_name(name):
  """Refuses names that could lead out of the record's folder."""
  if name in (".", "..", "-", "~") or re.search(r"[/\\\0]|^~", name):
    raise RecordError(
      "bad_header", f"file name {name[:60]!r} must lie in the record's folder"
    )


@functools.lru_cache(maxsize=256)
def _conversion(token, gain, zero):
  """Returns format, samples per frame, skew, offset, scale and baseline.

  Nearly all signal lines of an archive have the same.
  """
  scale, baseline = _gain(gain)
  return *_format(token), scale, int(zero) if baseline is None else baseline


def _format(token):
  """Parses `16`, `16+24`, `16x1+24`, `212:4`."""
  match = _FORMAT.fullmatch(token)
  if not match:
    raise RecordError("bad_header", f"unknown format {token[:40]!r}")
  number, per_frame, skew, offset = match.groups()
  if per_frame is not None and int(per_frame) == 0:
    raise RecordError("bad_header", f"no samples per frame in {token[:40]!r}")
  return number, int(per_frame or 1), int(skew or 0), int(offset or 0)


def _gain(token):
  """Parses `gain(baseline)/unit` to microvolts per unit and the baseline."""
  match = _GAIN.fullmatch(token)
  gain = float(match[1]) if match else 0.0
  if gain == 0 or not math.isfinite(gain):
    raise RecordError(
      "bad_gain",
      f"gain {token[:40]!r}: a number other than 0 and a unit expected",
    )
  factor = MICROVOLTS.get((match[3] or "").lower())
  if factor is None:
    raise RecordError(
      "bad_unit", f"unit in {token[:40]!r}: mV, uV or V expected"
    )
  if not 1e-9 <= abs(factor / gain) <= 1e9:
    raise RecordError("bad_gain", f"gain {token[:40]!r} is out of range")
  return factor / gain, int(match[2]) if match[2] is not None else None


def _integer(token, what):
  if not re.fullmatch(_INTEGER, token, re.ASCII):
    raise RecordError(
      "bad_header", f"{what}: whole number expected, found {token[:40]!r}"
    )
  return int(token)
