"""Built datasets as random access, and their cached index."""

import json
import shutil

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from scipy import io
from tensorflow_datasets.proto import tf_example_pb2

from fgclep_jax.data import index, records, sources
from fgclep_jax.errors import InputError
from fgclep_jax.signals import simulate, transform, windows

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


def test_records_hold_what_tfds_decodes(simulated):
  """The two entries read in training, and the runs, as TFDS gives them."""
  split = sources.open_split(simulated, NAME, "original", "test")
  _, builder = sources._builder(str(simulated), NAME, "original")
  whole = builder.as_data_source("test")
  picked = [5, 0, len(split) - 1, 5]
  wanted = whole.__getitems__(picked)
  found = list(split._source.__getitems__(picked))
  for one, other in zip(found, wanted, strict=True):
    assert one["ecg"].dtype == np.int16
    np.testing.assert_array_equal(one["ecg"], other["ecg"])
    assert one["sampling_rate"] == other["sampling_rate"]
    np.testing.assert_array_equal(
      one["quality"]["invalid_runs"], other["quality"]["invalid_runs"]
    )


def stored(features):
  """A record as it is stored, of some entries."""
  example = tf_example_pb2.Example()
  for name, value in features.items():
    kind = "bytes_list" if isinstance(value, bytes) else "int64_list"
    entry = getattr(example.features.feature[name], kind).value
    entry.extend([value] if isinstance(value, (bytes, int)) else value)
  return example.SerializeToString()


def test_a_stored_record():
  """Byte order, the order of rows, runs; what is not a record is refused."""
  rng = np.random.default_rng(5)
  ecg = rng.integers(-32768, 32768, (12, 77)).astype("<i2")
  whole = {
    "ecg": ecg.tobytes(),
    "sampling_rate": 257,
    "quality/invalid_runs": [3, 10, 4, 11, 0, 9],
    "statements": b"not read",
  }
  reader = records.Signals.__new__(records.Signals)
  reader._parse = tf_example_pb2.Example.FromString
  found = reader._example(stored(whole))
  np.testing.assert_array_equal(found["ecg"], ecg)
  assert found["sampling_rate"] == 257
  runs = found["quality"]["invalid_runs"].tolist()
  assert runs == [[3, 10, 4], [11, 0, 9]]
  for change in (
    {"ecg": ecg.tobytes()[:-2]},
    {"ecg": [1, 2]},
    {"sampling_rate": []},
    {"sampling_rate": [1, 2]},
  ):
    with pytest.raises(ValueError):
      reader._example(stored(whole | change))
  with pytest.raises(DecodeError):
    reader._example(stored(whole)[:-5])


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


class Source:
  """Random access to (signal, rate, invalid_runs), as TFDS gives examples."""

  def __init__(self, records):
    self.records = records

  def __getitems__(self, indices):
    for i in indices:
      signal, rate, runs = self.records[i]
      yield {
        "ecg": signal,
        "sampling_rate": rate,
        "quality": {"invalid_runs": np.array(runs, int).reshape(-1, 3)},
      }


def split_of(records, dataset="cpsc2018"):
  ids = np.array([f"r{i}" for i in range(len(records))])
  unknown = np.zeros(len(records))
  columns = dict.fromkeys(
    ("patient_id", "age", "sex", "statement_ids", "statement_offsets"), unknown
  )
  return sources.Split(
    f"{dataset}/original/1.0.0", "test", Source(records),
    columns | {"record_id": ids}, (), {}, "0",
  )  # fmt: skip


@pytest.fixture
def long_records():
  """6 to 60 s at 500 Hz, odd lengths and the edges of a window."""
  rng = np.random.default_rng(20180)
  drawn = rng.integers(3000, 30000, 8) | 1
  lengths = [*drawn, 3000, 4999, 5000, 5001, 9999, 10000, 10001, 30000]
  return [
    (rng.integers(-3000, 3000, (12, n)).astype(np.int16), 500, ())
    for n in lengths
  ]


def padded(piece, samples):
  out = np.zeros((12, samples), np.int16)
  out[:, : piece.shape[1]] = piece
  return out


