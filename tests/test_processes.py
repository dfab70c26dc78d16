"""Several processes as one run: the same batches, losses and checkpoints."""

import collections
import json
import os
import signal
import socket
import subprocess
import sys
import time
import types

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

from fgclep_jax import cli, launch, sharding
from fgclep_jax.config import MeshConfig
from fgclep_jax.errors import InputError
from fgclep_jax.training import checkpoint, loop, setup
from tests import tiny_runs
from tests.test_batches import make
from tests.test_unreadable import corrupt  # noqa: F401  a fixture

# What a process does beside training: it splits small leaves too, and tells
# what it has read and what it has saved.
BEFORE = """
import atexit, json, os, sys
import jax, numpy as np
from fgclep_jax import cli, config, sharding
from fgclep_jax.data import batches
from fgclep_jax.training import checkpoint, processes
from tests import tiny_runs
sharding.FSDP_LEAST = 64
config.load = lambda _: tiny_runs.config()
out, number, read = sys.argv.pop(1), os.environ["FGCLEP_PROCESS"], []
real_read, real_save = batches.Batches._read, checkpoint.Checkpoints.save
def _read(self, records):
  read.extend(records.tolist())
  return real_read(self, records)
def save(self, state, meta):
  leaves = jax.tree.leaves((state.params, state.opt_state))
  parts = [{str(s.index): s.data.nbytes for s in x.addressable_shards}
           for x in leaves]
  here = sum(sum(part.values()) for part in parts)
  found = {"read": read, "bytes": here, "all": sum(x.nbytes for x in leaves)}
  with open(f"{out}.{number}.json", "w") as file:
    json.dump(found, file)
  np.savez(f"{out}.{number}.npz", *processes.whole(leaves))
  real_save(self, state, meta)
batches.Batches._read, checkpoint.Checkpoints.save = _read, save
cli.main(sys.argv[1:])
"""


def flags(**changes):
  return [
    text
    for name, value in changes.items()
    for text in ("--" + name.replace("__", ".").replace("_", "-"), str(value))
  ]


def start(workdir, data, last=(), **changes):
  """Starts `fgclep train` in 2 processes of 4 devices; `last` is for one."""
  with socket.socket() as free:
    free.bind(("localhost", 0))
    address = f"localhost:{free.getsockname()[1]}"
  command = [
    sys.executable, "-c", BEFORE, str(workdir), "train", "--config", "tiny",
    "--workdir", str(workdir), "--data-dir", str(data), *flags(**changes),
  ]  # fmt: skip
  environment = os.environ | {
    launch.COORDINATOR: address,
    launch.COUNT: "2",
    "FGCLEP_CPU_DEVICES": "4",
    "OMP_NUM_THREADS": "1",
  }
  return [
    subprocess.Popen(
      [*command, *last] if number else command,
      env=environment | {launch.NUMBER: str(number)},
      stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE,
      text=True,
    )
    for number in range(2)
  ]


def finish(running, code=0):
  """Waits for all; returns what they wrote to stderr."""
  try:
    errors = [process.communicate(timeout=400)[1] for process in running]
  finally:
    for process in running:
      process.kill()
  assert [process.returncode for process in running] == [code] * 2, errors
  return errors


def told(workdir, number):
  file = workdir.with_name(f"{workdir.name}.{number}.json")
  return json.loads(file.read_text())


def losses(workdir):
  rows = tiny_runs.lines(workdir / "metrics.jsonl")
  assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
  return np.array([row["loss"] for row in rows])


def alone(workdir, data, devices, monkeypatch, **changes):
  """The same in this process; the last validation."""
  monkeypatch.setattr(sharding, "FSDP_LEAST", 64)
  changes = {name: str(value) for name, value in changes.items()}
  return loop.train(
    tiny_runs.config(**changes), workdir, data, lambda _: None,
    jax.devices()[:devices],
  )  # fmt: skip


