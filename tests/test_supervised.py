"""Encoders trained on labels: the step, the fit, and their place in results."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fgclep_jax import config as c
from fgclep_jax import metrics, sharding
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import results, standard, supervised
from fgclep_jax.evaluation.options import Options
from fgclep_jax.evaluation.parts import make_parts
from fgclep_jax.evaluation.run import evaluate
from fgclep_jax.models import inputs, two_tower
from fgclep_jax.models.embedder import Model
from fgclep_jax.reports.tokenizer import train_vocabulary
from fgclep_jax.training import classifier, steps
from tests.evaluation_fakes import FakeSplit

NAMES = ("sinus rhythm", "atrial fibrillation", "never seen")
CONFIG = c.override(
  c.TrainConfig(),
  {
    "data.rate": "100",
    "data.seconds": "1",
    "model.compute": "float32",
    "model.ecg.name": "resnet",
    "model.ecg.width": "8",
    "model.ecg.stages": "[1, 1]",
    "model.text.width": "16",
    "model.text.depth": "1",
    "model.text.heads": "2",
    "model.text.mlp": "16",
    "model.embedding": "16",
    "augment.scale": "0.1",
  },
)
RECIPE = classifier.Recipe(least_steps=40, checks=4, batch=16)


def _mesh(count=1):
  return sharding.make_mesh(c.MeshConfig(), jax.devices()[:count])


def _problem(n=96, seed=0):
  """Signals whose level is their label: (n, 12, 100) int16, (n, 2)."""
  rng = np.random.default_rng(seed)
  labels = rng.random((n, 2)) < [0.5, 0.3]
  level = np.zeros((n, 12, 1))
  level[:, 0, 0], level[:, 6, 0] = 300 * labels.T
  noise = rng.normal(0, 60, (n, 12, 100))
  return (level + noise).astype(np.int16), labels


def _fit(signals, labels, seed=0, devices=1, recipe=RECIPE, judge=None):
  params = classifier.start(CONFIG, None, labels.shape[1], seed)
  return classifier.fit(
    CONFIG, params, lambda rows: signals[rows], labels,
    judge or (lambda params: 0.0), recipe, 40, seed, _mesh(devices),
  )  # fmt: skip


def _logits(params, signals):
  encoder, (kernel, bias) = classifier.apart(params)
  _, features = Model(CONFIG, None, encoder).encode_ecg(signals)
  return features @ np.asarray(kernel) + np.asarray(bias)


def test_a_step_is_the_gradient_of_cross_entropy_and_keeps_statistics():
  """Plain descent by hand in float64, from the batch's own features."""
  signals, labels = _problem(16)
  config = dataclasses.replace(CONFIG, augment=c.AugmentConfig())
  params = classifier.start(config, None, 2, 3)
  rng = np.random.default_rng(5)
  shape = params[classifier.KERNEL].shape
  params[classifier.KERNEL] = jnp.float32(rng.normal(0, 0.3, shape))
  definition, names = two_tower.abstract(config, None)
  unused = {n for n in names if n.startswith("ecg_projection")}
  optimizer = optax.sgd(1.0)
  trainable, _ = steps.split(params, unused)
  state = steps.TrainState(jnp.int32(0), params, optimizer.init(trainable))
  step = functools.partial(
    classifier._step, definition=definition, config=config,
    optimizer=optimizer, frozen=frozenset(unused),
  )  # fmt: skip
  after, told = jax.jit(step)(
    state, signals, labels.astype(np.float32), jax.random.key(0)
  )

  @jax.jit
  def seen(encoder):
    model = two_tower.merge(definition, encoder)
    _, pooled, _ = model.encode_ecg(inputs.millivolts(signals), train=True)
    return pooled, two_tower.statistics(model)

  encoder, (kernel, _) = classifier.apart(params)
  pooled, statistics = seen(encoder)
  pooled, kernel = np.asarray(pooled, float), np.asarray(kernel, float)
  chance = 1 / (1 + np.exp(-pooled @ kernel))
  loss = -np.log(np.where(labels, chance, 1 - chance)).mean()
  assert float(told["loss"]) == pytest.approx(loss, abs=1e-5)
  error = (chance - labels) / labels.size
  moved = after.params
  np.testing.assert_allclose(
    moved[classifier.KERNEL], kernel - pooled.T @ error, atol=1e-5
  )
  np.testing.assert_allclose(
    moved[classifier.BIAS], -error.sum(0), atol=1e-6
  )
  for name, value in statistics.items():
    np.testing.assert_allclose(moved[name], value, atol=1e-6)
    assert not np.array_equal(moved[name], params[name])
  for name in unused:
    assert np.array_equal(moved[name], params[name])


