"""Candidates: who may receive features, and who has the last word."""

import json
import random

import pytest

from fgclep_jax.enhance import answers, candidates, corrections
from fgclep_jax.enhance.backends import Failure
from fgclep_jax.enhance.backends.rules import Rules
from fgclep_jax.enhance.cache import Cache
from fgclep_jax.reports import features, knowledge
from fgclep_jax.reports.classify import RELEVANT, classify
from fgclep_jax.reports.stated import stated
from tests.enhance_fakes import Fixed, named

NAMES = [feature.name for feature in features.VOCABULARY]
LBBB, AF = "Left bundle branch block", "Atrial fibrillation"
IRRELEVANT = [
  "Lead(s) unsuitable for analysis: V1", "*** Unconfirmed ***",
  "Normal ECG", "Baseline wander in lead(s) V3", "Summary: abnormal ECG",
  "Compared with previous tracing of 2011, no significant change",
  "Missing lead(s): V2", "Report made without knowing patient's sex", "",
]  # fmt: skip


@pytest.fixture
def cache(tmp_path):
  with Cache(tmp_path / "answers") as opened:
    yield opened


def test_rules_propose_the_knowledge_table(cache):
  found = candidates.propose([LBBB, AF, LBBB], Rules(), cache)
  for statement in (LBBB, AF):
    expected = set(knowledge.propose(classify(statement).finding))
    assert expected
    assert set(found.features[statement]) == expected - set(stated(statement))
  assert found.refused == {}
  assert found.counts["statements"] == found.counts["answered"] == 2
  assert found.provenance["source"] == "rules"
  assert found.provenance["corrections_hash"] == ""


def test_rules_hashes_are_those_of_the_table_and_the_form(root):
  rules = Rules()
  assert rules.model_hash == Rules().model_hash
  assert len(rules.model_hash) == len(rules.prompt_hash) == 64
  asked = dict(rules.ask(["lbbb", "no such thing"]))
  assert asked["no such thing"] == '{"features": []}'
  assert answers.is_answer(asked["lbbb"])


def everything(finding):
  """As much of the vocabulary as gets through, another part each time."""
  draw = random.Random(finding)
  return json.dumps({"features": draw.sample(NAMES, answers.MAX_FEATURES)})


class Intruder(Fixed):
  """Answers also what it was not asked."""

  def ask(self, findings):
    yield from super().ask(findings)
    for statement in IRRELEVANT:
      yield classify(statement).finding, everything(statement)


def test_a_hostile_backend_gives_nothing_to_the_irrelevant(cache):
  for statement in IRRELEVANT:
    finding = classify(statement).finding
    cache.put("fixed", "model", "prompt", finding, everything(finding))
  backend = Intruder(everything)
  found = candidates.propose([*IRRELEVANT, LBBB], backend, cache)
  assert found.features.pop(LBBB)
  assert found.features == dict.fromkeys(IRRELEVANT, ())
  assert backend.asked == [classify(LBBB).finding]


def test_a_hostile_backend_on_real_statements(shared, cache):
  path = shared / "mimic_iv_ecg" / "statements.txt"
  lines = path.read_text(encoding="utf-8").splitlines()
  draw = random.Random(9)
  lines = draw.sample(lines, 600) + [
    line for line in lines if classify(line).kind not in RELEVANT
  ]
  # The cache of another process would cost more time than it tells here.
  backend = Fixed(everything)
  cache.put = lambda backend, model, prompt, finding, answer: answer
  found = candidates.propose(lines, backend, cache)
  irrelevant = {line for line in lines if classify(line).kind not in RELEVANT}
  assert len(irrelevant) > 500
  assert all(found.features[line] == () for line in irrelevant)
  relevant = [found.features[line] for line in set(lines) - irrelevant]
  assert sum(map(bool, relevant)) > 0.9 * len(relevant)
  asked = set(backend.asked)
  assert not asked & {classify(line).finding for line in irrelevant}


def test_what_a_statement_states_is_no_candidate(cache):
  statement = "Left axis deviation"
  backend = named("left axis deviation", "flat T waves")
  found = candidates.propose([statement, AF], backend, cache)
  assert found.features[statement] == ("flat T waves",)
  assert found.features[AF] == ("left axis deviation", "flat T waves")


def test_modality_shares_one_question(cache):
  lines = [LBBB, "Possible left bundle branch block", f"*** {LBBB} ***"]
  backend = named("QRS duration > 120 ms")
  found = candidates.propose(lines, backend, cache)
  assert len(backend.asked) == 1
  assert found.counts["findings"] == 1
  assert set(found.features.values()) == {("QRS duration > 120 ms",)}


def test_refusals_and_failures_are_counted(cache):
  def answer(finding):
    if finding == classify(AF).finding:
      return Failure("HTTP 500")
    return json.dumps({"features": ["flat T waves", "x", "ST elevation in V9"]})

  found = candidates.propose([LBBB, AF], Fixed(answer), cache)
  assert found.features == {LBBB: ("flat T waves",), AF: ()}
  assert found.refused[AF, ""] == "failed: HTTP 500"
  assert found.refused[LBBB, "x"] == "unknown"
  assert found.counts["failed"] == found.counts["refused: failed"] == 1
  assert found.counts["refused"] == 3
  # A failure is not kept: the next run asks again.
  again = named("flat T waves")
  candidates.propose([LBBB, AF], again, cache)
  assert again.asked == [classify(AF).finding]


def test_the_order_of_statements_changes_nothing(cache):
  lines = [LBBB, AF, "Anterior infarct", "Sinus bradycardia", *IRRELEVANT]
  first = candidates.propose(lines, Fixed(everything), cache)
  backend = Fixed(everything)
  second = candidates.propose(lines[::-1], backend, cache)
  assert backend.asked == []
  assert first.features == second.features
  assert second.counts["cached"] == 4


def test_an_endless_answer_is_not_kept_whole(cache):
  backend = Fixed(lambda finding: "x" * 10_000_000)
  found = candidates.propose([LBBB], backend, cache)
  assert list(found.refused.values()) == ["too long"]
  kept = cache.get("fixed", "model", "prompt", classify(LBBB).finding)
  assert len(kept) == answers.MAX_CHARACTERS + 1
  again = candidates.propose([LBBB], backend, cache)
  assert again.refused == found.refused


def test_a_correction_cannot_reach_the_irrelevant(cache):
  changes = corrections.Corrections(
    (classify(line).finding, corrections.Correction(add=(NAMES[0],)))
    for line in IRRELEVANT
  )
  found = candidates.propose(
    IRRELEVANT, Fixed(everything), cache, corrections=changes
  )
  assert set(found.features.values()) == {()}
  assert found.corrected == frozenset()
