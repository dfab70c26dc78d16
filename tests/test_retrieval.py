"""Retrieval: ranks by hand, ties, chance, intervals, the whole command."""

import csv
import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest

from fgclep_jax import metrics
from fgclep_jax.evaluation import ranks, retrieval
from fgclep_jax.evaluation import retrieval_texts as texts
from fgclep_jax.evaluation.run import Options, evaluate
from fgclep_jax.reports.statements import clean_report
from tests.evaluation_fakes import (
  FakeConfig,
  FakeData,
  FakeModel,
  FakeSplit,
  FakeTokenizer,
)


def _unit(rows):
  return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _slow_ranks(scores, correct):
  """Rank of each row by the definition, one comparison at a time."""
  found = []
  for own, right in zip(scores, correct, strict=True):
    best = max(s for s, r in zip(own, right, strict=True) if r)
    wrong = [s for s, r in zip(own, right, strict=True) if not r]
    found.append(1 + sum(s >= best for s in wrong))
  return found


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_ranks_follow_the_definition(decimals, monkeypatch):
  """Coarse values give many ties; queries are worked on in small blocks."""
  monkeypatch.setattr(ranks, "_SCORES", 7 * 12)
  rng = np.random.default_rng(decimals)
  text_of = rng.permutation([*range(12), *rng.integers(0, 12, 28)])
  ecg = np.round(rng.normal(size=(40, 3)), decimals)
  text = np.round(rng.normal(size=(12, 3)), decimals)
  scores = np.round(ecg @ text.T, 9)
  mine = text_of[:, None] == np.arange(12)
  own = np.eye(40, dtype=bool)
  for found, scored, correct in (
    (ranks.text_ranks, scores, mine),
    (ranks.record_ranks, scores.T, mine.T),
    (ranks.own_text_ranks, scores[:, text_of], own),
    (ranks.own_record_ranks, scores[:, text_of].T, own),
  ):
    want = _slow_ranks(scored, correct)
    np.testing.assert_array_equal(found(ecg, text, text_of), want)


def test_ranks_by_hand():
  # Records 0 and 1 share a text; record 2 leans towards the wrong one.
  ecg = _unit(np.array([[1.0, 0.1], [1.0, 0.2], [1.0, 0.3], [0.0, 1.0]]))
  text = np.array([[1.0, 0.0], [0.0, 1.0]])
  text_of = np.array([0, 0, 1, 1])
  assert ranks.text_ranks(ecg, text, text_of).tolist() == [1, 1, 2, 1]
  assert ranks.record_ranks(ecg, text, text_of).tolist() == [1, 1]
  # The own report stands there twice, so nobody finds it first.
  assert ranks.own_text_ranks(ecg, text, text_of).tolist() == [2, 2, 4, 2]
  assert ranks.own_record_ranks(ecg, text, text_of).tolist() == [1, 2, 2, 1]


def test_an_encoder_that_knows_nothing_scores_nothing():
  """Collapsed towers get 0, also when rounding tells equal rows apart."""
  rng = np.random.default_rng(0)
  text = _unit(rng.normal(size=(30, 64)))
  text_of = np.arange(90) % 30
  same = np.tile(_unit(rng.normal(size=(1, 64))), (90, 1))
  same *= 1 + 1e-12 * rng.normal(size=same.shape)
  # ECG -> text is a fixed order of texts, in which one text is right.
  found = ranks.text_ranks(same, text, text_of)
  assert sorted(found[:30]) == list(range(1, 31))
  assert ranks.record_ranks(same, text, text_of).min() == 88
  assert ranks.own_record_ranks(same, text, text_of).min() == 90
  both = ranks.text_ranks(same, np.tile(same[:1], (30, 1)), text_of)
  assert both.min() == 30


def test_chance_is_that_of_random_orders():
  for items, correct, depth in ((6, 1, 2), (6, 3, 2), (5, 5, 1), (4, 2, 10)):
    k = min(depth, items)
    orders = itertools.permutations(range(items))
    hits = [min(order[:k]) < correct for order in orders]
    got = ranks.chance(items, np.array([correct]), depth)
    assert got == pytest.approx(np.mean(hits))
  rows = np.array([1, 4, 30])
  want = [1 - math.comb(100 - m, 5) / math.comb(100, 5) for m in rows]
  assert ranks.chance(100, rows, 5) == pytest.approx(np.mean(want))
  assert ranks.chance(40, np.ones(3), 10) == pytest.approx(0.25)


