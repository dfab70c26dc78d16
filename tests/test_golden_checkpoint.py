"""A checkpoint of an earlier day: it loads, means the same, and goes on.

`tests/golden_checkpoint/format_2.zip` is a workdir at step 4 of 8, of the
tiny run of `tests.fake_runs`; `format_2.json` holds what that run gave. A new
format gets files of its own beside them, made once, by

  python -c "from tests import test_golden_checkpoint as t; t.make()"

and those of earlier formats stay as they are for ever.
"""

import json
import pathlib
import shutil
import zipfile

import jax
import numpy as np
import pytest

from fgclep_jax import cli, inference
from fgclep_jax.reports.tokenizer import Tokenizer
from fgclep_jax.training import checkpoint, folders, loop
from tests import data_fakes, fake_runs, tiny_runs

FOLDER = pathlib.Path(__file__).parent / "golden_checkpoint"
FORMATS = sorted(path.stem for path in FOLDER.glob("*.zip"))
AT, STEPS = 4, 8
CHANGES = {"save_every": str(AT), "optim__steps": str(STEPS), "keep": "9"}
FILES = ("config.json", "metrics.jsonl")


def inputs():
  """(3, 12, 100) int16 microvolts at 100 Hz, without any random numbers."""
  t = np.arange(100) / 100
  k = np.arange(1, 37).reshape(3, 12, 1)
  return np.round(400 * np.sin(k * t) + 20 * k).astype(np.int16)


def embeddings(model):
  return {
    "ecg": model.embed_ecg(inputs(), 100).tolist(),
    "text": model.embed_text(list(data_fakes.STATEMENTS)).tolist(),
  }


def train(workdir):
  config = fake_runs.config(**CHANGES)
  loop.train(config, workdir, "", lambda _: None, jax.devices()[:1])
  rows = tiny_runs.lines(workdir / "metrics.jsonl")
  assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
  return [row["loss"] for row in rows]


def make(folder=FOLDER):
  """Writes the files of the present format."""
  import tempfile

  name = f"format_{checkpoint.FORMAT}"
  with (
    pytest.MonkeyPatch.context() as patch,
    tempfile.TemporaryDirectory() as work,
  ):
    fake_runs.without_dataset(patch)
    work = pathlib.Path(work)
    losses = train(work)
    told = {"losses": losses, "hash": {}}
    for step in (AT, STEPS):
      params = checkpoint.read_params(work, step)
      told["hash"][step] = inference.parameter_hash(params)
    told |= embeddings(inference.load(work, AT))
    rows = (work / "metrics.jsonl").read_text().splitlines(keepends=True)
    (work / "metrics.jsonl").write_text("".join(rows[:AT]))
    kept = sorted((work / checkpoint.FOLDER / str(AT)).rglob("*"))
    with zipfile.ZipFile(
      folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9
    ) as packed:
      for path in [*kept, *(work / file for file in FILES)]:
        if path.is_file():
          packed.write(path, path.relative_to(work))
  (folder / f"{name}.json").write_text(json.dumps(told) + "\n")


@pytest.fixture(params=FORMATS)
def golden(request, tmp_path):
  """A workdir unpacked, and what its run gave."""
  workdir = tmp_path / "run"
  with zipfile.ZipFile(FOLDER / f"{request.param}.zip") as packed:
    packed.extractall(workdir)
  return workdir, json.loads((FOLDER / f"{request.param}.json").read_text())


def test_there_is_one_of_this_format():
  assert f"format_{checkpoint.FORMAT}" in FORMATS
  size = sum(path.stat().st_size for path in FOLDER.iterdir())
  assert size < 150_000 * len(FORMATS)


@pytest.mark.core
def test_it_means_what_it_meant(golden, tmp_path, capsys):
  """The step's folder alone is enough: copied, without the rest of its run.

  The same bits; embeddings to 1e-5, for another machine may sum otherwise.
  """
  workdir, wanted = golden
  alone = tmp_path / "alone"
  shutil.copytree(workdir / checkpoint.FOLDER, alone / checkpoint.FOLDER)
  model = inference.load(alone)
  assert model.checkpoint["step"] == AT
  assert model.checkpoint["hash"] == wanted["hash"][str(AT)]
  for name, rows in embeddings(model).items():
    np.testing.assert_allclose(rows, wanted[name], atol=1e-5, rtol=0)
  step, meta = checkpoint.read_meta(alone)
  assert step == AT
  assert {"leads", "signal", "versions", "trained_on"} <= meta.keys()
  assert meta["config"] == json.loads((workdir / "config.json").read_text())
  assert Tokenizer(meta["vocabulary"], 64).vocabulary
  assert capsys.readouterr().err == ""  # no warning


@pytest.mark.core
def test_it_goes_on(golden, monkeypatch):
  """Losses to 1e-4 of those of the run that was not stopped.

  On the machine that made it they, and the parameters, are the same bits.
  """
  workdir, wanted = golden
  fake_runs.without_dataset(monkeypatch)
  before = (workdir / "metrics.jsonl").read_text()
  losses = train(workdir)
  np.testing.assert_allclose(losses, wanted["losses"], atol=1e-4, rtol=0)
  assert (workdir / "metrics.jsonl").read_text().startswith(before)
  found = folders.steps_of(workdir / checkpoint.FOLDER)
  assert found == [AT, STEPS]


@pytest.mark.core
def test_commands_refuse_a_harmed_step(golden, monkeypatch, capsys, tmp_path):
  """Exit code 2 and one line, of every command that reads a checkpoint."""
  workdir, _ = golden
  path = workdir / checkpoint.FOLDER / str(AT) / "params" / "_METADATA"
  path.write_bytes(path.read_bytes()[:-1] + b" ")
  fake_runs.without_dataset(monkeypatch)
  monkeypatch.setattr(
    cli.config_lib, "load", lambda _: fake_runs.config(**CHANGES)
  )
  at, data = ["--workdir", str(workdir)], ["--data-dir", "none"]
  out = ["--out", str(tmp_path / "out")]
  for line in (
    ["train", "--config", "tiny", *at, *data],
    ["export", *at, *out],
    ["export", *at, *out, "--step", str(AT)],
    ["embed", *at, *data, *out, "--dataset", "fake"],
    ["evaluate", *at, *data, *out, "--dataset", "fake"],
  ):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
      cli.main(line)
    [told] = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2, line
    assert "_METADATA was altered" in told, line
  assert not list(tmp_path.glob("out*"))
