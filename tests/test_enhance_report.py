"""The page of an enhancement: complete, inert, in one file."""

import base64
import copy
import html.parser
import io
import re

import matplotlib.image
import numpy as np
import pytest

from fgclep_jax.enhance import cells, figures, report
from fgclep_jax.reports.features import VOCABULARY
from fgclep_jax.signals import simulate

NAMES = tuple(feature.name for feature in VOCABULARY[:30])
SECTIONS = (
  "In short", "How it was judged", "Right or wrong", "Other thresholds",
  "What was asked", "Features", "Examples", "How it was run",
)  # fmt: skip
HOSTILE = "<script>alert('x')</script> \u202e <img src=http://x.y/z>"


def content(names=NAMES):
  """What `fgclep enhance` writes, with numbers of the right kind."""
  random = np.random.default_rng(3)
  table = {}
  for i, name in enumerate(names):
    scores = random.beta(2 + i % 3, 2, 3000 // (i + 1) + 5)
    edges = np.linspace(0, 1, 26)
    kept, _ = np.histogram(scores[scores >= 0.61], edges)
    dropped, _ = np.histogram(scores[scores < 0.61], edges)
    table[name] = {
      "asked": len(scores), "kept": int(kept.sum()),
      "keep_rate": float(kept.sum() / len(scores)), "stated": 40 * (i % 5),
      "histogram": {"edges": edges.tolist(), "kept": kept.tolist(),
                    "dropped": dropped.tolist()},
    }  # fmt: skip
  asked = sum(one["asked"] for one in table.values())
  kept = sum(one["kept"] for one in table.values())
  return {
    "schema": 1,
    "notice": "Research software. Not a medical device.",
    "dataset": "simulated_ecg", "config": "original",
    "splits": {"train": 4000, "validation": 500, "test": 500},
    "coarse": {"step": 600, "hash": "5f" * 32},
    "backend": {"source": "rules", "model_hash": "a1" * 32,
                "prompt_hash": "b2" * 32, "corrections_hash": ""},
    "planted": 0.2,
    "statements": {
      "distinct": 812,
      "by_class": {
        "waveform": {"distinct": 301, "records": 2890},
        "diagnosis": {"distinct": 288, "records": 3712},
        "technical": {"distinct": 12, "records": 96},
      },
      "counts": {"findings": 240, "cached": 200, "asked": 40, "answered": 39,
                 "failed": 1, "proposed": 1544, "corrected": 3},
    },
    "refused": {"unknown": 31, "leads": 4, "contradicted: excluded by the "
                "left bundle branch block": 12, "failed: HTTP 500": 1},
    "verification": {
      "method": "calibrated", "threshold": 0.61, "target_precision": 0.9,
      "expected_precision": 0.9013, "mention_rate": 0.342, "features": 27,
      "records": 4000, "stated": 6120, "certain": 2210,
    },
    "pairs": {"candidates": asked, "kept": kept, "keep_rate": kept / asked,
              "stated": 6120},
    "features": table,
    "sensitivity": [
      {"label": f"target {target:.2f}", "kept": number,
       "keep_rate": number / asked, "precision": _between(target + 0.01),
       "recall_of_candidates": _between(1.6 - target)}
      for target, number in ((0.8, 8100), (0.9, 6210), (0.95, 4020))
    ],
    "sweep": _sweep(),
    "truth": _truth(names, asked, kept),
    "seconds": {"candidates": 0.42, "encoding": 61.25, "verification": 1.5},
    "run": {"time": "2026-01-01 00:00", "machine": "2 cores",
            "command": "fgclep enhance --backend rules <x>",
            "versions": {"jax": "0.10", "numpy": "2.4"}},
  }  # fmt: skip


def _between(value):
  return {"value": value, "ci95": [value - 0.02, value + 0.02]}


def _sweep():
  x = np.linspace(0, 1, 41)
  precision = [*np.sqrt(0.4 + 0.6 * x)[:-1].tolist(), None]
  return {
    "threshold": x.tolist(), "precision": precision,
    "recall_of_candidates": (1 - x**2.5).tolist(),
    "expected_precision": np.sqrt(0.38 + 0.6 * x).tolist(),
  }  # fmt: skip


def _truth(names, asked, kept):
  about = {
    "pairs": asked, "unknown": 17, "kept": kept, "keep_rate": kept / asked,
    "precision_before": _between(0.612), "recall_before": _between(0.81),
    "precision": _between(0.913), "recall": _between(0.55),
    "recall_of_candidates": _between(0.705), "auroc": 0.871,
    "auroc_by_feature": 0.842, "at_random": {"precision": 0.612},
    "by_frequency": {"precision": 0.688},
  }  # fmt: skip
  fixed = about | {
    "kept": 31, "precision": _between(0.74), "recall": _between(0.03),
    "recall_of_candidates": _between(0.04),
  }  # fmt: skip
  judged = {
    name: {"candidates": 99, "known": 98, "kept": 50, "precision_before": 0.6,
           "precision": 0.9 if i else None, "recall_of_candidates": 0.7}
    for i, name in enumerate(names)
  }  # fmt: skip
  return {
    "source": "simulated truth", "split": "test", "records": 500,
    "summary": about, "fixed_0.95": fixed, "by_feature": judged,
    "by_class": {"diagnosis": judged[names[0]], "rhythm": judged[names[1]]},
  }  # fmt: skip


def examples(count=10):
  """Simulated records with kept and dropped features."""
  random = np.random.default_rng(5)
  found = []
  for index in range(count):
    record = simulate.simulate(index, 11, 500 if index % 2 else 100)
    absent = [f for f in simulate.FEATURES if f not in record.features]
    wrong = random.choice(absent, 3, replace=False).tolist()
    names = [*record.features[:5], *wrong]
    scores = random.uniform(0.2, 1.0, len(names))
    pairs = list(zip(names, scores.tolist(), strict=True))
    truth = {name: int(name in record.features) for name in names[1:]}
    found.append({
      "record": record.record_id, "signal": record.signal,
      "rate": record.rate, "statements": list(record.statements),
      "kept": [pair for pair in pairs if pair[1] >= 0.61],
      "dropped": [pair for pair in pairs if pair[1] < 0.61],
      "truth": truth if index else None,
      "patient_id": "canary-patient",
    })  # fmt: skip
  return found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
  path = tmp_path_factory.mktemp("enhance") / "report.html"
  report.write(path, content(), examples())
  assert path.stat().st_size < 6e6
  return path.read_text(encoding="utf-8")


class _Reader(html.parser.HTMLParser):
  def __init__(self):
    super().__init__()
    self.tags, self.sources, self.open, self.texts = set(), [], [], []

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    self.sources += [v for k, v in attrs if k in ("src", "href", "srcset")]
    if tag not in ("meta", "img", "br"):
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.texts.append(data)


def _read(page):
  reader = _Reader()
  reader.feed(page)
  reader.close()
  assert reader.open == []
  assert not reader.tags & {"script", "link", "iframe", "object", "svg"}
  assert all(s.startswith("data:image/png;base64,") for s in reader.sources)
  return reader


def test_page_is_one_well_formed_file_without_requests(page):
  reader = _read(page)
  for word in ("http", "url(", "@import", "//"):
    assert word not in re.sub(r"base64,[^']*", "", page)
  # Precisions, sweep, histograms and ten tracings.
  assert len(reader.sources) == 13
  for source in reader.sources:
    picture = base64.b64decode(source.partition(",")[2])
    assert matplotlib.image.imread(io.BytesIO(picture)).ndim == 3
  assert [section for section in SECTIONS if section in reader.texts] == list(
    SECTIONS
  )
  assert "Not a medical device" in page
  assert "canary-patient" not in page


def test_numbers_are_those_of_the_content(page):
  given = content()
  said = " ".join(_read(page).texts)
  pairs = given["pairs"]
  for words in (
    "812 distinct statements of 5,000 records", "48 proposals", "20.0 %",
    f"{pairs['candidates']:,} pairs of a record",
    f"{pairs['kept']:,} pairs ({100 * pairs['keep_rate']:.1f} %)",
    f"{pairs['candidates'] - pairs['kept']:,} pairs, whose score",
    "61.2 % of the candidates before verification, 91.3 % (95 % interval "
    "89.3–93.3) of those kept; 70.5 % of the right ones",
    "reaches 0.61", "34.2 % of cases (mention rate)", "target 0.95",
    "fgclep enhance --backend rules <x>", "cosine of at least 0.95",
    "encoding 61.25, verification 1.5", "step 600, hash 5f5f",
  ):  # fmt: skip
    assert words in said, words
  row = page[page.index("as many, of the commonest") :]
  assert "<td>68.8</td>" in row[: row.index("</tr>")]
  asked = [page.index(f"<tr><td>{cells.text(name)}</td>") for name in NAMES]
  assert asked == sorted(asked)  # by number asked


def test_examples_list_kept_and_dropped_beside_their_truth(page):
  one = examples()[1]
  part = page[page.index("Example 2:") : page.index("Example 3:")]
  kept, dropped = part.split("<h4>Kept")[1].split("<h4>Dropped")
  words = {
    ("kept", 1): "&#10003; present", ("kept", 0): "&#10007; absent",
    ("dropped", 1): "&#10007; present", ("dropped", 0): "&#10003; absent",
  }  # fmt: skip
  for kind, listed in (("kept", kept), ("dropped", dropped)):
    for name, value in one[kind]:
      verdict = words.get((kind, one["truth"].get(name)), "unknown")
      row = listed[listed.index(f"<td>{cells.text(name)}</td>") :]
      row = row[: row.index("</tr>")]
      assert f"<td>{value:.3f}</td>" in row
      assert verdict in row
  unknown = page[page.index("Example 1:") : page.index("Example 2:")]
  assert "Truth" not in unknown


def _paths(value, prefix=()):
  if isinstance(value, dict) and len(prefix) < 3:
    for key, inner in value.items():
      yield (*prefix, key)
      yield from _paths(inner, (*prefix, key))


def test_any_key_may_be_missing_or_none(monkeypatch):
  for name in ("histograms", "sweep", "precisions"):
    monkeypatch.setattr(figures, name, lambda *_: b"png")
  given = content(NAMES[:2])
  for path in _paths(given):
    for missing in (True, False):
      changed = copy.deepcopy(given)
      inner = changed
      for key in path[:-1]:
        inner = inner[key]
      if missing:
        del inner[path[-1]]
      else:
        inner[path[-1]] = None
      text = report.page(changed)
      assert ">None<" not in text, path
      assert text.endswith("</html>\n")
  for key in examples(1)[0]:
    one = examples(1)[0] | {key: None}
    _read(report.page({}, [one]))


def test_empty_content_is_a_page_without_pictures():
  reader = _read(report.page({}))
  assert "img" not in reader.tags


def test_figures_survive_what_is_degenerate():
  empty = {"edges": [0.0, 0.5, 1.0], "kept": [0, 0], "dropped": [0, 0]}
  one = {"edges": [0.0, 0.5, 1.0], "kept": [0, 3], "dropped": [0, 0]}
  curve = {"threshold": [0.5], "precision": [None]}
  for png in (
    figures.histograms({"empty": empty}, 0.5),
    figures.histograms({"$one$": one, "empty": empty}, 2.0),
    figures.sweep(curve, 2.0),
    figures.sweep(curve, 0.5, 0.9),
    figures.precisions([("only", 0.5, None, True)]),
  ):
    assert png[:4] == b"\x89PNG"


def test_everything_from_outside_is_inert():
  given = content(NAMES[:2])
  given |= {"dataset": HOSTILE, "config": HOSTILE, "notice": HOSTILE}
  given["backend"]["source"] = HOSTILE
  given["refused"][HOSTILE] = 2
  given["features"][HOSTILE] = given["features"].pop(NAMES[0])
  given["truth"]["source"] = HOSTILE
  given["truth"]["by_class"][HOSTILE] = {}
  given["statements"]["by_class"][HOSTILE] = {}
  given["sensitivity"][0]["label"] = HOSTILE
  given["verification"]["method"] = HOSTILE
  given["run"]["command"] = given["run"]["time"] = HOSTILE
  given["run"]["versions"] = {HOSTILE: HOSTILE}
  one = examples(1)[0]
  one |= {"record": HOSTILE, "statements": [HOSTILE], "truth": {HOSTILE: 1}}
  one["kept"] = one["dropped"] = [(HOSTILE, 0.5)]
  page = report.page(given, [one])
  reader = _read(page)
  assert "\u202e" not in page
  assert "<script" not in page
  assert "<img src=http" not in page
  assert "<script>alert('x')</script>" in "".join(reader.texts)


def test_nothing_kept_is_said():
  given = content(NAMES[:2])
  given["verification"] |= {"threshold": 2.0, "expected_precision": None}
  given["pairs"] |= {"kept": 0, "keep_rate": 0.0}
  given["truth"]["summary"]["precision"] = {"value": None, "ci95": None}
  page = report.page(given)
  assert "nothing is kept" in page
  assert "No threshold reaches the target" in page


def test_same_input_same_bytes():
  given, shown = content(NAMES[:2]), examples(1)
  assert report.page(given, shown) == report.page(given, shown)


@pytest.mark.parametrize("method", ["quantile", "fixed", "calibrated"])
def test_only_probabilities_have_an_expected_precision(method, monkeypatch):
  drawn = []
  monkeypatch.setattr(
    figures, "sweep", lambda curves, *rest: drawn.append(curves) or b"png"
  )
  given = content(NAMES[:2])
  given["verification"]["method"] = method
  page = report.page(given)
  assert ("expected_precision" in drawn[0]) == (method == "calibrated")
  assert ("as the fit expects it" in page) == (method == "calibrated")
