"""The benchmark of one GPU, run where there is none."""

import argparse
import dataclasses
import json
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import common, gpu, gpu_jax, gpu_sides, loss, step_ours
from fgclep_jax import config as c
from fgclep_jax import sharding
from fgclep_jax.models import layers

SMALL = {"small": True, "batch": None}
SERVED = """
from benchmarks import gpu_sides

def fails():
  raise MemoryError("no room\\nfor it")

gpu_sides.serve(
  {"runs": lambda: (lambda: print("noise"), {"gflop": 1}), "fails": fails},
  {"profile": lambda: [3]},
  fill=0,
)
"""


@pytest.fixture
def results(tmp_path, monkeypatch):
  """Where benchmarks write, in place of the project's figures."""
  monkeypatch.setattr(common, "RESULTS", tmp_path)
  return tmp_path


def side(code, tmp_path, monkeypatch):
  """A `Side` of a module with this code."""
  (tmp_path / "some_side.py").write_text(code)
  monkeypatch.setattr(gpu_sides, "ROOT", f"{tmp_path}:{gpu_sides.ROOT}")
  return gpu_sides.start("some_side", "loss", SMALL)


def test_side_runs_what_it_is_asked_for(tmp_path, monkeypatch):
  with side(SERVED, tmp_path, monkeypatch) as one:
    facts = one.ask()["facts"]
    assert facts["runs"] == {"gflop": 1}
    assert facts["fails"] == {"error": "MemoryError: no room for it"}
    assert one.ask("runs")["seconds"] > 0
    assert one.ask("profile") == {"found": [3]}
    with pytest.raises(RuntimeError, match="KeyError: 'other'"):
      one.ask("other")
    assert one.ask("runs")["seconds"] > 0  # it is still there
  assert one.process.returncode == 0


def test_side_that_ends_says_why(tmp_path, monkeypatch):
  code = "import sys; sys.exit('no room')"
  with (
    side(code, tmp_path, monkeypatch) as one,
    pytest.raises(RuntimeError, match="some_side loss ended with 1: no room"),
  ):
    one.ask()


def test_repeats_fill_the_time_of_a_round():
  calls = []
  gpu_sides.repeated(lambda: calls.append(1), 3)
  assert len(calls) == 4
  gpu_sides.repeated(lambda: calls.append(1), 1)
  assert len(calls) == 5


def test_parent_holds_no_device():
  code = "import sys, benchmarks.gpu; print(*{'jax', 'torch'} & {*sys.modules})"
  line = [sys.executable, "-c", code]
  child = subprocess.run(line, capture_output=True, text=True, check=True)
  assert child.stdout == "\n"


def test_without_a_gpu_one_line_and_2(results, monkeypatch, capsys):
  about = {name: {"platform": "cpu"} for name in gpu.SIDES}
  monkeypatch.setattr(gpu, "ask_both", lambda *_: about)
  with pytest.raises(SystemExit) as stopped:
    gpu.main([])
  assert stopped.value.code == 2
  assert len(capsys.readouterr().err.splitlines()) == 1
  assert not list(results.iterdir())


def test_a_part_that_fails_leaves_the_others(results, monkeypatch, capsys):
  """What one part could not do is written beside what the other did."""
  rows = {"jax_64": {"gflop": 2000.0, "seconds": 0.5}}
  found = {
    "ceiling": (rows, {}, None),
    "loss": ({}, {"tiled_1024": "MemoryError: no room"}, None),
  }
  monkeypatch.setattr(gpu, "measure", lambda part, *_: found[part])
  about = {
    name: {"platform": "gpu", "device": "NVIDIA H200"} for name in gpu.SIDES
  }
  monkeypatch.setattr(gpu, "ask_both", lambda *_: about)
  gpu.main(["--parts", "loss,ceiling"])
  [path] = results.iterdir()
  assert path.name == "gpu_ceiling_loss.json"
  written = json.loads(path.read_text())
  assert written["not_measured"] == {"loss tiled_1024": "MemoryError: no room"}
  [row] = written["table"].values()
  assert row["tflop_per_s"] == written["ceiling_tflop_per_s"] == 4.0
  assert row["of_peak"] == pytest.approx(4 / 989)
  assert "no room" in capsys.readouterr().out


