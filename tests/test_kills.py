"""Real processes of training, killed: `benchmarks.kills` with a dozen kills."""

import types

import pytest

from benchmarks import children, kills
from fgclep_jax.training import checkpoint, folders, goodput, loop
from tests import tiny_runs

SEED = 8  # of phases and instants; `benchmarks.kills` draws one


@pytest.mark.core
def test_a_dozen_kills(simulated, tmp_path):
  found = kills.kills(tmp_path, simulated, 12, SEED, print, warm=True)
  assert found["wrong"] == []
  assert found["table"]["run"]["kills"] == 12
  assert len([n for n in found["table"]["killed in"].values() if n]) >= 6


def test_differences_are_found(simulated, tmp_path):
  """What the comparison of two runs would miss, no kill could show."""
  for name, more in (("one", {}), ("same", {}), ("seed", {"seed": "1"})):
    tiny_runs.train(tmp_path / name, simulated, optim__steps="4", **more)
  one = tmp_path / "one"
  assert children.differences(tmp_path / "same", one) == []
  found = children.differences(tmp_path / "seed", one)
  assert "metrics of step 1 differ" in found
  assert any(line.startswith("ecg") for line in found)
  metrics = tmp_path / "same" / "metrics.jsonl"
  lines = metrics.read_text().splitlines(keepends=True)
  metrics.write_text("".join([*lines, lines[-1]]))
  found = children.differences(tmp_path / "same", one)
  assert found == ["5 lines of metrics instead of 4"]
  assert children.left_over(one, keep=3) == []
  (one / "checkpoints" / "7.deleted").mkdir()
  (one / ".goodput.json.0.tmp").touch()
  assert set(children.left_over(one, keep=3)) == {
    ".goodput.json.0.tmp", "4", "7.deleted",
  }  # fmt: skip


def test_saves_by_the_clock(simulated, tmp_path, monkeypatch):
  """A step takes 20 s; every minute a save, though no interval is reached."""
  clock = types.SimpleNamespace(now=0.0)
  step = loop._Loop._step

  def slow(self, *given):
    clock.now += 20
    return step(self, *given)

  monkeypatch.setattr(loop._Loop, "_step", slow)
  fake = types.SimpleNamespace(monotonic=lambda: clock.now)
  monkeypatch.setattr(goodput, "time", fake)
  changes = {"save_every": "1000", "log_every": "100", "keep": "9"}
  tiny_runs.train(
    tmp_path, simulated, save_every_minutes="1", optim__steps="8", **changes
  )
  assert folders.steps_of(tmp_path / checkpoint.FOLDER) == [3, 6, 8]
  clock.now = 0.0
  tiny_runs.train(tmp_path / "off", simulated, optim__steps="8", **changes)
  assert folders.steps_of(tmp_path / "off" / checkpoint.FOLDER) == [8]


def test_a_saved_step_has_its_line(simulated, tmp_path, monkeypatch):
  """Else a restart from there would leave a hole in metrics.jsonl."""
  seen = []
  save = loop.checkpoint.Checkpoints.save

  def saving(self, state, meta):
    lines = tiny_runs.lines(tmp_path / "metrics.jsonl")
    seen.append((int(state.step), lines[-1]["step"]))
    save(self, state, meta)

  monkeypatch.setattr(loop.checkpoint.Checkpoints, "save", saving)
  tiny_runs.train(
    tmp_path, simulated, save_every="3", log_every="100", optim__steps="8"
  )
  assert seen == [(3, 3), (6, 6), (8, 8)]


def test_torn_files_are_swept(simulated, tmp_path):
  torn = tmp_path / f".goodput.json.{'0' * 32}.tmp"
  torn.touch()
  (tmp_path / ".mine.tmp").touch()
  tiny_runs.train(tmp_path, simulated, optim__steps="2")
  assert not torn.exists()
  assert (tmp_path / ".mine.tmp").exists()
