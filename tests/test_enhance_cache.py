"""Answers survive kills, damage and company."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from fgclep_jax.enhance.cache import Cache
from fgclep_jax.errors import InputError

KEY = ("openai", "model", "prompt")


def content(path):
  """{key: answer}, read without the code under test."""
  lines = path.read_text(encoding="utf-8").splitlines()[1:]
  found = [json.loads(line) for line in lines]
  keys = ("backend", "model", "prompt", "finding")
  return {tuple(f[k] for k in keys): f["answer"] for f in found}


def test_an_answer_is_found_again(tmp_path):
  path = tmp_path / "new" / "answers.jsonl"
  text = 'ein "Text"\nmit \u2028 Zeilen, \x00, \ud800 und é'
  with Cache(path) as cache:
    assert cache.get(*KEY, "lbbb") is None
    assert cache.put(*KEY, "lbbb", text) == text
    assert cache.get(*KEY, "lbbb") == text
  with Cache(path) as cache:
    assert cache.get(*KEY, "lbbb") == text
    assert len(cache) == 1
    assert (cache.repaired, cache.damaged) == (0, 0)


def test_an_answer_is_synced_before_put_returns(tmp_path, monkeypatch):
  path, seen = tmp_path / "answers", []
  real = os.fsync

  def sync(number):
    real(number)
    seen.append(path.read_bytes())

  with Cache(path) as cache:
    monkeypatch.setattr(os, "fsync", sync)
    cache.put(*KEY, "lbbb", "a")
  assert seen == [path.read_bytes()]


def test_every_part_of_the_key_counts(tmp_path):
  with Cache(tmp_path / "answers") as cache:
    cache.put(*KEY, "lbbb", "a")
    for i in range(4):
      other = [*KEY, "lbbb"]
      other[i] += "2"
      assert cache.get(*other) is None
    cache.put("openai", "another", "prompt", "lbbb", "b")
    cache.put("openai", "another", "prompt", "rbbb", "c")
    assert cache.get(*KEY, "lbbb") == "a"  # the old answer stays
    assert cache.answered("openai", "prompt") == {"lbbb", "rbbb"}
    assert cache.answered("openai", "prompt2") == set()


def filled(path, count):
  with Cache(path) as cache:
    for i in range(count):
      cache.put(*KEY, f"finding {i}", f"answer {i}")
  return path.read_bytes()


def test_cut_at_any_byte(tmp_path):
  path = tmp_path / "answers"
  whole = filled(path, 3)
  ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
  for length in range(0, len(whole), 5):
    path.write_bytes(whole[:length])
    with Cache(path) as cache:
      kept = max(sum(end <= length for end in ends) - 1, 0)
      assert len(cache) == kept
      assert cache.damaged == 0
      last = max((end for end in ends if end <= length), default=0)
      assert cache.repaired == length - last
      for i in range(3):
        cache.put(*KEY, f"finding {i}", f"answer {i}")
    assert path.read_bytes() == whole  # as if nothing had happened


def test_a_flipped_bit_costs_one_answer(tmp_path):
  path = tmp_path / "answers"
  whole = filled(path, 4)
  start = whole.index(b"\n") + 1
  draw = random.Random(7)
  for place in draw.sample(range(start, len(whole) - 1), 60):
    broken = bytearray(whole)
    broken[place] ^= 1 << draw.randrange(8)
    path.write_bytes(broken)
    with Cache(path) as cache:
      assert cache.damaged >= 1
      assert len(cache) >= 2
      for i in range(4):
        found = cache.get(*KEY, f"finding {i}")
        assert found in (None, f"answer {i}")
        cache.put(*KEY, f"finding {i}", f"answer {i}")
    with Cache(path) as cache:
      assert len(cache) == 4


def test_the_first_line_of_a_key_holds(tmp_path):
  path, other = tmp_path / "answers", tmp_path / "other"
  filled(path, 2)
  with Cache(other) as cache:
    cache.put(*KEY, "finding 0", "another answer")
  line = other.read_bytes().splitlines(keepends=True)[1]
  with Cache(path) as cache:
    with open(path, "ab") as file:
      file.write(line)
    assert cache.put(*KEY, "finding 2", "answer 2") == "answer 2"
    assert cache.get(*KEY, "finding 0") == "answer 0"
  with Cache(path) as cache:
    assert cache.get(*KEY, "finding 0") == "answer 0"


@pytest.mark.parametrize(
  "data", [b"statement,count\n", b"{}\n" * 9, b"\x89PNG\x00\xff", b"\n"]
)
def test_another_file_is_refused_and_left_alone(tmp_path, data):
  path = tmp_path / "statements.csv"
  path.write_bytes(data)
  with pytest.raises(InputError, match="no answer cache"):
    Cache(path)
  assert path.read_bytes() == data


def test_no_place_to_write(tmp_path):
  with pytest.raises(InputError, match="no answer cache can be opened"):
    Cache(tmp_path)
  (tmp_path / "file").write_text("")
  with pytest.raises(InputError, match="no answer cache can be opened"):
    Cache(tmp_path / "file" / "answers")


WRITER = """
import resource, sys
from fgclep_jax.enhance.cache import Cache
path, name, count, limit = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
if limit:
  import signal
  signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
