"""One spelling for the words of ECG statements.

Carts and readers write the same finding in many ways ("A-V block, 1st deg.",
"first degree atrioventricular block"). Here a text becomes canonical words,
so that a phrase can be looked for word by word, negations included.
"""

import dataclasses
import functools
import re

_BEAT = r"(?:complex|contraction|beat|depolarization|systole)(?:e?s)?"
_ECTOPIC = rf"(?:premature|ectopic) {_BEAT}|extrasystoles?|ectopics?"
# In this order; each sees what those above it left.
_SPELLINGS = (
  (r"[‐-―]", "-"),
  (r"\(e?s\)|\(lad\)", ""),  # after an infarct (LAD) names the artery
  (r"(isch|kal|calc)aem", r"\1em"),
  (r"\brepol(?:ari[sz]ation)?\b", "repolarization"),
  (r"\ba-v\b|\batrio-?ventricular\b", "av"),
  (r"\bavb\b", "av block"),
  (r"\bsino-?atrial\b", "sa"),
  (r"\b1st\b", "first"),
  (r"\b2nd\b", "second"),
  (r"\b3rd\b", "third"),
  (r"\bdeg\b", "degree"),
  (r"\ba-?fib\b|\bafib\b", "atrial fibrillation"),
  (r"\ba-flutter\b", "atrial flutter"),
  (r"\bflut\b", "flutter"),
  (r"\bsinus(?=rhythm|brady|tachy)", "sinus "),
  (r"\b(brady|tachy)kardie\b", r"\1cardia"),
  (r"\blv\b", "left ventricular"),
  (r"\brv\b", "right ventricular"),
  (r"\bant/sept(?:al)?\b|\bantero-septal\b", "anteroseptal"),
  (r"\bi\.v\.|\biv\b|\bintraventr\b", "intraventricular"),
  (r"\bivcd\b", "intraventricular conduction delay"),
  (r"\bi([rl])bbb\b", r"incomplete \1bbb"),
  (r"\bc([rl])bbb\b", r"complete \1bbb"),
  (r"\brbbb\b", "right bundle branch block"),
  (r"\blbbb\b", "left bundle branch block"),
  (r"\blvh\b", "left ventricular hypertrophy"),
  (r"\brvh\b", "right ventricular hypertrophy"),
  (r"\bbvh\b", "biventricular hypertrophy"),
  (r"\bla[fh]b\b", "left anterior fascicular block"),
  (r"\blp[fh]b\b", "left posterior fascicular block"),
  (r"\bhemiblock\b", "fascicular block"),
  # "anterior" here is no wall of the heart.
  (r"\b(anterior|posterior) fascicular\b", r"\1-fascicular"),
  (r"\blae\b", "left atrial enlargement"),
  (r"\brae\b", "right atrial enlargement"),
  (r"\blad\b", "left axis deviation"),
  (r"\brad\b", "right axis deviation"),
  (r"\bwpw\b", "wolff parkinson white"),
  (r"\bsvt\b", "supraventricular tachycardia"),
  (r"\bpsvt\b", "paroxysmal supraventricular tachycardia"),
  (r"\bnsvt\b", "nonsustained ventricular tachycardia"),
  (r"\bvt\b", "ventricular tachycardia"),
  (r"\bvf\b", "ventricular fibrillation"),
  (r"\bpmi\b", "posterior infarct"),
  (r"\bvent\b", "ventricular"),
  (r"\bexcit(?:at)?'n\b", "excitation"),
  (r"\bacces+'y\b", "accessory"),
  (r"\bpreexcit", "pre-excit"),
  (r"\bdepr\b", "depression"),
  (r"\belev\b", "elevation"),
  (r"\bst segments?\b", "st"),
  (r"\babnrm\b|\babnormalit(?:y|ies)\b", "abnormality"),
  (r"\bl(?:ea)?ds?\b", "lead"),
  (r"\bnon[- ]?specific\b|\bunspecific\b", "nonspecific"),
  (r"\bnon[- ]diagnostic\b", "nondiagnostic"),
  (r"\bnon[- ]sustained\b|\bunsustained\b", "nonsustained"),
  (r"\bnon[- ]conducted\b", "nonconducted"),
  (r"\bconduction (?:defect|disturbance|disorder)\b", "conduction delay"),
  (r"\b(?:st-?elevation )?(?:myocardial infarct(?:ion)?|mi)\b", "infarct"),
  (r"\binfarctions?\b", "infarct"),
  (rf"\bpremature ventricular {_BEAT}\b|\bv[pe][bc]s?\b", "pvc"),
  (rf"\bventricular (?:{_ECTOPIC})\b|\bpvcs\b", "pvc"),
  (rf"\bpremature (?:atrial|supraventricular) {_BEAT}\b|\bpacs\b", "pac"),
  (rf"\b(?:atrial|supraventricular) (?:{_ECTOPIC})\b|\bapbs?\b", "pac"),
  (rf"\b{_BEAT}\b", "beat"),
  (
    r"\b(?:may be|is|are|be)?\s*(?:can ?not|can't|not)(?: be)? "
    r"(?:entirely )?(?:ruled? out|excluded?)",
    " ",
  ),
  (r"\bage (?:undetermined|indeterminate|indeterm|unknown)\b", " "),
  (r"\bno (?=definite patholog)", "no-"),
  (r"\brepeat if\b.*|\bno further (?:\w+ )?analysis\b", " "),
)
_SPELLINGS = tuple((re.compile(p), text) for p, text in _SPELLINGS)
# Words that carry no finding: hedges, links and articles.
_HEDGES = ("possible", "possibly", "probable", "probably", "prob", "likely")
_IDLE = frozenset(
  (*_HEDGES, "consider", "suspected", "borderline", "old", "the", "an")
) | frozenset(("and", "with", "of", "in", "w", "are", "is"))
_NEGATIONS = frozenset(("no", "not", "without", "absence", "neither", "nor"))
_REACH = 6
"""How many words a negation reaches forward."""
_DENIED = re.compile(r"(?:is |are )?(?:absent|excluded|ruled out|not seen)\b")
_WORD = re.compile(r"[a-z0-9:'%]+(?:-fascicular|-definite)?|[,;.]")
_GAP = "..."


