"""Classes of report statements, and what a statement says without hedges.

A statement belongs to exactly one class, that of its head: the first finding
that it names, once decoration and modality ("possible", "old") are set aside.
The terms were drawn up on the statements of MIMIC-IV-ECG and PTB-XL, whose
vocabularies are open: families of terms, not lists of lines. A statement that
names nothing known is `administrative` and thus gets no features.
"""

import dataclasses
import functools
import re

from fgclep_jax.reports import technical

CLASSES = (
  "waveform",
  "diagnosis",
  "rhythm",
  "technical",
  "administrative",
  "comparison",
  "normal",
)
RELEVANT = ("waveform", "diagnosis", "rhythm")
"""The classes whose statements may receive waveform features."""

# The one table of abbreviations that are written out. The usual short names
# of conditions and ectopy (LVH, RBBB, WPW, PVC) stay as they are.
_LONG_FORMS = {
  "w/": "with",
  "a-v": "av",
  "a:v": "av",
  "avb": "av block",
  "deg": "degree",
  "1st": "first",
  "2nd": "second",
  "3rd": "third",
  "abnrm": "abnormality",
  "repol": "repolarization",
  "repolarisation": "repolarization",
  "lds": "leads",
  "depr": "depression",
  "elev": "elevation",
  "vent": "ventricular",
  "prob": "probable",
  "poss": "possible",
  "indeterm": "indeterminate",
  "ant/septal": "anteroseptal",
  "ant/lateral": "anterolateral",
  "pre-excit'n": "pre-excitation",
  "pre-excitat'n": "pre-excitation",
  "access'y": "accessory",
  "acces'y": "accessory",
  "sinusrhythm": "sinus rhythm",
}
_SHORT = re.compile(
  rf"(?<!\w)(?:{'|'.join(map(re.escape, _LONG_FORMS))})(?!\w)"
)
_PLURAL = re.compile(r"\s?\((e?s)\)")
_BRITISH = re.compile(r"(isch|kal|calc)aem")

# "acute" and "recent" are no modality: such an infarct looks otherwise.
_NOT_KNOWN = r"(?:undetermined|indeterminate|uncertain|unknown)"
_MODALITIES = {
  "cannot_rule_out": r"(?:is |are )?(?:can ?not|can't|could not|not)"
  r"(?: be)?(?: entirely| completely)? (?:ruled? out|excluded?)\b",
  "age_undetermined": rf"age (?:is )?(?:{_NOT_KNOWN}|not determinable)\b|"
  rf"(?:of )?{_NOT_KNOWN} age\b",
  "consider": r"(?:should be )?consider(?:ed)?\b|^suggest exclude\b",
  "possible": r"(?:is )?(?:possibl[ey]|suspect(?:ed)?|perhaps)\b|\?",
  "probable": r"(?:is |most )?(?:probabl[ey]|likely(?: to be)?|presumably)\b",
  "borderline": r"borderline\b",
  "old": r"old\b",
}
MODALITIES = tuple(name.replace("_", " ") for name in _MODALITIES)
_MODALITY = re.compile(
  "|".join(
    rf"(?P<{name}>(?<![\w-])(?:{pattern}))"
    for name, pattern in _MODALITIES.items()
  )
)
# What is left dangling once decoration and modality are gone.
_LINK = r"(?:and|or|but|with|although|though)"
_REMAINS = (
  (re.compile(r"\(\s*\)"), " "),
  (re.compile(r"\(\s+"), "("),
  (re.compile(r"\s+(?=[,;:.)])"), ""),
  (re.compile(r"[,;:.\s-]*[,;:](?:\s*[,;:.-])+\s*"), ", "),
  (re.compile(r"(?: - )(?:[,;:.-]\s*)+"), " - "),
  (re.compile(rf"^{_LINK} |(?<=[\w)])[\s,;:-]+(?:{_LINK}|are|is|be|of)$"), ""),
)

