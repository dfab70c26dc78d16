"""The whole evaluation on a fake model: numbers, files, refusals."""

import csv
import html.parser
import json

import numpy as np
import pytest
import sklearn.metrics

from fgclep_jax import metrics
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import results
from fgclep_jax.evaluation.parts import make_parts
from fgclep_jax.evaluation.run import Options, evaluate
from tests.evaluation_fakes import FakeModel, FakeSplit

NAMES = ("sinus rhythm", "atrial fibrillation", "<script>alert(1)</script>",
         "=1+2\u202e", "never seen")  # fmt: skip
OPTIONS = Options(probe_fractions=(0.2, 1.0), resamples=200, batch_size=32)


def _splits(names=NAMES, sizes=(160, 70, 90)):
  kinds = ("train", "validation", "test")
  splits = {
    kind: FakeSplit(kind, n, names, seed=i)
    for i, (kind, n) in enumerate(zip(kinds, sizes, strict=True))
  }
  labels = splits["test"].labels["simulated"]
  labels[:, len(names) - 1] = 0
  if len(names) > 3:
    labels[8:, 3] = 0  # fewer than 10 positives
  splits["test"].truth = labels.copy()
  return splits


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  folder = tmp_path_factory.mktemp("evaluation")
  lines = []
  content = evaluate(
    FakeModel(NAMES), FakeModel(NAMES, trained=False), _splits(), ("all",),
    folder, OPTIONS, run={"time": "then", "command": "fgclep <x>"},
    progress=lines.append,
  )  # fmt: skip
  return folder, content, lines


def test_results_have_the_schema_and_the_numbers(finished):
  folder, content, _ = finished
  stored = json.loads((folder / "results.json").read_text())
  assert stored == content
  block = stored["tasks"]["simulated"]
  zero = block["zero_shot"]
  assert zero["protocol"] == "standard"
  assert 0.7 < zero["macro_auroc"] < 1
  assert zero["ci95"][0] < zero["macro_auroc"] < zero["ci95"][1]
  assert zero["classes_averaged"] == 4
  assert zero["undefined_classes"] == ["never seen"]
  assert zero["per_class"]["never seen"]["auroc"] is None
  assert "undefined" in zero["per_class"]["never seen"]["flags"]
  assert set(zero["prompts"]["classes"]) == set(NAMES)
  assert set(block["linear_probe"]) == {"0.2", "1.0"}
  assert block["linear_probe"]["0.2"]["seeds"] == 5
  assert block["bootstrap"]["unit"] == "patient"
  untrained = block["untrained"]["zero_shot"]["macro_auroc"]
  assert zero["macro_auroc"] > untrained + 0.15
  baselines = block["baselines"]
  assert baselines["true_features"]["role"].startswith("ceiling")
  ceiling = baselines["true_features"]["linear_probe"]["1.0"]["macro_auroc"]
  assert ceiling == pytest.approx(1)
  assert baselines["pooled_statistics"]["role"].startswith("floor")
  assert "random_kernels" in baselines
  pairs = {(p["first"], p["second"]): p for p in block["paired"]}
  assert pairs["zero_shot", "untrained zero_shot"]["ci95"][0] > 0
  assert stored["data"]["parts"]["test"]["records"] == 90
  assert stored["data"]["window"] == "cover"
  assert block["records"] < 90  # unlabelled records are not part of a task


