"""Encoding: every record once, whatever the batch; the cache is honest."""

import numpy as np
import pytest

from fgclep_jax.errors import InputError
from fgclep_jax.evaluation.embed import embed_split
from tests.evaluation_fakes import FakeModel, FakeSplit

NAMES = ("a", "b", "c")


def test_every_record_once_in_full_batches():
  model, split = FakeModel(NAMES), FakeSplit("test", 37, NAMES)
  found = embed_split(model, split, batch_size=16)
  assert len(found) == 37
  assert model.batches == [16, 16, 16]  # the tail is padded
  assert np.array_equal(np.concatenate(split.read), np.arange(37))
  assert list(found.record_ids) == list(split.record_ids)
  unit, features = model.encode_ecg(
    split.signals(np.arange(37), model.rate, model.samples)
  )
  np.testing.assert_array_equal(found.embedding, unit)
  np.testing.assert_array_equal(found.features, features)


@pytest.mark.parametrize("batch_size", [1, 5, 37, 64])
def test_other_batch_sizes_give_the_same(batch_size):
  model, split = FakeModel(NAMES), FakeSplit("test", 37, NAMES)
  want = embed_split(model, split, batch_size=16)
  found = embed_split(model, split, batch_size=batch_size)
  np.testing.assert_allclose(found.embedding, want.embedding, atol=1e-5)


def test_cache_belongs_to_checkpoint_and_data(tmp_path):
  split = FakeSplit("test", 20, NAMES)
  model = FakeModel(NAMES)
  want = embed_split(model, split, cache_dir=tmp_path)
  again = embed_split(model, split, cache_dir=tmp_path)
  assert len(model.batches) == 1
  np.testing.assert_array_equal(again.embedding, want.embedding)
  np.testing.assert_array_equal(again.features, want.features)

  model.checkpoint = {"hash": "another step"}
  embed_split(model, split, cache_dir=tmp_path)
  assert len(model.batches) == 2
  split.digest = "other data"
  embed_split(model, split, cache_dir=tmp_path)
  assert len(model.batches) == 3
  model.samples = 100
  embed_split(model, split, cache_dir=tmp_path)
  assert len(model.batches) == 4


@pytest.mark.parametrize("damage", ["cut", "empty", "pickle", "other ids"])
def test_damaged_cache_is_computed_again(tmp_path, damage):
  split, model = FakeSplit("test", 20, NAMES), FakeModel(NAMES)
  want = embed_split(model, split, cache_dir=tmp_path)
  (path,) = tmp_path.glob("*.npz")
  content = path.read_bytes()
  if damage == "cut":
    path.write_bytes(content[: len(content) // 2])
  elif damage == "empty":
    path.write_bytes(b"")
  elif damage == "pickle":
    ids = np.array(["x", 1], dtype=object)
    np.savez(path, record_ids=ids, embedding=ids, features=ids)
  else:
    np.savez(
      path, record_ids=want.record_ids[::-1], embedding=want.embedding,
      features=want.features,
    )  # fmt: skip
  found = embed_split(model, split, cache_dir=tmp_path)
  assert len(model.batches) == 2
  np.testing.assert_array_equal(found.embedding, want.embedding)
  embed_split(model, split, cache_dir=tmp_path)
  assert len(model.batches) == 2  # and was mended


def test_empty_split_and_diverged_model_get_one_line():
  model = FakeModel(NAMES)
  with pytest.raises(InputError, match="holds no record"):
    embed_split(model, FakeSplit("test", 0, NAMES))
  split = FakeSplit("test", 20, NAMES)
  good = model.encode_ecg

  def diverged(signals):
    unit, features = good(signals)
    unit[3] = np.nan
    return unit, features

  model.encode_ecg = diverged
  with pytest.raises(InputError, match=r"2 of 20 .* record test00003"):
    embed_split(model, split, batch_size=16)
