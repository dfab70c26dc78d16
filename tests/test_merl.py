"""The `merl` protocol as a whole: faults kept, named, and beside standard."""

import csv
import json

import numpy as np
import pytest
import sklearn.metrics
from sklearn.model_selection import train_test_split

from fgclep_jax import metrics
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import merl, merl_head
from fgclep_jax.evaluation.run import Options, evaluate
from fgclep_jax.evaluation.work import FirstSeconds
from tests.evaluation_fakes import FakeModel, FakeSplit

NAMES = ("NORM", "AVB", "RAO/RAE", "ISC", "PMI")
# Columns of validation and test, as in the published files of `sub`.
MOVED = ("NORM", "ISC", "AVB", "RAO/RAE", "PMI")
OPTIONS = {
  "resamples": 40,
  "baselines": (),
  "probe_fractions": (0.1, 1.0),
  "protocols": ("standard", "merl"),
}


@pytest.fixture(autouse=True)
def _short(monkeypatch):
  """Thirty epochs show what a hundred do."""
  recipe = merl_head.Recipe
  monkeypatch.setattr(
    merl_head, "Recipe", lambda **more: recipe(epochs=30, **more)
  )


def _splits():
  splits = {
    kind: FakeSplit(kind, n, NAMES, seed=i, task="sub", noise=40.0)
    for i, (kind, n) in enumerate(
      (("train", 300), ("validation", 120), ("test", 150))
    )
  }
  for name, split in splits.items():
    columns = NAMES if name == "train" else MOVED
    order = [NAMES.index(column) for column in columns]
    labels = split.labels["sub"]
    labels[:, 4] &= name != "test"  # PMI is undefined there
    split.labels_merl = {"sub": labels[:, order]}
    split.metadata = {"class_names_merl": {name: {"sub": list(columns)}}}
    split.truth = None
  return splits