@pytest.mark.core
def test_two_processes_train_as_one(simulated, tmp_path, monkeypatch):
  """Parameters are split between the processes; so is what is read.

  The frozen part of the text tower is run once, by both.
  """
  frozen = '["^text\\\\.(embeddings|layers)"]'
  changes = {"optim__steps": 10, "save_every": 5, "mesh__fsdp": 8}
  changes["optim__freeze"] = frozen
  one, two = tmp_path / "one", tmp_path / "two"
  finish(start(two, simulated, mesh__data=1, **changes))
  found = alone(one, simulated, 8, monkeypatch, mesh__data=1, **changes)
  np.testing.assert_allclose(losses(two), losses(one), atol=1e-6, rtol=0)
  assert len(losses(two)) == 10
  last = tiny_runs.lines(two / "metrics.jsonl")[-1]
  assert found
  assert found.items() <= last.items()

  config = tiny_runs.config(
    optim__steps="10", save_every="5", optim__freeze=frozen
  )
  run = setup.prepare(config, two, simulated, jax.devices()[:1])
  for number in range(2):
    wanted = collections.Counter(
      i for k in range(10) for i in run.train.order(k)[8 * number :][:8]
    )
    assert collections.Counter(told(two, number)["read"]) == wanted
    assert told(two, number)["bytes"] < 0.9 * told(two, number)["all"]

  restores_in_one(run, two)
  entry = json.loads((two / "goodput.json").read_text())["runs"][-1]
  assert (entry["ended"], entry["last_step"]) == ("done", 10)


def restores_in_one(run, workdir):
  """Bit for bit what each of two processes held when it was saved."""
  with checkpoint.Checkpoints(workdir) as saved:
    state = setup.restored_state(run, saved, saved.latest)
  leaves = jax.device_get(jax.tree.leaves((state.params, state.opt_state)))
  for number in range(2):
    file = workdir.with_name(f"{workdir.name}.{number}.npz")
    with np.load(file) as held:
      assert len(held.files) == len(leaves)
      for name, leaf in zip(held.files, leaves, strict=True):
        np.testing.assert_array_equal(held[name], leaf, strict=True)
  params, _ = checkpoint.restore_params(workdir)
  jax.tree.map(np.testing.assert_array_equal, params, state.params)


@pytest.mark.slow
def test_stopped_by_one_gone_on_by_both(corrupt, tmp_path, monkeypatch):  # noqa: F811
  """SIGTERM to process 1 alone; two "slices"; records that only one read."""
  changes = {
    "optim__steps": 24,
    "log_every": 3,
    "save_every": 1000,
    "mesh__fsdp": 2,
    "data__max_skip_rate": 0.1,
  }
  one, two = tmp_path / "one", tmp_path / "two"
  running = start(two, corrupt, mesh__slices=2, **changes)
  while not (two / "metrics.jsonl").is_file():
    assert running[0].poll() is None, finish(running)
    time.sleep(0.01)
  running[1].send_signal(signal.SIGTERM)
  for error in finish(running, 75):
    assert "run the same command to go on" in error
  step, _ = checkpoint.read_meta(two)
  assert 3 <= step < 24
  assert step % 3 == 0
  finish(start(two, corrupt, mesh__slices=2, **changes))
  alone(one, corrupt, 8, monkeypatch, **changes)
  np.testing.assert_allclose(losses(two), losses(one), atol=1e-6, rtol=0)
  found = [tiny_runs.lines(w / "unreadable.jsonl") for w in (one, two)]
  assert found[0] == found[1] != []


@pytest.mark.slow
def test_another_command_ends_all(simulated, tmp_path):
  running = start(tmp_path / "run", simulated, last=["--seed", "1"])
  for error in finish(running, 2):
    [line] = [x for x in error.splitlines() if x.startswith("fgclep")]
    assert "process 1 has another config than process 0" in line
  assert not (tmp_path / "run").exists()


HOSTS = (1, 2, 4)


@pytest.fixture(params=[0, 1], ids=["in order", "shuffled"])
def mesh(request):
  """4 x 2 devices, in any order."""
  devices = np.array(jax.devices()[:8])
  if request.param:
    devices = np.random.default_rng(7).permutation(devices)
  kinds = (AxisType.Auto,) * 2
  return Mesh(devices.reshape(4, 2), sharding.AXES, axis_types=kinds)


