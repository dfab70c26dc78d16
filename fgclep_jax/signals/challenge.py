"""Record files and header comments as the PhysioNet Challenges lay them out.

Records are found by their id wherever they lie, because folder numbers
differ between releases of the same archive.
"""

import dataclasses
import hashlib
import json
import math
import os
import pathlib
import re

from fgclep_jax.errors import InputError
from fgclep_jax.signals import header
from fgclep_jax.signals.header import RecordError

# In JS01052 and JS23074 of Chapman-Shaoxing-Ningbo the record line and the
# line of lead I run into each other:
# `JS01052 12 500 500000/mV 16 0 15 31255 0 I`.
_FUSED = re.compile(
  r"(\S+ 12 500) \d\S*(?: .*)?/mV (16 0 -?\d+ -?\d+ 0 I)\s*", re.ASCII
)
_SEXES = {"male": 0, "m": 0, "female": 1, "f": 1}


def find_records(root, pattern, tree):
  """Finds the files of every record below a folder.

  Args:
    root, pattern: as `walk_records` takes them.
    tree: what the folder must hold, for the message.

  Returns:
    dict record id -> (path below `root` without ending, set of the endings
    present among `.hea` and `.mat`), in order of ids.

  Raises:
    InputError: there is no record, or one lies in two folders.
  """
  found, twice = {}, {}
  for record_id, stem, ending in walk_records(root, pattern):
    first, endings = found.setdefault(record_id, (stem, set()))
    endings.add(ending)
    if stem != first:
      twice[record_id] = (first, stem)
  if not found:
    raise InputError(f"{root}: no records found; expected there: {tree}")
  if twice:
    record_id, (first, second) = min(twice.items())
    raise InputError(
      f"{len(twice)} records lie in two folders of {root}, first {record_id} "
      f"in {first} and {second}: keep one of each"
    )
  return dict(sorted(found.items()))


def walk_records(root, pattern):
  """Yields every file of a record below a folder.

  Args:
    root: the folder; links to folders are followed, each folder once.
    pattern: regular expression of a whole record id.

  Yields:
    Record id, path below `root` without ending, ending (`.hea`, `.mat`).
  """
  name = re.compile(rf"({pattern})(\.hea|\.mat)", re.ASCII)
  visited = set()
  for folder, folders, files in os.walk(root, followlinks=True):
    real = os.path.realpath(folder)
    if real in visited:
      folders.clear()
      continue
    visited.add(real)
    for file in files:
      match = name.fullmatch(file)
      if match:
        stem = os.path.relpath(os.path.join(folder, match[1]), root)
        yield match[1], stem, match[2]


def read_header(path):
  """Reads a header, also one whose first two lines are fused.

  What such a header has lost is known: file name, format and gain of lead I
  are those of lead II, the length is that of the file. The checksum of every
  lead then tells whether that was right.

  Args:
    path: of the record, without ending.

  Returns:
    header.Header, and whether it was repaired.

  Raises:
    RecordError: as header.read_header.
  """
  try:
    return header.read_header(path), False
  except RecordError as error:
    if error.reason != "bad_header":
      raise
    with open(path + ".hea", "rb") as file:
      text = file.read(header.MAX_HEADER_BYTES).decode("utf-8", "replace")
    lines = text.replace("\r", "\n").split("\n")
    match = _FUSED.fullmatch(lines[0][: header.MAX_LINE])
    if not match or len(lines) < 2:
      raise
    lead_one = " ".join([*lines[1].split()[:3], match[2]])
    repaired = "\n".join([match[1], lead_one, *lines[1:]])
    return header.parse_header(repaired, path), True


@dataclasses.dataclass(frozen=True)
class Remarks:
  """What the comments of a header say about the person and the findings."""

  age: float  # years as written, NaN when absent or no number
  sex: int  # 0 male, 1 female, -1 unknown
  codes: tuple[str, ...]  # of `Dx`, each once, in order


def read_comments(comments):
  """Reads `Age`, `Sex` and `Dx` of a header's comments.

  Args:
    comments: lines without their `#`; `Dx: 1,,2,` may hold empty and
      repeated entries.

  Returns:
    Remarks.
  """
  fields = {}
  for line in comments:
    key, colon, value = line.partition(":")
    if colon:
      fields.setdefault(key.strip().lower(), value.strip())
  codes = [code.strip() for code in fields.get("dx", "").split(",")]
  codes = [code for code in codes if code and code.lower() != "unknown"]
  return Remarks(
    _number(fields.get("age", "")),
    sex_of(fields.get("sex", "")),
    tuple(dict.fromkeys(codes)),
  )


def sex_of(text):
  """Returns 0 for Male, 1 for Female (letter case ignored), else -1."""
  return _SEXES.get(text.strip().lower(), -1)


def _number(text):
  try:
    return float(text)
  except ValueError:
    return math.nan


def digest(signal):
  """Returns 16 bytes that only equal signals share; (12, T) int16."""
  return hashlib.sha256(signal.tobytes()).digest()[:16]


class SameSignals:
  """Finds records with equal signals, where no patient is known."""

  def __init__(self):
    self._records = {}  # digest of a signal -> [(split, record id)]

  def add(self, record_id, split, signal_digest):
    """Notes the digest of the signal of one record."""
    self._records.setdefault(signal_digest, []).append((split, record_id))

  def groups(self):
    """Returns lists of (split, record id), one for each repeated signal."""
    return [group for group in self._records.values() if len(group) > 1]

  def summary(self):
    """One line: how many signals repeat, and across splits."""
    groups = self.groups()
    across = sum(len({split for split, _ in group}) > 1 for group in groups)
    return f"signals that occur twice {len(groups)}, across splits {across}"

  def write(self, folder):
    """Writes `same_signals.jsonl`: a line of record ids by split each."""
    lines = [
      json.dumps([{"split": s, "record_id": r} for s, r in group])
      for group in self.groups()
    ]
    path = pathlib.Path(folder) / "same_signals.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
