"""Tells the findings of a machine-made report from its technical lines.

ECG carts print remarks about the recording between the findings: unusable
leads, noise, swapped electrodes, a bare "Abnormal ECG". They say nothing
about the waveform, so a model must not learn them. The families were drawn
up on the statements of MIMIC-IV-ECG, whose vocabulary is open: patterns, not
lists of lines.
"""

import re

_LEAD = r"(?:leads?|leads?\(s\))"
_LIMB = r"(?:arm|limb|precordial|chest)"
# Tried in this order; the first that is found in the line names it.
_FAMILIES = {
  "unusable": rf"^{_LEAD} unsuitable for analysis",
  "missing": rf"^(?:partial )?missing {_LEAD}:|^all 12 leads are missing|"
  rf"missing data in .*{_LEAD}",
  "noise": rf"^(?:artifacts?|baseline wander|noise) in {_LEAD}",
  "not used": rf"^{_LEAD} .* not used for|\bfaulty \w+ - omitted",
  "sequence": r"^(?:possible )?sequence error:",
  "reversal": rf"\b{_LIMB} (?:lead |electrode )reversal|"
  rf"\b{_LIMB} leads? reversed|\bdextrocardia\b|"
  r"^similar QRS in (?:V|precordial) leads|\belectronic simulator\b",
  "quality": r"^analysis error|\bmeasurement error\b|\btechnical error\b|"
  r"\btechnically unsatisfactory\b|\bdata quality\b|"
  r"^recording unsuitable for analysis",
  "demographics": r"\bmade without know|\bpediatric criteria\b",
  "unconfirmed": r"^unconfirmed|^if rhythm is confirmed",
  "pacer": r"^pacer detection suspended",
  "stop": r"\bno further analysis\b",
  "verdict": r"^summary:|"
  r"^(?:(?:otherwise )?(?:ab)?normal|borderline) ecg(?: except for rate)?$|"
  r"^available leads normal$|^within normal limits(?: for age)?$",
  "advice": r"^repeat if\b",
}
_FAMILIES = {
  name: re.compile(pattern, re.IGNORECASE)
  for name, pattern in _FAMILIES.items()
}
FAMILIES = tuple(_FAMILIES)

# "*** x ***", "--- x ---", "- x" and the code residue of "(9@128) x".
_DECORATION = re.compile(r"\*+|-{2,}|={2,}|^[\s-]+|^\s*\(\d+@\d+\)")
_EKG = re.compile(r"\bEKG\b", re.IGNORECASE)
_SUMMARY = re.compile(r"^summary:", re.IGNORECASE)
_ADVICE = re.compile(r" - repeat if\b.*", re.IGNORECASE)
_RHYTHM = (
  r"[^.;:]*\b(?:rhythm|pac(?:ed|ing|emaker)|fibrillation|flutter|"
  r"tachycardia|bradycardia)\b[^.;:]*"
)
# The rhythm in a line that ends the analysis because of it.
_STOPPED_BY = re.compile(
  rf"(?P<before>{_RHYTHM}?) - no further analysis.*|"
  rf"no further analysis .*?(?:because of|due to) (?P<after>{_RHYTHM})",
  re.IGNORECASE,
)
_NORMAL = re.compile(r"\bnormal\b", re.IGNORECASE)  # not "abnormal"
_LETTER = re.compile(r"[^\W\d_]")


def family(line):
  """Returns which of FAMILIES a line belongs to, or None for a finding.

  `stop` may name a rhythm and `verdict` may say "normal", which makes them
  findings; see `is_technical`.
  """
  line = _plain(line)
  for name, pattern in _FAMILIES.items():
    if pattern.search(line):
      return name
  return None


def is_technical(line):
  """True for a line that says nothing about the waveform.

  Verdicts count as technical unless they are a finding, as "Normal ECG" is;
  so does a line without a letter.
  """
  kind = family(line)
  if kind == "stop":
    return not _STOPPED_BY.fullmatch(_plain(line))
  if kind == "verdict":
    return not _NORMAL.search(line)
  return kind is not None or not _LETTER.search(_plain(line))


def clean_line(line):
  """Returns the finding of a line; its words, numbers and case stay.

  Drops decoration (`***`, `---`, a leading `- ` or `(9@128)`), "Summary:",
  a final full stop, the advice "- repeat if ..." and "no further analysis"
  beside a rhythm; collapses blanks; EKG becomes ECG. Cleaning twice changes
  nothing.
  """
  while True:
    found = _plain(line)
    stopped = _STOPPED_BY.fullmatch(found)
    if stopped:
      found = stopped["before"] or stopped["after"]
    found = _ADVICE.sub("", _SUMMARY.sub("", found)).strip(" .,;")
    if found == line:
      return found
    line = found


def split_line(line):
  """Splits one line of a report into finding and technical line.

  Args:
    line: a field of the report, not blank.

  Returns:
    The cleaned finding and the technical line as found, blanks collapsed;
    "" for what the line does not hold. A rhythm that ended the analysis
    gives both.
  """
  raw = " ".join(line.split())
  if is_technical(line):
    return "", raw
  return clean_line(line), raw if family(line) == "stop" else ""


def _plain(line):
  """Returns a line without decoration, on single blanks."""
  line = " ".join(_DECORATION.sub(" ", line).split())
  return _EKG.sub("ECG", line).strip(" .,;")
