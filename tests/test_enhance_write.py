"""The written tables, whole or not at all; encoding that can be resumed."""

import json
import os
import subprocess
import sys
import types

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from fgclep_jax.enhance import embeddings, write
from fgclep_jax.errors import InputError
from fgclep_jax.reports import enhanced

FEATURES = tuple(f"feature {i}" for i in range(7))
SOURCES = ("rules", "corrections", "planted")
PROVENANCE = {"model_hash": "m" * 64, "prompt_hash": "p" * 64}
ABOUT = {"dataset": "simulated_ecg", "coarse": {"step": 3, "hash": "abc"}}


def writer(path):
  return write.Writer(path, FEATURES, SOURCES, PROVENANCE, ABOUT)


def chunk(rng, count, most=2):
  """Judged pairs of `count` records, some of them without any."""
  record, feature = np.nonzero(rng.random((count, len(FEATURES))) < 0.3)
  score = rng.random(len(record)).astype(np.float32)
  threshold = np.full(len(record), 0.5, np.float32)
  return {
    "record": record, "feature": feature, "score": score,
    "threshold": threshold, "kept": score >= threshold,
    "cosine": rng.uniform(-1, 1, len(record)).astype(np.float32),
    "origin": rng.integers(0, most, len(record)).astype(np.int8),
  }  # fmt: skip


def write_some(path, seed=0, sizes=(5, 1, 40), most=2):
  """Writes chunks; returns [(split, ids, pairs)]."""
  rng, first, given = np.random.default_rng(seed), 0, []
  with writer(path) as out:
    for k, size in enumerate(sizes):
      ids = np.array([f"S{first + i:08d}" for i in range(size)])
      pairs = chunk(rng, size, most)
      split = ("train", "test")[k % 2]
      out.write(split, ids, pairs)
      given.append((split, ids, pairs))
      first += size
  return given


def test_round_trip(tmp_path):
  path = tmp_path / "new" / "enhanced.parquet"
  given = write_some(path)
  table = parquet.read_table(path).to_pylist()
  expected = []
  for _, ids, pairs in given:
    for i in range(len(pairs["record"])):
      expected.append({
        "record_id": str(ids[pairs["record"][i]]),
        "feature": FEATURES[pairs["feature"][i]],
        "score": float(pairs["score"][i]),
        "threshold": 0.5,
        "kept": bool(pairs["kept"][i]),
        "cosine": float(pairs["cosine"][i]),
        "source": SOURCES[pairs["origin"][i]],
        **PROVENANCE,
      })  # fmt: skip
  assert table == expected
  records = parquet.read_table(path.parent / enhanced.RECORDS_FILE).to_pylist()
  assert records == [
    {"record_id": str(name), "split": split}
    for split, ids, _ in given
    for name in ids
  ]
  every = [str(name) for _, ids, _ in given for name in ids]
  found = enhanced.read(str(path), every, max_unjudged=0)
  for record in every:
    kept = [
      row["feature"] for row in expected
      if row["record_id"] == record and row["kept"]
    ]  # fmt: skip
    assert found.features_of(record) == kept
  assert found.metadata["records_judged"] == len(every)
  assert found.metadata["features_kept"] == sum(row["kept"] for row in expected)


def test_schema_is_that_of_the_contract(tmp_path):
  """Names and types that other programs read; no row groups by default."""
  path = tmp_path / "enhanced.parquet"
  write_some(path)
  schema = parquet.read_schema(path)
  assert set(schema.names) == {
    "record_id", "feature", "score", "threshold", "kept", "source",
    "model_hash", "prompt_hash", "cosine",
  }  # fmt: skip
  for name in schema.names:
    kind = schema.field(name).type
    if name == "kept":
      assert kind == pa.bool_()
    elif name in ("score", "threshold", "cosine"):
      assert kind == pa.float32()
    else:
      assert pa.types.is_dictionary(kind)
      assert kind.value_type == pa.string()
  beside = parquet.read_schema(tmp_path / enhanced.RECORDS_FILE)
  assert beside.names == ["record_id", "split"]
  assert beside.field("record_id").type == pa.string()


def test_metadata_of_both_files(tmp_path):
  write_some(tmp_path / "enhanced.parquet")
  for name in ("enhanced.parquet", enhanced.RECORDS_FILE):
    known = parquet.read_schema(tmp_path / name).metadata
    assert json.loads(known[b"fgclep"]) == ABOUT


@pytest.mark.parametrize("most", [1, 2, 3])
def test_only_sources_that_occur_are_provenance(tmp_path, most):
  path = tmp_path / "enhanced.parquet"
  given = write_some(path, sizes=(30, 30), most=most)
  ids = [str(name) for _, names, _ in given for name in names]
  known = enhanced.read(str(path), ids).metadata["provenance"]
  assert known == {
    "source": sorted(SOURCES[:most]),
    "model_hash": ["m" * 64],
    "prompt_hash": ["p" * 64],
  }


def test_records_without_candidates(tmp_path):
  path = tmp_path / "enhanced.parquet"
  none = {key: value[:0] for key, value in chunk(
    np.random.default_rng(0), 9).items()}  # fmt: skip
  with writer(path) as out:
    out.write("train", np.array(["a", "b"]), none)
  found = enhanced.read(str(path), ["a", "b"], max_unjudged=0)
  assert found.features_of("a") == found.features_of("b") == []
  assert len(parquet.read_table(path)) == 0