def test_every_record_is_seen_equally_often_and_no_batch_is_short():
  rows = classifier.order(10, 4, 25, seed=3)
  assert rows.shape == (25, 4)
  assert np.all(np.bincount(rows.ravel()) == 10)
  assert sorted(rows.ravel()[:10]) == list(range(10))
  assert not np.array_equal(rows, classifier.order(10, 4, 25, seed=4))
  assert classifier.order(3, 8, 2, seed=0).shape == (2, 8)


def test_small_subsets_get_small_batches():
  assert classifier.batch_size(64, 1000, 1) == 64
  assert [classifier.batch_size(64, n, 1) for n in (45, 44, 1)] == [32, 32, 1]
  assert [classifier.batch_size(64, n, 8) for n in (45, 5)] == [32, 8]


def test_a_fit_learns_and_is_the_same_again():
  signals, labels = _problem()
  others, truth = _problem(seed=1)

  def judge(params):
    return metrics.macro(metrics.auroc(_logits(params, others), truth))

  first = _fit(signals, labels, judge=judge)
  assert max(first.curve.values()) > 0.9
  assert judge(first.params) == first.curve[first.step]
  assert first.curve[first.step] == max(first.curve.values())
  assert sorted(first.curve) == [10, 20, 30, 40]
  again = _fit(signals, labels, judge=judge)
  other = _fit(signals, labels, seed=1, judge=judge)
  for name, value in first.params.items():
    assert np.array_equal(value, again.params[name])
  kernel = classifier.KERNEL
  assert not np.array_equal(first.params[kernel], other.params[kernel])


def test_a_fit_ends_where_nothing_gets_better():
  values = iter([0.5, 0.7, 0.6, 0.7])
  recipe = dataclasses.replace(RECIPE, patience=2, checks=8)
  found = _fit(*_problem(), recipe=recipe, judge=lambda _: next(values))
  assert found.curve == {5: 0.5, 10: 0.7, 15: 0.6, 20: 0.7}
  assert found.step == 10


def test_devices_share_a_batch():
  signals, labels = _problem()
  one, many = (_fit(signals, labels, devices=n) for n in (1, 8))
  for name, value in one.params.items():
    # Adam divides by small second moments: sums in another order show.
    np.testing.assert_allclose(many.params[name], value, atol=2e-3)


def _splits():
  sizes = {"train": 150, "validation": 60, "test": 80}
  splits = {
    name: FakeSplit(name, n, NAMES, seed=i)
    for i, (name, n) in enumerate(sizes.items())
  }
  for name in ("train", "validation"):
    splits[name].labels["simulated"][:, 2] = 0
  return splits


def _model():
  vocabulary = train_vocabulary(NAMES, 60)
  origin = {"hash": "tiny", "step": 1}
  return Model(CONFIG, vocabulary, checkpoint=origin)


