"""Chunks of records against a plain loop over records and statements."""

import dataclasses
import types

import numpy as np
import pytest

from fgclep_jax.enhance import chunks, verify
from fgclep_jax.errors import InputError

SIZES = (1, 3, 7, 1000)


def world(seed, records=41, statements=13, count=6, width=5, most=4):
  """Random statements, records that hold them, some twice, and embeddings."""
  rng = np.random.default_rng(seed)
  table = tuple(f"statement {i}" for i in range(statements))
  features = tuple(f"feature {i}" for i in range(count))

  def draw(share):
    return {
      text: tuple(f for f in features if rng.random() < share)
      for text in table
      if rng.random() < 0.9
    }

  names = types.SimpleNamespace(
    candidates=draw(0.4), stated=draw(0.2), must=draw(0.15)
  )
  flat = [f for text in table for f in names.candidates.get(text, ())]
  origin = rng.integers(0, 3, len(flat)).astype(np.int8)
  asked = chunks.Asked(
    features,
    chunks.said(table, names.candidates, features), origin,
    chunks.said(table, names.stated, features),
    chunks.said(table, names.must, features),
    rng.integers(0, 4, statements),
  )  # fmt: skip
  counts = rng.integers(0, most + 1, records)
  counts[0] = 0
  split = types.SimpleNamespace(
    name="train",
    statement_offsets=np.append(0, np.cumsum(counts)),
    statement_ids=rng.integers(0, statements, counts.sum(), dtype=np.int32),
  )
  classes = rng.normal(size=(count, width))
  rows = rng.normal(size=(records, width)).astype(np.float32)
  return types.SimpleNamespace(
    split=split, asked=asked, names=names, table=table, origin=origin,
    classes=classes, rows=rows, records=records,
  )  # fmt: skip


def loop(w, record):
  """Pairs of one record: {feature: (cosine, origin, silent, statements)}."""
  start, stop = w.split.statement_offsets[record : record + 2]
  held = w.split.statement_ids[start:stop].tolist()
  features, found = w.asked.features, {}
  first = {}  # place of a statement's first candidate in `origin`
  place = 0
  for number, text in enumerate(w.table):
    first[number] = place
    place += len(w.names.candidates.get(text, ()))

  def all_of(names):
    return {features.index(f) for i in held for f in names.get(w.table[i], ())}

  stated, must = all_of(w.names.stated), all_of(w.names.must)
  for number in held:
    for k, name in enumerate(w.names.candidates.get(w.table[number], ())):
      f = features.index(name)
      cosine = float(np.dot(w.rows[record].astype(float), w.classes[f]))
      _, origin, _, sources = found.get(f, (0, 0, 0, []))
      origin = max(origin, int(w.origin[first[number] + k]))
      found[f] = (cosine, origin, f not in stated, [*sources, number])
  return dict(sorted(found.items())), stated, must


def check(w, part, rows):
  """Compares a Chunk with the loop over its records."""
  record, feature, cosine, origin, silent, sources = [], [], [], [], [], []
  for place, row in enumerate(rows):
    found, stated, must = loop(w, row)
    assert set(np.flatnonzero(part.stated[place])) == stated
    assert set(np.flatnonzero(part.must[place])) == must
    for f, (value, who, quiet, told) in found.items():
      sources += [(len(record), number) for number in told]
      record.append(place)
      feature.append(f)
      cosine.append(value)
      origin.append(who)
      silent.append(quiet)
  assert part.stop - part.start == len(rows)
  np.testing.assert_array_equal(part.record, record)
  np.testing.assert_array_equal(part.feature, feature)
  np.testing.assert_allclose(part.cosine, cosine, atol=1e-5)
  np.testing.assert_array_equal(part.origin, origin)
  np.testing.assert_array_equal(part.silent, np.array(silent, bool))
  told = zip(part.source.tolist(), part.statement.tolist(), strict=True)
  assert sorted(told) == sorted(sources)


def parts_of(w, size, rows=None):
  return list(chunks.of_split(w.split, w.rows, w.classes, w.asked, rows, size))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", SIZES)
def test_equal_to_the_loop(seed, size):
  w = world(seed)
  parts = parts_of(w, size)
  assert [p.start for p in parts] == list(range(0, w.records, size))
  assert parts[-1].stop == w.records
  for part in parts:
    check(w, part, range(part.start, part.stop))
  assert any(len(part.record) for part in parts)


@pytest.mark.parametrize("size", SIZES)
def test_some_rows_only(size):
  w = world(20)
  rows = np.array([0, 3, 4, 11, 12, 13, 30, 40])
  parts = parts_of(w, size, rows)
  for part in parts:
    check(w, part, rows[part.start : part.stop])
  assert sum(p.stop - p.start for p in parts) == len(rows)
  assert parts_of(w, size, np.zeros(0, int)) == []


