"""Encoding: every record once, whatever the batch; the cache is honest."""

import numpy as np
import pytest

from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import baselines
from fgclep_jax.evaluation.embed import embed_all, embed_split
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


class LongSplit(FakeSplit):
  """Records of one to four windows, each with labels of its own."""

  def windows(self, indices, rate, samples, window):
    self.asked = window
    counts = np.asarray(indices) % 4 + 1
    rng = np.random.default_rng(8)
    every = rng.integers(-900, 900, (len(self), 4, 12, samples))
    found = [every[i, :n] for i, n in zip(indices, counts, strict=True)]
    return np.concatenate(found).astype(np.int16), counts


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_windows_are_averaged_and_scaled_again(batch_size):
  model, split = FakeModel(NAMES), LongSplit("test", 10, NAMES)
  found = embed_split(model, split, batch_size, window="cover")
  assert split.asked == "cover"
  assert set(model.batches) == {batch_size}
  for i in range(10):
    signals, _ = split.windows([i], model.rate, model.samples, "cover")
    unit, features = model.encode_ecg(signals)
    mean = unit.astype(np.float64).sum(0)  # of any length: scaled below
    want = mean / np.sqrt(mean @ mean)
    np.testing.assert_allclose(found.embedding[i], want, atol=1e-6)
    mean = features.astype(np.float64).mean(0)
    np.testing.assert_allclose(found.features[i], mean, rtol=1e-5, atol=1e-6)


def test_cache_belongs_to_the_window(tmp_path):
  model, split = FakeModel(NAMES), LongSplit("test", 10, NAMES)
  for window in ("cover", "first", "cover", "first"):
    embed_split(model, split, 64, tmp_path, window)
  assert len(list(tmp_path.glob("*.npz"))) == 2
  assert len(model.batches) == 2


def test_several_models_see_one_reading(tmp_path):
  trained, other = FakeModel(NAMES), FakeModel(NAMES, trained=False)
  models, split = {"a": trained, "b": other}, FakeSplit("test", 37, NAMES)
  measuring = baselines.Measuring("pooled_statistics")
  measuring.samples = trained.samples
  found = embed_all(models, split, 16, tmp_path, others=(measuring,))
  assert np.array_equal(np.concatenate(split.read), np.arange(37))
  assert list(found) == ["a", "b"]
  for name, model in models.items():
    alone = embed_split(model, split, 16)
    np.testing.assert_array_equal(found[name].embedding, alone.embedding)
    np.testing.assert_array_equal(found[name].features, alone.features)
  signals = split.signals(np.arange(37), 100, trained.samples)
  want = baselines.pooled_statistics(signals)
  np.testing.assert_array_equal(measuring.result(), want)
  # All is kept now: nothing is read again.
  split.read.clear()
  embed_all(models, split, 16, tmp_path)
  assert split.read == []


def test_each_input_form_is_read_once():
  one, two = FakeModel(NAMES), FakeModel(NAMES, trained=False)
  two.samples = 150
  split, asked = FakeSplit("test", 20, NAMES), []
  windows = split.windows

  def counted(indices, rate, samples, window):
    asked.append((len(indices), rate, samples))
    return windows(indices, rate, samples, window)

  split.windows = counted
  found = embed_all({"a": one, "b": two, "c": one}, split, 32)
  assert asked == [(20, 100, 200), (20, 100, 150)]
  np.testing.assert_array_equal(found["a"].features, found["c"].features)
  alone = embed_split(two, split, 32)
  np.testing.assert_array_equal(found["b"].features, alone.features)