def test_rows_are_completed():
  rows = {
    "ours": {"gflop": 500.0, "pairs": 30, "seconds": 0.1},
    "torch": {"pairs": 30, "seconds": 0.4},
  }
  gpu.complete(rows, "ours", 10.0, 20.0)
  assert rows["ours"]["of_ceiling"] == pytest.approx(0.5)
  assert rows["ours"]["of_peak"] == pytest.approx(0.25)
  assert rows["torch"]["pairs_per_s"] == pytest.approx(75)
  assert rows["torch"]["times_first"] == pytest.approx(4)
  assert "of_ceiling" not in rows["torch"]


def test_sides_that_compute_something_else_are_told():
  rows = {"a": {"value": 1.0}, "b": {"value": 1.03, "norm": 2.0}, "c": {}}
  assert gpu.disagreements(rows) == ["b: value 1.03 instead of 1"]
  rows["b"]["value"] = float("nan")
  assert len(gpu.disagreements(rows)) == 1
  rows["b"]["value"] = 1.01
  assert gpu.disagreements(rows) == []


def test_data_sheet_by_name():
  assert gpu.peak("NVIDIA H200") == gpu.peak("NVIDIA H100 80GB HBM3") == 989
  assert gpu.peak("NVIDIA H100 PCIe") == 756
  assert (gpu.peak("A100-SXM4-80GB"), gpu.peak("NVIDIA L40")) == (312, None)


def test_parts_run_in_their_order():
  assert gpu.parts_of("step,ceiling") == ["ceiling", "step"]
  with pytest.raises(argparse.ArgumentTypeError, match="profile: give some"):
    gpu.parts_of("profile")


def exact_loss():
  """Value and norm of the gradient by the ECGs, float64."""
  ecg, text, owner = loss.draw(gpu_jax.SMALL_PAIRS)
  ecg, text = (
    np.asarray(jnp.asarray(x, jnp.bfloat16), np.float64)
    for x in (ecg, text[owner])
  )
  labels = (1 + text @ text.T) / 2
  logits = np.exp(loss.SCALE) * ecg @ text.T
  values = np.logaddexp(0, logits) - labels * logits
  slopes = (1 / (1 + np.exp(-logits)) - labels) / labels.size
  return values.mean(), np.linalg.norm(np.exp(loss.SCALE) * slopes @ text)


def test_losses_of_both_sides():
  """In bfloat16 ours to 0.5 %, PyTorch's, whose logits are that, to 1 %."""
  pytest.importorskip("torch")
  pytest.importorskip("transformers")
  from benchmarks import gpu_torch

  value, norm = exact_loss()
  makers = gpu_jax.loss_forms(SMALL) | gpu_torch.loss_forms(SMALL)
  assert set(gpu_torch.FORMS) <= makers.keys()
  for name, make in makers.items():
    run, facts = make()
    run()
    assert facts["gflop"] > 0
    if "siglip" in name:
      continue
    allowed = 0.005 if name.startswith("tiled") else 0.01
    assert facts["value"] == pytest.approx(value, rel=allowed), name
    assert facts["norm"] == pytest.approx(norm, rel=allowed), name


def test_chunks_of_siglip_are_the_whole():
  torch = pytest.importorskip("torch")
  pytest.importorskip("transformers")
  from benchmarks import gpu_torch

  rows, columns = torch.randn(2, 8, 4, generator=torch.manual_seed(0))
  scale = torch.tensor(0.5)
  whole = gpu_torch.siglip(rows, columns, scale, None, 0, 8)
  parts = sum(
    gpu_torch.siglip(rows, columns, scale, None, i, i + 2)
    for i in range(0, 8, 2)
  )
  logits = (scale.exp() * rows @ columns.T).numpy()
  exact = np.logaddexp(0, -(2 * np.eye(8) - 1) * logits).sum()
  assert float(whole) == pytest.approx(exact, rel=1e-5)
  assert float(parts) == pytest.approx(exact, rel=1e-5)


