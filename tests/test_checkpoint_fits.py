"""Checkpoints on other machines, and those that do not fit.

The same bits on any devices and meshes, and the same records from there on;
what does not fit is refused leaf by leaf, before a value is cast.
"""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgclep_jax import sharding
from fgclep_jax.errors import InputError, RunError
from fgclep_jax.models import two_tower
from fgclep_jax.training import checkpoint, loop, manifest, setup, steps
from fgclep_jax.training.steps import TrainState
from tests import fake_runs


def data_of(state):
  return jax.device_get((state.params, state.opt_state))


def order_of(run):
  """Records of the steps after the fourth."""
  return [run.train[k]["records"].tolist() for k in range(4, 9)]


def split_leaves(state):
  leaves = jax.tree.leaves((state.params, state.opt_state))
  return sum("fsdp" in x.sharding.spec for x in leaves)


@pytest.fixture
def fake(monkeypatch):
  """Runs without a dataset, whose small leaves are split over fsdp too."""
  monkeypatch.setattr(loop.validate, "validate", lambda *_: {})
  monkeypatch.setattr(sharding, "FSDP_LEAST", 32)
  fake_runs.without_dataset(monkeypatch)


def config(fsdp=1, **changes):
  return fake_runs.config(
    optim__steps="5", save_every="2", mesh__fsdp=str(fsdp), **changes
  )  # fmt: skip


@pytest.mark.core
def test_8_4_1_8_devices_and_meshes_of_all_shapes(fake, tmp_path):
  """Saved and restored in turn: every leaf has the same bits at the end."""
  run = setup.prepare(config(4), tmp_path, "", jax.devices()[:8])
  state = drawn_state(run, 4)
  first = data_of(state)
  chain = ((4, 4), (1, 1), (8, 1), (8, 2))
  counts, order = [split_leaves(state)], order_of(run)
  for number, (devices, fsdp) in enumerate(chain):
    folder = tmp_path / str(number)
    with checkpoint.Checkpoints(folder, 1) as saved:
      saved.save(state, run.meta)
    run = setup.prepare(config(fsdp), folder, "", jax.devices()[:devices])
    with checkpoint.Checkpoints(folder) as saved:
      state = setup.restored_state(run, saved, 4)
    assert run.mesh.shape == {"data": devices // fsdp, "fsdp": fsdp}
    counts.append(split_leaves(state))
    jax.tree.map(
      lambda x, y: np.testing.assert_array_equal(x, y, strict=True),
      first,
      data_of(state),
    )
    assert (int(state.step), order_of(run)) == (4, order)
    plain = checkpoint.read_params(folder, 4)  # on no mesh
    for name, value in plain.items():
      np.testing.assert_array_equal(value, first[0][name], strict=True)
  assert [bool(n) for n in counts] == [True, True, False, False, True]


def drawn_state(run, step):
  """A state as after many steps: its moments are no zeros."""
  rng = np.random.default_rng(5)
  _, params = two_tower.abstract(run.config, len(run.tokenizer.vocabulary))
  shapes = jax.eval_shape(
    lambda params: steps.first_state(params, run.optimizer, run.frozen), params
  )
  state = jax.tree.map(
    lambda x: np.asarray(rng.normal(size=x.shape) * 100, x.dtype), shapes
  )
  state = dataclasses.replace(state, step=np.int32(step))
  return sharding.place(state, sharding.parameters(run.mesh, shapes))


def save(workdir, params, opt_state, step=3):
  with checkpoint.Checkpoints(workdir, 9) as saved:
    state = TrainState(jnp.int32(step), params, opt_state)
    saved.save(state, {"format": checkpoint.FORMAT})


def shapes(tree):
  place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree
  )