@pytest.mark.core
@pytest.mark.parametrize("hosts", HOSTS)
def test_batch_k_is_the_same_for_any_hosts(mesh, hosts):
  """Hosts hold devices in turn: their rows need not lie together."""
  whole = make(batch=16, divisor=8)
  for k in (0, 3, 11):
    wanted, placed = whole[k], np.full((16, 12, 100), -7, np.int16)
    for host in range(hosts):
      here = [d for d in mesh.devices.flat if d.id % hosts == host]
      rows = sharding.held_rows(mesh, 16, here)
      assert len(rows) == 16 // hosts
      own = make(batch=16, divisor=8)
      own.rows = rows
      found = own[k]
      for name in wanted.keys() - {"ecg"}:
        np.testing.assert_array_equal(found[name], wanted[name])
      assert found["ecg"].shape == (len(rows), 12, 100)
      placed[rows] = found["ecg"]
    np.testing.assert_array_equal(placed, wanted["ecg"])


def test_rows_land_on_their_devices(mesh):
  x = np.random.default_rng(0).normal(size=(16, 3))
  rows = sharding.held_rows(mesh, 16)
  for found in (
    sharding.put_rows(mesh, x.astype(np.float32), rows, 16),
    sharding.put(mesh, {"x": x.astype(np.float32)})["x"],
  ):
    np.testing.assert_array_equal(found, x.astype(np.float32))
    assert found.sharding == sharding.batch(mesh)


def fake_devices(slices, each, processes=1):
  return [
    types.SimpleNamespace(
      id=i, slice_index=i // each,
      process_index=i * processes // (slices * each),
      platform="cpu", device_kind="cpu",
    )
    for i in range(slices * each)
  ]  # fmt: skip


def test_fsdp_stays_within_a_slice():
  devices = fake_devices(4, 8)
  shuffled = list(np.random.default_rng(1).permutation(devices))
  found = sharding.hybrid(shuffled, 8, 4, 4)
  assert found.shape == (8, 4)
  slices = np.vectorize(lambda device: device.slice_index)(found)
  assert (slices == np.repeat(range(4), 2)[:, None]).all()
  assert {d.id for d in found.flat} == set(range(32))
  with pytest.raises(InputError, match=r"mesh\.data=2 over 4 slices"):
    sharding.hybrid(devices, 2, 16, 4)
  for wanted in (0, 4):
    assert sharding._slices(wanted, devices) == 4
  with pytest.raises(InputError, match=r"mesh\.slices=2 on 4 slices"):
    sharding._slices(2, devices)


def test_processes_as_slices():
  devices = fake_devices(1, 8, processes=2)
  assert [sharding._slices(n, devices) for n in (0, 1, 2)] == [1, 1, 2]
  found = sharding.hybrid(devices, 2, 4, 2)
  for row, number in zip(found, (0, 1), strict=True):
    assert {device.process_index for device in row} == {number}
  with pytest.raises(InputError, match="of 1 processes: give"):
    sharding.make_mesh(MeshConfig(slices=2))


@pytest.mark.parametrize(
  "given",
  [
    {launch.COORDINATOR: "here:1234"},
    {launch.COUNT: "2", launch.NUMBER: "0"},
    {launch.COORDINATOR: "here", launch.COUNT: "2", launch.NUMBER: "0"},
    {launch.COORDINATOR: "here:1", launch.COUNT: "2", launch.NUMBER: "2"},
    {launch.COORDINATOR: "here:1", launch.COUNT: "x", launch.NUMBER: "0"},
    {launch.COORDINATOR: "auto", launch.COUNT: "2"},
  ],
)
def test_half_an_address_is_refused(given, root, monkeypatch, capsys):
  for name, value in given.items():
    monkeypatch.setenv(name, value)
  with pytest.raises(SystemExit) as stop:
    cli.main(
      ["train", "--config", str(root / "configs" / "simulated.py"),
       "--workdir", "w", "--data-dir", "d"]
    )  # fmt: skip
  [line] = capsys.readouterr().err.splitlines()
  assert stop.value.code == 2
  assert "give host:port of process 0" in line


def test_address_of_the_others(monkeypatch):
  assert launch._others() is None
  monkeypatch.setenv(launch.COORDINATOR, launch.AUTO)
  assert launch._others() == {}
  monkeypatch.setenv(launch.COORDINATOR, "[::1]:80")
  monkeypatch.setenv(launch.COUNT, "3")
  monkeypatch.setenv(launch.NUMBER, "2")
  assert launch._others() == {
    "coordinator_address": "[::1]:80",
    "num_processes": 3,
    "process_id": 2,
  }
