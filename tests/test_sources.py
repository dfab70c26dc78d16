"""Built datasets as random access, and their cached index."""

import json
import shutil

import numpy as np
import pytest

from fgclep_jax.data import index, sources
from fgclep_jax.errors import InputError
from fgclep_jax.signals import simulate, transform

NAME = "simulated_ecg"


@pytest.fixture
def copy(simulated, tmp_path):
  """A copy of the dataset without caches: (data_dir, folder)."""
  shutil.copytree(simulated / NAME, tmp_path / NAME)
  folder = next((tmp_path / NAME / "original").iterdir())
  for name in index.FILES:
    (folder / name).unlink(missing_ok=True)
  sources._builder.cache_clear()
  return tmp_path, folder


def test_columns_and_signals_equal_the_simulator(simulated):
  split = sources.open_split(simulated, NAME, "original", "test")
  numbers = [
    int("".join(c for c in i if c.isdigit())) for i in split.record_ids
  ]
  signals = split.signals(np.arange(len(split)), 100, 1000)
  for row, number in enumerate(numbers):
    record = simulate.simulate(number, 0, 100)
    assert split.record_ids[row] == record.record_id
    assert split.patient_ids[row] == record.patient_id
    assert split.statements[row] == record.statements
    np.testing.assert_array_equal(signals[row], record.signal)
    held = np.flatnonzero(split.labels["simulated"][row])
    names = {split.class_names["simulated"][i] for i in held}
    assert names == set(record.diagnoses)
    truth = {split.feature_names[i] for i in np.flatnonzero(split.truth[row])}
    assert truth == set(record.features)
    for name, value in record.measurements.items():
      found = split.measurements[name][row]
      np.testing.assert_allclose(found, value, rtol=1e-6)


def test_signals_are_resampled_cropped_and_cached(simulated):
  split = sources.open_split(simulated, NAME, "original", "test")
  picked = np.array([3, 1, 3])
  whole = split.signals(picked, 100, 1000)
  half = split.signals(picked, 50, 600)
  assert half.shape == (3, 12, 600)
  want = transform.resample(whole[0], 100, 50)
  np.testing.assert_array_equal(half[0, :, :500], want)
  assert not half[0, :, 500:].any()
  for _ in range(2):
    kept = split.signals(picked, 50, 600, cache_gib=1)
    np.testing.assert_array_equal(kept, half)
  source = split._source
  split._source = None  # a cached record is not read again
  np.testing.assert_array_equal(split.signals(picked, 50, 600, 1), half)
  split._source = source


def test_index_in_blocks_equals_the_index_at_once(copy, monkeypatch):
  data, _ = copy
  monkeypatch.setattr(index, "_save", lambda *_: None)
  whole = sources.open_split(data, NAME, "original", "train")
  monkeypatch.setattr(index, "BLOCK", 7)
  blocks = sources.open_split(data, NAME, "original", "train")
  assert blocks.statements == whole.statements
  np.testing.assert_array_equal(blocks.record_ids, whole.record_ids)
  for task, labels in whole.labels.items():
    np.testing.assert_array_equal(blocks.labels[task], labels)


def test_index_is_cached_and_made_again_when_it_does_not_fit(copy, monkeypatch):
  data, folder = copy
  builds = []
  build = index.build
  monkeypatch.setattr(
    index, "build", lambda found: builds.append(1) or build(found)
  )

  def opened():
    return sources.open_split(data, NAME, "original", "train")

  first = opened()
  assert len(builds) == 1
  assert opened().statements == first.statements
  assert len(builds) == 1
  for name in index.FILES:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    assert opened().statements == first.statements
  assert len(builds) == 1 + len(index.FILES)
  with open(folder / "dataset_info.json", "a") as file:
    file.write(" \n")  # another dataset, another digest
  sources._builder.cache_clear()
  opened()
  assert len(builds) == 2 + len(index.FILES)


def test_bad_datasets_are_one_line(copy):
  data, folder = copy
  path = folder / "dataset_info.json"
  whole = path.read_text()

  def message(split="test"):
    sources._builder.cache_clear()
    with pytest.raises(InputError) as error:
      sources.open_split(data, NAME, "original", split)
    assert "\n" not in str(error.value).strip()
    return str(error.value)

  assert "it has test, train, validation" in message("val")
  info = json.loads(whole)
  for split in info["splits"]:
    split["shardLengths"] = ["0"]
  path.write_text(json.dumps(info))
  assert "is empty: build it again" in message()
  path.write_text("{")
  assert "cannot be read as a dataset" in message()
  shutil.rmtree(folder)
  assert "make it with `tfds build" in message()
