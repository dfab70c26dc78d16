"""The knowledge table: its rows, the rules they keep, and class prompts."""

import copy
import json
import re

import pytest

from fgclep_jax.errors import InputError
from fgclep_jax.reports import features, knowledge, prompts
from fgclep_jax.signals.simulate import wording

# No tracing shows both, by definition of the two.
OPPOSITES = [
  ("heart rate < 60 bpm", "heart rate > 100 bpm"),
  ("heart rate < 60 bpm", "heart rate > 150 bpm"),
  ("regular RR intervals", "irregular RR intervals"),
  ("QRS duration < 120 ms", "QRS duration > 120 ms"),
  ("PR interval < 120 ms", "PR interval > 200 ms"),
  ("left axis deviation", "right axis deviation"),
  ("QTc interval > 460 ms", "QTc interval < 360 ms"),
  ("absent P waves", "one P wave before every QRS"),
  ("absent P waves", "upright P waves in I and II"),
  ("early R/S transition", "late R/S transition"),
  ("broad S wave in V1", "dominant R wave in V1"),
  ("long ST segment", "short ST segment"),
  ("progressive PR prolongation", "constant PR interval before a dropped QRS"),
]


def by_name(name):
  (entry,) = [e for e in knowledge.entries() if e.name == name]
  return entry


def test_rows_are_many_and_cited():
  table = knowledge.entries()
  assert len(table) >= 80
  for entry in table:
    assert re.search(r"(?:\b(?:19|20)\d\d[:;]|\b20\d\d)", entry.citation)
    assert entry.signs, entry.name
    features.lookup([sign.feature for sign in entry.signs])
    features.lookup(entry.contradicts)
    assert {sign.role for sign in entry.signs} <= {"must", "may"}


def test_no_row_holds_opposites():
  for entry in knowledge.entries():
    signs = {sign.feature for sign in entry.signs}
    for first, second in OPPOSITES:
      assert not {first, second} <= signs, (entry.name, first, second)


def good_table():
  row = {
    "name": "digitalis effect",
    "kind": "diagnosis",
    "phrases": ["digitalis effect"],
    "must": {"scooped ST depression": "always"},
    "one_of": [],
    "may": {"flat T waves": "usual"},
    "contradicts": ["QTc interval > 500 ms"],
    "source": "Book",
    "criterion": "Scooped ST depression",
    "codes": [],
  }
  return {"sources": {"Book": "A book 2008"}, "entries": [row]}


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"must": {"green ST": "always"}}, "unknown feature 'green ST'"),
    ({"contradicts": ["green ST"]}, "unknown feature 'green ST'"),
    ({"contradicts": ["scooped ST depression"]}, "sign and a contradiction"),
    ({"contradicts": ["flat T waves"]}, "sign and a contradiction"),
    ({"may": {"scooped ST depression": "usual"}}, "both must and may"),
    ({"one_of": [["delta wave"]]}, "'delta wave' of one_of is no sign"),
    ({"must": {"flat T waves": "often"}, "may": {}}, "'often' is none of"),
    ({"source": "Hearsay"}, "no citation"),
    ({"criterion": " "}, "no citation"),
    ({"kind": "waveform"}, "kind 'waveform'"),
    ({"phrases": []}, "no phrase"),
    ({"phrases": ["dig", "Dig"]}, "phrase stands there twice"),
    ({"phrases": ["possible"]}, "has no word that tells"),
    ({"phrases": "dig"}, "'phrases' is no list"),
    ({"codes": None}, "'codes' is no list"),
  ],
)
def test_faulty_rows_are_named(change, message):
  table = good_table()
  (entry,) = knowledge.parse(json.dumps(table))
  assert entry.musts() == ("scooped ST depression",)
  table["entries"][0] |= change
  with pytest.raises(InputError, match=message) as caught:
    knowledge.parse(json.dumps(table))
  assert "row 'digitalis effect'" in str(caught.value)
  assert "\n" not in str(caught.value)


def test_rows_share_neither_name_nor_phrase():
  table = good_table()
  other = copy.deepcopy(table["entries"][0]) | {"name": "digoxin"}
  table["entries"].append(other)
  with pytest.raises(InputError, match="row 'digoxin': phrase"):
    knowledge.parse(json.dumps(table))
  other |= {"name": "digitalis effect", "phrases": ["dig effect"]}
  with pytest.raises(InputError, match="stands there twice"):
    knowledge.parse(json.dumps(table))


def test_every_benchmark_class_has_prompts():
  for task, table in prompts.reviewed_prompts().items():
    found = prompts.class_prompts(task, list(table), source="knowledge")
    assert list(found) == list(table)
    for name, texts in found.items():
      assert texts, (task, name)
      assert len(set(texts)) == len(texts), (task, name)
      assert all(len(text.split()) <= 12 for text in texts), (task, name)
  known = {feature.name for feature in features.VOCABULARY}
  simulated = [n.replace(" ", "_") for n in wording.DIAGNOSIS_WORDINGS]
  found = prompts.class_prompts("simulated", simulated, source="knowledge")
  assert "PR interval > 200 ms" in known & set(found["first_degree_AV_block"])
  assert (
    by_name("first degree AV block").phrases[0]
    in (found["first_degree_AV_block"])
  )


def test_unknown_codes_and_sources():
  with pytest.raises(InputError, match="'csn:NONE'"):
    knowledge.prompts_of("csn:NONE")
  with pytest.raises(InputError, match="prompt source 'hearsay'"):
    prompts.class_prompts("csn", ("SR",), source="hearsay")
