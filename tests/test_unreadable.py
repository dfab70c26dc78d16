"""Records that cannot be read: counted, named, and nobody else moves."""

import re
import shutil

import jax
import numpy as np
import pytest

from fgclep_jax.data import batches, sources
from fgclep_jax.errors import InputError
from fgclep_jax.training import setup
from fgclep_jax.training.faults import UNREADABLE
from tests import data_fakes, tiny_runs
from tests.test_batches import make


def spoil(split, bad):
  """Makes some positions of a fake split unreadable."""
  real = split.signals

  def signals(indices, *rest):
    for i in indices:
      if i in bad:
        raise sources.Unreadable(f"record r{i}", "decoding")
    return real(indices, *rest)

  split.signals = signals


@pytest.mark.core
def test_no_other_record_moves(monkeypatch):
  whole = make(max_skip_rate=0.2, statements_per_record=1)
  split = data_fakes.split()
  bad = set(whole.records[[3, 8]].tolist())
  spoil(split, bad)
  monkeypatch.setattr(data_fakes, "split", lambda: split)
  data = make(max_skip_rate=0.2, statements_per_record=1)
  met = 0
  for k in range(12):
    found, wanted = data[k], whole[k]
    np.testing.assert_array_equal(found["records"], wanted["records"])
    left_out = np.isin(found["records"], list(bad))
    met += left_out.sum()
    assert (found["statement"][left_out] == -1).all()
    assert not found["ecg"][left_out].any()
    np.testing.assert_array_equal(
      found["ecg"][~left_out], wanted["ecg"][~left_out]
    )

    def texts(batch, rows):
      place = batch["statement"][rows]
      return np.where(place < 0, -1, batch["text_ids"][np.maximum(place, 0)])

    np.testing.assert_array_equal(
      texts(found, ~left_out), texts(wanted, ~left_out)
    )
    for name in ("tokens", "text_ids", "text_weights"):
      np.testing.assert_array_equal(found[name], wanted[name])
  assert met > 2
  assert data.unreadable == dict.fromkeys(bad, "decoding")


def test_more_than_allowed_is_refused(monkeypatch):
  split = data_fakes.split()
  records = make().records
  spoil(split, set(records[[3, 8]].tolist()))
  monkeypatch.setattr(data_fakes, "split", lambda: split)
  for rate, allowed in ((0.0, 0), (1 / len(records), 1)):
    data = make(max_skip_rate=rate)
    with pytest.raises(InputError, match="record r") as error:
      list(data.stream(0, 12))
    # Read ahead, the second may have been met before the first is told.
    told = re.search(r"(\d+) of (\d+) records", str(error.value))
    assert allowed < int(told[1]) <= 2
    assert int(told[2]) == len(records)
    assert "\n" not in str(error.value)


@pytest.fixture
def corrupt(simulated, tmp_path):
  """A copy of the dataset with one flipped bit in the train split."""
  sources.open_split(simulated, "simulated_ecg")  # the index is whole
  shutil.copytree(simulated, tmp_path / "data")
  folder = tmp_path / "data" / "simulated_ecg" / "original" / "2.0.0"
  [shard] = folder.glob("*train*array_record*")
  content = bytearray(shard.read_bytes())
  content[len(content) // 2] ^= 1
  shard.write_bytes(content)
  sources._builder.cache_clear()
  return tmp_path / "data"


def readable(split, i):
  try:
    return bool(len(split.signals([i], 100, 1000)))
  except sources.Unreadable as error:
    return not (error.reason == "storage" and split.record_ids[i] in str(error))


def test_storage_and_shape_are_told_apart(corrupt):
  split = sources.open_split(corrupt, "simulated_ecg")
  bad = [i for i in range(len(split)) if not readable(split, i)]
  assert 0 < len(bad) < len(split) / 2
  good = next(i for i in range(len(split)) if i not in bad)
  [example] = split._examples([good])
  for name, value, reason in (
    ("ecg", example["ecg"][:11], "shape"),
    ("ecg", example["ecg"].astype(np.float32), "shape"),
    ("ecg", example["ecg"][:, :0], "shape"),
    ("sampling_rate", 0, "shape"),
  ):
    split._source = Source(example | {name: value})
    with pytest.raises(sources.Unreadable) as error:
      split.signals([good], 100, 1000)
    assert error.value.reason == reason
  split._source = Source(ValueError("not a message"))
  with pytest.raises(sources.Unreadable, match="not a message") as error:
    split.signals([good], 100, 1000)
  assert error.value.reason == "decoding"
  split._source = Source(PermissionError("the disk"))
  with pytest.raises(PermissionError):  # not the record's fault
    split.signals([good], 100, 1000)


class Source:
  def __init__(self, example):
    self.example = example

  def __getitems__(self, indices):
    if isinstance(self.example, Exception):
      raise self.example
    return [self.example for _ in indices]


@pytest.mark.core
def test_a_run_with_a_flipped_bit(corrupt, tmp_path):
  """Refused by default; within the rate it is trained around and told."""
  steps = "16"  # more than an epoch
  done = tiny_runs.process(tmp_path / "no", corrupt, "--optim.steps", steps)
  assert done.returncode == 2, done.stderr
  last = done.stderr.splitlines()[-1]
  assert "cannot be read (storage: " in last
  assert "data.max-skip-rate=0 allows" in last
  said = []
  tiny_runs.train(
    tmp_path / "yes", corrupt, said.append, optim__steps=steps,
    data__max_skip_rate="0.1",
  )  # fmt: skip
  assert "records could not be read (storage" in said[-1]
  rows = tiny_runs.lines(tmp_path / "yes" / UNREADABLE)
  metrics = tiny_runs.lines(tmp_path / "yes" / "metrics.jsonl")
  counts = {
    m["step"]: m["unreadable_storage"] for m in metrics if "unreadable" in m
  }
  assert counts == {row["step"]: len(row["records"]) for row in rows}
  assert np.isfinite([m["loss"] for m in metrics]).all()
  assert len(metrics) == int(steps)


@pytest.mark.parametrize("alignment", ["pooled", "attention", "transport"])
def test_an_empty_place_leaves_the_step_finite(simulated, tmp_path, alignment):
  config = tiny_runs.config(model__alignment=alignment)
  run = setup.prepare(config, tmp_path, simulated, jax.devices()[:1])
  batch = run.train[0]
  batch.pop("records")
  batch["ecg"][3] = 0
  ids = np.where(
    batch["statement"] < 0,
    batches.ABSENT,
    batch["text_ids"][np.maximum(batch["statement"], 0)],
  )
  ids[3] = batches.ABSENT
  batch |= run.train.columns(ids)
  _, metrics = run.step(setup.initial_state(run), batch, None)
  assert int(metrics["skipped"]) == 0