def test_a_failure_leaves_the_old_tables(tmp_path):
  path = tmp_path / "enhanced.parquet"
  write_some(path, seed=1)
  before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
  assert len(before) == 2

  def fail(error, path):
    with writer(path) as out:
      out.write("train", np.array(["x"]), chunk(np.random.default_rng(2), 1))
      raise error

  with pytest.raises(ZeroDivisionError):
    fail(ZeroDivisionError, path)
  assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
  with pytest.raises(KeyboardInterrupt):
    fail(KeyboardInterrupt, tmp_path / "n.parquet")
  assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_full_disk_at_the_end_leaves_nothing(tmp_path, monkeypatch):
  path = tmp_path / "enhanced.parquet"

  def full(source, target):
    raise OSError("no space left on device")

  monkeypatch.setattr(os, "replace", full)
  with pytest.raises(OSError, match="no space"):
    write_some(path)
  assert list(tmp_path.iterdir()) == []


def test_nothing_is_seen_before_the_end(tmp_path):
  path = tmp_path / "enhanced.parquet"
  with writer(path) as out:
    out.write("train", np.array(["x"]), chunk(np.random.default_rng(3), 1))
    assert not path.exists()
    assert not (tmp_path / enhanced.RECORDS_FILE).exists()
  assert path.exists()


@pytest.mark.parametrize("name", ["enhanced.csv", "x", enhanced.RECORDS_FILE])
def test_bad_names_are_refused(tmp_path, name):
  with pytest.raises(InputError, match="--out"):
    writer(tmp_path / "sub" / name)
  assert list(tmp_path.iterdir()) == []


class Model:
  """Encodes by sums; counts the records, may die at one."""

  rate, samples = 100, 50

  def __init__(self, stop_at=None, name="tiny"):
    self.checkpoint = {"hash": name}
    self.encoded, self.stop_at = [], stop_at

  def encode_ecg(self, signals):
    if self.stop_at is not None and len(self.encoded) >= self.stop_at:
      os._exit(9)
    rows = signals.reshape(len(signals), -1)
    self.encoded += rows[:, 0].tolist()
    pooled = np.stack([rows.sum(1), rows[:, 0], rows[:, -1]], 1)
    pooled = pooled.astype(np.float32)
    return pooled[:, :2] / np.linalg.norm(pooled[:, :2], axis=1)[
      :, None
    ], pooled


def split(records=37):
  signals = np.random.default_rng(5).integers(-999, 999, (records, 12, 50))
  signals[:, 0, 0] = np.arange(records) + 1
  signals = signals.astype(np.int16)

  class Split(types.SimpleNamespace):
    def __len__(self):
      return records

  return Split(
    dataset="fake", config="original", name="train", digest="0",
    signals=lambda rows, rate, samples: signals[rows],
  )  # fmt: skip


KILLED = """
import sys
from fgclep_jax.enhance import embeddings
from tests import test_enhance_write as t
embeddings.BLOCK = 5
embeddings.encode(t.Model(stop_at=15), t.split(), sys.argv[1])
"""


def test_encoding_goes_on_where_it_was_killed(tmp_path, monkeypatch, root):
  """Killed after 15 of 37 records: the other 22 are encoded, same arrays."""
  monkeypatch.setattr(embeddings, "BLOCK", 5)
  whole = embeddings.encode(Model(), split(), tmp_path / "whole")
  line = [sys.executable, "-c", KILLED, tmp_path / "killed"]
  assert subprocess.run(line, cwd=root).returncode == 9
  model = Model()
  resumed = embeddings.encode(model, split(), tmp_path / "killed")
  assert model.encoded == list(range(16, 38))
  again = Model()
  third = embeddings.encode(again, split(), tmp_path / "killed")
  assert again.encoded == []
  for store in (resumed, third):
    np.testing.assert_array_equal(store.embedding, whole.embedding)
    np.testing.assert_array_equal(store.pooled, whole.pooled)
  _, pooled = Model().encode_ecg(split().signals(np.arange(37), 100, 50))
  np.testing.assert_array_equal(whole.pooled, pooled)
  assert not list(tmp_path.rglob("*.tmp"))


def test_another_model_or_dataset_is_encoded_anew(tmp_path):
  folder = tmp_path / "encoded"
  embeddings.encode(Model(), split(), folder)
  for model, changes in (
    (Model(name="other"), {}), (Model(), {"digest": "1"}),
    (Model(), {"name": "test"}), (Model(), {"config": "enhanced"}),
  ):  # fmt: skip
    given = split()
    vars(given).update(changes)
    embeddings.encode(model, given, folder)
    assert len(model.encoded) == 37


@pytest.mark.parametrize("damage", ["note", "array", "both arrays"])
def test_damaged_progress_is_encoded_anew(tmp_path, damage):
  whole = embeddings.encode(Model(), split(), tmp_path)
  before = np.array(whole.pooled)
  arrays = sorted(tmp_path.glob("*.npy"))
  [note] = tmp_path.glob("*.json")
  if damage == "note":
    note.write_text("[1")
  else:
    for path in arrays[: 1 if damage == "array" else 2]:
      path.unlink()
  model = Model()
  found = embeddings.encode(model, split(), tmp_path)
  assert len(model.encoded) == 37
  np.testing.assert_array_equal(found.pooled, before)


def test_an_old_note_does_not_vouch_for_new_arrays(tmp_path, monkeypatch):
  """Arrays lost, encoding begun again and killed before its first note."""
  embeddings.encode(Model(), split(), tmp_path)
  for path in tmp_path.glob("*.npy"):
    path.unlink()

  def killed(path, text):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(embeddings, "BLOCK", 5)
    patch.setattr(embeddings.atomic, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
      embeddings.encode(Model(), split(), tmp_path)
  assert len(list(tmp_path.glob("*.npy"))) == 2
  found = embeddings.encode(Model(), split(), tmp_path)
  assert (np.abs(found.pooled).sum(1) > 0).all()
