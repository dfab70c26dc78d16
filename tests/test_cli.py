"""The commands, as a user runs them: exit codes, files, single lines."""

import json

import numpy as np
import pytest

from fgclep_jax import cli
from tests.test_training import SMALL


@pytest.fixture(scope="module")
def trained(simulated, tmp_path_factory):
  """(config file, workdir) of a run of 20 steps."""
  folder = tmp_path_factory.mktemp("trained")
  config = folder / "small.py"
  changes = SMALL | {"optim.steps": "20", "data.batch-size": "16"}
  config.write_text(
    "from fgclep_jax import config as c\n"
    "def get_config(arg=''):\n"
    f"  return c.override(c.TrainConfig(), {changes!r})\n"
  )
  workdir = folder / "run"
  arguments = ["train", "--config", str(config), "--workdir", str(workdir)]
  assert cli.run([*arguments, "--data-dir", str(simulated)]) == 0
  return config, workdir


def evaluate(trained, simulated, out, *more):
  return [
    "evaluate", "--workdir", str(trained[1]), "--dataset", "simulated_ecg",
    "--data-dir", str(simulated), "--out", str(out), *more,
  ]  # fmt: skip


def exit_of(arguments, capsys):
  """Exit code and the lines on stderr."""
  capsys.readouterr()
  with pytest.raises(SystemExit) as stop:
    cli.main(arguments)
  return stop.value.code, capsys.readouterr().err.strip().splitlines()


def test_evaluate_writes_the_results(trained, simulated, tmp_path, capsys):
  more = ["--task", "simulated", "--probe", "1.0", "--bootstrap", "50"]
  assert cli.run(evaluate(trained, simulated, tmp_path, *more)) == 0
  content = json.loads((tmp_path / "results.json").read_text())
  found = content["tasks"]["simulated"]
  score = found["zero_shot"]["macro_auroc"]
  if found["zero_shot"]["ci95"] is None:  # few records: said, not hidden
    assert "ci95" in found["zero_shot"]["reasons"]
  else:
    low, high = found["zero_shot"]["ci95"]
    assert low <= score <= high
  assert 0 <= found["untrained"]["zero_shot"]["macro_auroc"] <= 1
  assert "1.0" in found["linear_probe"]
  assert {"pooled_statistics", "true_features"} <= set(found["baselines"])
  assert content["model"]["checkpoint"]["step"] == 20
  assert (tmp_path / "per_class.csv").is_file()
  page = (tmp_path / "report.html").read_text()
  assert "not a medical device" in page.lower()
  assert "report.html" in capsys.readouterr().out


def test_embed_writes_every_record(trained, simulated, tmp_path):
  out = tmp_path / "embeddings.npz"
  arguments = [
    "embed", "--workdir", str(trained[1]), "--dataset", "simulated_ecg",
    "--data-dir", str(simulated), "--split", "test", "--out", str(out),
  ]  # fmt: skip
  assert cli.run(arguments) == 0
  with np.load(out, allow_pickle=False) as file:
    assert len(file["record_ids"]) == len(set(file["record_ids"]))
    assert len(file["embedding"]) == len(file["record_ids"])
    np.testing.assert_allclose(
      np.linalg.norm(file["embedding"], axis=1), 1, rtol=1e-5
    )


@pytest.mark.parametrize(
  ("more", "message"),
  [
    (["--split", "tset"], "has no split 'tset'"),
    (["--task", "supr"], "task 'supr' is not in dataset"),
    (["--probe", "2"], "give shares in (0, 1]"),
    (["--finetune"], "--probe 0.1,1.0"),
    (["--supervised"], "--probe 0.1,1.0"),
    (["--select-step"], "standard never does"),
    (["--prompts", "none.json"], "none.json"),
    (["--dataset", "ptb_xl"], "tfds build"),
    (["--step", "3"], "no step 3"),
    (["--workdir", "nowhere"], "no checkpoint in nowhere"),
    (["--colour", "red"], "unknown argument --colour"),
  ],
)
def test_bad_evaluation(trained, simulated, tmp_path, capsys, more, message):
  arguments = evaluate(trained, simulated, tmp_path / "out", *more)
  code, lines = exit_of(arguments, capsys)
  assert code == 2
  assert message in lines[-1]
  assert len(lines) == 1


def test_bad_training(trained, simulated, tmp_path, capsys):
  config, workdir = trained

  def train(*more):
    return exit_of(
      [
        "train", "--config", str(config), "--workdir", str(tmp_path),
        "--data-dir", str(simulated), *more,
      ],
      capsys,
    )  # fmt: skip

  cases = {
    ("--optim.learning-rat", "1"): "did you mean optim.learning_rate?",
    ("--optim.steps",): "has no value",
    ("extra",): "unexpected 'extra'",
    ("--optim.steps", "many"): "give a value of type int",
    ("--config", "none.py"): "no config file none.py",
    ("--workdir", str(workdir), "--seed", "5"): "seed: 0 -> 5",
    ("--data-dir", str(tmp_path / "none")): "tfds build",
  }
  for more, message in cases.items():
    code, lines = train(*more)
    assert code == 2, more
    assert message in lines[-1], more
    assert len(lines) == 1, lines


def test_help_names_every_field(capsys):
  with pytest.raises(SystemExit) as stop:
    cli.main(["train", "--help"])
  assert stop.value.code == 0
  page = capsys.readouterr().out
  assert "--optim.learning-rate (default 2e-05)" in page
  assert "--loss.bias (default None)" in page


def test_no_command_is_one_line(capsys):
  code, lines = exit_of([], capsys)
  assert code == 2
  assert lines == [
    "fgclep: the following arguments are required: COMMAND: see `fgclep --help`"
  ]
