"""Faults put into sound files, and what a reader does about them.

A case is a list of edits, plain numbers: hypothesis makes and shrinks them,
the long run (`python -m benchmarks.fuzz`) draws them from a seed.
"""

import contextlib
import dataclasses
import os
import re
import sys
import sysconfig
import time
from collections.abc import Callable

KINDS, PLACES, VALUES = 10, 1 << 20, 1 << 16
MAX_EDITS = 4
MAX_BYTES = 1 << 18  # of a case: doubling must not run away
SLOW = 5.0  # seconds of the processor for one input: a hang
_WORD = re.compile(rb"[\w.+-]+")
_INTEGERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40,
             (1 << 63) - 1, (1 << 64) - 1)  # fmt: skip
# What a reader may open beside its record: its own code and libraries.
_CODE = tuple(
  {
    os.path.realpath(path) + os.sep
    for path in (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values())
  }
)
# Events of an interpreter that runs, fetches or unpickles something.
FORBIDDEN = (
  "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen",
  "socket.connect", "socket.getaddrinfo", "pickle.find_class", "os.remove",
  "os.rename", "shutil.rmtree",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Reader:
  """What is fuzzed.

  Attributes:
    name: of the reader.
    make: folder -> {name of a seed: bytes}, sound contents; other files of
      the record may be put into the folder.
    read: (folder, bytes) -> anything; writes the bytes and reads them.
    documented: the errors it may raise.
    put: (folder, bytes); what is done before, unwatched.
    tokens: words of the format, and those that hurt.
    weight: share of a long run.
  """

  name: str
  make: Callable
  read: Callable
  documented: tuple
  put: Callable = lambda *_: None
  tokens: tuple = (b"",)
  weight: float = 1.0


def apply(seeds, tokens, first, edits):
  """Returns bytes: the seed of a number after some edits.

  Args:
    seeds: list of bytes.
    tokens: list of bytes.
    first: int, which seed.
    edits: of (kind, place, value), ints below KINDS, PLACES, VALUES.
  """
  content = seeds[first % len(seeds)]
  for kind, place, value in edits:
    place = place * (len(content) + 1) // PLACES
    content = _edit(content, seeds, tokens, kind, place, value)[:MAX_BYTES]
  return content


def _edit(content, seeds, tokens, kind, place, value):
  token = tokens[value % len(tokens)]
  before, after = content[:place], content[place:]
  if kind == 0:  # a bit
    return before + bytes([after[0] ^ 1 << value % 8]) + after[1:] \
      if after else before  # fmt: skip
  if kind == 1:  # a byte
    return before + bytes([value % 256]) + after[1:]
  if kind == 2:  # a span lost
    return before + after[1 + value % 64 :]
  if kind == 3:  # a span repeated
    return before + after[: 1 + value % 97] * (value % 53) + after
  if kind == 4:  # cut
    return before
  if kind == 5:  # a word put in
    return before + token + after
  if kind in (6, 9):  # a word replaced; there is mostly one near
    found = _WORD.search(content, place) or _WORD.search(content)
    if found is None:
      return content + token
    if kind == 9 and len(content) < 1 << 14:  # wherever it stands
      return content.replace(found[0], token)
    return content[: found.start()] + token + content[found.end() :]
  if kind == 7:  # a number of 4 or 8 bytes
    size = 8 if value % 2 else 4
    number = _INTEGERS[value // 2 % len(_INTEGERS)] & (1 << 8 * size) - 1
    return before + number.to_bytes(size, "little") + after[size:]
  other = seeds[value % len(seeds)]  # the end of another seed
  return before + other[min(place, len(other)) :]


@dataclasses.dataclass
class Watch:
  """What was done while a reader read, beside reading."""

  folder: str = ""
  on: bool = False
  strange: list = dataclasses.field(default_factory=list)

  def __call__(self, event, args):
    if not self.on:
      return
    if event == "open":
      self._opened(args[0])
    elif event in FORBIDDEN:
      path = args[0] if args and isinstance(args[0], str) else ""
      # A reader may tidy up its own folder.
      if not (event.startswith(("os.re", "shutil")) and self._inside(path)):
        self.strange.append(f"{event} {args}"[:200])

  def _opened(self, path):
    if isinstance(path, int):
      return
    path = os.fsdecode(path)
    if self._inside(path) or path.endswith((".py", ".pyc", ".pyx")):
      return
    if not os.path.realpath(path).startswith(_CODE):
      self.strange.append(f"open {path}"[:200])

  def _inside(self, path):
    return os.path.abspath(path).startswith(self.folder + os.sep)


_WATCH = Watch()
_HOOKED = []


@contextlib.contextmanager
def watched(folder):
  """Yields the list of what goes on outside a folder."""
  if not _HOOKED:
    sys.addaudithook(_WATCH)  # cannot be taken off, only silenced
    _HOOKED.append(True)
  _WATCH.folder, _WATCH.strange = os.path.abspath(folder), []
  _WATCH.on = True
  try:
    yield _WATCH.strange
  finally:
    _WATCH.on = False


def check(reader, folder, content):
  """Reads one case.

  Returns:
    Seconds of the processor, and whether it was read (not refused).

  Raises:
    AssertionError: an error other than the documented ones, one of several
      lines, something opened or done outside the folder, or a hang.
  """
  reader.put(folder, content)
  start = time.process_time()
  read, told = True, "read"
  with watched(folder) as strange:
    try:
      reader.read(folder, content)
    except reader.documented as error:
      read, told = False, str(error)
    except Exception as error:
      raise AssertionError(
        f"{reader.name}: {type(error).__name__}: {str(error)[:300]}"
      ) from error
  seconds = time.process_time() - start
  assert told.strip() and "\n" not in told.strip(), repr(told)  # noqa: PT018
  assert len(told) < 5000 + 2 * len(content), f"{len(told)} characters"
  assert not strange, f"{reader.name}: {strange[:5]}"
  assert seconds < SLOW, f"{reader.name}: {seconds:.1f} s"
  return seconds, read