@pytest.mark.core
def test_every_leaf_that_does_not_fit_is_named(tmp_path):
  """Missing, surplus, of another shape or type; parameters and moments.

  16,777,217 is the first whole number that float32 does not hold: a cast
  would lose it in silence.
  """
  there = {
    "same": jnp.ones((3, 2)),
    "surplus": jnp.ones(4),
    "shape": jnp.ones((2, 3)),
    "rank": jnp.ones((6,)),
    "type": jnp.int32(16_777_217),
  }
  wanted = {
    "same": there["same"],
    "missing": jnp.ones(5),
    "shape": jnp.ones((3, 2)),
    "rank": jnp.ones((6, 1)),
    "type": jnp.float32(0),
  }
  save(tmp_path, there, {"mu": there, "count": jnp.int32(3)})
  saved = checkpoint.Checkpoints(tmp_path)
  with pytest.raises(InputError) as error:
    saved.restore(
      3, shapes(wanted), shapes({"mu": wanted, "count": jnp.int32(3)})
    )
  lines = str(error.value).split("this config: ")[1].split("; ")
  expected = [
    "missing: found nothing, expected float32[5]",
    "rank: found float32[6], expected float32[6, 1]",
    "shape: found float32[2, 3], expected float32[3, 2]",
    "surplus: found float32[4], expected nothing",
    "type: found int32[], expected float32[]",
  ]
  assert lines == [
    *(f"params.{line}" for line in expected),
    *(f"opt_state.mu.{line}" for line in expected),
  ]
  params, opt_state = saved.restore(
    3, shapes(there), shapes({"mu": there, "count": jnp.int32(3)})
  )
  assert int(params["type"]) == int(opt_state["mu"]["type"]) == 16_777_217


@pytest.mark.core
def test_a_run_of_another_optimizer_is_refused(fake, tmp_path):
  """A real state: what is held still has no moments."""
  run = setup.prepare(config(), tmp_path, "", jax.devices()[:1])
  state = setup.initial_state(run)
  with checkpoint.Checkpoints(tmp_path, 9) as saved:
    saved.save(state, run.meta)
    saved.wait()
    other = setup.prepare(
      config(optim__freeze='["^text"]', model__embedding="4"), tmp_path, "",
      jax.devices()[:1],
    )  # fmt: skip
    with pytest.raises(InputError) as error:
      setup.restored_state(other, saved, 0)
  told = str(error.value)
  texts = sum(name.startswith("text") for name in state.params)
  assert told.count("expected nothing") == 2 * texts  # two moments each
  for part in ("params.", ".mu.", ".nu."):
    assert f"{part}ecg_projection.kernel: found" in told


@pytest.mark.core
def test_a_failed_save_stops_the_run_by_the_next_step(
  fake, tmp_path, monkeypatch
):
  """The write fails in its thread; one more step may have begun."""
  begun, failed = [], []
  real_step, real_save = loop._Loop._step, checkpoint.Checkpoints.save

  def fails(folder):
    failed.append(begun[-1])
    raise OSError("the store is gone")

  def save_and_wait(self, state, meta):
    real_save(self, state, meta)
    self._thread.join()

  def step(self, state, stream):
    begun.append(int(state.step) + 1)
    return real_step(self, state, stream)

  monkeypatch.setattr(manifest, "write", fails)
  monkeypatch.setattr(checkpoint.Checkpoints, "save", save_and_wait)
  monkeypatch.setattr(loop._Loop, "_step", step)
  with pytest.raises(RunError, match=r"step 2 .*the store is gone"):
    loop.train(config(), tmp_path, "", lambda _: None, jax.devices()[:1])
  assert failed == [2]
  assert begun[-1] <= 3


LIMITS = (0, 60, 300, 1000)
CHILD = """
import pathlib, resource, sys
import numpy as np
from fgclep_jax.errors import RunError
from tests.test_checkpoint_fits import LIMITS, save
folder = pathlib.Path(sys.argv[1])
state = {"w": np.random.default_rng(0).normal(size=(40, 40))}
save(folder, state, state, 1)
for limit in LIMITS:
  resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
  try:
    save(folder, state, state, 2)
  except RunError as error:
    told = str(error)
  else:
    raise SystemExit(f"nothing failed at {limit}")
  resource.setrlimit(
    resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
  )
  print(limit, " ".join(told.split()))
  assert [p.name for p in folder.glob("checkpoints/[0-9]")] == ["1"]
save(folder, state, state, 2)
"""


@pytest.mark.core
def test_whichever_file_is_the_first_that_cannot_be_written(root, tmp_path):
  """Files of at most so many bytes: each limit fails at another file."""
  done = subprocess.run(
    [sys.executable, "-c", CHILD, tmp_path],
    capture_output=True, text=True, cwd=root,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr[-2000:]
  told = done.stdout.splitlines()
  assert [int(line.split()[0]) for line in told] == list(LIMITS)
  for line in told:
    assert f"step 2 could not be saved in {tmp_path}" in line
    assert "GiB free" in line
  for step in (1, 2):
    assert checkpoint.read_params(tmp_path, step)["w"].shape == (40, 40)
