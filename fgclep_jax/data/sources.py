"""Built datasets as random access: the only reader of TFDS folders."""

import functools
import hashlib
import json
import logging
import pathlib

import numpy as np

from fgclep_jax.data import index, records
from fgclep_jax.errors import InputError
from fgclep_jax.signals import leads, transform, windows

# What the records of every dataset hold.
FIELDS = ("record_id", "patient_id", "age", "sex", "ecg", "statements")
FEATURES = "features"  # the task whose labels are the true waveform features


class Unreadable(InputError):
  """A record of a dataset that cannot be read; `reason` is one word."""

  def __init__(self, message, reason):
    super().__init__(message)
    self.reason = reason


class Split:
  """One split of a built dataset.

  Attributes:
    dataset, config, name: of the dataset, its config and this split.
    record_ids, patient_ids: (n,) str; an unknown patient is ''.
    age: (n,) float32 years, NaN unknown. sex: (n,) int8, -1 unknown.
    labels, labels_merl: {task: (n, C) uint8}; labelled: {task: (n,) bool}.
      Where `truth` is known it is the task `features`, every record labelled.
    class_names: {task: tuple of C str}.
    measurements: {name: (n,) float32}, NaN unknown, units in the metadata;
      MIMIC-IV-ECG's machine measurements, the simulator's own.
    codes: (n, 55) uint8 of Chapman-Shaoxing-Ningbo, else None.
    truth: (n, F) uint8 waveform features truly present, simulated data
      only, else None. feature_names: tuple of F str.
    statement_ids, statement_offsets: record i holds the statements
      `table[j] for j in ids[offsets[i]:offsets[i + 1]]`, in stored order.
    table: tuple of the distinct statements of the dataset.
    digest: hash of the dataset's description and shard sizes.
    partial: whether the raw archive was incomplete.
  """

  def __init__(self, folder, name, source, columns, table, metadata, digest):
    version = pathlib.Path(folder)
    self.dataset, self.config = version.parts[-3:-1]
    self.name = name
    self.table = table
    self.digest = digest
    self.partial = bool(metadata.get("partial", False))
    self.metadata = metadata
    self.class_names = {
      task: tuple(names)
      for task, names in metadata.get("class_names", {}).items()
    }
    self.feature_names = tuple(metadata.get("feature_names", ()))
    self.record_ids = columns["record_id"]
    self.patient_ids = columns["patient_id"]
    self.age, self.sex = columns["age"], columns["sex"]
    self.statement_ids = columns["statement_ids"]
    self.statement_offsets = columns["statement_offsets"]
    self.truth = columns.get("truth")
    self.codes = columns.get("codes")
    self.measurements = index.group(columns, "measurements")
    self.labels = index.group(columns, "labels")
    self.labels_merl = index.group(columns, "labels_merl")
    self.labelled = index.group(columns, "labelled")
    if self.truth is not None:
      self.class_names[FEATURES] = self.feature_names
      self.labels[FEATURES] = self.truth
      self.labelled[FEATURES] = np.ones(len(self), bool)
    self._source = source
    self._cache = {}

  def __len__(self):
    return len(self.record_ids)

  @property
  def statements(self):
    """List of n tuples of str, in stored order."""
    return [
      tuple(self.table[j] for j in self.statement_ids[start:stop])
      for start, stop in zip(
        self.statement_offsets[:-1], self.statement_offsets[1:], strict=True
      )
    ]

  def signals(self, indices, rate, samples, cache_gib=0.0, window="first"):
    """Reads signals, resampled to `rate` and cut or padded to `samples`.

    Args:
      indices: positions in the split.
      rate: samples per second.
      samples: of each lead; zeros follow a shorter record.
      cache_gib: the split is kept in memory when it fits.
      window: what a longer record keeps: its `first` or `centre` samples.

    Returns:
      (B, 12, samples) int16 microvolts.

    Raises:
      InputError: `window` is not one of the two.
    """
    if window not in ("first", "centre"):
      raise InputError(
        f"window {window!r} of signals: give first or centre, one a record"
      )
    indices = np.asarray(indices)
    size = len(self) * leads.COUNT * samples * 2
    if size > cache_gib * 2**30:
      return self.windows(indices, rate, samples, window)[0]
    key = (rate, samples, window)
    if key not in self._cache:
      self._cache[key] = (
        np.zeros((len(self), leads.COUNT, samples), np.int16),
        np.zeros(len(self), bool),
      )
    store, filled = self._cache[key]
    new = np.unique(indices[~filled[indices]])
    if len(new):
      store[new] = self.windows(new, rate, samples, window)[0]
      filled[new] = True
    return store[indices]

  def windows(self, indices, rate, samples, window="cover"):
    """Reads the windows of records, those of one record after another.

    Args:
      indices: positions in the split.
      rate: samples per second.
      samples: of each window.
      window: `cover` for all windows of a record, `first` or `centre`.

    Returns:
      (N, 12, samples) int16 microvolts, and (B,) int64 how many of them
      belong to each record, at least 1.
    """
    if window == "cover":
      return self._all_windows(indices, rate, samples)
    # A row at a time: what one record took is in the cache for the next.
    out = np.empty((len(indices), leads.COUNT, samples), np.int16)
    for row, example in zip(out, self._examples(indices), strict=True):
      signal = _resampled(example, rate)
      row[:] = windows.choose(signal, samples, window)[0]
    return out, np.ones(len(out), np.int64)

  def _all_windows(self, indices, rate, samples):
    found = [
      windows.cover(_resampled(example, rate), samples)
      for example in self._examples(indices)
    ]
    counts = np.array([len(of_record) for of_record in found], np.int64)
    empty = np.zeros((0, leads.COUNT, samples), np.int16)
    return np.concatenate([empty, *found]), counts

  def merl_inputs(self, indices):
    """Reads records as the public code of MERL feeds them to a model.

    Args:
      indices: positions in the split.

    Returns:
      (B, 12, 5000) float32 in [0, 1] at 500 Hz, see `windows.merl`.
    """
    shape = (len(indices), leads.COUNT, windows.MERL_SAMPLES)
    out = np.empty(shape, np.float32)
    keep = windows.MERL_KEPT.get(self.dataset, windows.MERL_SAMPLES)
    raw = self.dataset == "chapman_ningbo"  # "no value" as in the file
    for row, example in zip(out, self._examples(indices), strict=True):
      same_rate = int(example["sampling_rate"]) == windows.MERL_RATE
      runs = example["quality"]["invalid_runs"] if raw and same_rate else ()
      signal = _resampled(example, windows.MERL_RATE)
      row[:] = windows.merl(signal, keep, windows.MERL_SAMPLES, runs)
    return out

  def _examples(self, indices):
    """Yields examples; raises `Unreadable` that names the first bad one."""
    indices = [int(i) for i in indices]
    try:
      found = iter(self._source.__getitems__(indices))
    except Exception:  # of which record?
      found = map(self._example, indices)
    for i in indices:
      try:
        example = next(found)
      except Exception:  # of which kind?
        example = self._example(i)
      if not _well_formed(example):
        raise self._unreadable(i, "shape", "its signal is not (12, T) int16")
      yield example

  def _example(self, i):
    try:
      return next(iter(self._source.__getitems__([i])))
    except OSError:  # the disk, not the record
      raise
    except RuntimeError as error:  # a checksum of array_record
      raise self._unreadable(i, "storage", error) from error
    except Exception as error:
      raise self._unreadable(i, "decoding", error) from error

  def _unreadable(self, i, reason, detail):
    return Unreadable(
      f"record {self.record_ids[i]} of {self.dataset}/{self.config} split "
      f"{self.name!r} cannot be read ({reason}: {str(detail)[:200]})",
      reason,
    )


