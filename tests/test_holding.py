"""Signals held on the devices: the same batches, and room for them."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgclep_jax import sharding
from fgclep_jax.config import DataConfig, MeshConfig
from fgclep_jax.data import batches as b
from fgclep_jax.errors import InputError
from fgclep_jax.reports import tokenizer
from fgclep_jax.training import holding
from tests import data_fakes, tiny_runs
from tests import test_processes as several
from tests.test_unreadable import corrupt, spoil  # noqa: F401  a fixture


@dataclasses.dataclass(frozen=True)
class Run:
  """What `holding` needs of `setup.Run`."""

  config: object
  train: b.Batches
  mesh: jax.sharding.Mesh
  step: object = None
  held: object = None


def make(devices, split=None, before=(), size=8, **options):
  split = split or data_fakes.split(61)
  vocabulary = tokenizer.train_vocabulary(data_fakes.STATEMENTS, 200)
  texts = b.texts(split, "statements", tokenizer.Tokenizer(vocabulary, 64))
  data = DataConfig(batch_size=size, rate=100, seconds=1.0, **options)
  here = jax.devices()[: devices[0] * devices[1]]
  mesh = sharding.make_mesh(MeshConfig(fsdp=devices[1]), here)
  records = np.setdiff1d(np.arange(len(split)), before)
  train = b.Batches(
    split, texts, records, data, 3, mesh.size, before, 1.5,
    sharding.held_rows(mesh, size),
  )  # fmt: skip
  step = jax.jit(lambda state, batch: (state, batch["ecg"] * 1))
  return Run(types.SimpleNamespace(data=data), train, mesh, step)


ON = {"hold": "device", "device_gib": 1.0}
quiet = [].append


@pytest.mark.core
@pytest.mark.parametrize("devices", [(1, 1), (2, 1), (4, 2), (1, 8)])
def test_batches_are_those_that_are_read(devices, monkeypatch):
  """Bit for bit, where the last chunk and the last device are not full."""
  monkeypatch.setattr(holding, "CHUNK", 5)
  options = {"before": np.arange(7, 20, 2), "statements_per_record": 1}
  read, held = make(devices, **options), make(devices, **options, **ON)
  held = holding.hold(held, quiet)
  assert held.held.signals.dtype == jnp.int16
  for k in range(0, 23, 3):
    placed = []
    for run in (read, held):
      batch = run.train[k]
      assert ("ecg" in batch) == (run is read)
      records = batch.pop("records")
      placed.append(holding.put(run, batch, records))
    assert placed[0]["ecg"].dtype == jnp.int16  # as it is stored
    found = held.step(0, placed[1])[1]
    assert found.dtype == jnp.int16
    np.testing.assert_array_equal(found, placed[0]["ecg"])
    for name in placed[0].keys() - {"ecg"}:
      np.testing.assert_array_equal(placed[0][name], placed[1][name])


def test_extreme_values_are_added_to_zeros():
  split = data_fakes.split(61)
  split.ecg[:] = np.where(split.ecg > 0, 32767, -32768)
  run = holding.hold(make((8, 1), split, **ON), quiet)
  batch = run.train[1]
  records = batch.pop("records")
  found = run.step(0, holding.put(run, batch, records))[1]
  np.testing.assert_array_equal(found, split.ecg[records])


def test_signals_are_split_over_the_devices_and_read_once():
  run = make((4, 2), **ON)
  read, signals = [], run.train.split.signals
  run.train.split.signals = lambda i, *rest: (
    read.extend(i) or signals(i, *rest)
  )
  run = holding.hold(run, quiet)
  count = len(run.train.records)
  assert sorted(read) == sorted(run.train.records)
  sizes = {x.data.shape[0] for x in run.held.signals.addressable_shards}
  assert sizes == {-(-count // 8)}
  list(run.train.stream(0, 3))
  assert len(read) == count


def test_what_cannot_be_read_is_known_beforehand():
  split = data_fakes.split(61)
  bad = set(make((1, 1)).train.records[[3, 8]].tolist())
  spoil(split, bad)
  run = make((4, 1), split, **ON, max_skip_rate=0.1)
  run = holding.hold(run, quiet)
  assert set(run.train.unreadable) == bad
  for k in range(10):
    batch = run.train[k]
    left_out = np.isin(batch["records"], list(bad))
    assert (batch["statement"][left_out] == -1).all()
    assert (batch["statement"][~left_out] >= 0).any(axis=1).all()
    records = batch.pop("records")
    ecg = np.asarray(run.step(0, holding.put(run, batch, records))[1])
    assert not ecg[left_out].any()
    np.testing.assert_array_equal(ecg[~left_out], split.ecg[records[~left_out]])
  with pytest.raises(InputError, match="max-skip-rate=0 allows"):
    holding.hold(make((4, 1), split, **ON), quiet)


def told(bytes_limit, bytes_in_use=0):
  stats = {"bytes_limit": bytes_limit, "bytes_in_use": bytes_in_use}
  return types.SimpleNamespace(memory_stats=lambda: stats)


@pytest.mark.parametrize(
  ("limit", "used", "fits"),
  [(1000, 0, True), (999, 0, False), (1100, 99, True), (1100, 101, False)],
)
def test_room_is_what_the_device_says(limit, used, fits):
  """900 bytes a device, a tenth of what is free stays free."""
  devices = [told(10**6), told(limit, used)]
  mesh = types.SimpleNamespace(local_devices=devices, size=2)
  if fits:
    holding._check_room(900, 30, (30, 12, 5), mesh, 0.0)
    return
  with pytest.raises(InputError, match="on each of 2 devices") as error:
    holding._check_room(900, 30, (30, 12, 5), mesh, 0.0)
  assert "\n" not in str(error.value)


def test_room_that_is_given_or_unknown():
  with pytest.raises(InputError, match=r"give data\.device-gib"):
    holding.hold(make((2, 1), hold="device"), quiet)
  with pytest.raises(InputError, match=r"data\.hold=host"):
    holding.hold(make((2, 1), hold="device", device_gib=1e-5), quiet)
  run = make((2, 1))
  assert holding.hold(run, quiet) is run


@pytest.mark.core
def test_a_run_learns_the_same(corrupt, tmp_path):  # noqa: F811
  """Records that cannot be read are left out of the same places."""
  losses, steps = {}, {"optim__steps": "4", "data__max_skip_rate": "0.1"}
  for name, changes in (("host", {}), ("device", {"data__device_gib": "1"})):
    workdir, said = tmp_path / name, []
    changes |= {"data__hold": name} | steps
    tiny_runs.train(workdir, corrupt, said.append, **changes)
    rows = tiny_runs.lines(workdir / "metrics.jsonl")
    losses[name] = [row["loss"] for row in rows]
    assert all("data_wait" in row for row in rows[1::2])
  assert len(losses["host"]) == 4
  np.testing.assert_allclose(losses["host"], losses["device"], atol=1e-6)


@pytest.mark.slow
def test_two_processes_hold_their_parts(corrupt, tmp_path, monkeypatch):  # noqa: F811
  changes = {"optim__steps": 6, "data__max_skip_rate": 0.1, "save_every": 3}
  one, two = tmp_path / "one", tmp_path / "two"
  held = {"data__hold": "device", "data__device_gib": 1.0}
  several.finish(several.start(two, corrupt, **changes, **held))
  several.alone(one, corrupt, 8, monkeypatch, **changes)
  np.testing.assert_allclose(
    several.losses(two), several.losses(one), atol=1e-6, rtol=0
  )
  parts = [several.told(two, number)["read"] for number in range(2)]
  assert not set(parts[0]) & set(parts[1])
