"""Waveform features that a report statement itself says are seen.

A statement is read clause by clause: what is hedged ("possible"), negated or
only inferred ("suggests", "due to") is passed over; of the rest, phrases give
the wave and what is found on it, lists of leads and regions give the place.
The features of the vocabulary that agree in all of these are stated.
"""

import functools
import re

from fgclep_jax.reports import classify, features, measured, places
from fgclep_jax.reports.phrases import ANYWHERE, BARE, PHRASES, Phrase

COVERED = 2 / 3
"""Share of a feature's leads that a statement must name."""

WIDEST = 4
"""Leads of a place up to which a phrase's second reading may hold: voltage
that is high in all limb leads is no tall R wave in one of them."""

# Amplitude criteria that only a number tells from a milder wording.
_BY_NAME_ONLY = frozenset(
  (
    "R wave in V1 > 0.7 mV",
    "R wave in V1 + S wave in V5 > 1.05 mV",
    "R wave in I + S wave in III > 2.5 mV",
  )
)
_NAMES = {feature.name.lower(): feature.name for feature in features.VOCABULARY}
_BY_FINDING = {}
for _feature in features.VOCABULARY:
  if _feature.name not in _BY_NAME_ONLY:
    _BY_FINDING.setdefault((_feature.wave, _feature.finding), []).append(
      _feature
    )
_ORDER = {feature.name: i for i, feature in enumerate(features.VOCABULARY)}

_HEDGE = (
  r"\b(?:possibl[ey]|probabl[ey]|likely|consider(?:ed)?|suspect(?:ed)?|"
  r"perhaps|borderline|suspicious|presumabl[ey]|(?:upper|lower) limits?|"
  r"can ?not (?:be )?(?:entirely )?(?:ruled? out|excluded?))\b|\?"
)
# These turn from what is seen to what it may mean.
_INFERENCE = (
  r"\b(?:suggest|consistent with|compatible with|due to|secondary|related|"
  r"reciprocal|(?:may|might|could)\b|as (?:in|with)\b|such as|reflect|"
  r"represent|indicat)"
)
_NOT_SEEN = (
  r"\b(?:not|no longer) (?:seen|present|evident|found)|\bresolved|"
  r"\bnegligible|\bnormal(?! variant)(?: for (?:age|rate))?"
)
_NO = r"(?:no|without|absence of|not)\b"
_DENIED = re.compile(rf"\b{_NO}[^,]*")
_HEDGE_AT_END = re.compile(rf"(?:{_HEDGE})$")
_NOT_SEEN_AT_END = re.compile(rf"^(?!.*\bp[- ]wave).*(?:{_NOT_SEEN})$")
_FROM_HERE = re.compile(rf"(?:{_HEDGE}|{_INFERENCE}).*")
_CLAUSE = re.compile(r"\s*(?:[,;]|[.:](?=\s|$)| - | but )\s*")

_TOKEN = re.compile(
  r"(?<![\w-])(?:"
  + "|".join(f"(?P<p{i}>{phrase.pattern})" for i, phrase in enumerate(PHRASES))
  + rf"|(?P<bare>(?:{'|'.join(BARE)})\w*)"
  r"|(?P<other>(?:[pqrstu]|st|qrs|st-t|pr|qt)(?:[- ]?waves?)?(?![\w']))"
  rf"|(?P<no>{_NO}))"
  r"|(?P<end> [,+] |\+)|(?P<mark>@\d+)"
)
_JOINTS = ("", "and", "or", "&", "+", "with")
_MARK = re.compile(r"@(\d+)")


@functools.lru_cache(maxsize=1 << 16)
def stated(text):
  """Returns the features that a statement says are seen.

  Args:
    text: one statement, as it stands in the report.

  Returns:
    Tuple of names of the vocabulary, in its order. Where one feature holds
    another (V1-V4 holds V2-V3), the larger one is given. () for a statement
    that names no feature, or hedges or denies it.
  """
  words = classify.written_out(text)
  if words in _NAMES:
    return (_NAMES[words],)
  if classify.classify(text).kind not in classify.RELEVANT:
    return ()
  marked, where = places.mark(words)
  seen = " , ".join(map(_asserted, _CLAUSE.split(marked)))
  chosen = measured.measured(_DENIED.sub("", seen))
  for group in _groups(seen, where):
    for phrase in group.phrases:
      chosen |= _fitting(phrase, group)
  return tuple(sorted(chosen, key=_ORDER.__getitem__))


def _asserted(clause):
  """The part of a clause that says what is seen; "" for none."""
  if _HEDGE_AT_END.search(clause) or _NOT_SEEN_AT_END.search(clause):
    return ""
  return _FROM_HERE.sub("", clause)


class _Group:
  """Phrases that share one place."""

  def __init__(self, place=None):
    self.phrases, self.leads = [], set()
    self.diffuse = self.placed = False
    self.begun = False  # a wave was named
    self.closed = False  # a further phrase belongs elsewhere
    if place:
      self.put(place)

  def put(self, place):
    self.leads |= place.leads
    self.diffuse |= place.diffuse
    self.placed = True
    self.closed = self.begun


def _groups(text, where):
  """Yields the groups of phrases of a marked text."""
  group, ahead, wave, denied, last = _Group(), None, None, False, 0
  for token in _TOKEN.finditer(text):
    kind = token.lastgroup
    if kind == "mark":
      place = where[int(token["mark"][1:])]
      if place.ahead and group.begun:
        ahead = place
      else:
        group.put(place)
    elif kind == "end":
      denied = False
      group.closed |= group.begun and group.placed
    elif kind == "no":
      denied = True
    else:
      phrase = _phrase(token, wave)
      if phrase is None:
        continue
      wave = phrase.wave
      inside = [where[int(mark)] for mark in _MARK.findall(token[0])]
      apart = text[last : token.start()].strip(" (") not in _JOINTS
      if group.begun and (ahead or group.closed or inside or apart):
        yield group
        group, ahead = _Group(ahead), None
      group.begun, last = True, token.end()
      for place in inside:
        group.put(place)
      if not denied:
        group.phrases.append(phrase)
  if ahead:
    group.put(ahead)
  yield group


def _phrase(token, wave):
  """The phrase of a token; None for a bare word that fits no wave before."""
  if token.lastgroup == "other":
    return Phrase(token["other"][:2].strip(" -").upper(), (), "")
  if token.lastgroup != "bare":
    return PHRASES[int(token.lastgroup[1:])]
  stem = next(stem for stem in BARE if token["bare"].startswith(stem))
  if BARE[stem][0] != wave:
    return None
  return Phrase(wave, BARE[stem][1:], "")


def _fitting(phrase, group):
  """Names of the features that a phrase of a group states."""
  names = set()
  for finding in phrase.findings:
    names |= _at_place(phrase, finding, group)
    if not phrase.every and (names or len(group.leads) > WIDEST):
      break
  return names


def _at_place(phrase, finding, group):
  of_finding = _BY_FINDING.get((phrase.wave, finding), ())
  if phrase.place == ANYWHERE:
    return {feature.name for feature in of_finding}
  leads = group.leads if group.placed else set(phrase.place)
  led = [f for f in of_finding if f.leads and _covers(leads, f)]
  names = {
    f.name for f in led if not any(set(f.leads) < set(g.leads) for g in led)
  }
  alone = not any(feature.leads for feature in of_finding)
  if alone or group.diffuse:
    names |= {feature.name for feature in of_finding if not feature.leads}
  return names


def _covers(leads, feature):
  share = len(leads.intersection(feature.leads)) / len(feature.leads)
  return share >= (COVERED if " or " not in feature.name else 0.01)