def test_values_and_weighted_values():
  found = np.array([1, 1, 4, 12, 6, 1])
  groups = np.array([0, 0, 0, 1, 1, 2])
  even = np.ones((1, 6))
  plain = ranks.recalls(found, even)
  assert plain["recall@1"][0] == pytest.approx(3 / 6)
  assert plain["recall@10"][0] == pytest.approx(5 / 6)
  assert plain["median_rank"][0] == np.median(found) == 2.5
  each = ranks.recalls(found, even, groups)
  assert each["recall@1"][0] == pytest.approx((2 / 3 + 0 + 1) / 3)
  assert "median_rank" not in each
  # Integer weights are repeated rows; a group that is not drawn is left out.
  rng = np.random.default_rng(1)
  weights = rng.integers(0, 4, (50, 6))
  weights[:, 0] += 1
  drawn = ranks.recalls(found, weights)
  grouped = ranks.recalls(found, weights, groups)
  for r, weight in enumerate(weights):
    rows = np.repeat(np.arange(6), weight)
    assert drawn["median_rank"][r] == np.median(found[rows])
    assert drawn["recall@5"][r] == pytest.approx((found[rows] <= 5).mean())
    means = [
      (found[rows[groups[rows] == g]] <= 5).mean()
      for g in np.unique(groups[rows])
    ]
    assert grouped["recall@5"][r] == pytest.approx(np.mean(means))


def test_intervals_resample_the_patients_of_the_queries(monkeypatch):
  monkeypatch.setattr(ranks, "_DRAWS", 16)
  rng = np.random.default_rng(2)
  owners = rng.integers(0, 30, 80)
  text_of = rng.permutation([*range(9), *rng.integers(0, 9, 71)])
  stream = metrics.Resamples([f"p/{o}" for o in owners], 3)
  weights = stream.weights(0, 40)
  found, of_text = rng.integers(1, 20, 80), rng.integers(1, 20, 9)
  drawn = ranks.resampled(found, stream, 40)
  texted = ranks.resampled(of_text, stream, 40, text_of)
  for r, weight in enumerate(weights):
    rows = np.repeat(np.arange(80), weight)
    assert drawn["recall@10"][r] == pytest.approx((found[rows] <= 10).mean())
    # A text weighs as its records were drawn on average.
    mean = [weight[text_of == t].mean() for t in range(9)]
    want = np.average(of_text <= 10, weights=mean)
    assert texted["recall@10"][r] == pytest.approx(want)
  summary = ranks.summarise(found, drawn)
  low, high = np.percentile(drawn["recall@10"], [2.5, 97.5])
  assert summary["recall@10_ci95"] == pytest.approx([low, high])
  assert summary["recall@10"] == pytest.approx((found <= 10).mean())
  assert summary["queries"] == 80


def test_what_counts_as_the_same_text():
  same = [
    ("Sinus rhythm", "Normal EKG."),
    ("normal ecg", "SINUS RHYTHM"),
    ("Normal ECG", "Sinus  rhythm", "sinus rhythm;"),
  ]
  keys = {texts.key_of(own, "statements") for own in same}
  assert len(keys) == 1
  assert len({texts.key_of(own, "exact_string") for own in same}) == 3
  assert len({texts.key_of(own, "words") for own in same[:2]}) == 1
  # Words moved from one statement to another say something else.
  moved = ("Sinus", "rhythm normal ECG")
  assert texts.key_of(moved, "statements") not in keys
  assert texts.key_of(moved, "words") == texts.key_of(same[0], "words")
  # Signs that carry meaning stay, those at the end of a sentence do not.
  differ = ["QRS 0.12 s", "QRS 0.13 s", "QRS 12 s", "PR > 200", "PR < 200"]
  assert len({texts.key_of((t,), "statements") for t in differ}) == 5
  assert texts.words("st-t changes, V4,5. EKG!") == [
    "st-t", "changes", "v4,5", "ecg",
  ]  # fmt: skip
  assert texts.identity_of("ptb_xl") == "words"
  assert texts.identity_of("mimic_iv_ecg") == "statements"


