"""Checkpoints: what was altered is seen, what failed is told, good ones stay.

Steps of a tiny state, without a model; faults are put into real files.
"""

import errno
import json
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgclep_jax import atomic
from fgclep_jax.data import sources
from fgclep_jax.errors import InputError, RunError
from fgclep_jax.training import checkpoint, folders, manifest
from fgclep_jax.training.steps import TrainState
from tests import tiny_runs

META = {"format": checkpoint.FORMAT, "note": "of a test"}


def state_of(step):
  rng = np.random.default_rng(step)
  params = {
    "w": jnp.asarray(rng.normal(size=(40, 7)), jnp.float32),
    "b": jnp.asarray(rng.normal(), jnp.float32),
  }
  return TrainState(jnp.int32(step), params, {"mean": params["w"] * step})


def save(workdir, *steps, keep=9, meta=META):
  with checkpoint.Checkpoints(workdir, keep) as saved:
    for step in steps:
      saved.save(state_of(step), meta)


def restored(workdir, step):
  state = state_of(step)
  place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  shapes = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
    (state.params, state.opt_state),
  )
  return checkpoint.Checkpoints(workdir).restore(step, *shapes)


def folder(workdir, step):
  return workdir / checkpoint.FOLDER / str(step)


def files(of):
  return sorted(p.relative_to(of) for p in of.rglob("*") if p.is_file())


