"""What the benchmarks measure."""

import json
import subprocess
import sys
import types

import jax
import pytest

from benchmarks import common, growth, step, step_ours
from fgclep_jax import config as c
from fgclep_jax import sharding

CODE = "from benchmarks import common; print(common.peak_mib())"


def test_peak_memory_is_the_process_s_own():
  """A child shows no memory of its parent, as `ru_maxrss` would."""
  held = b"x" * (1 << 30)
  line = [sys.executable, "-c", CODE]
  child = subprocess.run(line, capture_output=True, text=True, check=True)
  assert 5 < float(child.stdout) < 900
  assert common.peak_mib() > len(held) >> 20


def test_peak_memory_stays_when_the_memory_is_given_back():
  code = f"x = b'x' * (300 << 20); del x; {CODE}"
  line = [sys.executable, "-c", code]
  child = subprocess.run(line, capture_output=True, text=True, check=True)
  assert float(child.stdout) > 300


def test_rounds_are_interleaved():
  order = []
  found = common.interleaved(
    {name: lambda n=name: order.append(n) for name in "ab"}, 3
  )
  assert order == list("ababab")
  assert {name: len(seconds) for name, seconds in found.items()} == {
    "a": 3,
    "b": 3,
  }


@pytest.fixture
def results(tmp_path, monkeypatch):
  """Where benchmarks write, in place of the project's figures."""
  monkeypatch.setattr(common, "RESULTS", tmp_path)
  return tmp_path


def test_sides_of_the_step_take_the_same_step(shared):
  """Ours with all it saves, without, and in PyTorch: loss and gradients."""
  pytest.importorskip("torch")
  pytest.importorskip("transformers")

  mesh = sharding.make_mesh(c.MeshConfig(), jax.devices()[:2])
  race = step.Race(step_ours.SMALL, 1.0, mesh)
  apart = step.check(race, ("nothing",), torch=True)
  assert apart["nothing"] < 1e-5


def test_the_step_of_parts():
  places = [[1, 2], [3], [1, 2, 3], [4, 5]]
  problem = types.SimpleNamespace(places=places)
  sizes = types.SimpleNamespace(part=2)
  race = types.SimpleNamespace(problem=problem, sizes=sizes, pairs=8)
  seconds = {"ours": 9.0, "torch_64": 3.0, "loss": 0.5, "update": 0.25}
  assert step.of_whole(race, seconds) == {"torch_64": 8.75}


@pytest.mark.slow
def test_step_and_growth_write_their_tables(shared, results, monkeypatch):
  pytest.importorskip("torch")
  pytest.importorskip("transformers")
  monkeypatch.setattr(jax.config, "update", lambda *_: None)  # 8 are there
  step.main(["--small", "--rounds", "1", "--exponents", "1"])
  growth.main(["--small", "--rounds", "1"])
  found = json.loads((results / "step_small.json").read_text())
  assert found["table"].keys() == {"zipf 1", "frozen text", "variants"}
  assert max(found["gradients_differ_by"].values()) < 1e-5
  rows = json.loads((results / "growth_small.json").read_text())["table"]
  assert all(row["pairs_s"] > 0 for row in rows.values())
