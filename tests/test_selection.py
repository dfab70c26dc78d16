"""Who may choose a checkpoint by benchmark labels, and who may not."""

import json
import types

import jax
import numpy as np
import pytest

from fgclep_jax import config as c
from fgclep_jax import metrics, sharding
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import selection
from fgclep_jax.evaluation.options import Options
from fgclep_jax.evaluation.parts import make_parts
from fgclep_jax.evaluation.run import evaluate
from fgclep_jax.reports.tokenizer import train_vocabulary
from fgclep_jax.training import validate
from tests.evaluation_fakes import FakeModel, FakeSplit

NAMES = ("sinus rhythm", "atrial fibrillation", "third")
BOTH = ("standard", "merl")
OPTIONS = Options(
  protocols=BOTH, select_step=True, probe_fractions=(1.0,), resamples=40,
  baselines=(), batch_size=32,
)  # fmt: skip


def _splits(dataset="fake_ecg"):
  sizes = {"train": 120, "validation": 70, "test": 80}
  return {
    name: FakeSplit(name, n, NAMES, seed=i, dataset=dataset)
    for i, (name, n) in enumerate(sizes.items())
  }


def _model(step, knows):
  model = FakeModel(NAMES, trained=knows)
  model.checkpoint = {"hash": f"{step}", "step": step}
  return model


def _steps(good=20):
  """Three checkpoints, of which one knows the classes."""
  return {s: lambda s=s: _model(s, s == good) for s in (10, 20, 30)}


def _run(folder, options=OPTIONS, splits=None, steps=None):
  lines = []
  newest = _model(30, knows=False)
  content = evaluate(
    newest, None, splits or _splits(), ("simulated",), folder, options,
    progress=lines.append, steps=_steps() if steps is None else steps,
  )  # fmt: skip
  return content, lines


def test_the_best_on_validation_is_chosen_and_the_choice_is_told():
  splits = _splits()
  parts, _ = make_parts(splits, "test")
  prompts = {"simulated": {name: (name,) for name in NAMES}}
  model, facts = selection.choose(_steps(), parts, prompts, OPTIONS)
  assert facts["step"] == model.checkpoint["step"] == 20
  assert facts["selection"] == "merl, labelled validation data"
  assert facts["chosen_on"] == "validation"
  validation = splits["validation"]
  rows = np.flatnonzero(validation.labelled["simulated"])
  for step, found in facts["macro_auroc"].items():
    one = _model(step, step == 20)
    ecg, _ = one.encode_ecg(validation.signals(rows, 100, 200))
    scores = ecg @ one.embed_text(list(NAMES)).T
    area = metrics.auroc(scores, validation.labels["simulated"][rows])
    assert found["simulated"] == found["mean"]
    assert found["mean"] == pytest.approx(area.mean(), abs=1e-3)
  assert not splits["test"].read  # never looked at
  _, facts = selection.choose(_steps(None), parts, prompts, OPTIONS)
  assert facts["step"] == 10  # of equal ones the earliest


@pytest.mark.parametrize("dataset", ["fake_ecg", "cpsc2018"])
def test_merl_takes_it_and_standard_does_not(tmp_path, dataset):
  """cpsc2018: records that merl sees cut differently from standard."""
  prompts = tmp_path / "prompts.json"
  prompts.write_text(json.dumps({name: name for name in NAMES}))
  options = Options(**vars(OPTIONS) | {"prompt_file": str(prompts)})
  splits = _splits(dataset)
  content, lines = _run(tmp_path / "chosen", options, splits)
  assert content["selection"]["step"] == 20
  assert content["selection"]["prompts"] == "prompts.json"
  assert content["model"]["checkpoint"]["step"] == 30
  block = content["tasks"]["simulated"]
  assert block["merl"]["selection"] == "merl, labelled validation data"
  assert block["merl"]["step"] == 20
  plain = Options(**vars(options) | {"select_step": False})
  without, _ = _run(tmp_path / "plain", plain, _splits(dataset))
  before = without["tasks"]["simulated"]
  assert "selection" not in without
  assert "selection" not in before["merl"]
  for name in ("zero_shot", "linear_probe"):
    assert block[name] == before[name]
  assert block["zero_shot_merl"]["macro_auroc"] > (
    before["zero_shot_merl"]["macro_auroc"] + 0.15
  )
  assert block["linear_probe_merl"] != before["linear_probe_merl"]
  assert "selected" not in str(sorted(block))
  assert "selection: merl, labelled validation data: step 20" in lines
  page = (tmp_path / "chosen" / "report.html").read_text()
  assert "labelled validation data; checkpoint of step 20" in page


def test_the_newest_may_be_the_best(tmp_path):
  content, _ = _run(tmp_path, steps=_steps(30))
  assert content["selection"]["step"] == 30


def test_tested_labels_do_not_choose(tmp_path):
  splits = _splits()
  for labels in (splits["test"].labels, splits["test"].labels_merl):
    labels["simulated"] = 1 - labels["simulated"]
  content, _ = _run(tmp_path, splits=splits)
  assert content["selection"]["step"] == 20


def test_refused(tmp_path):
  with pytest.raises(InputError, match="standard never does"):
    Options(select_step=True)
  with pytest.raises(InputError, match="1 checkpoint to choose from"):
    _run(tmp_path, steps={30: lambda: _model(30, True)})
  splits = _splits()
  for split in splits.values():
    split.labels_merl = {}
  with pytest.raises(InputError, match="no task asked for"):
    _run(tmp_path, splits=splits)


class _Reports:
  """Pre-training validation records: signals and statements, no label."""

  statement_offsets = np.arange(0, 81)
  statement_ids = np.tile([0, 1], 40)
  table = ("first statement", "second statement")

  def signals(self, records, rate, samples, cache_gib, window):
    level = 300 * (self.statement_ids[records] - 0.5)[:, None, None]
    return np.broadcast_to(level, (len(records), 12, samples)).astype(np.int16)


def test_validation_in_training_needs_no_label():
  """Anything but signals and statements would be an AttributeError."""
  config = c.override(
    c.TrainConfig(),
    {
      "data.rate": "50", "data.seconds": "1", "model.ecg.name": "resnet",
      "model.ecg.width": "8", "model.ecg.stages": "[1]",
      "model.text.width": "16", "model.text.depth": "1",
      "model.text.heads": "2", "model.text.mlp": "16",
    },
  )  # fmt: skip
  vocabulary = train_vocabulary(_Reports.table, 60)
  run = types.SimpleNamespace(
    config=config,
    tokenizer=types.SimpleNamespace(vocabulary=vocabulary),
    valid=(_Reports(), np.arange(80)),
    mesh=sharding.make_mesh(config.mesh, jax.devices()[:1]),
  )
  found = validate.validate(run, None)
  assert found["valid_statements"] == 2
  assert 0 <= found["valid_statement_auroc"] <= 1