def _well_formed(example):
  """Whether an example's signal and rate are what the contract says."""
  ecg, rate = np.asarray(example["ecg"]), int(example["sampling_rate"])
  shape = ecg.ndim == 2 and ecg.shape[0] == leads.COUNT and ecg.size > 0
  return shape and ecg.dtype == np.int16 and rate > 0


def _resampled(example, rate):
  """(12, T) int16 microvolts of an example at `rate`."""
  return transform.resample(example["ecg"], int(example["sampling_rate"]), rate)


def open_split(data_dir, dataset, config="original", split="train"):
  """Opens a split; raises InputError naming what is there instead."""
  folder, builder = _builder(str(data_dir), dataset, config)
  if split not in builder.info.splits:
    raise InputError(
      f"{dataset}/{config} in {data_dir} has no split {split!r}: it has "
      f"{', '.join(sorted(builder.info.splits)) or 'none, it is empty'}"
    )
  if not builder.info.splits[split].num_examples:
    raise InputError(f"split {split!r} of {folder} is empty: build it again")
  metadata = dict(builder.info.metadata or {}) | _counts(folder)
  digest = _digest(folder)
  columns, table = index.load_or_build(
    folder, digest, {s: records.texts(builder, s) for s in builder.info.splits}
  )
  signals = records.Signals(builder, split)
  return Split(
    folder, split, signals, columns[split], table, metadata, digest
  )


def split_names(data_dir, dataset, config="original"):
  """Names of the splits a dataset has."""
  _, builder = _builder(str(data_dir), dataset, config)
  return tuple(builder.info.splits)


@functools.lru_cache(maxsize=8)
def _builder(data_dir, dataset, config):
  root = pathlib.Path(data_dir) / dataset / config
  versions = [
    path
    for path in root.glob("*.*.*")
    if path.is_dir() and path.name.replace(".", "").isdigit()
  ]
  if not versions:
    raise InputError(
      f"no dataset {dataset}/{config} in {data_dir}: make it with `tfds build "
      f"tfds_builders/{dataset} --config {config} --data_dir {data_dir} "
      "--file_format array_record`"
    )
  folder = max(versions, key=lambda p: tuple(map(int, p.name.split("."))))
  logging.getLogger("absl").setLevel(logging.WARNING)
  import tensorflow_datasets as tfds  # slow to import

  try:
    builder = tfds.builder_from_directory(folder)
    absent = [n for n in FIELDS if n not in builder.info.features]
  except Exception as error:
    raise InputError(
      f"{folder} cannot be read as a dataset ({error}): build it again"
    ) from error
  if absent:
    raise InputError(
      f"{folder} is of another version of the builder, its records lack "
      f"{', '.join(absent)}: build it again"
    )
  return folder, builder


def _counts(folder):
  """{"build": records read, kept, dropped by reason}, {} where not kept."""
  try:
    return {"build": json.loads((folder / "build.json").read_text())}
  except (OSError, ValueError):
    return {}


def _digest(folder):
  """Hash of the description and of every shard's name and size."""
  digest = hashlib.sha256()
  digest.update((folder / "dataset_info.json").read_bytes())
  for path in sorted(folder.glob("*.array_record*")):
    digest.update(f"{path.name} {path.stat().st_size}\n".encode())
  return digest.hexdigest()