OPTIONS = Options(
  probe_fractions=(0.3, 1.0), resamples=50, baselines=(), finetune=True,
  supervised=True, epochs=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def brief():
  """The recipes, cut short."""
  with pytest.MonkeyPatch.context() as patch:
    for name, recipe in supervised.RECIPES.items():
      short = dataclasses.replace(recipe, least_steps=20, checks=2, batch=16)
      patch.setitem(supervised.RECIPES, name, short)
    yield


@pytest.fixture(scope="module")
def finished(brief, tmp_path_factory):
  folder = tmp_path_factory.mktemp("supervised")
  splits, lines = _splits(), []
  content = evaluate(
    _model(), None, splits, ("simulated",), folder, OPTIONS,
    progress=lines.append,
  )  # fmt: skip
  return folder, content, lines, splits


def test_both_methods_stand_in_the_same_table(finished):
  folder, content, lines, _ = finished
  block = content["tasks"]["simulated"]
  found = {
    "fine-tuned": block["finetuned"],
    "supervised (baseline)": block["baselines"]["supervised"],
  }
  names = dict(results.methods_of(block))
  for name, entry in found.items():
    for share, seeds in (("0.3", 5), ("1.0", 1)):
      summary, probe = entry[share], block["linear_probe"][share]
      assert names[f"{name} {float(share):.0%}"] == summary
      assert summary["fitted_records"] == probe["fitted_records"]
      assert summary["chosen_on"] == "validation"
      assert len(summary["validation"]) == len(summary["best_step"]) == seeds
      low, high = summary["ci95"]
      assert low <= summary["macro_auroc"] <= high
      # Without a positive to learn from the class scores a constant.
      assert summary["untrainable_classes"] == ["never seen"]
      assert summary["per_class"]["never seen"]["auroc"] == 0.5
      assert f"{name} {float(share):.0%}" in " ".join(lines)
  assert found["fine-tuned"]["1.0"]["start"] == "checkpoint"
  assert found["fine-tuned"]["1.0"]["recipe"]["encoder_rate"] == 0.1
  assert "fresh" in found["supervised (baseline)"]["1.0"]["start"]
  assert found["supervised (baseline)"]["role"].startswith("baseline")
  pairs = {(p["first"], p["second"]) for p in block["paired"]}
  assert {
    ("finetuned 1.0", "linear_probe 1.0"),
    ("finetuned 1.0", "supervised 1.0"),
    ("linear_probe 1.0", "supervised 1.0"),
  } <= pairs
  page = (folder / "report.html").read_text()
  assert "fine-tuned 100%" in page
  assert "owe nothing to pre-training" in page
  with np.load(folder / "scores.npz", allow_pickle=False) as stored:
    scores, labels = (
      stored[f"simulated/{n}"] for n in ("supervised 1.0", "labels")
    )
  area = metrics.macro(metrics.auroc(scores, labels))
  stated = found["supervised (baseline)"]["1.0"]["macro_auroc"]
  assert area == pytest.approx(stated, abs=1e-6)


def test_tested_labels_decide_nothing(finished, brief, tmp_path):
  """Other labels of the tested records: the same choices, other figures."""
  _, content, _, _ = finished
  splits = _splits()
  rng = np.random.default_rng(8)
  labels = splits["test"].labels["simulated"]
  labels[:] = rng.permutation(labels)
  other = evaluate(
    _model(), None, splits, ("simulated",), tmp_path,
    dataclasses.replace(OPTIONS, probe_fractions=(0.3,)),
  )  # fmt: skip
  for way in (("finetuned",), ("baselines", "supervised")):
    was, now = content["tasks"]["simulated"], other["tasks"]["simulated"]
    for name in (*way, "0.3"):
      was, now = was[name], now[name]
    assert now["validation"] == was["validation"]
    assert now["best_step"] == was["best_step"]
    assert now["macro_auroc"] != was["macro_auroc"]
    thresholds = [
      [row["threshold"] for row in summary["per_class"].values()]
      for summary in (was, now)
      if "threshold" in summary["per_class"][NAMES[0]]
    ]
    assert len({str(t) for t in thresholds}) <= 1


def test_subsets_are_those_of_the_probe():
  parts, _ = make_parts(_splits(), "test")
  drawn = standard.drawn_subsets(parts["fit"], "simulated", 0.3)
  assert len(drawn) == 5
  assert len({d.tobytes() for d in drawn}) == 5
  [whole] = standard.drawn_subsets(parts["fit"], "simulated", 1.0)
  assert whole.all()


def test_no_class_to_choose_by_is_a_reason(brief, tmp_path):
  splits = _splits()
  splits["validation"].labels["simulated"][:] = 0
  content = evaluate(
    _model(), None, splits, ("simulated",), tmp_path,
    dataclasses.replace(OPTIONS, probe_fractions=(1.0,)),
  )  # fmt: skip
  summary = content["tasks"]["simulated"]["finetuned"]["1.0"]
  assert summary["macro_auroc"] is None
  assert "give more records" in summary["reason"]


@pytest.mark.parametrize(
  ("given", "message"),
  [
    ({"finetune": True, "probe_fractions": ()}, "--probe"),
    ({"supervised": True, "probe_fractions": ()}, "--probe"),
    ({"epochs": 0.0}, "--epochs 0.0"),
  ],
)
def test_refused(given, message):
  with pytest.raises(InputError, match=message):
    Options(**given)
