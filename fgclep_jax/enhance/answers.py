"""Reads an answer about a finding: nothing but the vocabulary gets through.

An answer may come from a language model, so it is text from a stranger: its
size is bounded, its form is fixed, and a feature counts only when it names
one of the closed vocabulary and the finding does not exclude it.
"""

import dataclasses
import functools
import json
import re
import unicodedata

from fgclep_jax.reports import features, knowledge
from fgclep_jax.signals.leads import LEADS

MAX_CHARACTERS = 20_000  # of an answer
MAX_FEATURES = 32  # of a finding: who names more has not chosen
_MAX_OBJECTS = 20  # looked at in prose
_EXCERPT = 80  # characters of a refused text that are kept

_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_SPELLINGS = tuple(
  (re.compile(pattern), replacement)
  for pattern, replacement in (
    (r"[‘’′ʼ`]", "'"),
    (r"[‐-―−]", "-"),
    (r"[≥⩾]|>=|\b(?:greater|more) than(?: or equal to)?\b|\bat least\b", ">"),
    (r"[≤⩽]|<=|\b(?:less|lower) than(?: or equal to)?\b|\bat most\b", "<"),
    (r"\b(?:longer|larger|higher) than\b|\b(?:exceeding|above|over)\b", ">"),
    (r"\b(?:shorter|smaller) than\b|\b(?:below|under)\b", "<"),
    (r"(?<=\d) ?(?:milliseconds?|msecs?)\b", " ms"),
    (r"(?<=\d) ?(?:seconds?|secs?)\b", " s"),
    (r"(?<=\d) ?millivolts?\b", " mv"),
    (r"(?<=\d) ?millimet(?:er|re)s?\b", " mm"),
    (r"(?<=\d) ?(?:beats? ?(?:per|/) ?min(?:ute)?|/ ?min(?:ute)?)\b", " bpm"),
    (r"(?<=\d) ?(?:deg(?:rees?)?\b|°)", " degrees"),
    (r"\binferior\b", "ii iii avf"),
    (r"\blimb\b", "i ii iii avr avl avf"),
    (r"\belevated\b", "elevation"),
    (r"\bdepressed\b", "depression"),
    (r"\binverted\b", "inversion"),
  )
)
_LIMIT = re.compile(
  r"([<>]) ?(-?\d+(?:\.\d+)?|-?\.\d+) ?(ms|s|mv|mm|bpm|degrees)?(?![\w.])"
)
# To the unit of the vocabulary; 10 mm are 1 mV on ECG paper.
_UNITS = {"s": ("ms", 1000), "mm": ("mv", 0.1)}
_RANGE = re.compile(r"\bv([1-6]) ?(?:-|to|through) ?v?([1-6])\b")
_LEADS = frozenset(lead.casefold() for lead in LEADS)
_TOKEN = re.compile(r"\w+'?|\+")
_FILLERS = frozenset(
  (
    *("a", "an", "and", "in", "of", "or", "the", "with", "lead", "leads"),
    *("complex", "duration", "interval", "intervals", "segment"),
    *("wave", "waves"),
  )
)


@dataclasses.dataclass(frozen=True)
class Answer:
  """What an answer comes to.

  Attributes:
    features: names of the vocabulary, in the order of the answer.
    refused: (text, reason) of what does not count; texts are short and
      printable. Reasons: `json` (not the asked-for form), `too long`, `too
      many`, `unknown` (no such feature), `leads` (right wave and finding,
      other leads), `bound` (same quantity, other limit), `repeated`,
      `contradicted` (the finding excludes it). Features that no tracing
      shows together, such as a slow and a fast rate, may both be named: the
      finding goes with either, and each tracing tells which.
  """

  features: tuple[str, ...]
  refused: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class _Meaning:
  """What the words of a feature come to, however they are spelled."""

  words: tuple[str, ...]  # sorted, without leads
  leads: tuple[str, ...]  # sorted; of a sum, in the order of the text
  limit: tuple | None  # (comparison, number, unit)


def schema():
  """Returns the JSON schema of an answer; its enum is the vocabulary."""
  names = [feature.name for feature in features.VOCABULARY]
  return {
    "type": "object",
    "properties": {
      "features": {
        "type": "array",
        "items": {"type": "string", "enum": names},
        "maxItems": MAX_FEATURES,
      }
    },
    "required": ["features"],
    "additionalProperties": False,
  }


def is_answer(raw):
  """True when the text has the asked-for form, whatever it names."""
  return _named(raw) is not None


