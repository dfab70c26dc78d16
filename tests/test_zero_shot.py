"""Zero-shot: cosines with unit means of prompts, class by class."""

import numpy as np
import pytest

from fgclep_jax import metrics
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation.zero_shot import (
  add_token_counts,
  class_embeddings,
  zero_shot_scores,
)
from tests.evaluation_fakes import FakeModel, pattern

NAMES = ("a", "b", "c")


def test_class_embedding_is_the_unit_mean_of_its_prompts():
  model = FakeModel(NAMES)
  found = class_embeddings(model, {"x": ("one", "two"), "y": ("two",)})
  one, two = model.embed_text(["one", "two"]).astype(float)
  mean = (one + two) / 2
  np.testing.assert_allclose(found[0], mean / np.linalg.norm(mean), atol=1e-7)
  np.testing.assert_allclose(found[1], two / np.linalg.norm(two), atol=1e-7)


def test_each_distinct_prompt_is_encoded_once():
  model, seen = FakeModel(NAMES), []
  embed = model.embed_text
  model.embed_text = lambda texts: (seen.extend(texts), embed(texts))[1]
  class_embeddings(model, {"x": ("one", "two"), "y": ("two", "three")})
  assert sorted(seen) == ["one", "three", "two"]


def test_scores_are_cosines_and_classes_do_not_meet():
  rng = np.random.default_rng(1)
  rows = rng.normal(size=(50, 13))
  rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("f4")
  classes = class_embeddings(FakeModel(NAMES), {n: (n,) for n in NAMES})
  scores = zero_shot_scores(rows, classes)
  assert scores.dtype == np.float32
  assert scores.shape == (50, 3)
  np.testing.assert_allclose(scores[:, 0], rows @ classes[0], atol=1e-6)
  alone = zero_shot_scores(rows, classes[1:2])
  np.testing.assert_array_equal(alone[:, 0], scores[:, 1])
  order = rng.permutation(50)
  np.testing.assert_array_equal(
    zero_shot_scores(rows[order], classes), scores[order]
  )


def test_prompts_that_are_cut_are_flagged():
  model = FakeModel(NAMES)
  rows = {name: {"flags": ["n_pos<10"]} for name in "ab"}
  prompts = {"a": ("one", "1 2 3 4 5 6"), "b": ("1 2 3 4 5 6 7", "one")}
  add_token_counts({"per_class": rows}, model, prompts)
  assert rows["a"] == {"flags": ["n_pos<10"], "prompt_tokens": 6}
  assert rows["b"]["prompt_tokens"] == 7
  assert rows["b"]["flags"] == ["n_pos<10", "truncated_prompt"]


def test_a_model_that_knows_finds_its_classes():
  model = FakeModel(NAMES)
  rng = np.random.default_rng(2)
  labels = rng.random((200, 3)) < 0.4
  level = 100 * labels @ pattern(3) + rng.normal(0, 20, (200, 12))
  signals = np.repeat(level[:, :, None], 8, 2).astype(np.int16)
  unit, _ = model.encode_ecg(signals)
  classes = class_embeddings(model, {n: (n,) for n in NAMES})
  area = metrics.auroc(zero_shot_scores(unit, classes), labels)
  assert np.all(area > 0.95)
  constant = zero_shot_scores(np.tile(unit[:1], (200, 1)), classes)
  assert np.all(metrics.auroc(constant, labels) == 0.5)


def test_diverged_text_tower_gets_one_line():
  model = FakeModel(NAMES)
  model.embed_text = lambda texts: np.full((len(texts), 13), np.nan)
  with pytest.raises(InputError, match="text tower"):
    class_embeddings(model, {"x": ("one",)})
