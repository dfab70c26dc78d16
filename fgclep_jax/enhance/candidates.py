"""Candidate features of statements: asked, checked, corrected."""

import collections
import dataclasses
import time

from fgclep_jax.enhance import answers, prompt
from fgclep_jax.enhance.backends import Failure
from fgclep_jax.reports.classify import CLASSES, RELEVANT, classify
from fgclep_jax.reports.stated import stated

_REPORT_EVERY = 30.0  # seconds


@dataclasses.dataclass(frozen=True)
class Candidates:
  """What a backend proposes for statements, after all checks.

  Attributes:
    features: {statement: names of the vocabulary}, for every statement.
    refused: {(statement, text): reason}; reasons as in `answers.Answer`, and
      "failed: ..." with an empty text where no answer was got, "too long"
      where the statement is.
    corrected: statements whose features a reviewer set.
    counts: {what: number}: `statements`, one for each class, `findings`
      (distinct, that may have features), `cached`, `asked`, `answered`,
      `failed`, `proposed`, `refused`, `refused: <reason>`, `corrected`.
    provenance: `source`, `model_hash`, `prompt_hash`, `corrections_hash`
      ("" without corrections), for the written tables.
  """

  features: dict[str, tuple[str, ...]]
  refused: dict[tuple[str, str], str]
  corrected: frozenset[str]
  counts: dict[str, int]
  provenance: dict[str, str]


def questions(statements):
  """Returns {statement: what a backend is asked about it}.

  Only statements that may have features and name a finding; modality, dates,
  long numbers and names are left out. Many statements share a question.
  """
  asked = {}
  for statement in statements:
    found = classify(statement)
    if found.kind in RELEVANT and 0 < len(found.finding) <= prompt.MAX_FINDING:
      asked[statement] = prompt.scrub(found.finding)
  return asked


def propose(statements, backend, cache, say=print, corrections=None):
  """Asks a backend about statements and checks what it says.

  Statements of a class outside RELEVANT get no feature, whatever backend,
  cache and corrections say. What a statement itself states is no candidate.

  Args:
    statements: iterable of texts; repeated ones count once.
    backend: see `backends`.
    cache: `cache.Cache`; gets every answer as it arrives.
    say: prints one line.
    corrections: `corrections.Corrections` or None.

  Returns:
    Candidates.

  Raises:
    Interrupted: the backend is gone; the cache holds what it
      answered and the same call goes on from there.
    InputError: as backend and cache.
  """
  statements = tuple(dict.fromkeys(statements))
  asked = questions(statements)
  raw, counts = _answers(set(asked.values()), backend, cache, say)
  features, refused, corrected, parsed = {}, {}, set(), {}
  for statement in statements:
    found = classify(statement)
    names, out = _of_statement(found, asked.get(statement), raw, parsed)
    if corrections and found.kind in RELEVANT and found.finding in corrections:
      names = corrections[found.finding].apply(names)
      corrected.add(statement)
    itself = stated(statement) if names else ()
    features[statement] = tuple(name for name in names if name not in itself)
    refused |= {(statement, text): reason for text, reason in out}
  counts |= _counts(features, refused, corrected)
  provenance = _provenance(backend, corrections)
  return Candidates(features, refused, frozenset(corrected), counts, provenance)


def _provenance(backend, corrections):
  return {
    "source": backend.name,
    "model_hash": backend.model_hash,
    "prompt_hash": backend.prompt_hash,
    "corrections_hash": corrections.hash if corrections else "",
  }


def _counts(features, refused, corrected):
  counts = collections.Counter(dict.fromkeys(CLASSES, 0))
  counts.update(classify(statement).kind for statement in features)
  counts.update(f"refused: {why.split(':')[0]}" for why in refused.values())
  return counts | {
    "statements": len(features),
    "proposed": sum(map(len, features.values())),
    "refused": len(refused),
    "corrected": len(corrected),
  }


def _answers(findings, backend, cache, say):
  """Returns {finding: answer or Failure} and how many came from where."""
  key = (backend.name, backend.model_hash, backend.prompt_hash)
  if cache.damaged:
    say(f"{cache.path}: {cache.damaged} damaged lines passed over")
  raw = {text: cache.get(*key, text) for text in sorted(findings)}
  missing = [text for text, answer in raw.items() if answer is None]
  start = told = time.monotonic()
  for done, (finding, answer) in enumerate(backend.ask(missing), 1):
    if not isinstance(answer, Failure):
      # More than is ever looked at is not kept either.
      answer = answer[: answers.MAX_CHARACTERS + 1]
      answer = cache.put(*key, finding, answer)
    raw[finding] = answer
    now = time.monotonic()
    if now - told > _REPORT_EVERY:
      told, left = now, (now - start) / done * (len(missing) - done)
      say(f"{done} of {len(missing)} findings asked, {left / 60:.0f} min left")
  failed = sum(isinstance(answer, Failure) for answer in raw.values())
  return raw, {
    "findings": len(raw),
    "cached": len(raw) - len(missing),
    "asked": len(missing),
    "answered": len(missing) - failed,
    "failed": failed,
  }


def _of_statement(found, question, raw, parsed):
  """Returns (names, [(text, reason)]) of a Classified statement."""
  if question is None:
    too_long = found.kind in RELEVANT and found.finding
    return (), ([("", "too long")] if too_long else ())
  answer = raw.get(question)
  if not isinstance(answer, str):
    reason = answer.reason if answer else "no answer"
    return (), [("", f"failed: {reason}")]
  if question not in parsed:
    parsed[question] = answers.parse(answer, question)
  return parsed[question].features, parsed[question].refused