def check_windows(split, signals, samples=5000):
  """Compares every choice with slices of the raw arrays."""
  everything = np.arange(len(split))
  for window in ("first", "centre"):
    found = split.signals(everything, 500, samples, window=window)
    for signal, row in zip(signals, found, strict=True):
      spare = max(signal.shape[1] - samples, 0)
      start = spare // 2 if window == "centre" else 0
      piece = signal[:, start : start + samples]
      np.testing.assert_array_equal(row, padded(piece, samples))
  found, counts = split.windows(everything, 500, samples)
  parts = np.split(found, np.cumsum(counts)[:-1])
  for signal, part in zip(signals, parts, strict=True):
    length = signal.shape[1]
    pieces = [signal[:, i : i + samples] for i in range(0, length, samples)]
    if length > samples:
      pieces[-1] = signal[:, -samples:]
    want = [padded(piece, samples) for piece in pieces]
    np.testing.assert_array_equal(part, want)


def test_dataset_of_another_version_is_one_line(copy):
  data_dir, folder = copy
  (folder.parent / "1.0.0-old").mkdir()  # no version, passed over
  split = sources.open_split(data_dir, NAME, "original", "test")
  assert split.metadata["build"]["kept"] == 300
  sources._builder.cache_clear()
  described = json.loads((folder / "features.json").read_text())
  del described["featuresDict"]["features"]["patient_id"]
  (folder / "features.json").write_text(json.dumps(described))
  with pytest.raises(InputError, match="lack patient_id: build it") as caught:
    sources.open_split(data_dir, NAME, "original", "test")
  assert "another version" in str(caught.value)
  assert "\n" not in str(caught.value)


def test_every_window_is_a_slice_of_the_record(long_records):
  check_windows(split_of(long_records), [r[0] for r in long_records])


def test_windows_after_resampling(long_records):
  split = split_of(long_records)
  found, counts = split.windows([0, 9], 100, 1000)
  assert counts.sum() == len(found)
  want = [
    windows.cover(transform.resample(long_records[i][0], 500, 100), 1000)
    for i in (0, 9)
  ]
  np.testing.assert_array_equal(found, np.concatenate(want))


def test_windows_of_no_record():
  found, counts = split_of([]).windows([], 500, 5000)
  assert found.shape == (0, 12, 5000)
  assert len(counts) == 0


def test_kept_signals_belong_to_their_window(long_records):
  split = split_of(long_records)
  for window in ("first", "centre", "first"):
    kept = split.signals([0, 1], 500, 5000, 1.0, window)
    want = split.signals([0, 1], 500, 5000, 0.0, window)
    np.testing.assert_array_equal(kept, want)
  with pytest.raises(InputError, match="give first or centre"):
    split.signals([0], 500, 5000, window="cover")
  with pytest.raises(InputError, match="choose one of first, centre, cover"):
    split.windows([0], 500, 5000, "middle")


@pytest.mark.parametrize(
  ("dataset", "keep"), [("cpsc2018", 2500), ("chapman_ningbo", 5000)]
)
def test_merl_inputs(long_records, dataset, keep):
  signal = long_records[0][0].copy()
  signal[4, 100:140] = 0  # no value in the file, stored as 0
  split = split_of([(signal, 500, [[4, 100, 40]]), long_records[1]], dataset)
  found = split.merl_inputs([0, 1])
  first, second = signal.astype(float), long_records[1][0]
  if dataset == "chapman_ningbo":
    first[4, 100:140] = -32768
  for row, raw in zip(found, (first, second), strict=True):
    want = np.zeros((12, 5000))
    want[:, :keep] = raw[:, :keep] / 1000
    want = (want - want.min()) / (want.max() - want.min() + 1e-8)
    np.testing.assert_allclose(row, want, rtol=0, atol=1e-6)


def test_real_records_of_odd_length(shared):
  """CPSC2018's own records, from the files and through the reader."""
  paths = sorted((shared / "cpsc2018" / "TrainingSet").glob("*.mat"))[:4]
  signals = [
    np.rint(io.loadmat(path)["ECG"][0, 0]["data"] * 1000).astype(np.int16)
    for path in paths
  ]
  split = split_of([(signal, 500, ()) for signal in signals])
  check_windows(split, signals)
  check_windows(split, signals, samples=1250)


def test_true_features_are_a_task(simulated):
  split = sources.open_split(simulated, NAME, "original", "test")
  assert split.class_names["features"] == split.feature_names
  np.testing.assert_array_equal(split.labels["features"], split.truth)
  assert split.labelled["features"].shape == (len(split),)
  assert split.labelled["features"].all()
  assert "features" not in split.labels_merl