with Cache(path) as cache:
  print("open", flush=True)
  for i in range(count):
    held = cache.put("b", "m", "p", f"finding {i}", f"{name} {i} " + "x" * 300)
    print(i, held.split()[0], flush=True)
"""


def writer(path, name, count, limit=0):
  return subprocess.Popen(
    [sys.executable, "-c", WRITER, path, name, str(count), str(limit)],
    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
  )  # fmt: skip


def test_kill_at_many_instants_loses_nothing_told(tmp_path):
  path, count = tmp_path / "answers", 200
  draw = random.Random(8)
  told = -1
  for _ in range(8):
    child = writer(path, "a", 100_000)
    assert child.stdout.readline() == "open\n"
    time.sleep(draw.uniform(0, 0.05))
    child.send_signal(signal.SIGKILL)
    lines = child.stdout.readlines()
    child.communicate()
    done = [int(line.split()[0]) for line in lines if line.endswith("\n")]
    told = max([told, *done])
    with Cache(path) as cache:
      assert len(cache) >= told + 1
      assert cache.damaged == 0
  assert told > 0
  child = writer(path, "a", max(count, told + 1))
  assert child.communicate()[1] == ""
  found = content(path)
  undisturbed = tmp_path / "undisturbed"
  writer(undisturbed, "a", len(found)).communicate()
  assert path.read_bytes() == undisturbed.read_bytes()


def test_two_processes_agree(tmp_path):
  path, count = tmp_path / "answers", 300
  children = [writer(path, name, count) for name in ("a", "b", "c")]
  printed = [child.communicate() for child in children]
  assert [errors for _, errors in printed] == ["", "", ""]
  # Each was told the answer that stands in the file.
  assert len({out for out, _ in printed}) == 1
  found = content(path)
  assert len(found) == count == len(path.read_bytes().splitlines()) - 1
  with Cache(path) as cache:
    assert cache.damaged == cache.repaired == 0


def test_a_full_disk_is_told_and_the_file_stays_whole(tmp_path):
  path = tmp_path / "answers"
  child = writer(path, "a", 1000, limit=10_000)
  out, errors = child.communicate()
  assert child.returncode == 1
  assert "cannot be written" in errors.splitlines()[-1]
  done = len(out.splitlines()) - 1
  with Cache(path) as cache:
    assert len(cache) == done > 10
    assert cache.repaired == cache.damaged == 0


def test_thousands_of_answers_open_fast(tmp_path):
  path = tmp_path / "answers"
  filled(path, 2)
  head, first, _ = path.read_bytes().splitlines(keepends=True)
  path.write_bytes(head + first * 30_000)
  start = time.perf_counter()
  with Cache(path) as cache:
    assert len(cache) == 1
  assert time.perf_counter() - start < 3