def test_the_commonest_wording_stands_for_a_text():
  held = [("b", "a"), ("A", "b"), ("A", "b"), ("c",)]
  found = texts.distinct_texts(held, "statements")
  assert found.statements == (("A", "b"), ("c",))
  assert found.of_record.tolist() == [0, 0, 0, 1]
  again = texts.distinct_texts(held[::-1], "statements")
  assert again.statements == found.statements


class _Counting:
  """Unit rows of one-hot words; remembers what it was asked for."""

  tokenizer = FakeTokenizer()

  def __init__(self):
    self.asked = []

  def embed_text(self, strings):
    self.asked += strings
    return np.eye(8)[[ord(s[0]) - ord("a") for s in strings]]


def test_texts_are_embedded_as_in_training():
  held = [("a", "c"), ("c", "a", "a"), ("b",)]
  model = _Counting()
  single = texts.TextEmbedder(model, "statements", held)
  assert model.asked == ["a", "b", "c"]  # each distinct statement once
  rows = single.embed(held)
  np.testing.assert_allclose(rows[0, :3], [0.5**0.5, 0, 0.5**0.5])
  np.testing.assert_array_equal(rows[0], rows[1])
  model = _Counting()
  whole = texts.TextEmbedder(model, "report", held)
  assert model.asked == ["a. c", "b", "c. a. a"]
  assert whole.embed(held)[0, 0] == 1
  assert whole.truncated == single.truncated == 0
  held = [("a b c", "d e f g"), ("a b c d e f g",)]
  assert texts.TextEmbedder(model, "report", held).truncated == 2
  assert texts.TextEmbedder(model, "statements", held).truncated == 1


def test_counts_of_the_real_reports(shared):
  """EVALUATION.md, section 7: 1,329 reports, 555 strings, 457 of one text."""
  with open(shared / "ptbxl" / "reports_en.csv", encoding="utf-8") as file:
    rows = [row["report"] for row in csv.DictReader(file)]
  assert len(rows) == 1329
  raw = texts.distinct_texts([(row,) for row in rows], "exact_string")
  assert len(raw) == 555
  assert np.bincount(raw.of_record).max() == 256
  sorted_words = texts.distinct_texts([(row,) for row in rows], "words")
  counts = np.bincount(sorted_words.of_record)
  assert counts.max() == 457
  commonest = sorted_words.statements[counts.argmax()][0]
  assert texts.words(commonest)[:2] == ["sinus", "rhythm"]
  cleaned = [(clean_report(row),) for row in rows if clean_report(row)]
  assert len(texts.distinct_texts(cleaned, "words")) < len(sorted_words)


def _with_reports(names, n=90, patients=None):
  """A split in which a record's statements name its classes."""
  split = FakeSplit("test", n, names, seed=3, patients=patients)
  labels = split.labels["simulated"].astype(bool)
  split.statements = [
    tuple(name for name, here in zip(names, own, strict=True) if here)
    for own in labels
  ]
  return split


NAMES = ("sinus rhythm", "atrial fibrillation", "left <b>axis", "long QT")


def _run(folder, split, model=None, beside=None, tasks=("retrieval",), **more):
  train = FakeSplit("train", 20, NAMES, seed=9)
  options = Options(resamples=60, baselines=(), **more)
  return evaluate(
    model or FakeModel(NAMES), FakeModel(NAMES, trained=False),
    {"train": train, "test": split}, tasks, folder, options, beside=beside,
  )  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  folder = tmp_path_factory.mktemp("retrieval")
  split = _with_reports(NAMES)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(retrieval, "GALLERY", 40)
    content = _run(
      folder, split, beside={"other": FakeModel(NAMES, trained=False)}
    )
  return folder, content, split