def test_a_statement_twice_in_a_report():
  w = world(21)
  number = max(
    range(len(w.table)),
    key=lambda i: len(w.names.candidates.get(w.table[i], ())),
  )
  w.split.statement_offsets = np.array([0, 2, 3])
  w.split.statement_ids = np.full(3, number, np.int32)
  w.rows, w.records = w.rows[:2], 2
  (part,) = parts_of(w, 10)
  check(w, part, range(2))
  twice = np.bincount(part.source, minlength=len(part.record))
  assert set(twice[part.record == 0]) == {2}
  assert set(twice[part.record == 1]) == {1}


def test_odd_sizes():
  """No statement at all, no candidate at all, one feature, one record."""
  w = world(22, most=0)
  for part in parts_of(w, 7):
    check(w, part, range(part.start, part.stop))
    assert not len(part.record)
  w = world(23, records=2, count=1, statements=1)
  check(w, parts_of(w, 5)[0], range(2))
  w = world(24)
  w.names.candidates = {}
  w.asked = dataclasses.replace(
    w.asked, candidates=chunks.said(w.table, {}, w.asked.features),
    origin=np.zeros(0, np.int8),
  )  # fmt: skip
  for part in parts_of(w, 7):
    check(w, part, range(part.start, part.stop))


def test_names_outside_the_features_are_left():
  found = chunks.said(("a", "b"), {"a": ("x", "y"), "b": ("z",)}, ("y",))
  assert found.offsets.tolist() == [0, 1, 1]
  assert found.values.tolist() == [0]


def test_rows_may_lie_on_disk(tmp_path):
  w = world(25)
  np.save(tmp_path / "rows.npy", w.rows)
  w.rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
  for rows in (None, np.array([2, 5, 9])):
    for part in parts_of(w, 4, rows):
      own = range(w.records) if rows is None else rows
      check(w, part, own[part.start : part.stop])


@pytest.mark.parametrize("value", [np.nan, np.float32(3e38)])
def test_scores_that_are_not_finite_are_refused(value):
  w = world(26)
  w.rows[17] = value * np.sign(w.classes[0])
  with pytest.raises(InputError, match="records 14 to 20 of train"):
    parts_of(w, 7)


def joined(w, parts, judge):
  """{(record, feature): (score, threshold)} over all chunks."""
  found = {}
  for part in parts:
    rows = slice(part.start, part.stop)
    score, threshold = judge(part, rows)
    for i, (r, f) in enumerate(zip(part.record, part.feature, strict=True)):
      found[part.start + int(r), int(f)] = float(score[i]), float(threshold[i])
  return found


@pytest.mark.parametrize("method", ["fixed", "quantile", "calibrated"])
def test_the_chunk_size_changes_no_judgement(method):
  """Scores to 1e-5, thresholds and what is kept exactly."""
  w = world(27, records=900)
  w.rows /= 3 * np.linalg.norm(w.rows, axis=1, keepdims=True)
  w.classes /= np.linalg.norm(w.classes, axis=1, keepdims=True)
  rng = np.random.default_rng(28)
  pooled = rng.normal(size=(w.records, 8)).astype(np.float32)
  folds = rng.integers(0, 2, w.records)

  def verifier(parts):
    if method == "fixed":
      return verify.Fixed(0.1, 6)
    if method == "quantile":
      return verify.quantile(parts, 0.3, 6)
    return verify.calibrated(parts, pooled, folds, w.asked, 0.5)

  results = []
  for size in (1, 64, 1000):
    found = verifier(parts_of(w, size))

    def judge(part, rows, found=found):
      return found.judge(part, pooled[rows], folds[rows])

    results.append([joined(w, parts_of(w, s), judge) for s in (1, 53, 1000)])
  first = results[0][0]
  values = np.array(list(first.values()))
  for other in (one for row in results for one in row):
    assert other.keys() == first.keys()
    again = np.array(list(other.values()))
    np.testing.assert_allclose(again, values, atol=2e-4)
    kept, before = again[:, 0] >= again[:, 1], values[:, 0] >= values[:, 1]
    near = np.abs(values[:, 0] - values[:, 1]) < 5e-4
    np.testing.assert_array_equal(kept[~near], before[~near])
  assert 0 < (values[:, 0] >= values[:, 1]).mean() < 1


def test_quantile_keeps_the_share_of_every_feature():
  """Of the candidates that are silent, to one cell of the histogram."""
  w = world(29, records=4000)
  w.rows /= 3 * np.linalg.norm(w.rows, axis=1, keepdims=True)
  w.classes /= np.linalg.norm(w.classes, axis=1, keepdims=True)
  parts = parts_of(w, 500)
  for share in (0.05, 0.3, 1.0):
    found = verify.quantile(parts, share, 20)  # most are never asked
    kept = np.zeros((2, 20))
    for part in parts:
      score, threshold = found.judge(part, None, None)
      new = part.silent
      kept[0] += np.bincount(part.feature[new], minlength=20)
      good = (score >= threshold) & new
      kept[1] += np.bincount(part.feature[good], minlength=20)
    asked = kept[0] > 0
    rate = kept[1][asked] / kept[0][asked]
    assert (rate >= share).all()
    assert (rate < share + 0.02).all()
    assert (found.value[6:] > 1).all()  # never asked, never kept
    assert -1 <= found.about["threshold"] <= 1
