"""ECGs shown in a report: only on request, never with report text."""

import types

import numpy as np

from fgclep_jax.evaluation import examples
from fgclep_jax.evaluation.run import Options, evaluate
from tests.evaluation_fakes import FakeModel, FakeSplit

NAMES = ("sinus rhythm", "atrial fibrillation", "long QT")


def test_examples_only_where_asked_for_and_without_report_text(tmp_path):
  splits = {
    name: FakeSplit(name, n, NAMES, seed=n)
    for name, n in (("train", 60), ("validation", 40), ("test", 90))
  }
  splits["test"].statements = [("confidential words",)] * 90
  pages = []
  for shown in (False, True):
    options = Options(
      probe_fractions=(), resamples=20, baselines=(), with_examples=shown
    )
    evaluate(FakeModel(NAMES), None, splits, ("simulated",), tmp_path, options)
    pages.append((tmp_path / "report.html").read_text(encoding="utf-8"))
  assert "Example" not in pages[0]
  assert pages[1].count("25 mm/s, 10 mm/mV") == 2 * 5  # alt text and caption
  assert "holds waveforms" in pages[1]
  assert pages[1].count("<td>has it</td>") > 0
  for page in pages:
    assert "confidential" not in page
    assert "test000" not in page
    assert "test-p" not in page


def test_examples_do_not_depend_on_scores_or_order():
  ids = np.array([f"r{i}" for i in range(40)])
  chosen = ids[examples.chosen_rows(ids, {})]
  turned = ids[::-1][examples.chosen_rows(ids[::-1], {})]
  assert list(chosen) == list(turned)
  assert len(set(chosen)) == 5


def test_closest_classes_come_by_cosine_with_their_labels():
  found = examples.closest(_work(), {"simulated": _tables()}, "r1", 2)
  assert found == [
    ("simulated", "long QT", ("prompt of long QT",), 0.5, False),
    ("simulated", "sinus rhythm", ("prompt of sinus rhythm",), 0.25, True),
  ]
  assert examples.closest(_work(), {"simulated": _tables()}, "r7") == []


class _Cohort:
  class_names = NAMES
  record_ids = np.array(["r0", "r1"])
  labels = np.array([[0, 1, 1], [1, 0, 0]], bool)


class _Table:
  scores = np.array([[0.9, 0.8, 0.7], [0.25, 0.125, 0.5]], np.float32)


def _work():
  prompts = {"simulated": {n: [f"prompt of {n}"] for n in NAMES}}
  return types.SimpleNamespace(prompts=prompts)


def _tables():
  return {"cohort": _Cohort, ("trained", "zero_shot", ""): _Table}
