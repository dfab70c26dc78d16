"""Answers of a backend, kept the moment they arrive.

An append-only file of JSON lines, each with a checksum, written under a lock
and synced to disk before `put` returns. A process killed at any instant
costs at most the answer it was writing; several processes may share a file.
"""

import contextlib
import fcntl
import hashlib
import json
import os

from fgclep_jax.errors import InputError

_HEADER = b'{"format": "fgclep answers", "version": 1}\n'
_KEY = ("backend", "model", "prompt", "finding")
_FIELDS = (*_KEY, "answer")


class Cache:
  """(backend, model hash, prompt hash, finding) -> answer as it came.

  Another model or prompt leaves the old answers beside the new. What two
  processes answer for one key is settled by the file: the first line holds,
  for both.

  Attributes:
    repaired: bytes of an unfinished last line that were cut off.
    damaged: lines that could not be read; their findings are asked again.
  """

  def __init__(self, path):
    """Opens or makes a cache.

    Raises:
      InputError: the file is something else, or cannot be read or written.
    """
    self.path = os.fspath(path)
    self.repaired = 0
    self.damaged = 0
    self._answers = {}
    self._end = 0  # of what was read
    try:
      os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
      self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115
    except OSError as error:
      raise InputError(
        f"no answer cache can be opened at {self.path}: {error.strerror}"
      ) from error
    try:
      with self._locked():
        self._read()
    except BaseException:
      self._file.close()
      raise

  def __len__(self):
    return len(self._answers)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def close(self):
    """Closes the file; nothing is waiting to be written."""
    self._file.close()

  def get(self, backend, model_hash, prompt_hash, finding):
    """Returns the answer, or None when it was never asked."""
    return self._answers.get((backend, model_hash, prompt_hash, finding))

  def put(self, backend, model_hash, prompt_hash, finding, answer):
    """Keeps an answer; it is on the disk when this returns.

    Returns:
      The answer that holds: the given one, unless another process was first.

    Raises:
      InputError: the file cannot be written, for example on a full disk.
    """
    key = (backend, model_hash, prompt_hash, finding)
    try:
      with self._locked():
        self._read()
        if key not in self._answers:
          self._append(_line((*key, answer)))
          self._answers[key] = answer
    except OSError as error:
      raise InputError(
        f"{self.path} cannot be written ({error.strerror}): the answers "
        "before this one are kept; make room and run the command again"
      ) from error
    return self._answers[key]

  def answered(self, backend, prompt_hash):
    """Findings that any model of a backend answered under a prompt."""
    return {
      finding
      for name, _, prompt, finding in self._answers
      if (name, prompt) == (backend, prompt_hash)
    }

  def _read(self):
    """Takes in what was appended since; the lock is held."""
    self._file.seek(self._end)
    content = self._file.read()
    if not self._end:
      content = self._start(content)
    # Who wrote the rest after the last line end was killed: we hold the lock.
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
      self.repaired += len(content) - whole
      self._file.truncate(self._end + whole)
    self._end += whole
    for line in content[:whole].splitlines():
      entry = _entry(line)
      if entry is None:
        self.damaged += 1
      else:
        self._answers.setdefault(entry[:-1], entry[-1])

  def _start(self, content):
    """Takes the header off, or writes it to a new file."""
    if content.startswith(_HEADER):
      self._end = len(_HEADER)
      return content[self._end :]
    if not _HEADER.startswith(content):
      raise InputError(
        f"{self.path} is no answer cache of this version: give another path"
      )
    self.repaired += len(content)  # of a header cut short
    self._file.truncate(0)
    self._append(_HEADER)
    return b""

  def _append(self, line):
    """Writes a line and syncs it, or leaves the file as it was."""
    try:
      written = self._file.write(line)
      if written < len(line):
        raise OSError(None, "the disk took part of a line")
      os.fsync(self._file.fileno())
    except OSError:
      self._file.truncate(self._end)
      raise
    self._end += len(line)

  @contextlib.contextmanager
  def _locked(self):
    fcntl.flock(self._file, fcntl.LOCK_EX)
    try:
      yield
    finally:
      fcntl.flock(self._file, fcntl.LOCK_UN)


def _line(values):
  content = dict(zip(_FIELDS, values, strict=True))
  content["sum"] = _checksum(values)
  return json.dumps(content).encode() + b"\n"


def _entry(line):
  """Returns the values of a line, or None when it is damaged."""
  try:
    content = json.loads(line)
    values = tuple(content[name] for name in _FIELDS)
    whole = content["sum"] == _checksum(values)
  except (ValueError, KeyError, TypeError, RecursionError):
    return None
  return values if whole else None


def _checksum(values):
  content = json.dumps(values).encode()
  return hashlib.sha256(content).hexdigest()[:16]
