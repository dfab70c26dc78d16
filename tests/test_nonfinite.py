"""Steps that are not finite: skipped, counted, named, and an end to them."""

import types

import numpy as np
import pytest

from fgclep_jax.data import batches
from fgclep_jax.errors import RunError
from fgclep_jax.training import checkpoint
from fgclep_jax.training.faults import NON_FINITE, Faults
from tests import tiny_runs

IDS = np.array([f"r{i}" for i in range(9)])


def faults(workdir, start, most=3):
  train = types.SimpleNamespace(
    split=types.SimpleNamespace(record_ids=IDS), unreadable={}
  )
  return Faults(workdir, start, most, train)


def note(found, step, skipped):
  found.note(step, {"skipped": skipped}, np.array([step, step + 1]))
  found.check(step)


def test_names_the_records_and_stops_after_some_in_a_row(tmp_path):
  found = faults(tmp_path, 0)
  for step, skipped in ((1, 1), (2, 1), (3, 0), (4, 1), (5, 1)):
    note(found, step, skipped)
  with pytest.raises(RunError, match="3 steps in a row up to step 6") as error:
    note(found, 6, 1)
  assert NON_FINITE in str(error.value)
  found.close()
  rows = tiny_runs.lines(tmp_path / NON_FINITE)
  assert [row["step"] for row in rows] == [1, 2, 4, 5, 6]
  assert rows[2]["records"] == ["r4", "r5"]


def test_a_restart_takes_lines_back_and_goes_on_counting(tmp_path):
  found = faults(tmp_path, 0)
  for step in (1, 2):
    note(found, step, 1)
  found.close()
  found = faults(tmp_path, 1)
  note(found, 2, 1)
  assert [r["step"] for r in tiny_runs.lines(tmp_path / NON_FINITE)] == [1, 2]
  with pytest.raises(RunError):
    note(found, 3, 1)
  found.close()
  found = faults(tmp_path, 3, most=0)  # never
  for step in range(4, 8):
    note(found, step, 1)
  found.close()


def test_nothing_is_written_where_all_is_well(tmp_path):
  found = faults(tmp_path, 0)
  note(found, 1, 0)
  found.close()
  assert not list(tmp_path.iterdir())


@pytest.mark.core
def test_one_batch_of_a_run(simulated, tmp_path, monkeypatch):
  """The bad batch is between two log points, and trained on by nobody."""
  real = batches.Batches.__getitem__
  seen = {}

  def spoilt(self, k):
    batch = real(self, k)
    if k == 2:
      seen["ids"] = self.split.record_ids[batch["records"]]
      batch["text_weights"] = batch["text_weights"] * np.nan
    return batch

  monkeypatch.setattr(batches.Batches, "__getitem__", spoilt)
  tiny_runs.train(tmp_path, simulated)
  [row] = tiny_runs.lines(tmp_path / NON_FINITE)
  assert row == {"step": 3, "records": seen["ids"].tolist()}
  metrics = tiny_runs.lines(tmp_path / "metrics.jsonl")
  assert [m["skipped"] for m in metrics] == [0, 0, 1, 0, 0, 0, 0, 0]
  params, _ = checkpoint.restore_params(tmp_path)
  assert all(np.isfinite(x).all() for x in params.values())


def test_the_loop_waits_for_no_step_between_log_points(
  simulated, tmp_path, monkeypatch
):
  """Metrics are asked for when they are written, all of them at once."""
  from fgclep_jax.training import loop

  fetched = []
  real = loop.jax.device_get
  monkeypatch.setattr(
    loop.jax, "device_get", lambda x: fetched.append(len(x)) or real(x)
  )
  monkeypatch.setattr(loop.validate, "validate", lambda *_: {})
  tiny_runs.train(tmp_path, simulated, log_every="3", save_every="1000")
  assert fetched == [3, 3, 2]


@pytest.mark.core
def test_a_run_that_has_gone_wrong_stops(simulated, tmp_path):
  """A learning rate of 1e30: soon every step is NaN."""
  done = tiny_runs.process(
    tmp_path, simulated, "--optim.learning-rate", "1e30", "--optim.warmup",
    "0", "--max-skipped-in-a-row", "3", "--log-every", "1",
  )  # fmt: skip
  assert done.returncode == 1, done.stderr
  rows = tiny_runs.lines(tmp_path / NON_FINITE)
  last = rows[-1]["step"]
  assert [row["step"] for row in rows] == [last - 2, last - 1, last]
  line = done.stderr.splitlines()[-1]
  assert line.startswith(f"fgclep: 3 steps in a row up to step {last}"), line
  assert all(len(row["records"]) == 16 for row in rows)
