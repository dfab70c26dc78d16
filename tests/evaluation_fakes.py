"""A dataset and a model that evaluation can be tested on.

The signals carry their labels: a class present adds its own pattern of
levels to the leads, and the fake model reads the leads' means.
"""

import dataclasses
import hashlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class FakeData:
  """Of the fake configuration: how a model was shown texts."""

  text: str = "statements"


@dataclasses.dataclass(frozen=True)
class FakeConfig:
  """What evaluation asks of `config.TrainConfig`."""

  data: FakeData = FakeData()
  note: str = "<b>&</b>"


class FakeSplit:
  """A split with one task, (12, T) signals and known waveform features."""

  def __init__(
    self, name, n, class_names, seed=0, task="simulated", patients=None,
    noise=60.0, dataset="fake_ecg",
  ):  # fmt: skip
    rng = np.random.default_rng([seed, n])
    self.dataset, self.config, self.name = dataset, "original", name
    self.record_ids = np.array([f"{name}{i:05d}" for i in range(n)])
    owners = rng.integers(0, patients or max(n // 2, 1), n)
    self.patient_ids = np.array([f"{name}-p{i}" for i in owners])
    count = len(class_names)
    rates = np.linspace(0.5, 0.2, count)
    labels = rng.random((n, count)) < rates
    self.labels = {task: labels.astype(np.uint8)}
    self.labels_merl = dict(self.labels)
    self.labelled = {task: rng.random(n) < 0.9}
    self.class_names = {task: tuple(class_names)}
    self.truth = labels.astype(np.uint8)
    self.feature_names = tuple(f"feature {i}" for i in range(count))
    self.digest = hashlib.sha256(f"{name}{seed}{n}".encode()).hexdigest()
    self.partial = False
    self.metadata = {}
    self.statements = [()] * n
    self.read = []
    level = 100 * labels @ pattern(count) + rng.normal(0, noise, (n, 12))
    self.level = np.clip(level, -3000, 3000)
    self.sex = rng.integers(-1, 2, n).astype(np.int8)
    self.age = rng.uniform(10, 95, n).astype(np.float32)
    self.age[::17] = np.nan

  def __len__(self):
    return len(self.record_ids)

  @property
  def statement_offsets(self):
    return np.cumsum([0, *map(len, self.statements)])

  def signals(self, indices, rate, samples, cache_gib=0.0, window="first"):
    """Every record is as long as asked for."""
    del cache_gib, window
    self.read.append(np.asarray(indices))
    time = np.arange(samples) / rate
    wave = 40 * np.sin(2 * np.pi * 1.3 * time)
    return (self.level[indices][:, :, None] + wave).astype(np.int16)

  def windows(self, indices, rate, samples, window):
    """Every record is as long as the window."""
    del window
    return self.signals(indices, rate, samples), np.ones(len(indices), int)


def pattern(count):
  """(count, 12) orthonormal rows, one per class."""
  rng = np.random.default_rng(1234)
  return np.linalg.qr(rng.normal(size=(12, count)))[0].T


class FakeTokenizer:
  """Every word is a piece."""

  max_tokens = 6

  def lengths(self, texts):
    return [len(text.split()) for text in texts]


class FakeModel:
  """Reads the leads' means; knows the class names as text, or nothing."""

  rate, samples = 100, 200
  tokenizer = FakeTokenizer()

  def __init__(self, class_names, trained=True):
    self.class_names = list(class_names)
    self.trained = trained
    kind = "trained" if trained else "untrained"
    self.checkpoint = {"hash": f"fake-{kind}", "step": 7 * trained}
    self.config = FakeConfig()
    self.batches = []

  def encode_ecg(self, signals):
    assert signals.dtype == np.int16
    self.batches.append(len(signals))
    level = signals.mean(-1) / 100
    features = level if self.trained else level[:, ::-1] ** 2
    features = np.concatenate([features, np.ones((len(signals), 1))], 1)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(length, 1e-12)
    return unit.astype(np.float32), features.astype(np.float32)

  def embed_text(self, texts):
    rows = []
    for text in texts:
      if self.trained and text in self.class_names:
        row = pattern(len(self.class_names))[self.class_names.index(text)]
        rows.append(np.append(row, 0))
      else:
        seed = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
        rows.append(np.random.default_rng(seed).normal(size=13))
    rows = np.array(rows)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(
      np.float32
    )