def test_block_of_the_command(finished):
  folder, content, split = finished
  assert json.loads((folder / "results.json").read_text()) == content
  block = content["retrieval"]
  assert content["tasks"] == {}
  texted = [own for own in split.statements if own]
  assert block["records_without_text"] == 90 - len(texted) > 0
  whole, small = (block["galleries"][name] for name in ("whole", "40"))
  assert (whole["ecgs"], small["ecgs"]) == (len(texted), 40)
  assert whole["distinct_texts"] == len({frozenset(own) for own in texted})
  assert whole["distinct_texts"] == whole["distinct_strings"]
  own = whole["ecg_to_text"]
  assert own["recall@1"] > whole["chance"]["ecg_to_text"]["recall@1"] + 0.3
  assert own["recall@1"] > whole["untrained"]["ecg_to_text"]["recall@1"]
  assert own["recall@1_ci95"][0] < own["recall@1"] < own["recall@1_ci95"][1]
  assert own["queries"] == len(texted)
  assert whole["text_to_ecg"]["queries"] == whole["distinct_texts"]
  per_text = whole["ecg_to_text_per_text"]
  assert per_text["queries"] == whole["distinct_texts"]
  sizes = sorted(Counter(map(frozenset, texted)).values())
  always = whole["most_frequent"]["ecg_to_text"]
  assert always["recall@1"] == pytest.approx(sizes[-1] / len(texted), abs=1e-6)
  assert always["recall@5"] == pytest.approx(
    sum(sizes[-5:]) / len(texted), abs=1e-6
  )
  for way in ("ecg_to_text", "text_to_ecg"):
    # Equal strings and equal texts are the same here; the own pair is not.
    assert whole[f"{way}_exact"] == whole[way]
    assert whole[f"{way}_own"]["recall@1"] < whole[way]["recall@1"]
    assert whole["beside"]["other"][way] == whole["untrained"][way]
  pairs = {(p["way"], p["second"]): p for p in whole["paired"]}
  assert pairs["ecg_to_text", "untrained"]["ci95"][0] > 0
  assert len(pairs) == 4


def test_figures_follow_from_the_stored_ranks(finished):
  folder, content, split = finished
  with np.load(folder / "retrieval.npz", allow_pickle=False) as stored:
    kept = dict(stored)
  for name, entry in content["retrieval"]["galleries"].items():
    found = kept[f"{name}/trained ecg_to_text"]
    value = entry["ecg_to_text"]["recall@5"]
    assert value == pytest.approx((found <= 5).mean(), abs=1e-6)
    ids = kept[f"{name}/record_ids"]
    assert len(ids) == entry["ecgs"]
    assert set(ids) <= set(split.record_ids)


def test_report_shows_numbers_and_no_text(finished):
  folder, content, _ = finished
  page = (folder / "report.html").read_text(encoding="utf-8")
  value = content["retrieval"]["galleries"]["40"]["text_to_ecg"]["recall@10"]
  assert f"<td>{100 * value:.1f}</td>" in page
  for words in ("Gallery: whole", "own report only", "chance: ECG to text"):
    assert words in page
  for name in NAMES:
    assert name not in page
  assert "test0000" not in page


def test_the_order_of_records_changes_nothing(finished, tmp_path):
  _, content, split = finished
  other = _with_reports(NAMES)
  rows = np.random.default_rng(5).permutation(90)
  for name in ("record_ids", "patient_ids", "level"):
    setattr(other, name, getattr(other, name)[rows])
  other.statements = [split.statements[i] for i in rows]
  other.labels["simulated"] = other.labels["simulated"][rows]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(retrieval, "GALLERY", 40)
    again = _run(
      tmp_path, other, beside={"other": FakeModel(NAMES, trained=False)}
    )
  assert again["retrieval"] == content["retrieval"]


def test_models_of_whole_reports_read_whole_reports(tmp_path):
  model = FakeModel(NAMES)
  model.config = FakeConfig(FakeData("report"))
  asked = []
  embed = model.embed_text
  model.embed_text = lambda strings: asked.extend(strings) or embed(strings)
  split = _with_reports(NAMES)
  content = _run(tmp_path, split, model)
  kinds = content["retrieval"]["text_embedding"]
  assert kinds == {"trained": "report", "untrained": "statements"}
  assert content["retrieval"]["truncated_strings"]["untrained"] == 0
  cut = sum(len(". ".join(s).split()) > 6 for s in {*split.statements})
  assert content["retrieval"]["truncated_strings"]["trained"] == cut > 0
  assert sorted(asked) == sorted({". ".join(s) for s in split.statements if s})


def test_all_tasks_include_retrieval_where_there_are_reports(tmp_path):
  split = _with_reports(NAMES)
  content = _run(tmp_path / "a", split, tasks=("all",), probe_fractions=())
  assert list(content["tasks"]) == ["simulated"]
  assert "retrieval" in content
  split.statements = [()] * 90
  content = _run(tmp_path / "b", split, tasks=("all",), probe_fractions=())
  assert "retrieval" not in content
  with pytest.raises(Exception, match="'retrieval' is not in dataset"):
    _run(tmp_path / "c", split)