def _prompts(folder):
  path = folder / "prompts.json"
  table = {name: name for name in NAMES} | {"PMI": "a b c d e f g"}
  path.write_text(json.dumps(table))
  return str(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  folder = tmp_path_factory.mktemp("merl")
  splits, lines = _splits(), []
  with pytest.MonkeyPatch.context() as patch:
    recipe = merl_head.Recipe
    patch.setattr(merl_head, "Recipe", lambda **more: recipe(epochs=30, **more))
    content = evaluate(
      FakeModel(NAMES), FakeModel(NAMES, trained=False), splits, ("all",),
      folder, Options(prompt_file=_prompts(folder), **OPTIONS),
      progress=lines.append,
    )  # fmt: skip
  return folder, content, splits, lines


def test_both_protocols_stand_side_by_side(finished):
  folder, content, _, lines = finished
  stored = json.loads((folder / "results.json").read_text())
  assert stored == content
  block = content["tasks"]["sub"]
  assert block["zero_shot"]["protocol"] == "standard"
  assert block["zero_shot_merl"]["protocol"] == "merl"
  assert set(block["linear_probe_merl"]) == {"0.1", "1.0"}
  assert set(block["untrained"]) == {
    "zero_shot", "zero_shot_merl", "linear_probe", "linear_probe_merl",
  }  # fmt: skip
  # The file given is that of merl; standard keeps the reviewed prompts.
  assert block["zero_shot"]["prompts"]["source"] == "reviewed"
  assert block["zero_shot_merl"]["prompts"]["classes"]["AVB"] == ["AVB"]
  assert block["zero_shot_merl"]["undefined_classes"] == ["PMI"]
  assert block["zero_shot_merl"]["scaling"] == "own"
  flags = {
    n: r["flags"] for n, r in block["zero_shot_merl"]["per_class"].items()
  }
  assert flags["PMI"] == ["undefined", "truncated_prompt"]
  assert not any("truncated_prompt" in flags[name] for name in NAMES[:4])
  # Same records, same resamples: the two can be set beside each other.
  assert block["merl"]["bootstrap"] == block["bootstrap"]
  text = (folder / "results.json").read_text()
  assert "NaN" not in text
  assert "Infinity" not in text
  assert any(
    "merl probe 100%" in line and "test-tuned" in line for line in lines
  )


def test_zero_shot_goes_by_name_and_the_probe_by_position(finished):
  folder, content, splits, _ = finished
  block = content["tasks"]["sub"]
  assert block["merl"]["classes"] == list(MOVED)
  assert [c["fitted"] for c in block["merl"]["misplaced_columns"]] == [
    "AVB", "RAO/RAE", "ISC",
  ]  # fmt: skip
  probe = block["linear_probe_merl"]["1.0"]["at_best_val"]["per_class"]
  with np.load(folder / "scores.npz", allow_pickle=False) as stored:
    labels = stored["sub/labels_merl"]
    scores = stored["sub/linear_probe_merl 1.0"]
    zero = stored["sub/zero_shot_merl"]
    assert list(stored["sub/classes_merl"]) == list(MOVED)
  test = splits["test"]
  np.testing.assert_array_equal(
    labels, test.labels_merl["sub"][test.labelled["sub"]]
  )
  # Read by name, the same scores differ in the three classes alone.
  exact = test.labels["sub"][test.labelled["sub"]]
  by_name = metrics.auroc(scores, exact)
  differ = {
    name
    for name, area in zip(NAMES[:4], by_name, strict=False)
    if abs(area - probe[name]["auroc"]) > 1e-6
  }
  assert differ == {"AVB", "RAO/RAE", "ISC"}
  for c, name in enumerate(MOVED[:4]):
    area = sklearn.metrics.roc_auc_score(labels[:, c], scores[:, c])
    assert probe[name]["auroc"] == pytest.approx(area, abs=1e-6)
    area = sklearn.metrics.roc_auc_score(labels[:, c], zero[:, c])
    row = block["zero_shot_merl"]["per_class"][name]
    assert row["auroc"] == pytest.approx(area, abs=1e-6)
    assert row["auroc"] > 0.75  # by name: nothing is misplaced


def test_the_rows_are_those_of_the_published_code(finished):
  folder, content, splits, _ = finished
  subsets = json.loads((folder / "probe_subsets.json").read_text())
  train = splits["train"]
  ids = np.sort(train.record_ids[train.labelled["sub"]])
  want, _ = train_test_split(ids, train_size=0.1, random_state=42)
  assert subsets["sub_merl"]["0.1"] == [list(want)]
  probe = content["tasks"]["sub"]["linear_probe_merl"]["0.1"]
  assert probe["fitted_records"] == len(want)
  assert probe["of_records"] == len(ids)
  assert probe["row_order"] == "sorted record ids, as published"
  assert subsets["sub"]["0.1"][0] != subsets["sub_merl"]["0.1"][0]


def test_what_was_chosen_on_test_is_named_so(finished):
  _, content, _, _ = finished
  for probe in content["tasks"]["sub"]["linear_probe_merl"].values():
    own = probe["at_best_val"]
    assert probe["max_test_auroc"] >= own["macro_auroc"]
    assert probe["optimism"] == pytest.approx(
      probe["max_test_auroc"] - own["macro_auroc"], abs=2e-6
    )
    assert probe["max_test_f1"] >= own["macro_f1_test_tuned"] - 1e-6
    accuracy = own["macro_accuracy_test_tuned"]
    assert probe["max_test_accuracy"] >= accuracy - 1e-6
    low, high = probe["max_test_auroc_ci95"]
    assert low < probe["max_test_auroc"] < high
    names = {*own, *own["per_class"]["NORM"]}
    assert not [n for n in names if "f1" in n and "test_tuned" not in n]
    assert probe["recipe"]["weight_decay"] == 1e-4
    assert own["undefined_classes"] == ["PMI"]
    assert own["per_class"]["PMI"]["auroc"] is None


def test_epochs_are_chosen_by_position_too(finished):
  """The whole probe again, with scikit-learn judging every epoch."""
  _, content, splits, _ = finished
  x, y = {}, {}
  for name, split in splits.items():
    rows = np.flatnonzero(split.labelled["sub"])
    rows = rows[np.argsort(split.record_ids[rows])]
    signals = split.signals(rows, 100, 200)
    x[name] = FakeModel(NAMES).encode_ecg(signals)[1]
    y[name] = split.labels_merl["sub"][rows]
  heads = merl_head.train(x["train"], y["train"], merl_head.Recipe())

  def macros(name):
    classes = [c for c in range(5) if y[name][:, c].any()]
    return [
      np.mean(
        [sklearn.metrics.roc_auc_score(y[name][:, c], s[:, c]) for c in classes]
      )
      for s in heads.scores(x[name])
    ]

  probe = content["tasks"]["sub"]["linear_probe_merl"]["1.0"]
  best = int(np.argmax(macros("validation")))
  assert probe["at_best_val"]["epoch"] == best + 1
  assert probe["at_best_val"]["val_auroc"] == pytest.approx(
    macros("validation")[best], abs=1e-5
  )
  tested = macros("test")
  assert probe["max_test_auroc"] == pytest.approx(max(tested), abs=1e-5)
  assert probe["max_test_epoch"] == int(np.argmax(tested)) + 1
  assert probe["optimism"] == pytest.approx(
    max(tested) - tested[best], abs=1e-5
  )


def test_rows_of_the_table(finished):
  folder, _, _, _ = finished
  with open(folder / "per_class.csv", encoding="utf-8") as file:
    rows = [r for r in csv.DictReader(file) if r["protocol"] == "merl"]
  kinds = {(r["method"], r["fraction"]) for r in rows}
  assert ("zero_shot_merl", "") in kinds
  assert ("untrained linear_probe_merl", "0.1") in kinds
  assert len(rows) == len(kinds) * len(NAMES)
  for row in rows:
    assert row["f1"] == ""
    assert bool(row["f1_test_tuned"]) == (row["class"] != "PMI")


def test_report_has_both_columns(finished):
  folder, content, _, _ = finished
  page = (folder / "report.html").read_text(encoding="utf-8")
  probe = content["tasks"]["sub"]["linear_probe_merl"]["0.1"]
  own = probe["at_best_val"]
  for value in (
    probe["max_test_auroc"], probe["max_test_auroc_n10"],
    own["macro_auroc"], own["macro_auroc_n10"],
  ):  # fmt: skip
    assert f"<td>{100 * value:.1f}</td>" in page
  for words in (
    "Protocol merl", "test-tuned", "AVB as ISC", "scaling: own",
    "Prompts of merl",
  ):  # fmt: skip
    assert words in page


def test_without_merl_nothing_of_it_is_there(tmp_path):
  options = OPTIONS | {"protocols": ("standard",)}
  content = evaluate(
    FakeModel(NAMES), None, _splits(), ("all",), tmp_path, Options(**options)
  )
  text = (tmp_path / "results.json").read_text()
  page = (tmp_path / "report.html").read_text(encoding="utf-8")
  assert "merl" not in text
  assert "merl" not in page
  assert "zero_shot" in content["tasks"]["sub"]


def test_without_the_published_prompts_there_is_a_reason(tmp_path):
  options = OPTIONS | {"probe_fractions": (0.001,)}
  content = evaluate(
    FakeModel(NAMES), None, _splits(), ("all",), tmp_path, Options(**options)
  )
  block = content["tasks"]["sub"]
  assert block["zero_shot_merl"]["macro_auroc"] is None
  assert "CKEPE_prompt.json" in block["zero_shot_merl"]["reason"]
  probe = block["linear_probe_merl"]["0.001"]
  assert probe["macro_auroc"] is None
  assert "larger share" in probe["reason"]
  page = (tmp_path / "report.html").read_text(encoding="utf-8")
  assert "CKEPE_prompt.json" in page


def test_repeated_run_writes_the_same_bytes(finished, tmp_path):
  folder, _, _, _ = finished
  evaluate(
    FakeModel(NAMES), FakeModel(NAMES, trained=False), _splits(), ("all",),
    tmp_path, Options(prompt_file=str(folder / "prompts.json"), **OPTIONS),
  )  # fmt: skip
  for name in ("results.json", "per_class.csv", "report.html", "scores.npz"):
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_tasks_without_published_labels_are_left_out(tmp_path):
  splits = _splits()
  for split in splits.values():
    split.labels["features"] = split.labels["sub"]
    split.labelled["features"] = split.labelled["sub"]
    split.class_names["features"] = NAMES
  content = evaluate(
    FakeModel(NAMES), None, splits, ("all",), tmp_path,
    Options(**OPTIONS | {"probe_fractions": ()}),
  )  # fmt: skip
  assert "merl" in content["tasks"]["sub"]
  assert "merl" not in content["tasks"]["features"]
  assert not merl.has_task(splits["test"], "features")


def test_long_records_are_half_padding():
  """CPSC2018: the first 2,500 of 5,000 samples at 500 Hz, then zeros."""
  split = FakeSplit("test", 6, NAMES, task="cpsc", dataset="cpsc2018")
  form = FirstSeconds(split, 5.0)
  found, counts = form.windows(np.arange(6), 100, 1000, "named only")
  assert found.shape == (6, 12, 1000)
  assert counts.tolist() == [1] * 6
  want, _ = split.windows(np.arange(6), 100, 500, "first")
  np.testing.assert_array_equal(found[..., :500], want)
  assert not found[..., 500:].any()


def test_only_merl_reads_long_records_so(tmp_path):
  splits = _splits()
  for split in splits.values():
    split.dataset = "cpsc2018"
  options = OPTIONS | {"probe_fractions": (1.0,)}
  content = evaluate(
    FakeModel(NAMES), None, splits, ("all",), tmp_path,
    Options(prompt_file=_prompts(tmp_path), **options),
  )  # fmt: skip
  # A model of 2 s sees no difference; every split was read a second time.
  rows = np.concatenate(splits["test"].read)
  assert np.bincount(rows).tolist() == [2] * 150
  block = content["tasks"]["sub"]
  names = block["merl"]["classes"]
  for name in names[:4]:
    first, second = (
      block[kind]["per_class"][name]["auroc"]
      for kind in ("zero_shot", "zero_shot_merl")
    )
    assert 0 < first < 1
    assert 0 < second < 1


def test_refusals(tmp_path):
  with pytest.raises(InputError, match="give standard, or standard,merl"):
    Options(protocols=("merl",))
  with pytest.raises(InputError, match="batch or epoch"):
    merl_head.Recipe(schedule="step")
  path = tmp_path / "few.json"
  path.write_text('{"NORM": "normal"}')
  splits = _splits()
  with pytest.raises(InputError, match=r"no prompt in .* for 4 of 5 classes"):
    evaluate(
      FakeModel(NAMES), None, splits, ("all",), tmp_path,
      Options(prompt_file=str(path), **OPTIONS),
    )  # fmt: skip
  with pytest.raises(InputError, match=r"cannot read .*ptbxl_sub_class_train"):
    evaluate(
      FakeModel(NAMES), None, splits, ("all",), tmp_path,
      Options(merl_splits=str(tmp_path), **OPTIONS),
    )  # fmt: skip
  assert not splits["test"].read  # told before anything is read