def test_numbers_follow_from_the_stored_scores(finished):
  folder, content, _ = finished
  block = content["tasks"]["simulated"]
  with np.load(folder / "scores.npz", allow_pickle=False) as stored:
    labels = stored["simulated/labels"]
    area = metrics.auroc(stored["simulated/zero_shot"], labels)
    probe = metrics.auroc(stored["simulated/linear_probe 1.0"], labels)
    assert len(stored["simulated/record_ids"]) == block["records"]
  zero, head = block["zero_shot"], block["linear_probe"]["1.0"]
  assert zero["classes_averaged_n10"] == 3
  assert zero["macro_auroc_n10"] == pytest.approx(area[:3].mean(), abs=1e-6)
  low, high = zero["ci95_n10"]
  assert low < zero["macro_auroc_n10"] < high
  assert "n_pos<10" in zero["per_class"]["=1+2\u202e"]["flags"]
  assert metrics.macro(area) == pytest.approx(zero["macro_auroc"], abs=1e-6)
  assert metrics.macro(probe) == pytest.approx(head["macro_auroc"], abs=1e-6)
  with open(folder / "per_class.csv", encoding="utf-8") as file:
    rows = list(csv.DictReader(file))
  own = [r for r in rows if r["method"] == "zero_shot"]
  assert len(own) == 5
  assert float(own[0]["auroc"]) == pytest.approx(area[0], abs=1e-6)
  assert own[4]["auroc"] == ""
  # 5 seeds, their mean, and the whole training set: 7 rows a class.
  probes = [r for r in rows if r["method"] == "linear_probe"]
  assert len(probes) == 7 * 5
  values = [
    float(r["auroc"])
    for r in probes
    if r["class"] == NAMES[0] and r["fraction"] == "0.2"
  ]
  assert [r["seed"] for r in probes[: 6 * 5 : 5]] == [*"01234", "mean"]
  assert np.mean(values[:5]) == pytest.approx(values[5], abs=1e-5)
  subsets = json.loads((folder / "probe_subsets.json").read_text())
  assert [len(subsets["simulated"]["0.2"]), len(subsets["simulated"]["1.0"])] \
    == [5, 1]  # fmt: skip


def test_nothing_is_nan_and_hostile_names_are_inert(finished):
  folder, _, _ = finished
  text = (folder / "results.json").read_text()
  assert "NaN" not in text
  assert "Infinity" not in text
  assert "\u202e" not in text
  table = (folder / "per_class.csv").read_text(encoding="utf-8")
  assert "\u202e" not in table
  assert ",'=1+2" in table
  page = (folder / "report.html").read_text(encoding="utf-8")
  assert "\u202e" not in page
  assert "<script" not in page
  assert "&lt;script&gt;" in page
  assert "fgclep &lt;x&gt;" in page


class _Reader(html.parser.HTMLParser):
  def __init__(self):
    super().__init__()
    self.tags, self.sources, self.open = set(), [], []

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    self.sources += [v for k, v in attrs if k in ("src", "href", "srcset")]
    if tag not in ("meta", "img", "br"):
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag


def test_report_is_one_well_formed_file_without_requests(finished):
  folder, content, lines = finished
  page = (folder / "report.html").read_text(encoding="utf-8")
  assert "http" not in page
  assert "url(" not in page
  assert "@import" not in page
  reader = _Reader()
  reader.feed(page)
  assert reader.open == []
  assert not reader.tags & {"script", "link", "iframe", "object", "svg"}
  # Classes, ROC, confusion of zero-shot and probe, reliability.
  assert len(reader.sources) == 5
  assert all(s.startswith("data:image/png;base64,") for s in reader.sources)
  assert "Not a medical device" in page
  value = content["tasks"]["simulated"]["zero_shot"]["macro_auroc"]
  assert f"<td>{100 * value:.1f}</td>" in page
  assert (folder / "report.png").read_bytes()[:4] == b"\x89PNG"
  for word in ("ceiling", "floor", "untrained", "Prompts", "digest"):
    assert word in page
  assert any("zero-shot" in line and "ceiling" not in line for line in lines)
  assert any("ceiling" in line for line in lines)
  # No ids of records or patients.
  assert "test00001" not in page
  assert "test-p" not in page


def test_repeated_run_writes_the_same_bytes(finished, tmp_path):
  folder, _, _ = finished
  evaluate(
    FakeModel(NAMES), FakeModel(NAMES, trained=False), _splits(),
    ("simulated",), tmp_path, OPTIONS,
    run={"time": "then", "command": "fgclep <x>"},
  )  # fmt: skip
  for name in (
    "results.json", "per_class.csv", "report.html", "report.png",
    "scores.npz", "probe_subsets.json",
  ):  # fmt: skip
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name