def flip(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def halve(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
  path.write_bytes(b"")


def check_equal(step, found):
  state = state_of(step)
  jax.tree.map(
    np.testing.assert_array_equal, (state.params, state.opt_state), found
  )


@pytest.mark.core
@pytest.mark.parametrize("harm", [flip, halve, empty, pathlib.Path.unlink])
def test_harm_to_any_file_is_seen(tmp_path, capsys, harm):
  """The step before is taken with one line; the step itself is refused."""
  save(tmp_path, 1, 2)
  whole = tmp_path / "whole"
  shutil.copytree(folder(tmp_path, 2), whole)
  names = files(whole)
  assert len(names) > 20
  for name in names:
    path = folder(tmp_path, 2) / name
    if not path.stat().st_size and harm is not pathlib.Path.unlink:
      continue  # an empty file cannot be altered this way
    harm(path)
    folders.warn.cache_clear()
    capsys.readouterr()
    step, meta = checkpoint.read_meta(tmp_path)
    assert (step, meta) == (1, META), name
    [line] = capsys.readouterr().err.splitlines()
    assert str(name) in line or manifest.NAME in line
    assert "step 1 is taken instead" in line
    for use in (checkpoint.read_meta, checkpoint.read_params, restored):
      with pytest.raises(InputError, match=r"2 cannot be used") as error:
        use(tmp_path, 2)
      assert "\n" not in str(error.value)
    shutil.copy(whole / name, path)
  assert checkpoint.read_meta(tmp_path)[0] == 2
  check_equal(1, restored(tmp_path, 1))
  check_equal(2, restored(tmp_path, 2))


@pytest.mark.core
def test_no_good_step_is_refused(tmp_path):
  save(tmp_path, 1, 2)
  for step in (1, 2):
    flip(folder(tmp_path, step) / "meta" / "_strings.json")
  for use in (
    checkpoint.read_meta,
    checkpoint.restore_params,
    lambda w: checkpoint.Checkpoints(w).latest,
  ):
    with pytest.raises(InputError, match="no step can be used") as error:
      use(tmp_path)
    assert "_strings.json was altered" in str(error.value)


def test_any_byte_of_the_manifest(tmp_path):
  (tmp_path / "a").write_bytes(b"some")
  (tmp_path / "folder").mkdir()
  (tmp_path / "folder" / "b").write_bytes(b"")
  manifest.write(tmp_path)
  path = tmp_path / manifest.NAME
  text = path.read_bytes()
  assert manifest.fault(tmp_path) is None
  for i in range(len(text)):
    for bit in (1, 32):
      path.write_bytes(text[:i] + bytes([text[i] ^ bit]) + text[i + 1 :])
      assert manifest.fault(tmp_path) is not None, i
  path.write_bytes(text)
  (tmp_path / "more").write_bytes(b"not ours")
  assert manifest.fault(tmp_path) is None


def test_hashed_once_by_a_process_and_after_a_change(tmp_path, monkeypatch):
  save(tmp_path, 3)
  hashed = []
  original = atomic.file_hash
  monkeypatch.setattr(
    atomic, "file_hash", lambda path: hashed.append(path) or original(path)
  )
  checkpoint.read_meta(tmp_path)
  assert not hashed  # this process has written it
  copy = tmp_path / "copy"
  shutil.copytree(tmp_path / checkpoint.FOLDER, copy / checkpoint.FOLDER)
  checkpoint.read_meta(copy)
  assert len(hashed) == len(files(folder(copy, 3))) - 1
  checkpoint.read_params(copy, 3)
  checkpoint.read_meta(copy)
  assert len(hashed) == len(files(folder(copy, 3))) - 1
  flip(folder(copy, 3) / "params" / "_METADATA")
  with pytest.raises(InputError):
    checkpoint.read_meta(copy)


def test_step_of_an_earlier_version(tmp_path, capsys):
  """Format 1 had no manifest: read with a warning. Format 2 has one."""
  save(tmp_path, 1, meta={"format": 1})
  save(tmp_path, 2)
  for step in (1, 2):
    (folder(tmp_path, step) / manifest.NAME).unlink()
  folders.warn.cache_clear()
  assert checkpoint.read_meta(tmp_path) == (1, {"format": 1})
  err = capsys.readouterr().err
  assert "of an earlier version, without checksums" in err
  assert "manifest.json is missing: step 1 is taken instead" in err
  check_equal(1, restored(tmp_path, 1))
  save(tmp_path / "new", 1, meta={"format": checkpoint.FORMAT + 1})
  with pytest.raises(InputError, match="install a newer fgclep_jax"):
    checkpoint.read_meta(tmp_path / "new")


@pytest.mark.core
def test_retention_counts_good_steps_alone(tmp_path):
  save(tmp_path, 1, 2, 3, keep=2)
  assert folders.steps_of(tmp_path / checkpoint.FOLDER) == [2, 3]
  flip(folder(tmp_path, 3) / "data" / "_METADATA")
  save(tmp_path, 4, keep=2)  # 3 would have stayed, were it good
  assert folders.steps_of(tmp_path / checkpoint.FOLDER) == [2, 4]
  save(tmp_path, 5, keep=7)
  assert folders.steps_of(tmp_path / checkpoint.FOLDER) == [2, 4, 5]
  flip(folder(tmp_path, 5) / "data" / "_METADATA")
  save(tmp_path, 5, keep=1)  # the bad one is replaced
  assert folders.steps_of(tmp_path / checkpoint.FOLDER) == [5]
  check_equal(5, restored(tmp_path, 5))


@pytest.mark.core
@pytest.mark.parametrize("place", ["write", "rename"])
def test_failed_save_is_told_and_the_only_good_step_stays(
  tmp_path, monkeypatch, place
):
  save(tmp_path, 1, keep=1)

  owner = manifest if place == "write" else os
  real = getattr(owner, place)

  def fails(*paths):  # the commit itself; a deletion would go on
    if place == "write" or pathlib.Path(paths[-1]).name.isdigit():
      raise OSError(errno.ENOSPC, "No space left on device")
    return real(*paths)

  with checkpoint.Checkpoints(tmp_path, 1) as saved:
    with monkeypatch.context() as patch:
      patch.setattr(owner, place, fails)
      saved.save(state_of(2), META)
      saved._thread.join()
    with pytest.raises(RunError, match=r"step 2 .* GiB free.*No space left"):
      saved.check()
    saved.check()  # told once
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["1"]
    saved.save(state_of(3), META)
  assert folders.steps_of(tmp_path / checkpoint.FOLDER) == [3]
  monkeypatch.setattr(owner, place, fails)
  with pytest.raises(RunError):  # at the end of the run, too
    save(tmp_path, 4, keep=1)
  check_equal(3, restored(tmp_path, 3))


def test_step_that_cannot_be_deleted_does_not_stop(
  tmp_path, monkeypatch, capsys
):
  real = shutil.rmtree

  def fails(path, *rest, **options):
    if path.name == "1.deleted":
      raise OSError(errno.EIO, "Input/output error")
    real(path, *rest, **options)

  monkeypatch.setattr(folders.shutil, "rmtree", fails)
  save(tmp_path, 1, 2, keep=1)
  assert folders.steps_of(tmp_path / checkpoint.FOLDER) == [2]
  assert "could not be deleted: [Errno 5]" in capsys.readouterr().err


CHILD = """
import sys, os
sys.path.insert(0, {root!r})
from tests import test_checkpoint_integrity as t
from fgclep_jax.training import checkpoint, folders, manifest
{before}
t.save(t.pathlib.Path({workdir!r}), 2, keep=1)
"""


def child(workdir, before):
  root = str(pathlib.Path(__file__).parent.parent)
  code = CHILD.format(root=root, before=before, workdir=str(workdir))
  return subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True
  )


@pytest.mark.core
@pytest.mark.parametrize(
  ("point", "left"),
  [
    ("manifest.write", [1]),  # arrays written, not committed
    ("manifest.trust", [1, 2]),  # committed, the old step not yet deleted
    ("folders.shutil.rmtree", [2]),  # the old step half deleted
  ],
)
def test_killed_at_a_fixed_point(tmp_path, point, left):
  """A process that ends at once; the next one sees whole steps alone."""
  save(tmp_path, 1, keep=1)
  before = (
    f"real = {point}\n"
    "def kill(path, *rest, **options):\n"
    "  if not str(path).endswith('2.unfinished') or 'write' in "
    f"{point!r}:\n"
    "    os._exit(9)\n"
    "  return real(path, *rest, **options)\n"
    f"{point} = kill\n"
  )
  done = child(tmp_path, before)
  assert done.returncode == 9, done.stderr
  assert folders.steps_of(tmp_path / checkpoint.FOLDER) == left
  check_equal(left[-1], restored(tmp_path, left[-1]))
  save(tmp_path, 5, keep=2)
  names = {p.name for p in (tmp_path / checkpoint.FOLDER).iterdir()}
  assert names == {str(left[-1]), "5"}


@pytest.mark.core
def test_file_size_limit_in_a_process_of_its_own(tmp_path):
  """Every write beyond 300 bytes fails, as on a full disk."""
  save(tmp_path, 1, keep=1)
  done = child(
    tmp_path,
    "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n",
  )
  assert done.returncode == 1
  assert "RunError: step 2 could not be saved" in done.stderr
  assert folders.steps_of(tmp_path / checkpoint.FOLDER) == [1]
  check_equal(1, restored(tmp_path, 1))


@pytest.mark.core
def test_a_run_that_cannot_save_stops(simulated, tmp_path):
  """A real training run, whose files may have 100 kB at most."""
  sources.open_split(simulated, "simulated_ecg")  # its index is larger
  done = tiny_runs.process(
    tmp_path,
    simulated,
    "--model.ecg.width",
    "128",
    before="import os, resource\n"
    "os.environ['JAX_ENABLE_COMPILATION_CACHE'] = 'false'\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))\n",
  )
  assert done.returncode == 1
  last = done.stderr.splitlines()[-1]
  assert last.startswith("fgclep: step 4 could not be saved in"), done.stderr
  assert "GiB free" in last
  assert "Traceback" not in done.stderr
  # Its threads may write a moment longer; the next start sweeps that up.
  assert folders.steps_of(tmp_path / checkpoint.FOLDER) == []


def test_full_disk(tmp_path):
  """A file system of its own, of 200 kB, where one may be mounted."""
  disk = tmp_path / "disk"
  disk.mkdir()
  mounted = subprocess.run(
    ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk],
    capture_output=True,
  )
  if mounted.returncode:
    pytest.skip("no file system may be mounted here")
  try:
    save(disk, 1, keep=1)
    (disk / "filler").write_bytes(b"x" * 2**16)
    done = child(disk, "")
    assert "RunError: step 2 could not be saved" in done.stderr
    check_equal(1, restored(disk, 1))
    (disk / "filler").unlink()
    save(disk, 3, keep=1)
    check_equal(3, restored(disk, 3))
  finally:
    subprocess.run(["umount", disk], check=True)


def test_manifest_lists_every_file(tmp_path):
  save(tmp_path, 1)
  listed = json.loads((folder(tmp_path, 1) / manifest.NAME).read_text())
  names = {str(name) for name in files(folder(tmp_path, 1))}
  assert names == {*listed["files"], manifest.NAME}
