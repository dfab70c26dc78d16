"""The recipes of the PTB-XL table, with a tiny budget on simulated records."""

import json

import numpy as np
import pytest

from benchmarks.science import errors, recipes
from fgclep_jax.data import sources
from fgclep_jax.evaluation import pairing

RATE = {"optim.learning_rate": "1e-3"}


def test_recipes_are_valid_and_differ():
  names = [recipe.name for recipe in recipes.RECIPES]
  assert len(set(names)) == len(names)
  configs = [
    recipes.config_of(recipe, choice, 0)
    for recipe in recipes.RECIPES
    for choice in recipe.choices
  ]
  assert len(set(configs)) == len(configs)
  # The same budget: what is gone through, and in which batches.
  budgets = {(c.optim.epochs, c.data.batch_size, c.data.rate) for c in configs}
  assert len(budgets) == 1
  assert all(c.data.validation == "inner" for c in configs)


@pytest.fixture(scope="module")
def done(simulated, tmp_path_factory):
  """Two recipes, trained and reported as the command does."""
  out = tmp_path_factory.mktemp("recipes")
  softmax = {"loss.name": "softmax", "data.dataset": "simulated_ecg"}
  ours = {"data.dataset": "simulated_ecg"}
  two = {"a": RATE, "b": {"optim.learning_rate": "2e-3"}}
  small = (
    recipes.Recipe("softmax", "real", softmax, two, (0, 1)),
    recipes.Recipe("ours", "", ours, {"a": RATE}, (0,)),
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(recipes, "RECIPES", small)
    patch.setattr(recipes, "DATASET", "simulated_ecg")
    patch.setattr(recipes, "TASKS", ("simulated",))
    argv = ["recipes", "--data-dir", str(simulated), "--out", str(out)]
    argv += ["--epochs", "0.4", "--report"]
    patch.setattr("sys.argv", argv)
    recipes.main()
    files = [out / "ours-a/seed0/fold9/results.json"]
    before = [file.stat().st_mtime_ns for file in files]
    recipes.main()  # what was looked at is not looked at again
    assert [file.stat().st_mtime_ns for file in files] == before
  return out


def test_the_inner_part_decides(done):
  table = json.loads((done / "recipes.json").read_text())["table"]
  scores = table["softmax"]["inner"]
  assert {len(values) for values in scores.values()} == {2}
  best = max(scores, key=lambda choice: np.mean(scores[choice]))
  assert table["softmax"]["chosen"] == best
  looked_at = [p.parent.parent.name for p in done.glob("*/*/fold9")]
  assert sorted(looked_at) == sorted(["ours-a", f"softmax-{best}"])


def test_table_has_every_method(done):
  table = json.loads((done / "recipes.json").read_text())["table"]
  ours, other = table["ours"], table["softmax"]
  assert set(other["fold 9"]["simulated"]) == {"zero-shot", "probe 100%"}
  methods = set(ours["fold 9"]["simulated"])
  assert {"supervised (baseline) 100%", "untrained: zero-shot"} <= methods
  value = ours["fold 9"]["simulated"]["zero-shot"][0]
  theirs = other["fold 9"]["simulated"]["zero-shot"][0]
  found = other["ours minus it"]["simulated, zero_shot"][0]
  np.testing.assert_allclose(found, value - theirs, atol=2e-6)
  assert len(list(recipes.lines(table))) == 2 + len(methods) + 2


def test_errors_are_counted_and_drawn(done, simulated, tmp_path):
  """Against counts record by record; pictures are there."""
  run = pairing.read(done / "ours-a/seed0/fold9")
  split = sources.open_split(simulated, "simulated_ecg", split="validation")
  found = errors.analyse(run, "simulated", ["features"], split)
  labels = run.arrays["simulated/labels"]
  scores = run.arrays["simulated/zero_shot"]
  ids = [str(i) for i in run.arrays["simulated/record_ids"]]
  for column, (name, kinds) in enumerate(found.items()):
    own = run.content["tasks"]["simulated"]["zero_shot"]["per_class"][name]
    wrong = {"missed": [], "called": []}
    for record, mark, score in zip(
      ids, labels[:, column], scores[:, column], strict=True
    ):
      if mark and score < own["threshold"]:
        wrong["missed"].append(record)
      if not mark and score >= own["threshold"]:
        wrong["called"].append(record)
    for kind, records in wrong.items():
      assert kinds[kind]["wrong"] == len(records)
      drawn = [str(split.record_ids[row]) for row in kinds[kind]["worst"]]
      assert set(drawn) <= set(records)
      assert len(drawn) == min(errors.DRAWN, len(records))
      for label, (own_count, of) in kinds[kind]["labels"].items():
        assert 0 < own_count <= of, label
  one = dict([max(found.items(), key=lambda x: x[1]["called"]["wrong"])])
  paths = errors.draw(one, split, ["simulated"], tmp_path)
  assert paths
  assert all(path.stat().st_size > 10_000 for path in paths)
  assert len(list(errors.lines(found))) == 2 + 2 * len(found)
