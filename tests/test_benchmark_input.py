"""The benchmark of the input, with little of everything."""

import json

import pytest

from benchmarks import input as input_benchmark
from benchmarks import start
from fgclep_jax.data import sources

TINY = input_benchmark.Sizes(
  rounds=1, batch=16, batches=3, threads=(2,), steps=40,
  index=start.Sizes(records=3000, statements=50, reports=200),
)  # fmt: skip


def test_input_is_measured(simulated):
  found = input_benchmark.reading(simulated, TINY)
  found |= input_benchmark.to_device(simulated, TINY)
  row = found["reading, 2 threads"]
  assert 0 < row["ratio_per_core"] < 3
  name = "bytes_of_signals_or_places"
  sent = [found[f"to the device, {how}"][name] for how in ("read", "held")]
  assert sent == [16 * 12 * 1000 * 2, 16 * 4]


def test_a_start_with_a_large_index(simulated, tmp_path, capsys, monkeypatch):
  start.write_index(tmp_path, TINY.index)
  monkeypatch.setattr(sources, "open_split", sources.open_split)
  start.child("report", tmp_path, simulated)
  prepare, first, core, peak = json.loads(capsys.readouterr().out)
  assert 0 < prepare < 60
  assert 0 < first < 60
  assert 0 < core < 60
  assert peak > 100
  assert len(sources.open_split(simulated, "simulated_ecg", "original")) == 2700


@pytest.mark.slow
def test_waiting_for_data_is_measured(simulated):
  found = input_benchmark.training(simulated, TINY)
  for row in found.values():
    assert 0 <= row["data_wait"] <= row["data_wait_most"] < 1
