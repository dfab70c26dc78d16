"""`fgclep compare`: numbers redone from the files, and every refusal."""

import json
import shutil

import numpy as np
import pytest
import sklearn.metrics

from fgclep_jax import cli, metrics
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import compare, pairing
from fgclep_jax.evaluation.run import Options, evaluate
from tests.evaluation_fakes import FakeModel, FakeSplit

NAMES = ("sinus rhythm", "atrial fibrillation", "rare", "never")
TASKS = ("simulated", "sub")
RESAMPLES = 100


def _splits(seed=0):
  sizes = {"train": 90, "validation": 60, "test": 80}
  splits = {
    name: FakeSplit(name, n, NAMES, seed=seed + i, noise=120.0)
    for i, (name, n) in enumerate(sizes.items())
  }
  for split in splits.values():
    labels = split.labels["simulated"]
    labels[:, 3] = 0
    split.labels["sub"] = labels.copy()
    split.labels["sub"][:, 0] = 1 - labels[:, 0]
    split.labelled["sub"] = np.ones(len(split), bool)
    split.class_names["sub"] = NAMES
    split.truth = None
  test = splits["test"]
  for task in TASKS:  # 5 positives, all of patients of their own
    test.labels[task][:, 2] = 0
    test.labels[task][:5, 2] = 1
  test.patient_ids[:5] = [f"test-own{i}" for i in range(5)]
  return splits


def _run(folder, *, seed=0, trained=True, file=None, **changes):
  prompts = folder.parent / f"{folder.name}-prompts.json"
  prompts.write_text(json.dumps({n: file or n for n in NAMES}))
  options = Options(
    probe_fractions=(0.5,), probe_tasks=("simulated",), baselines=(),
    prompt_file=str(prompts), **{"resamples": RESAMPLES} | changes,
  )  # fmt: skip
  model = FakeModel(NAMES, trained)
  evaluate(model, None, _splits(seed), TASKS, folder, options)
  return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  root = tmp_path_factory.mktemp("runs")
  return _run(root / "good"), _run(root / "poor", trained=False)


def _rows(content):
  return {(r["task"], r["method"], r["measure"]): r for r in content["rows"]}


def test_difference_by_hand_from_the_files(runs):
  content = compare.run(*runs, say=lambda line: None)
  rows = _rows(content)
  row = rows["sub", "zero_shot", "macro_auroc"]
  assert row["classes_averaged"] == 3
  # Resampled afresh, from the patients, with scikit-learn's AUROC.
  test = _splits()["test"]
  stream = metrics.Resamples([f"p/{p}" for p in test.patient_ids], 0)
  scores = []
  for folder in runs:
    with np.load(folder / "scores.npz") as stored:
      scores.append(stored["sub/zero_shot"])
  labels = test.labels["sub"][:, :3].astype(bool)
  differences, k = [], 0
  while len(differences) < RESAMPLES:
    weights, k = stream.weights(k, k + 1)[0], k + 1
    if not all((weights @ labels > 0) & (weights @ ~labels > 0)):
      continue
    macros = [
      np.mean(
        [
          sklearn.metrics.roc_auc_score(
            labels[:, c], one[:, c], sample_weight=weights
          )
          for c in range(3)
        ]
      )
      for one in scores
    ]
    differences.append(macros[0] - macros[1])
  assert row["difference"] == pytest.approx(np.mean(differences), abs=1e-6)
  assert row["ci95"] == pytest.approx(
    np.percentile(differences, [2.5, 97.5]), abs=1e-6
  )
  share = np.mean(np.array(differences) <= 0)
  assert row["share_not_above_zero"] == pytest.approx(share, abs=1e-6)


def test_values_are_those_of_the_runs_seeds_averaged(runs):
  rows = _rows(compare.run(*runs, say=lambda line: None))
  for which, folder in zip(("first", "second"), runs, strict=True):
    content = json.loads((folder / "results.json").read_text())
    block = content["tasks"]["simulated"]
    for method, own in (
      ("zero_shot", block["zero_shot"]),
      ("linear_probe 0.5", block["linear_probe"]["0.5"]),
    ):
      for measure in ("macro_auroc", "macro_auroc_n10"):
        row = rows["simulated", method, measure]
        assert row[which] == pytest.approx(own[measure], abs=2e-6)
    with np.load(folder / "scores.npz") as stored:
      assert stored["simulated/linear_probe 0.5"].shape[0] == 5
  n10 = rows["simulated", "zero_shot", "macro_auroc_n10"]
  assert n10["classes_averaged"] == 2


def test_swapped_runs_swap_the_sign_and_a_run_equals_itself(runs):
  quiet = {"say": lambda line: None}
  forth, back = compare.run(*runs, **quiet), compare.run(*runs[::-1], **quiet)
  for key, row in _rows(forth).items():
    other = _rows(back)[key]
    assert row["difference"] == pytest.approx(-other["difference"], abs=2e-6)
    assert row["p"] == other["p"]
  key = "simulated", "zero_shot", "macro_auroc_n10"
  assert _rows(forth)[key]["verdict"].startswith("first better")
  assert _rows(back)[key]["verdict"].startswith("second better")
  for row in compare.run(runs[0], runs[0], **quiet)["rows"]:
    assert row["difference"] == 0
    assert row["verdict"] == "no difference shown"


