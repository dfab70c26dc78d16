"""`fgclep compile`: slices, the step it compiles, verdicts, exit codes."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from fgclep_jax import cli, config, launch, sharding
from fgclep_jax.compile import aot, chips, program
from fgclep_jax.errors import InputError
from fgclep_jax.training import abstract, setup
from tests.test_training import small


def test_slices():
  found = {n: chips.find(n) for n in ("v5e-8", "v5e-256", "v6e-16", "v5p-64")}
  assert {name: (x.topology, x.chips) for name, x in found.items()} == {
    "v5e-8": ("v5e:2x4", 8),
    "v5e-256": ("v5e:16x16", 256),
    "v6e-16": ("v6e:4x4", 16),
    "v5p-64": ("v5p:2x4x4", 32),
  }
  for chip in chips.CHIPS.values():
    for count, shape in chip.shapes.items():
      assert np.prod([int(n) for n in shape.split("x")]) == count
    # Operations a cycle are those of whole matrix units.
    units = chip.peak / chip.clock / (2 * 128 * 128)
    assert units == pytest.approx(round(units), rel=0.005)
  for bad, message in (("v5e-7", "sizes of v5e"), ("h100-8", "one of v4")):
    with pytest.raises(InputError, match=message):
      chips.find(bad)


def result(**changes):
  values = {
    "hbm": {"arguments": 1 * 2**30, "total": 15 * 2**30}, "refused": "",
    "operations": 10**12, "collectives": [], "cycles": 1_500_000,
    "kernels": 0, "unknown_loops": 0, "seconds": {},
  }  # fmt: skip
  return aot.Compiled(**values | changes)


def test_verdict_and_share_of_the_peak():
  place = chips.find("v5e-8")
  assert program.verdict(result(), place)["fits"]
  large = result(hbm={"total": 17 * 2**30})
  assert not program.verdict(large, place)["fits"]
  assert not program.verdict(result(refused="no", hbm={}), place)["fits"]
  # A millisecond of eight chips: 10^12 of 8 x 197 x 10^9 operations.
  found = program.time_of(result(), 10**12, place)
  assert found["seconds"] == pytest.approx(1e-3)
  assert found["mfu"] == pytest.approx(1e12 / (8 * 197e9))


def test_a_program_without_text_keeps_its_verdict():
  """libtpu may write what jaxlib cannot read: said, not taken for none."""

  class Unreadable:
    def as_text(self):
      raise jax.errors.JaxRuntimeError("INTERNAL: RET_CHECK failure\nmore")

  assert aot._text(Unreadable()) == ("", "INTERNAL: RET_CHECK failure")


@pytest.mark.parametrize(
  ("line", "total"),
  [
    ("for HLO temporaries (36.00G) exceeds available HBM (15.75G).", 36),
    ("Ran out of memory. Used 20.5G of 15.75G hbm. Exceeded by 4.7G.", 20.5),
  ],
)
def test_what_a_refused_step_needs(line, total):
  assert aot._refused(line) == {"total": total * 2**30}
  assert aot._refused("RESOURCE_EXHAUSTED: other words") == {}


def test_it_is_the_step_that_trains(simulated, tmp_path):
  """The compiled program is the trained one, text for text."""
  settings = small(
    mesh__fsdp="2",
    model__ecg__depth="1",
    model__text__depth="1",
    model__text__length_groups="1",
  )
  run = setup.prepare(settings, tmp_path, simulated, jax.devices()[:4])
  state = setup.initial_state(run)
  batch = run.train[0]
  batch.pop("records")
  trained = run.step.lower(state, sharding.put(run.mesh, batch), None)
  sizes = abstract.Sizes(
    vocabulary=len(run.tokenizer.vocabulary),
    pairs=batch["statement"].shape[1],
    columns=len(batch["tokens"]),
    tokens=batch["tokens"].shape[1],
  )
  fixed = config.override(settings, {"optim.steps": str(run.total)})
  step, arguments = abstract.training_step(fixed, sizes, run.mesh)
  here = jax.jit(step, donate_argnums=0).lower(*arguments)
  assert here.as_text() == trained.as_text()


def test_sizes(root):
  focal = config.load(root / "configs" / "focal_v3.py")
  assert program.sizes_of(focal) == abstract.Sizes(30_522, 16, 1024, 64)
  merl = config.load(root / "configs" / "merl_like.py")
  assert program.sizes_of(merl, 100, 7).pairs == 1
  with pytest.raises(InputError, match="--pairs 0"):
    program.sizes_of(focal, pairs=0)
  odd = config.override(focal, {"data.batch_size": "9"})
  mesh = sharding.make_mesh(odd.mesh)
  with pytest.raises(InputError, match="divisible"):
    abstract.training_step(odd, program.sizes_of(odd), mesh)


def command(root, *more):
  """`fgclep compile` in a process of its own: it needs its own JAX."""
  return [
    sys.executable, "-c", "from fgclep_jax import cli; cli.main()", "compile",
    "--config", str(root / "configs" / "simulated.py"), *more,
  ]  # fmt: skip


@pytest.mark.parametrize(
  ("more", "message"),
  [
    (["--topology", "v5e-7"], "sizes of v5e are 1, 4, 8"),
    (["--topology", "v5e-8", "--modle.remat", "none"], "unknown config field"),
    (["--topology", "v5e-8", "--out", "/no/such/f.json"], "no such folder"),
  ],
)
def test_bad_input(root, monkeypatch, capsys, more, message):
  for name in launch.NO_TPU:
    monkeypatch.setenv(name, os.environ.get(name, ""))  # put back afterwards
  with pytest.raises(SystemExit) as stop:
    cli.main(command(root, *more)[3:])
  [line] = capsys.readouterr().err.splitlines()
  assert stop.value.code == 2
  assert message in line


def test_without_libtpu(monkeypatch):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(InputError, match="pip install 'fgclep_jax\\[aot\\]'"):
    aot.devices(chips.find("v5e-8"))


needs_libtpu = pytest.mark.skipif(
  importlib.util.find_spec("libtpu") is None,
  reason="no libtpu: pip install -e '.[aot]'",
)


@pytest.mark.slow
@needs_libtpu
def test_a_small_step_for_v5e_8(root, tmp_path):
  out = tmp_path / "found.json"
  more = ["--topology", "v5e-8", "--out", str(out)]
  run = subprocess.run(command(root, *more), capture_output=True, text=True)
  assert run.returncode == 0, run.stderr
  assert run.stderr == ""
  assert run.stdout.splitlines()[-1].startswith("fits: 0.0")
  found = json.loads(out.read_text())
  assert found["chips"] == 8
  assert 0 < found["mfu"] < 1
  hbm = found["hbm"]
  # Parameters, two moments of them, whole on every device, in float32.
  assert hbm["arguments"] > 3 * 4 * found["parameters"]
  assert -hbm["aliased"] > 3 * 4 * found["parameters"]
  sent = {x["kind"]: x["bytes"] for x in found["collectives"]}
  # Gradients are added up over 8 devices, in float32, beside little else.
  gradients = 2 * 7 / 8 * 4 * found["parameters"]
  assert 0.9 * gradients < sent["all-reduce"] < 1.5 * gradients
  assert found["unknown_loops"] == 0


@pytest.mark.slow
@needs_libtpu
def test_what_does_not_fit_exits_1(root):
  more = ["--topology", "v5e-1", "--data.batch-size", "262144"]
  run = subprocess.run(command(root, *more), capture_output=True, text=True)
  assert run.returncode == 1, run.stderr
  [line] = run.stderr.splitlines()
  assert line.startswith("fgclep: does not fit")


@pytest.mark.slow
@needs_libtpu
def test_interrupted_exits_75(root):
  process = subprocess.Popen(
    command(root, "--topology", "v5e-8"),
    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
  )  # fmt: skip
  assert process.stdout.readline().startswith("compiling for v5e-8")
  time.sleep(5)  # traced, and the compiler is at work
  process.send_signal(signal.SIGTERM)
  start = time.monotonic()
  _, errors = process.communicate()
  assert time.monotonic() - start < 15
  assert process.returncode == 75
  # What the compiler says as it is cut off may stand before it.
  assert "stopped" in errors.splitlines()[-1], errors