@dataclasses.dataclass(frozen=True)
class Words:
  """The canonical words of a text.

  Attributes:
    words: in order, without idle words and punctuation.
    denied: of each word, whether the text negates it.
  """

  words: tuple
  denied: tuple


@functools.lru_cache(maxsize=65536)
def canonical(text):
  """Returns the `Words` of a statement or phrase."""
  plain = " ".join(text.lower().split())
  for pattern, written in _SPELLINGS:
    plain = pattern.sub(written, plain)
  words, denied, left = [], [], 0
  for clause in re.split(r"[,;.](?=\s|$)|\bbut\b", plain):
    left, all_denied = 0, bool(_DENIED.search(clause))
    for word in _WORD.findall(clause):
      word = _singular(word)
      if word in _NEGATIONS:
        left = _REACH
      elif word not in _IDLE and word not in ",;.":
        words.append(word)
        denied.append(all_denied or left > 0)
        left -= 1
  return Words(tuple(words), tuple(denied))


def _singular(word):
  """Drops a plural s ("waves"); "axis", "sinus" and "loss" keep theirs."""
  plural = len(word) > 3 and word[-1] == "s" and word[-2] not in "suio'"
  return word[:-1] if plural else word


@functools.cache
def pattern(phrase):
  """The runs of words of a phrase, which `...` parts: tuple of tuples."""
  return tuple(canonical(run).words for run in phrase.split(_GAP))


def places(phrase, words):
  """Where a phrase stands: a list of sets of word positions.

  Args:
    phrase: a text; any words may stand where it has `...`.
    words: tuple of canonical words.
  """
  found = []
  first, *rest = pattern(phrase)
  for start in _starts(first, words, 0):
    at, end = list(range(start, start + len(first))), start + len(first)
    for run in rest:
      begin = next(_starts(run, words, end), None)
      if begin is None:
        break
      end = begin + len(run)
      at += range(begin, end)
    else:
      found.append(frozenset(at))
  return found


def _starts(run, words, begin):
  """Positions from `begin` on where a run of words starts."""
  for start in range(begin, len(words) - len(run) + 1):
    if words[start : start + len(run)] == run:
      yield start
