"""Cleans free-text ECG reports and splits them into statements."""

import re

# Annotators left notes that spell out the label, "Edit: NORM 100, ..."; the
# machine translation into German wrote "Bearbeiten: NORM 100, ...".
_TAIL = re.compile(r"\b(?:edit|bearbeiten)\s*:.*", re.IGNORECASE | re.DOTALL)
_NO_FINDING = re.compile(
  r"\btrace (?:only requested|nur angefordert)\b\.?", re.IGNORECASE
)
# A full stop after one of these does not end a sentence.
_ABBREVIATIONS = (
  "ant",
  "chron",
  "indiff",
  "insbes",
  "intraventr",
  "neg",
  "path",
  "resp",
  "supraventr",
  "unspec",
  "unspez",
)
_BOUNDARY = re.compile(
  r"[\r\n]+|[ \t]{10,}|"
  + "".join(rf"(?<!\b{word})" for word in _ABBREVIATIONS)
  + r"(?<!\s\d)\.(?=\s|$)",  # "block 1. grades" is no end either
  re.IGNORECASE,
)
_LETTER = re.compile(r"[^\W\d_]")


def clean_report(text):
  """Returns a report on one line, without what is no finding.

  Cuts an annotation tail (from `Edit:` or `Bearbeiten:` to the end), drops
  `trace only requested.` and collapses blanks.
  """
  return " ".join(_without_notes(text).split())


def split_report(text):
  """Splits a report into statements, in order, without their full stops.

  Statements end at a sentence end, a line break or a run of ten or more
  blanks. A full stop is a sentence end when white space or nothing follows
  and it does not stand inside or after a lone number ("0.24", "1. grades")
  or after an abbreviation ("intraventr."). Commas never split, so lists of
  leads ("q waves in ii, iii, avf", "v4,5,6") stay whole.

  Shorter runs of blanks are kept together on purpose: of 369 runs in the
  PTB-XL reports at hand 334 are two to four blanks left by a wrapped line
  ("old inferior    myocardial infarction"), and the 20 of five to seven
  stand inside a phrase or after a full stop. Only the 15 runs of eleven and
  more are filled-up lines, each holding a statement.

  Args:
    text: a report as it stands in the archive; not the cleaned one, which
      has lost its line breaks.

  Returns:
    A list of texts, empty when there is no finding. A report without a
    boundary is one statement.
  """
  pieces = _BOUNDARY.split(_without_notes(text))
  pieces = (" ".join(piece.split()).strip(" .,;") for piece in pieces)
  return [piece for piece in pieces if _LETTER.search(piece)]


def _without_notes(text):
  return _NO_FINDING.sub(" ", _TAIL.sub("", text))
