"""Checksums of a folder: what every file of a checkpoint must hold.

`manifest.json` lists size and sha256 of every other file of the folder, and
the sha256 of that list. It is written before the folder gets its final name.
"""

import hashlib
import json
import pathlib

from fgclep_jax import atomic

NAME = "manifest.json"

# {folder: (state of its files, fault or None)} of the folders looked at.
_LOOKED_AT = {}


def write(folder):
  """Reads every file of a folder and writes its manifest, whole or not."""
  folder = pathlib.Path(folder)
  files = {}
  for path in _files(folder):
    name = path.relative_to(folder).as_posix()
    files[name] = {
      "size": path.stat().st_size,
      "sha256": atomic.file_hash(path),
    }
  atomic.write_text(folder / NAME, _text(files))


def fault(folder):
  """What is wrong with a folder that has a manifest.

  Files that the manifest does not name are not looked at.

  Returns:
    A few words that name the first file that is not as written, or None.
  """
  folder = pathlib.Path(folder)
  try:
    text = (folder / NAME).read_text(encoding="utf-8")
    files = json.loads(text)["files"]
    if text != _text(files):
      return f"{NAME} was altered"
    for name, wanted in files.items():
      path = folder / name
      if ".." in path.parts or not path.is_relative_to(folder):
        return f"{NAME} names {name[:60]!r}, which lies elsewhere"
      if not path.is_file():
        return f"{name} is missing"
      if path.stat().st_size != wanted["size"]:
        return (
          f"{name} has {path.stat().st_size} bytes instead of {wanted['size']}"
        )
      if atomic.file_hash(path) != wanted["sha256"]:
        return f"{name} was altered"
  except FileNotFoundError:
    return f"{NAME} is missing"
  except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
    return f"{NAME} was altered"
  except OSError as error:
    return f"{error.filename or NAME} cannot be read ({error.strerror})"
  return None


def known_fault(folder):
  """As `fault`; files are hashed once by each process, and when touched."""
  before = _state(folder)
  if _LOOKED_AT.get(folder, (None, None))[0] != before:
    _LOOKED_AT[folder] = before, fault(folder)
  return _LOOKED_AT[folder][1]


def trust(folder):
  """Notes that this process has just written the manifest of a folder."""
  _LOOKED_AT[folder] = _state(folder), None


def _state(folder):
  """Name, size, time and number of every file: changes when one is touched."""
  try:
    return tuple(
      (str(path), found.st_size, found.st_mtime_ns, found.st_ino)
      for path in sorted(folder.rglob("*"))
      if path.is_file()
      for found in [path.stat()]
    )
  except FileNotFoundError:  # deleted while it was looked at
    return ()


def _files(folder):
  """Every file but the manifest itself, in order of its name."""
  return sorted(
    path
    for path in folder.rglob("*")
    if path.is_file() and path != folder / NAME
  )


def _text(files):
  listed = json.dumps(files, sort_keys=True)
  own = hashlib.sha256(listed.encode()).hexdigest()
  return json.dumps({"files": files, "sha256": own}, indent=1, sort_keys=True)