def test_transport_of_equal_counts_at_once():
  torch = pytest.importorskip("torch")
  pytest.importorskip("transformers")
  from benchmarks import gpu_torch, transport

  torch.manual_seed(0)
  counts = [2, 1, 3, 2]
  z, h = torch.randn(8, 6), torch.randn(4, 5, 6)
  z, h = (torch.nn.functional.normalize(x, dim=-1) for x in (z, h))

  def mix(a, b):
    return transport.plain(a, b, torch, torch.logsumexp)

  one = gpu_torch.one_by_one(z, h, counts, mix)
  assert one.shape == (8, 6)
  found = gpu_torch.by_count(z, h, counts, mix)
  torch.testing.assert_close(found, one, atol=1e-5, rtol=0)


def test_step_is_made_in_bfloat16_and_packing_is_switched():
  x, mask = jnp.zeros((4, 64, 2)), jnp.ones((4, 64), bool)

  def make(way):
    config = step_ours.configure(step_ours.SMALL, way.whole)
    return config.model.compute, layers.pack(x, mask)[0].shape

  problem = types.SimpleNamespace(make=make)
  packed = ("bfloat16", (2, 128, 2))
  assert gpu_jax.make_step(problem, layers.LANES) == packed
  assert gpu_jax.make_step(problem, 1) == ("bfloat16", x.shape)
  assert make(step_ours.WAYS["ours"]) == ("float32", (2, 128, 2))


@pytest.mark.slow
def test_texts_share_rows_only_with_lanes(shared):
  """Packed rows have products of texts that do not see each other."""
  text = dataclasses.replace(step_ours.SMALL.text, depth=4)
  sizes = dataclasses.replace(step_ours.SMALL, text=text)
  mesh = sharding.make_mesh(c.MeshConfig(), jax.devices()[:1])
  problem = step_ours.Problem(sizes, 1.0, mesh)
  counted = types.SimpleNamespace(make=problem.operations)
  plain = problem.operations(step_ours.WAYS["ours"])
  assert gpu_jax.make_step(counted, 1) == plain
  assert gpu_jax.make_step(counted, layers.LANES) > plain


TRACE = """
planes { name: "/device:GPU:0"
  lines { name: "Stream #13(Compute)"
    events { metadata_id: 1 duration_ps: 3000000000 }
    events { metadata_id: 2 duration_ps: 1000000000 }
    events { metadata_id: 1 duration_ps: 2000000000 } }
  lines { name: "Stream #14(MemcpyD2H)"
    events { metadata_id: 3 duration_ps: 4000000000 } }
  lines { name: "XLA Ops" events { metadata_id: 1 duration_ps: 9000000000 } }
  event_metadata { key: 1 value { id: 1 name: "gemm" } }
  event_metadata { key: 2 value { id: 2 name: "loop_fusion" } }
  event_metadata { key: 3 value { id: 3 name: "MemcpyD2H" } } }
planes { name: "/host:CPU"
  lines { name: "Stream #1" events { metadata_id: 1 duration_ps: 8000 } }
  event_metadata { key: 1 value { id: 1 name: "host" } } }
"""


def test_largest_kernels_of_a_trace():
  """Streams of GPUs alone: neither the host nor lines made from streams."""
  read = jax.profiler.ProfileData
  data = read.from_serialized_xspace(
    read.text_proto_to_serialized_xspace(TRACE)
  )
  found = gpu_jax.kernels(data, most=2)
  assert found == [
    {"kernel": "gemm", "ms": 5.0, "share": 0.5, "count": 2},
    {"kernel": "MemcpyD2H", "ms": 4.0, "share": 0.4, "count": 1},
  ]


def test_profile_without_a_gpu_says_what_is_there():
  run = jax.jit(lambda x: x + 1)
  with pytest.raises(RuntimeError, match=r"in the trace, but .*/host:CPU"):
    gpu_jax.profile(lambda: run(1).block_until_ready())


@pytest.mark.slow
def test_all_of_it_runs_small(shared, results):
  """Every part of both sides, in processes; only a GPU's kernels are not."""
  pytest.importorskip("torch")
  pytest.importorskip("transformers")
  gpu.main(["--small", "--rounds", "2"])
  written = json.loads((results / "gpu_small.json").read_text())
  assert set(written["not_measured"]) <= {"step profile"}, written
  assert written["disagree"] == []
  parts = [name.split()[0] for name in written["table"]]
  assert [parts.count(part) for part in gpu.PARTS] == [4, 8, 6]
  assert all(row["seconds"] > 0 for row in written["table"].values())
