"""The command `fgclep doctor`: what it finds, and what it says to do."""

import importlib.metadata
import os
import types

import jax
import pytest

from fgclep_jax import cli, doctor, optim
from fgclep_jax.models import two_tower
from tests import tiny_runs

NEEDS = [
  "jax>=0.10.2",
  "importlib_resources",
  "torch>=2.10; extra == 'llm'",
  "dill; extra == 'build'",
  "other>=9; python_version < '3'",
]


def versions(**have):
  def version(name):
    if name not in have:
      raise importlib.metadata.PackageNotFoundError(name)
    return have[name]

  return version


def texts(findings):
  return [finding.text for finding in findings]


def test_too_old_and_missing_packages():
  have = versions(jax="0.10.2", importlib_resources="1")
  assert not list(doctor.packages(NEEDS, have))
  assert not list(doctor.packages(NEEDS, versions(
    jax="0.11.0.dev2", importlib_resources="1"
  )))  # fmt: skip
  old, missing = doctor.packages(NEEDS, versions(jax="0.9.12"))
  assert old.text == "jax 0.9.12 does not fit >=0.10.2"
  assert old.mend == "pip install 'jax>=0.10.2'"
  assert missing.text == "importlib_resources is missing"
  assert old.broken
  assert missing.broken


def test_missing_extras_are_notes():
  build, llm = doctor.extras(NEEDS, versions(torch="2.9.1"))
  assert "dill missing or too old" in build.text
  assert "torch missing or too old" in llm.text
  assert llm.mend == "pip install 'fgclep_jax[llm]'"
  assert not build.broken
  assert not llm.broken
  assert not list(doctor.extras(NEEDS, versions(torch="2.10", dill="0.4")))


def test_this_installation_has_the_floors_of_setup_cfg(root):
  assert not texts(doctor.packages())
  names = {r.name for r in doctor._requirements(None)}
  assert {"jax", "flax", "optax", "grain", "torch"} <= names
  assert "orbax-checkpoint >=" in (root / "setup.cfg").read_text()


@pytest.mark.parametrize(
  ("changes", "found"),
  [
    ({}, []),
    ({"mesh__data": "3"}, ["mesh 3 x 1 on 8 devices"]),
    ({"data__batch_size": "20"}, ["data.batch_size=20"]),
  ],
)
def test_mesh_against_devices(changes, found):
  config = tiny_runs.config(**changes)
  lines = list(doctor.mesh(config, jax.devices()))
  assert len(lines) == len(found)
  for finding, start in zip(lines, found, strict=True):
    assert finding.text.startswith(start)
  if "data__batch_size" in changes:
    assert lines[0].mend == "--data.batch-size 24"


def test_workdir_that_cannot_be_written(tmp_path):
  assert not list(doctor.writable(tmp_path / "new" / "run"))
  [found] = doctor.writable("/proc/run")  # for any user
  assert "/proc cannot be written" in found.text


def test_little_disk(tmp_path, monkeypatch):
  config = tiny_runs.config(keep="3")
  size = doctor.checkpoint_bytes(config)
  frozen = tiny_runs.config(optim__freeze='["^text"]')
  assert doctor.checkpoint_bytes(frozen) < size
  for free, count in ((4 * size, 0), (4 * size - 1, 1)):
    left = types.SimpleNamespace(free=free)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _, n=left: n)
    assert len(list(doctor.disk(config, tmp_path / "run"))) == count


def test_estimate_is_what_a_step_holds():
  """Against the optimizer's own state."""
  config = tiny_runs.config(optim__freeze='["^text.layers"]')
  _, params = two_tower.create(config, config.model.text.vocabulary_size, 0)
  still = optim.frozen_names(config.optim, list(params))
  assert still
  moments = optim.create(config.optim, 8).init(
    {name: x for name, x in params.items() if name not in still}
  )
  held = sum(x.nbytes for x in jax.tree.leaves((params, moments)))
  assert doctor.checkpoint_bytes(config) == pytest.approx(held, rel=1e-3)


@pytest.mark.parametrize(("count", "notes"), [("1", 1), ("0", 0), ("", 0)])
def test_tensorflow_that_sees_the_gpu(monkeypatch, count, notes):
  monkeypatch.setattr(doctor, "SEES_GPU", f"print({count!r})")
  gpu = types.SimpleNamespace(platform="gpu")
  assert len(list(doctor.tensorflow([gpu]))) == notes
  assert not list(doctor.tensorflow(jax.devices()))


def test_pickle(tmp_path):
  assert not list(doctor.pickled(tmp_path))
  (tmp_path / "model.pth").write_bytes(b"")
  [found] = doctor.pickled(tmp_path)
  assert "model.pth" in found.text
  [found] = doctor.pretrained(tmp_path)
  assert "only model.pth, which is pickle" in found.text
  (tmp_path / "model.safetensors").write_bytes(b"")
  assert not list(doctor.pretrained(tmp_path))


@pytest.mark.core
def test_command(tmp_path, capsys, root):
  config = str(root / "configs" / "simulated.py")
  assert cli.run(["doctor", "--workdir", str(tmp_path)]) == 0
  assert "0 broken" in capsys.readouterr().out
  assert cli.run(
    ["doctor", "--config", config, "--workdir", str(tmp_path),
     "--mesh.data", "5"]
  ) == 1  # fmt: skip
  out = capsys.readouterr().out
  assert "broken: mesh 5 x 1 on 8 devices" in out
  assert "  mend: --mesh.data 8 --mesh.fsdp 1" in out
  assert not os.listdir(tmp_path)


def test_no_device(capsys, monkeypatch):
  def none():
    raise RuntimeError("no backend\nmore")

  monkeypatch.setattr(jax, "devices", none)
  assert doctor.run(say=print) == 1
  out = capsys.readouterr().out
  assert "broken: JAX finds no device: no backend more" in out