def test_holm_by_hand():
  def row(task, p, low, high):
    return {
      "task": task, "protocol": "standard", "method": "zero_shot",
      "measure": "macro_auroc", "p": p, "ci95": [low, high],
    }  # fmt: skip

  rows = [
    row("a", 0.04, 0.01, 0.2), row("b", 0.01, 0.02, 0.3),
    row("c", 0.6, -0.1, 0.1), row("d", 0.03, -0.2, -0.01),
    row("e", None, 0, 0) | {"ci95": None},
    row("f", 0.04, 0.01, 0.2) | {"method": "linear_probe 1.0"},
  ]  # fmt: skip
  compare.correct(rows)
  assert [r["p_holm"] for r in rows] == pytest.approx(
    [0.09, 0.04, 0.6, 0.09, None, 0.04]
  )
  assert [r["verdict"] for r in rows] == [
    "first better, not after Holm", "first better", "no difference shown",
    "second better, not after Holm", "no interval: classes too rare",
    "first better",
  ]  # fmt: skip


def test_command_prints_a_table_and_writes_json(runs, tmp_path, capsys):
  out = tmp_path / "compare.json"
  assert cli.run(["compare", *map(str, runs), "--out", str(out)]) == 0
  text = capsys.readouterr().out
  assert "zero shot" in text
  assert "verdict" in text
  content = json.loads(out.read_text())
  assert "NaN" not in out.read_text()
  assert content["first"]["folder"] == "good"
  assert content["notes"] == []
  first = out.read_bytes()
  cli.run(["compare", *map(str, runs), "--out", str(out)])
  assert out.read_bytes() == first


def test_what_only_one_run_has_is_named(runs, tmp_path):
  other = _run(tmp_path / "asked", file="something else")
  lines = []
  content = compare.run(runs[0], other, say=lines.append)
  assert content["notes"] == [
    f"task {task}: the two have different prompts" for task in TASKS
  ]
  assert content["notes"][0] in lines
  with np.load(other / "scores.npz") as stored:
    kept = {k: v for k, v in stored.items() if "linear" not in k}
  np.savez(other / "scores.npz", **kept)
  content = compare.run(runs[0], other, say=lines.append)
  assert content["only_in_one"] == ["simulated: linear_probe 0.5"]


def _changed(folder, tmp_path, change=None, arrays=None):
  """A copy of a run with other results or arrays."""
  copy = tmp_path / "copy"
  shutil.copytree(folder, copy, dirs_exist_ok=True)
  content = json.loads((copy / "results.json").read_text())
  with np.load(copy / "scores.npz") as stored:
    kept = dict(stored)
  if change:
    change(content)
  if arrays:
    arrays(kept)
  (copy / "results.json").write_text(json.dumps(content))
  np.savez(copy / "scores.npz", **kept)
  return copy


def _merl(content):
  content["tasks"]["simulated"]["merl"] = {}


def _digest(content):
  content["data"]["digest"] = "0" * 64


def _resamples(content):
  content["tasks"]["sub"]["bootstrap"]["resamples"] = 50


def _units(content):
  content["tasks"]["sub"]["bootstrap"]["sha256"] = "0" * 64


def _tasks(content):
  content["tasks"] = {}


def _ids(arrays):
  arrays["sub/record_ids"] = arrays["sub/record_ids"][::-1]


def _labels(arrays):
  arrays["sub/labels"] = ~arrays["sub/labels"]


def _scores(arrays):
  arrays["sub/zero_shot"][3, 1] = np.nan


def _others(arrays):
  arrays["sub/zero_shot"] = -arrays["sub/zero_shot"]


def _old(arrays):
  del arrays["sub/units"]


@pytest.mark.parametrize(
  ("change", "arrays", "message"),
  [
    (_merl, None, "same --protocol"),
    (_digest, None, "dataset version differs"),
    (_resamples, None, "not paired, --bootstrap is 100 and 50"),
    (_units, None, "hash of the resampled units"),
    (_tasks, None, "share no task"),
    (None, _ids, "record ids of .* differ"),
    (None, _labels, "labels of .* differ"),
    (None, _scores, "scores of 'sub/zero_shot' are not finite"),
    (None, _others, "not of the same evaluation"),
    (None, _old, "earlier version"),
  ],
)
def test_what_cannot_be_paired_is_refused(
  runs, tmp_path, change, arrays, message
):
  copy = _changed(runs[0], tmp_path, change, arrays)
  with pytest.raises(InputError, match=message) as caught:
    compare.run(runs[0], copy, say=lambda line: None)
  assert "\n" not in str(caught.value)


def test_folders_that_are_no_results_are_refused(runs, tmp_path, capsys):
  with pytest.raises(InputError, match=r"cannot read results\.json"):
    pairing.read(tmp_path)
  broken = tmp_path / "broken"
  shutil.copytree(runs[0], broken)
  whole = (broken / "scores.npz").read_bytes()
  (broken / "scores.npz").write_bytes(whole[: len(whole) // 2])
  with pytest.raises(InputError, match="holds no whole evaluation"):
    pairing.read(broken)
  with pytest.raises(SystemExit) as stop:
    cli.main(["compare", str(runs[0]), str(runs[1]), "--out", "table.txt"])
  assert stop.value.code == 2
  assert "ends in .json" in capsys.readouterr().err