def test_validation_split_is_not_chosen_on(tmp_path):
  splits = _splits(NAMES[:2])
  del splits["test"]
  options = Options(split="validation", resamples=50, baselines=())
  content = evaluate(
    FakeModel(NAMES[:2]), None, splits, ("all",), tmp_path, options
  )
  parts = content["data"]["parts"]
  assert parts["test"]["split"] == "validation"
  assert parts["fit"]["split"] == parts["choice"]["split"] == "train"
  assert parts["fit"]["records"] + parts["choice"]["records"] == 160
  assert parts["fit"]["patients"] + parts["choice"]["patients"] == len(
    set(splits["train"].patient_ids)
  )
  assert "untrained" not in content["tasks"]["simulated"]
  made, _ = make_parts(splits, "validation")
  inner = set(splits["train"].patient_ids[made["choice"].rows])
  assert not inner & set(splits["train"].patient_ids[made["fit"].rows])


def test_order_of_records_changes_no_number(tmp_path):
  def run(splits, folder):
    options = Options(resamples=100, baselines=())
    content = evaluate(
      FakeModel(NAMES[:3]), None, splits, ("all",), folder, options
    )
    return content["tasks"]["simulated"]["zero_shot"]

  first = run(_splits(NAMES[:3]), tmp_path / "first")
  splits = _splits(NAMES[:3])
  test = splits["test"]
  rows = np.random.default_rng(1).permutation(len(test))
  for name in ("record_ids", "patient_ids", "level", "truth"):
    setattr(test, name, getattr(test, name)[rows])
  test.labels["simulated"] = test.labels["simulated"][rows]
  test.labelled["simulated"] = test.labelled["simulated"][rows]
  second = run(splits, tmp_path / "second")
  assert first["macro_auroc"] == second["macro_auroc"]
  assert first["ci95"] == second["ci95"]


def test_confusion_calibration_and_subgroups_are_told(finished):
  folder, content, _ = finished
  block = content["tasks"]["simulated"]
  with np.load(folder / "scores.npz", allow_pickle=False) as stored:
    labels = stored["simulated/labels"]
    scores = stored["simulated/linear_probe 1.0"]
  found = block["confusion"]["linear_probe 1.0"]["per_class"][NAMES[0]]
  probe = block["linear_probe"]["1.0"]["per_class"][NAMES[0]]
  assert found["threshold"] == probe["threshold"]
  assert found["tp"] + found["fn"] == probe["n_pos"] == labels[:, 0].sum()
  f1 = 2 * found["tp"] / (2 * found["tp"] + found["fp"] + found["fn"])
  assert f1 == pytest.approx(probe["f1"], abs=1e-6)
  never = block["confusion"]["zero_shot"]["per_class"]["never seen"]
  assert never["sensitivity"] is None
  calibrated = block["calibration"]["1.0"]
  assert set(block["calibration"]) == {"0.2", "1.0"}
  assert calibrated["fitted_on"] == "validation"
  assert calibrated["undefined_classes"] == ["never seen"]
  chance = 1 / (1 + np.exp(-scores[:, 0].astype(float)))
  row = calibrated["per_class"][NAMES[0]]
  assert row["before"]["brier"] == pytest.approx(
    sklearn.metrics.brier_score_loss(labels[:, 0], chance), abs=1e-6
  )
  chance = 1 / (1 + np.exp(-scores[:, 0] / calibrated["temperature"]))
  assert row["after"]["log_loss"] == pytest.approx(
    sklearn.metrics.log_loss(labels[:, 0], chance), abs=1e-5
  )
  sexes = block["subgroups"]["sex"]
  groups = sexes["groups"].values()
  assert sum(g["n"] for g in groups) + sexes["in_no_group"] == len(labels)
  rare = sexes["groups"]["male"]["zero_shot"]["per_class"][NAMES[3]]
  assert set(rare) == {"n", "n_pos"}
  page = (folder / "report.html").read_text(encoding="utf-8")
  for word in ("Confusion", "Calibration of the probe", "age 18-39", "ECE"):
    assert word in page


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
  """Tasks `simulated` and `features`, a second model beside the first."""
  folder = tmp_path_factory.mktemp("compared")
  splits, lines = _splits(), []
  for split in splits.values():
    split.labels["features"] = split.truth
    split.labelled["features"] = np.ones(len(split), bool)
    split.class_names["features"] = split.feature_names
  model, other = FakeModel(NAMES), FakeModel(NAMES, trained=False)
  model.embed_text = lambda texts: FakeModel(NAMES).embed_text(
    [NAMES[int(t[-1])] if t.startswith("feature ") else t for t in texts]
  )
  options = Options(
    probe_fractions=(1.0,), probe_tasks=("simulated",), resamples=50,
    baselines=("pooled_statistics",),
  )  # fmt: skip
  content = evaluate(
    model, FakeModel(NAMES[::-1], trained=False), splits, ("all",), folder,
    options, progress=lines.append, beside={"coarse <b>": other},
  )  # fmt: skip
  return folder, content, lines, splits


