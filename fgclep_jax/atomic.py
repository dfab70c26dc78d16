"""Files that are whole or not there, whatever kills the process."""

import hashlib
import os
import uuid


def sweep(folder):
  """Deletes what killed processes have left half written in a folder.

  For the one process that writes there: another's file may be under way.
  """
  for path in folder.glob(f".*.{'[0-9a-f]' * 32}.tmp"):
    path.unlink(missing_ok=True)


def write_text(path, text):
  """Writes a file beside its place, to the disk, and renames it.

  Args:
    path: `pathlib.Path` of the file.
    text: str, written as UTF-8.
  """
  write(path, lambda file: file.write(text.encode()))


def write(path, fill):
  """As `write_text`, by a function that gets the open binary file."""
  beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
  try:
    with open(beside, "xb") as file:
      fill(file)
      file.flush()
      os.fsync(file.fileno())
    os.replace(beside, path)
  finally:
    beside.unlink(missing_ok=True)


def file_hash(path):
  """sha256 of a file, read in pieces: hexadecimal str."""
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