# Heads; where two begin at the same letter, the class that stands first wins.
_HEADS = {
  "technical": (
    r"artefact|artifact|baseline wander|wandering baseline|"
    r"leads? reversed\b|interference\b|\bmagnet\b|"
    r"poor (?:signal|recording|data) quality"
  ),
  "comparison": (
    r"\bcompared (?:with|to)\b|\bunchanged\b|\bpreviously\b|"
    r"\bno (?:significant |definite |other )?changes? (?:since|from|in)\b|"
    r"\bsince (?:the )?(?:last|previous|prior)\b|"
    r"\b(?:previous|prior|earlier) (?:ecg|tracing)|\btracings? of earlier\b"
  ),
  "normal": (
    r"(?:\botherwise )?\bnormal(?:ly)? (?:ecg|tracing)\b|"
    r"\bwithin normal limits\b|\botherwise (?:normal|no definite)\b|"
    r"\bno (?:definite|safe|certain) (?:patholog|abnormal)|"
    r"\bavailable leads normal\b|\b(?:ecg|tracing) (?:is )?normal\b|"
    r"^normal(?: for age)?$"
  ),
  "administrative": (
    r"\bchanges? may (?:[a-z]+ )*due (?:partly )?to (?:rate|rhythm)\b|"
    r"^(?:there (?:is|are) )?no (?!further\b|(?:\w+ )?[pr]\b)|"
    r"\binterpret together\b|\bclinical correlation\b"
  ),
  "rhythm": (
    r"\b(?:wide|narrow|broad)[- ](?:qrs|complex) (?:tachy|brady)cardia|"
    r"\bsinus|\w*rhythm|arr?h?yth?m|\w*(?:tachy|brady)|\bwandering\b|"
    r"fibrillation\b|\bflutter\b(?! waves)|\ba-?fib\b|\b[sv]t\b(?<=vt)|"
    r"\bp[av]cs?\b|\bv[pe]bs?\b|premature (?!p\b)|extra-?systol|"
    r"\bbigemin|\btrigemin|\bcouplets?\b|\bectop|\bescape\b|"
    r"\b(?:un)?paced\b|\bpacing\b|\bpacer?(?:maker)?\b|"
    r"failure to (?:sense|capture|pace)|\bdissociation\b|"
    r"\bfusion (?:complex|beat)|"
    r"\baberrant\w*(?: \w+)? (?:complex|beat)|\baberrantly conducted\b|"
    r"\bbeat(?:s|ing)?\b|\bpauses?\b|\bsinus (?:arrest|pause)|\basystole\b|"
    r"\bstandstill\b|ventricular response\b|"
    r"\b(?:heart|atrial|slow|rapid|irregular|ventricular) rate\b|"
    r"\b(?:long|short|irregular|regular) r-?r\b"
  ),
  "diagnosis": (
    r"(?:voltage|amplitude) criteri\w+ (?:\(\w+\) )?(?:for|of) |"
    r"\bst[- ]elevation (?:mi\b|myocardial infarct)|hypertroph|\b[lrb]vh\b|"
    r"\benlargement\b|\b(?:bi)?atrial (?:abnormality|overload|dilat)|"
    r"\b[lr]ae\b|inf(?:ar|ra|gra)ct|\b[ps]?t?e?mi\b|isch?a?em|\binjury\b|"
    r"myocardial (?:damage|affection)|bundle[- ]branch|\b[lr]bbb\b|"
    r"fascicular|hemiblock|\bl[ap][fh]b\b|\bblocks?\b|\bivcd\b|"
    r"\bconduction\b|\bintraventricular (?:delay|defect)|\baberra|"
    r"pre[- ]?excit|\bwpw\b|"
    r"\bwolff?\b|pericardi|early repolarization|delayed repolarization|"
    r"long qt syndrome|\bpulmonary\b|emboli|"
    r"h(?:yper|ypo)(?:kal|calc|tens|therm)|"
    r"metabolic|electrolyte|digitalis|\bdrug\b|brugada|cardiomyopathy|"
    r"myocarditis|\bstrain\b|\bleft (?:ventricular )?(?:load|stress)|"
    r"\bcva\b|heart (?:disease|failure|valve)|valv(?:e|ular) disease"
  ),
  "waveform": (
    r"(?<!['(’.])(?<!due )\b(?:[pqrstu]|st[jt]?|pr|pq|qs|qtc?|qrs?|rs|"
    r"r's?|rsr)(?!\w)|\bs ?v1\b|\br ?v[56]\b|\br/s\b|\brsr|\bqrs|"
    r"\bs1,? ?s2|\b[st]-wave|\bp-|\b[pqrstu]?waves?\b|\bsegment|\binterval|"
    r"\baxis\b|electric\w* (?:shaft|axis)|voltages?\b|\bamplitude|"
    r"\btransition\b|lockwise\b|repolarization|\blad\b|\brad\b|intrinsicoid|"
    r"\bdelta\b|\balternans\b|\blewis\b|\bcornell\b|\bsokolow|spatial velocity|"
    r"\bj[ -]point|\bnotch|\bterminal force|\bspikes?\b|"
    r"\b(?:left|right|steep|position|location)[- ]?type?\b"
  ),
}
_HEAD = re.compile(
  "|".join(f"(?P<{kind}>{terms})" for kind, terms in _HEADS.items())
)
# Families of lines that are told by the whole line, not by a head.
_OF_FAMILY = dict.fromkeys(technical.FAMILIES, "technical") | dict.fromkeys(
  ("demographics", "unconfirmed", "advice", "verdict"), "administrative"
)
_NORMAL = re.compile(r"\bnormal\b")


@dataclasses.dataclass(frozen=True)
class Classified:
  """A statement and what is known of it.

  Attributes:
    text: the statement as given.
    finding: what it says, lower case, on single blanks, without decoration
      and modality; abbreviations of one small table are written out.
    kind: one of CLASSES; a matter of the finding alone.
    modality: those of MODALITIES that the statement holds, in its order.
  """

  text: str
  finding: str
  kind: str
  modality: tuple


@functools.lru_cache(maxsize=1 << 16)
def classify(text):
  """Tells a statement's class, canonical finding and modality.

  Classifying the finding gives the same finding and class.

  Args:
    text: one line of a machine's report or one statement of a free text.

  Returns:
    A Classified. Text that names nothing known, or is empty, is
    `administrative`.
  """
  finding, modality = canonical(text)
  return Classified(text, finding, _kind(finding), modality)


def canonical(text):
  """Returns the canonical finding of a statement and its modality."""
  words, modality = written_out(text), []

  def set_aside(found):
    modality.append(found.lastgroup.replace("_", " "))
    return " "

  while True:
    left = " ".join(_MODALITY.sub(set_aside, words).split())
    for pattern, instead in _REMAINS:
      left = pattern.sub(instead, left)
    left = left.strip(" .,;:-/")
    if left == words:
      return words, tuple(modality)
    words = written_out(left)


@functools.lru_cache(maxsize=1 << 12)
def written_out(text):
  """Returns a statement in lower case, undecorated, abbreviations spelled."""
  words = technical.clean_line(text).lower()
  words = _BRITISH.sub(r"\1em", _PLURAL.sub(r"\1", words))
  return _SHORT.sub(lambda found: _LONG_FORMS[found[0]], words)


def _kind(finding):
  family = technical.family(finding)
  if family == "verdict" and _NORMAL.search(finding):
    return "normal"
  if family is not None:
    return _OF_FAMILY[family]
  head = _HEAD.search(finding)
  return head.lastgroup if head else "administrative"