def test_features_are_a_zero_shot_task(compared):
  folder, content, _, splits = compared
  block = content["tasks"]["features"]
  zero = block["zero_shot"]
  assert block["records"] == len(splits["test"]) == 90
  assert zero["prompts"]["classes"]["feature 2"] == ["feature 2"]
  assert zero["undefined_classes"] == ["feature 4"]
  assert "n_pos<10" in zero["per_class"]["feature 3"]["flags"]
  with np.load(folder / "scores.npz", allow_pickle=False) as stored:
    scores = stored["features/zero_shot"]
  area = [
    sklearn.metrics.roc_auc_score(splits["test"].truth[:, c], scores[:, c])
    for c in range(4)
  ]
  for c in range(4):
    row = zero["per_class"][f"feature {c}"]
    assert row["auroc"] == pytest.approx(area[c], abs=1e-6)
  assert zero["macro_auroc"] == pytest.approx(np.mean(area), abs=1e-6)
  assert zero["macro_auroc_n10"] == pytest.approx(np.mean(area[:3]), abs=1e-6)
  # Only the other task was to be probed; the truth is no baseline here.
  assert "linear_probe" not in block
  assert "baselines" not in block
  assert "true_features" in content["tasks"]["simulated"]["baselines"]


def test_truth_is_no_baseline_of_its_own_task(tmp_path):
  splits = _splits(NAMES[:2], (60, 40, 40))
  for split in splits.values():
    split.labels["features"] = split.truth
    split.labelled["features"] = np.ones(len(split), bool)
    split.class_names["features"] = split.feature_names
  content = evaluate(
    FakeModel(NAMES[:2]), None, splits, ("features",), tmp_path,
    Options(resamples=20, baselines=("pooled_statistics",)),
  )  # fmt: skip
  block = content["tasks"]["features"]
  assert set(block["baselines"]) == {"pooled_statistics"}
  assert "1.0" in block["linear_probe"]


