"""Where on the tracing a statement says that something is seen.

Lists and ranges of leads ("ii, iii, avf", "v4,5,6", "V2-V4") and names of
regions ("inferior", "anterior and lateral", "left chest leads", "diffuse").
"""

import dataclasses
import re

_LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")
_CHEST = ("V1", "V2", "V3", "V4", "V5", "V6")
LEADS = _LIMB + _CHEST
_WRITTEN = {lead.lower(): lead for lead in LEADS}

# Leads that look at a region, as usually taught; () for one that none of the
# twelve faces.
_REGIONS = {
  "high lateral": ("I", "aVL"),
  "left (?:chest|precordial)": ("V4", "V5", "V6"),
  "right (?:chest|precordial)": ("V1", "V2", "V3"),
  "anterior (?:chest|precordial)": ("V1", "V2", "V3", "V4"),
  "(?:standard )?limb|extremity|peripheral|frontal(?! (?:qrs|axis))": _LIMB,
  "chest|precordial|(?:v|horizontal)(?= leads)": _CHEST,
  "infero-?lateral": ("I", "II", "III", "aVL", "aVF", "V5", "V6"),
  "antero-?lateral": ("I", "aVL", "V3", "V4", "V5", "V6"),
  "antero-?septal": ("V1", "V2", "V3", "V4"),
  "inferior": ("II", "III", "aVF"),
  "anterior": ("V1", "V2", "V3", "V4"),
  "lateral": ("I", "aVL", "V5", "V6"),
  "septal": ("V1", "V2"),
  "posterior": (),
}
_DIFFUSE = (
  r"diffuse(?:ly)?|widespread|generali[sz]ed|generally|global|extensive|"
  r"throughout|(?:most|all)(?= leads)"
)
# A region of the heart muscle or of the conduction system is no place.
_OF_THE_HEART = (
  r"(?! (?:\w+ )?(?:infarct|isch|injur|myocard|fascic|hemiblock|block|wall|"
  r"extension|hypertroph|damage|infarcts))"
)
_REGION = re.compile("|".join(f"({name})" for name in _REGIONS))
_LEAD = r"(?:avr|avl|avf|iii|ii|i|v[1-6])"
# Bare numbers go on from a lead of the chest: "v4,5,6", "v2-6".
_NEXT = (
  rf"(?:(?:[\s,/&+-]|\b(?:and|or|to|through)\b)+{_LEAD}|[,/-][1-6]"
  r"(?![.:/]\d))(?!\w)"
)
_NAMES = "|".join(_REGIONS)
_PLACE = re.compile(
  r"(?<![\w'’])(?:"
  rf"(?P<leads>(?>{_LEAD}(?!\w)(?:{_NEXT})*))|"
  rf"(?P<diffuse>{_DIFFUSE})\b(?: leads?\b)?|"
  rf"(?P<regions>(?>(?:{_NAMES})\b"
  rf"(?:\s*(?:[+/,&]|and|or)\s*(?:{_NAMES})\b)*))"
  rf"(?P<of>(?: leads?| derivatives)\b)?{_OF_THE_HEART})"
)
_STEP = re.compile(rf"(?P<between>.*?)(?P<lead>{_LEAD}|[1-6])(?!\w)")
_UP_TO = re.compile(r"-|\bto\b|\bthrough\b")
_POINTED = re.compile(r"\bin (?:the )?$")


@dataclasses.dataclass(frozen=True)
class Place:
  """A place that a text names.

  Attributes:
    leads: names of leads, as in LEADS; empty for none of the twelve.
    diffuse: said to be in most leads.
    ahead: stands before what is found there ("inferior ST elevation").
  """

  leads: frozenset
  diffuse: bool = False
  ahead: bool = False


def mark(text):
  """Puts ` @0 `, ` @1 ` ... in a text for the places that it names.

  Args:
    text: lower case; an `@` of its own becomes a blank.

  Returns:
    The text on single blanks, and a tuple of Place, one for each mark.
  """
  text, places = text.replace("@", " "), []

  def instead(found):
    places.append(_place(found, text))
    return f" @{len(places) - 1} "

  return " ".join(_PLACE.sub(instead, text).split()), tuple(places)


def _place(found, text):
  if found["leads"]:
    return Place(frozenset(_listed(found["leads"])))
  ahead = not found["of"] and not _POINTED.search(text, 0, found.start())
  if found["diffuse"]:
    return Place(frozenset(), diffuse=True, ahead=ahead)
  leads = set()
  for region in _REGION.finditer(found["regions"] + " leads"):
    leads.update(tuple(_REGIONS.values())[region.lastindex - 1])
  return Place(frozenset(leads), ahead=ahead)


def _listed(words):
  """The leads of a list; `v4,5` and `v2-6` go on from the lead before."""
  leads = []
  for step in _STEP.finditer(words):
    name = step["lead"]
    lead = _WRITTEN.get(name) or f"V{name}"
    if leads and _UP_TO.search(step["between"]):
      leads += LEADS[LEADS.index(leads[-1]) : LEADS.index(lead)]
    leads.append(lead)
  return leads
