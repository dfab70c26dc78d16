"""Training: devices, resume after a kill, checkpoints, bad input."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from fgclep_jax import config as c
from fgclep_jax import inference, sharding
from fgclep_jax.data import batches
from fgclep_jax.errors import InputError
from fgclep_jax.models import two_tower
from fgclep_jax.training import checkpoint, loop, setup

SMALL = {
  "data.rate": "100",
  "data.batch-size": "16",
  "model.compute": "float32",
  "model.ecg.width": "32",
  "model.ecg.depth": "2",
  "model.ecg.heads": "2",
  "model.ecg.mlp": "64",
  "model.text.width": "32",
  "model.text.depth": "1",
  "model.text.heads": "2",
  "model.text.mlp": "64",
  "model.text.dropout": "0.1",
  "model.embedding": "32",
  "augment.shift-seconds": "0.5",
  "augment.noise-mv": "0.02",
  "loss.rule": "hard",
  "optim.steps": "10",
  "optim.learning-rate": "1e-3",
  "save-every": "5",
  "log-every": "1",
}


def small(**changes):
  changes = {name.replace("__", "."): v for name, v in changes.items()}
  return c.override(c.TrainConfig(), SMALL | changes)


def quiet(config, workdir, data, devices=1):
  return loop.train(
    config, workdir, data, lambda _: None, jax.devices()[:devices]
  )


def fsdp_leaves(tree):
  """Shapes of the leaves that are split over `fsdp`."""
  return [x.shape for x in jax.tree.leaves(tree) if "fsdp" in x.sharding.spec]


def rows(workdir):
  text = (workdir / "metrics.jsonl").read_text()
  return [json.loads(line) for line in text.splitlines()]


def losses(workdir):
  return np.array([row["loss"] for row in rows(workdir)])


def test_same_losses_on_1_2_and_8_devices(simulated, tmp_path, monkeypatch):
  """Data x fsdp meshes too; every other source of randomness is on."""
  monkeypatch.setattr(sharding, "FSDP_LEAST", 64)  # this model is small
  found = {}
  for devices, fsdp in ((1, 1), (2, 1), (8, 1), (8, 4)):
    workdir = tmp_path / f"{devices}x{fsdp}"
    quiet(small(mesh__fsdp=str(fsdp)), workdir, simulated, devices)
    found[devices, fsdp] = losses(workdir)
    assert [row["step"] for row in rows(workdir)] == list(range(1, 11))
  for values in found.values():
    np.testing.assert_allclose(values, found[1, 1], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
  ("similarity", "rule"),
  [("projected", "pair"), ("frozen", "pair"), ("frozen", "report")],
)
def test_label_rules_train(simulated, tmp_path, similarity, rule):
  config = small(loss__similarity=similarity, loss__rule=rule)
  quiet(config, tmp_path, simulated)
  values = losses(tmp_path)
  assert np.isfinite(values).all()
  assert values[-3:].mean() < values[:3].mean()


@pytest.mark.parametrize(
  "changes",
  [
    {"loss__name": "softmax", "loss__rule": "hard"},
    {"loss__name": "fnm", "loss__similarity": "frozen", "loss__rule": "pair"},
    {"augment__lead_masking": "0.5", "model__remat": "layers"},
  ],
)
def test_losses_of_others_and_few_leads_train(simulated, tmp_path, changes):
  quiet(small(**changes), tmp_path, simulated)
  values = losses(tmp_path)
  assert np.isfinite(values).all()
  assert values[-3:].mean() < values[:3].mean()


def test_simulated_records_come_first(simulated, tmp_path):
  """Stages, texts and steps; the real split is small on purpose."""
  config = small(
    data__simulated_records="24",
    data__simulated_epochs="2",
    data__validation="inner",
    optim__steps="0",
    optim__epochs="1",
  )
  run = setup.prepare(config, tmp_path, simulated, jax.devices()[:1])
  real = run.meta["trained_on"]["records"]
  assert run.train.before_steps == 3
  assert run.total == 3 + -(-real // 16)
  first = np.concatenate([run.train.order(k) for k in range(3)])
  assert first.min() >= len(run.valid[0]) > run.train.order(3).max()
  quiet(config, tmp_path, simulated)
  assert len(losses(tmp_path)) == run.total


def command(workdir, data, config, *more):
  return [
    sys.executable, "-m", "fgclep_jax.cli", "train", "--config", str(config),
    "--workdir", str(workdir), "--data-dir", str(data), *more,
  ]  # fmt: skip


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
  """A config of 30 steps for runs in processes of their own."""
  file = tmp_path_factory.mktemp("config") / "small.py"
  changes = SMALL | {"optim.steps": "30", "save-every": "4"}
  file.write_text(
    "from fgclep_jax import config as c\n"
    "def get_config(arg=''):\n"
    f"  return c.override(c.TrainConfig(), {changes!r})\n"
  )
  return file


def wait_for_step(workdir, step, process):
  for _ in range(6000):
    if (workdir / "metrics.jsonl").is_file() and len(
      (workdir / "metrics.jsonl").read_text().splitlines()
    ) >= step:
      return
    assert process.poll() is None, process.stderr.read()
    time.sleep(0.05)
  raise AssertionError("no progress")


def hash_of(workdir):
  return inference.parameter_hash(checkpoint.restore_params(workdir)[0])


@pytest.mark.core
def test_killed_and_resumed_is_bit_identical(simulated, tmp_path, config_file):
  whole, broken = tmp_path / "whole", tmp_path / "broken"
  subprocess.run(command(whole, simulated, config_file), check=True)
  for step in (6, 17):
    process = subprocess.Popen(
      command(broken, simulated, config_file),
      stdout=subprocess.DEVNULL,
      stderr=subprocess.PIPE,
      text=True,
    )
    wait_for_step(broken, step, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
  subprocess.run(command(broken, simulated, config_file), check=True)
  assert hash_of(broken) == hash_of(whole)
  np.testing.assert_array_equal(losses(broken), losses(whole))
  assert [row["step"] for row in rows(broken)] == list(range(1, 31))


@pytest.mark.core
def test_sigterm_saves_and_exits_75(simulated, tmp_path, config_file):
  process = subprocess.Popen(
    command(tmp_path, simulated, config_file, "--save-every", "1000"),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )
  wait_for_step(tmp_path, 3, process)
  process.terminate()
  error = process.communicate(timeout=300)[1]
  assert process.returncode == 75, error
  assert "run the same command to go on" in error
  step, _ = checkpoint.read_meta(tmp_path)
  assert step >= 3


def test_training_needs_neither_tensorflow_nor_torch(
  simulated, tmp_path, config_file
):
  code = (
    "import sys\n"
    "from fgclep_jax import cli\n"
    f"code = cli.run({command(tmp_path, simulated, config_file)[3:]!r}"
    " + ['--optim.steps', '2'])\n"
    "assert not code\n"
    "print([m for m in ('tensorflow', 'torch') if m in sys.modules])\n"
  )
  out = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True
  )
  assert out.returncode == 0, out.stderr
  assert out.stdout.splitlines()[-1] == "[]"


@pytest.mark.core
def test_checkpoint_of_8_devices_restores_on_1(
  simulated, tmp_path, monkeypatch
):
  monkeypatch.setattr(sharding, "FSDP_LEAST", 64)
  config = small(mesh__fsdp="2")
  quiet(config, tmp_path, simulated, 8)
  leaves = {}
  for devices in (8, 1, 4):
    config = small(mesh__fsdp=str(min(2, devices)))
    run = setup.prepare(config, tmp_path, simulated, jax.devices()[:devices])
    with checkpoint.Checkpoints(tmp_path) as saved:
      state = setup.restored_state(run, saved, saved.latest)
    leaves[devices] = jax.device_get((state.params, state.opt_state))
    assert fsdp_leaves(state.params) == fsdp_leaves(
      setup.initial_state(run).params
    )
    assert bool(fsdp_leaves(state.opt_state)) == (devices > 1)
    assert int(state.step) == 10
  for devices in (1, 4):
    jax.tree.map(np.testing.assert_array_equal, leaves[8], leaves[devices])
  params, config = checkpoint.restore_params(tmp_path)
  for name, value in params.items():
    np.testing.assert_array_equal(value, leaves[8][0][name])
  assert config.data.batch_size == 16
  goes_on_with_1_as_with_8(tmp_path, simulated, monkeypatch)


def goes_on_with_1_as_with_8(workdir, simulated, monkeypatch):
  """From step 5: the same records, and losses to 1e-5 (sums by the mesh)."""
  wanted, one = losses(workdir), workdir / "one"
  run = setup.prepare(small(), one, simulated, jax.devices()[:1])
  order = {k: run.train.order(k).tolist() for k in range(5, 10)}
  step = pathlib.Path(checkpoint.FOLDER) / "5"
  shutil.copytree(workdir / step, one / step)
  shutil.copy(workdir / "metrics.jsonl", one)
  drawn, real = {}, batches.Batches.__getitem__

  def watched(self, k):
    batch = real(self, k)
    drawn[k] = batch["records"].tolist()  # by threads, in any order
    return batch

  monkeypatch.setattr(batches.Batches, "__getitem__", watched)
  quiet(small(), one, simulated)
  assert drawn == order
  np.testing.assert_allclose(losses(one), wanted, atol=1e-5, rtol=0)


def test_a_step_that_is_not_finite_changes_nothing(simulated, tmp_path):
  run = setup.prepare(small(), tmp_path, simulated, jax.devices()[:1])
  state = setup.initial_state(run)
  before = jax.device_get(state)
  batch = run.train[0]
  batch.pop("records")
  batch["text_weights"] = batch["text_weights"] * np.nan
  state, metrics = run.step(state, batch, None)
  assert int(metrics["skipped"]) == 1
  assert int(state.step) == 1
  jax.tree.map(
    np.testing.assert_array_equal,
    (before.params, before.opt_state),
    jax.device_get((state.params, state.opt_state)),
  )


def test_augmentation_is_drawn_anew_every_step(simulated, tmp_path):
  run = setup.prepare(small(), tmp_path, simulated, jax.devices()[:1])
  batch = run.train[0]
  batch.pop("records")
  found = []
  for step in (3, 3, 4):
    state = setup.initial_state(run)
    state = dataclasses.replace(state, step=jax.numpy.int32(step))
    found.append(float(run.step(state, batch, None)[1]["loss"]))
  assert found[0] == found[1] != found[2]


def test_frozen_parameters_stay_and_have_no_moments(simulated, tmp_path):
  config = small(optim__freeze='["^text"]')
  quiet(config, tmp_path, simulated)
  after, _ = checkpoint.restore_params(tmp_path)
  _, meta = checkpoint.read_meta(tmp_path)
  _, before = two_tower.create(config, len(meta["vocabulary"]), config.seed)
  for name, value in before.items():
    same = np.array_equal(value, after[name])
    assert same == name.startswith(("text", "bias")), name
  run = setup.prepare(config, tmp_path, simulated, jax.devices()[:1])
  names = jax.tree.leaves(
    jax.tree.map_with_path(
      lambda p, _: str(p), setup.initial_state(run).opt_state
    )
  )
  assert not any("'text." in name for name in names)


def test_batch_norm_model_trains_and_restores(simulated, tmp_path):
  config = small(model__ecg__name="resnet", model__ecg__width="8")
  quiet(config, tmp_path, simulated)
  _, created = two_tower.create(config, 60, 0)
  after, _ = checkpoint.restore_params(tmp_path)
  moved = [n for n in created if two_tower.is_statistic(n)]
  assert moved
  assert all(not np.array_equal(created[n], after[n]) for n in moved)


def test_init_from_starts_with_other_parameters(simulated, tmp_path):
  quiet(small(), tmp_path / "coarse", simulated)
  config = small(init_from=str(tmp_path / "coarse"), optim__steps="1")
  run = setup.prepare(config, tmp_path / "fine", simulated, jax.devices()[:1])
  coarse, _ = checkpoint.restore_params(tmp_path / "coarse")
  for name, value in setup.initial_state(run).params.items():
    np.testing.assert_array_equal(value, coarse[name])
  quiet(config, tmp_path / "fine", simulated)
  (tmp_path / "coarse").rename(tmp_path / "elsewhere")
  run = setup.prepare(config, tmp_path / "fine", simulated, jax.devices()[:1])
  [before] = run.meta["trained_on"]["before"]  # though it cannot be read now
  _, meta = checkpoint.read_meta(tmp_path / "elsewhere")
  assert before == meta["trained_on"]
  (tmp_path / "elsewhere").rename(tmp_path / "coarse")
  bad = dataclasses.replace(
    config, model=dataclasses.replace(config.model, embedding=16)
  )
  run = setup.prepare(bad, tmp_path / "bad", simulated, jax.devices()[:1])
  with pytest.raises(InputError, match=r"ecg_projection\.kernel: found"):
    setup.initial_state(run)


def test_load_and_use(simulated, tmp_path):
  import fgclep_jax

  quiet(small(), tmp_path, simulated)
  model = fgclep_jax.load(tmp_path)
  rng = np.random.default_rng(0)
  ecg = rng.integers(-500, 500, (2, 12, 5000)).astype(np.int16)
  rows = model.embed_ecg(ecg, 500)
  assert rows.shape == (2, 32)
  np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
  np.testing.assert_allclose(model.embed_ecg(ecg[1], 500), rows[1], atol=1e-6)
  scores = model.zero_shot(ecg[0], 500, ["Sinus rhythm", "Atrial flutter"])
  text = model.embed_text(["Atrial flutter"])[0]
  np.testing.assert_allclose(
    scores["Atrial flutter"], rows[0] @ text, atol=1e-5
  )


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"data__dataset": "none"}, "no dataset none/original"),
    ({"data__train_split": "tran"}, "has no split 'tran'"),
    ({"data__validation": "valid"}, "it has test, train, validation"),
    ({"data__batch_size": "3"}, "data.batch_size=3 on 2 devices"),
    ({"mesh__data": "3"}, "3 x 1 on 2 devices"),
    ({"optim__freeze": '["none"]'}, "matches no parameter"),
    ({"model__text__vocabulary": "none.txt"}, "no vocabulary at none.txt"),
    ({"init_from": "nowhere"}, "no checkpoint in nowhere"),
  ],
)
def test_bad_input(simulated, tmp_path, changes, message):
  with pytest.raises(InputError) as error:
    quiet(small(**changes), tmp_path, simulated, 2)
  assert message in str(error.value)
  assert "\n" not in str(error.value)


def test_another_config_or_shape_is_refused(simulated, tmp_path):
  quiet(small(), tmp_path, simulated)
  with pytest.raises(InputError, match="seed: 0 -> 1"):
    quiet(small(seed="1"), tmp_path, simulated)
  os.remove(tmp_path / "config.json")
  with pytest.raises(
    InputError, match=r"params\.ecg_projection\.kernel: found"
  ):
    quiet(small(model__embedding="16"), tmp_path, simulated)
