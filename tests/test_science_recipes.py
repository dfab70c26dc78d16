"""The recipes of the PTB-XL table, with a tiny budget on simulated records."""

import json

import jax
import numpy as np
import pytest

from benchmarks.science import errors, recipes
from fgclep_jax.data import sources
from fgclep_jax.evaluation import pairing


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
  base = {"data.dataset": "simulated_ecg"}
  # Other names of the same program: compiled once.
  small = tuple(
    recipes.Recipe(name, "", base, {"a": {"log_every": every}})
    for name, every in (("theirs", "49"), ("ours", "50"))
  )
  first = jax.devices()[:1]  # each program is compiled in less time
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, "devices", lambda: first)
    patch.setattr(jax, "local_devices", lambda: first)
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


def test_the_inner_part_decides(tmp_path):
  recipe = recipes.Recipe("one", "", {}, {key: {} for key in "abc"}, (0, 1))
  for choice, scores in (("a", (0.9, 0.5)), ("b", (0.8, 0.7)), ("c", (1.0,))):
    for seed, score in enumerate(scores):
      folder = recipes.folder_of(tmp_path, recipe, choice, seed)
      folder.mkdir(parents=True)
      (folder / "inner.json").write_text(json.dumps({"macro_auroc": score}))
  scores, best = recipes.chosen(recipe, tmp_path)
  assert best == "b"  # by the mean; the third has not been trained twice
  assert scores == {"a": [0.9, 0.5], "b": [0.8, 0.7]}


def test_table_has_every_method(done):
  table = json.loads((done / "recipes.json").read_text())["table"]
  ours, other = table["ours"], table["theirs"]
  own, methods = (set(x["fold 9"]["simulated"]) for x in (other, ours))
  assert {"zero-shot", "probe 100%"} <= own
  assert {"probe 100%", "untrained: zero-shot"} <= methods
  assert "untrained: zero-shot" not in own
  value = ours["fold 9"]["simulated"]["zero-shot"][0]
  theirs = other["fold 9"]["simulated"]["zero-shot"][0]
  found = other["ours minus it"]["simulated, zero_shot"][0]
  np.testing.assert_allclose(found, value - theirs, atol=2e-6)
  assert len(list(recipes.lines(table))) == 2 + len(methods) + len(own)


def _judged(row):
  return row["threshold"], row["auroc"]


def test_errors_are_counted_and_drawn(done, simulated, tmp_path):
  """Against counts record by record; pictures are there."""
  run = pairing.read(done / "ours-a/seed0/fold9")
  split = sources.open_split(simulated, "simulated_ecg", split="validation")
  found = errors.analyse(run, "simulated", ["features"], split)
  labels = run.arrays["simulated/labels"]
  scores = run.arrays["simulated/zero_shot"]
  ids = [str(i) for i in run.arrays["simulated/record_ids"]]
  block = run.content["tasks"]["simulated"]["zero_shot"]["per_class"]
  known = [n for n, row in block.items() if None not in _judged(row)]
  assert list(found) == known
  columns = run.content["tasks"]["simulated"]["classes"]
  for name, kinds in found.items():
    own, column = block[name], columns.index(name)
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