def parse(raw, finding):
  """Reads an answer.

  Args:
    raw: the text as it came.
    finding: canonical finding that was asked about.

  Returns:
    Answer. Prose around one object of the asked-for form is passed over; a
    text of any other form is refused as a whole, and so are more than
    MAX_FEATURES names.
  """
  if len(raw) > MAX_CHARACTERS:
    return Answer((), ((printable(raw), "too long"),))
  named = _named(raw)
  if named is None:
    return Answer((), ((printable(raw), "json"),))
  accepted, refused = {}, []
  for text in named:
    name, reason = _match(text) if isinstance(text, str) else (None, "json")
    if name in accepted:
      reason = "repeated"
    if reason:
      refused.append((printable(text), reason))
    else:
      accepted[name] = text
  if len(accepted) > MAX_FEATURES:
    refused += [(name, "too many") for name in accepted]
    return Answer((), tuple(refused))
  excluded = knowledge.objections(finding, tuple(accepted))
  refused += [(name, excluded[name]) for name in accepted if name in excluded]
  kept = tuple(name for name in accepted if name not in excluded)
  return Answer(kept, tuple(refused))


def printable(value):
  """Returns a short form of a value: no control, no bidirectional marks."""
  text = value if isinstance(value, str) else repr(value)[: 2 * _EXCERPT]
  text = " ".join(text[: 2 * _EXCERPT].split())
  cut = text if len(text) <= _EXCERPT else text[: _EXCERPT - 3] + "..."
  return "".join(
    letter if letter.isprintable() else f"\\u{ord(letter):04x}"
    for letter in cut
  )


def _named(raw):
  """Returns the list under `features`, or None for another form."""
  text = _THOUGHT.sub("", raw[:MAX_CHARACTERS]).strip()
  whole = _load(text)
  if whole is not None:
    return _listed(whole[0])
  found, start = [], text.find("{")
  for _ in range(_MAX_OBJECTS):
    if start < 0:
      break
    part = _load(text, start)
    if part and _listed(part[0]) is not None:
      found.append(_listed(part[0]))
    start = text.find("{", part[1] if part else start + 1)
  return found[0] if len(found) == 1 else None


def _listed(value):
  """Returns the list of an object of the asked-for form, else None."""
  if not isinstance(value, dict) or set(value) != {"features"}:
    return None
  return value["features"] if isinstance(value["features"], list) else None


def _load(text, start=None):
  """Returns (value, end) of JSON text, all of it or from `start`, or None."""
  decoder = json.JSONDecoder(
    object_pairs_hook=_once, parse_constant=_no_constant
  )
  try:
    if start is None:
      return decoder.decode(text), len(text)
    return decoder.raw_decode(text, start)
  except (ValueError, RecursionError):  # nested too deep
    return None


def _once(pairs):
  if len(dict(pairs)) < len(pairs):
    raise ValueError("a key occurs twice")
  return dict(pairs)


def _no_constant(name):
  raise ValueError(f"{name} is no JSON")


def _match(text):
  """Returns (name, "") of a text that names a feature, or (None, reason)."""
  text = " ".join(text.split())
  if len(text) > 4 * _EXCERPT or not text.isprintable():
    return None, "unknown"
  meaning = _meaning(text)
  exact = _vocabulary().get(meaning)
  if exact:
    return exact, ""
  alike = [known for known in _vocabulary() if known.words == meaning.words]
  if any(known.limit == meaning.limit for known in alike):
    return None, "leads"
  if any(known.leads == meaning.leads and known.limit for known in alike):
    return None, "bound"
  return None, "unknown"


@functools.cache
def _vocabulary():
  return {_meaning(item.name): item.name for item in features.VOCABULARY}


def _meaning(text):
  text = unicodedata.normalize("NFKC", " ".join(text.split())).casefold()
  for pattern, replacement in _SPELLINGS:
    text = pattern.sub(replacement, text)
  limits = _LIMIT.findall(text)
  text = _RANGE.sub(_all_leads, _LIMIT.sub(" ", text))
  tokens = [token for token in _TOKEN.findall(text) if token not in _FILLERS]
  leads = [token for token in tokens if token in _LEADS]
  words = tuple(sorted(token for token in tokens if token not in _LEADS))
  if "+" in words:  # which wave is measured where
    leads = [token for token in tokens if token != "+"]
  else:
    leads = sorted(set(leads))
  limit = tuple(_limit(*found) for found in limits) or None
  return _Meaning(words, tuple(leads), limit)


def _limit(comparison, number, unit):
  unit, factor = _UNITS.get(unit, (unit, 1))
  return comparison, round(float(number) * factor, 6), unit


def _all_leads(found):
  first, last = int(found[1]), int(found[2])
  return " ".join(f"v{lead}" for lead in range(first, last + 1))