def test_difference_to_the_model_beside_by_hand(compared):
  folder, content, lines, splits = compared
  test = splits["test"]
  with np.load(folder / "scores.npz", allow_pickle=False) as stored:
    own = stored["features/zero_shot"]
    other = stored["features/coarse <b> zero_shot"]
  stream = metrics.Resamples([f"p/{p}" for p in test.patient_ids], 0)
  drawn, k = [], 0
  while len(drawn) < 50:  # patients as often as drawn, scikit-learn's AUROC
    weight, k = stream.weights(k, k + 1)[0], k + 1
    labels = test.truth[:, :4].astype(bool)
    if not all((weight @ labels > 0) & (weight @ ~labels > 0)):
      continue
    rows = np.repeat(np.arange(len(test)), weight)
    first, second = (
      np.mean(
        [
          sklearn.metrics.roc_auc_score(labels[rows, c], scores[rows, c])
          for c in range(4)
        ]
      )
      for scores in (own, other)
    )
    drawn.append(first - second)
  block = content["tasks"]["features"]
  pairs = {(p["first"], p["second"]): p for p in block["paired"]}
  pair = pairs["zero_shot", "coarse <b> zero_shot"]
  assert pair["difference"] == pytest.approx(np.mean(drawn), abs=1e-6)
  bounds = np.percentile(drawn, [2.5, 97.5])
  assert pair["ci95"] == pytest.approx(bounds, abs=1e-6)
  assert pair["ci95"][0] > 0
  assert ("zero_shot", "untrained zero_shot") in pairs
  summary = block["beside"]["coarse <b>"]["zero_shot"]
  assert summary["classes_averaged"] == 4
  assert content["beside"]["coarse <b>"]["checkpoint"]["hash"]
  assert any("zero shot minus coarse <b> zero shot" in x for x in lines)
  page = (folder / "report.html").read_text(encoding="utf-8")
  assert "Beside: coarse &lt;b&gt;" in page
  assert "zero shot minus coarse &lt;b&gt; zero shot" in page


def test_without_a_probe_train_is_not_read(tmp_path):
  splits = _splits(NAMES[:3])
  options = Options(probe_fractions=(), resamples=20)
  evaluate(FakeModel(NAMES), None, splits, ("all",), tmp_path, options)
  assert not splits["train"].read
  assert len(np.concatenate(splits["test"].read)) == 90


def test_models_that_cannot_stand_beside_are_refused(tmp_path):
  model, splits = FakeModel(NAMES), _splits()

  def refused(message, beside=None, **changes):
    with pytest.raises(InputError, match=message) as caught:
      evaluate(
        model, None, splits, ("all",), tmp_path, Options(**changes),
        beside=beside,
      )  # fmt: skip
    assert "\n" not in str(caught.value)

  seen = FakeModel(NAMES)
  seen.checkpoint["trained_on"] = {"dataset": "fake_ecg", "split": "test"}
  refused("of coarse was trained on split 'test'", {"coarse": seen})
  refused("stands for another method", {"untrained": FakeModel(NAMES)})
  wordless = FakeModel(NAMES)
  wordless.tokenizer = None
  refused("of coarse is an ECG encoder without tokenizer", {"coarse": wordless})
  assert not wordless.batches
  assert not model.batches
  refused("task 'super' to probe is not", probe_tasks=("super",))


def test_bad_input_gets_one_line(tmp_path):
  model, splits = FakeModel(NAMES), _splits()

  def refused(message, tasks=("all",), **changes):
    with pytest.raises(InputError, match=message) as caught:
      evaluate(model, None, splits, tasks, tmp_path, Options(**changes))
    assert "\n" not in str(caught.value)

  refused("task 'super' is not in dataset fake_ecg", tasks=("super",))
  refused("no split 'fold10'", split="fold10")
  refused("needs a train split beside", split="train")
  refused("above 0, at most 1", probe_fractions=(0.0,))
  refused("cannot read prompt file", prompt_file="/nowhere.json")
  splits["test"].patient_ids[:3] = splits["train"].patient_ids[0]
  refused("3 of 90 records .* share a patient")
  options = Options(
    allow_overlap=True, resamples=20, probe_fractions=(), baselines=()
  )
  content = evaluate(model, None, splits, ("all",), tmp_path, options)
  assert content["data"]["overlap_records"] == 3
  assert content["data"]["overlap_allowed"] is True
  splits["test"].labelled["simulated"][:] = False
  refused("no record of split 'test' has a label")


def test_clean_values_are_plain_json():
  dirty = {
    1: np.float32(0.12345678),
    "a": [np.nan, np.inf, np.int64(3), np.bool_(True)],
    "b": (None, np.array([1.5])),
  }
  assert results.clean(dirty) == {
    "1": 0.123457,
    "a": [None, None, 3, True],
    "b": [None, [1.5]],
  }
