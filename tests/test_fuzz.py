"""Spoilt files: the right content, or one documented error; no more.

A few hundred cases a reader, always the same. Many more, from other seeds:
`python -m benchmarks.fuzz --inputs 100000`.
"""

import contextlib
import pathlib
import random
import socket

import hypothesis
import pytest
from hypothesis import strategies

from benchmarks import common, fuzz
from tests import fuzz_readers, fuzzing

EDITS = strategies.lists(
  strategies.tuples(
    strategies.integers(0, fuzzing.KINDS - 1),
    strategies.integers(0, fuzzing.PLACES - 1),
    strategies.integers(0, fuzzing.VALUES - 1),
  ),
  min_size=1,
  max_size=fuzzing.MAX_EDITS,
)
EXAMPLES = 200
# Orbax leaves coroutines behind that were never awaited, and talks at length:
# a process of its own, few cases, for each is a whole folder.
APART = "checkpoint"
MOST_GROWN = 300  # MiB of this process


@pytest.mark.core
@pytest.mark.parametrize("name", sorted({*fuzz_readers.READERS} - {APART}))
def test_spoilt_files(name, tmp_path):
  reader = fuzz_readers.READERS[name]
  folder = tmp_path / "in"
  folder.mkdir()
  seeds = list(reader.make(folder).values())
  reader.read(folder, seeds[0])  # which is sound
  for seed in seeds:  # imports, once
    with contextlib.suppress(*reader.documented):
      reader.read(folder, seed)
  before, count = common.peak_mib(), 0

  @hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
  )
  @hypothesis.given(strategies.integers(0, 15), EDITS)
  def run(first, edits):
    nonlocal count
    content = fuzzing.apply(seeds, reader.tokens, first, edits)
    fuzzing.check(reader, folder, content)
    count += 1

  run()
  assert count >= EXAMPLES
  assert common.peak_mib() - before < MOST_GROWN


@pytest.mark.core
def test_spoilt_checkpoints():
  figures, failed = fuzz.child(APART, 8, seed=1)
  assert failed == []
  assert figures["inputs"] == 8
  assert figures["slowest_ms"] > 0


def test_edits_change_what_they_should():
  """Most cases differ from their seed; none grows without bound."""
  rng, seeds = random.Random(1), [b"one 16 two/mV three\n" * 9, b"\0" * 200]
  cases = [fuzz.case(rng) for _ in range(2000)]
  assert {kind for _, edits in cases for kind, *_ in edits} == set(range(10))
  found = [fuzzing.apply(seeds, (b"", b"x" * 99_999), *case) for case in cases]
  assert sum(content not in seeds for content in found) > 1700
  assert max(map(len, found)) <= fuzzing.MAX_BYTES
  again = [fuzzing.apply(seeds, (b"", b"x" * 99_999), *case) for case in cases]
  assert found == again


@pytest.mark.parametrize(
  ("act", "told"),
  [
    (lambda _: (_ for _ in ()).throw(KeyError("k")), "KeyError"),
    (lambda _: (_ for _ in ()).throw(ValueError("two\nlines")), "lines"),
    (lambda _: pathlib.Path("/etc/hostname").read_bytes(), "open /etc/host"),
    (lambda f: (f.parent / "outside").read_bytes(), "outside"),
    (lambda f: (f / ".." / "outside").read_bytes(), "outside"),
    (lambda _: socket.getaddrinfo("127.0.0.1", 1), "getaddrinfo"),
  ],
)
def test_what_is_a_failure(tmp_path, act, told):
  """The checks themselves: each kind of failure is seen."""
  (tmp_path / "in").mkdir()
  (tmp_path / "outside").write_bytes(b"secret")
  reader = fuzzing.Reader("r", None, lambda folder, _: act(folder), ValueError)
  with pytest.raises(AssertionError, match=told):
    fuzzing.check(reader, tmp_path / "in", b"")
