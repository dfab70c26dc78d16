"""Reports: what a reader or a machine writes about a record.

A report names the diagnoses (now and then one is left out) and, in about 45
of 100 records, also some of the waveform features that are there.
"""

import importlib.resources
import json

from fgclep_jax.signals.simulate.diagnoses import NORMAL

MENTION = 0.52
"""Chance that a report on a record with features mentions any of them."""
OMISSION = 0.06
"""Chance that a report leaves out a diagnosis."""

_TABLES = json.loads(
  importlib.resources.files(__package__)
  .joinpath("wordings.json")
  .read_text(encoding="utf-8")
)
DIAGNOSIS_WORDINGS = {
  name: tuple(lines) for name, lines in _TABLES["diagnoses"].items()
}
"""Diagnosis -> how reports put it, the commonest wording first."""
FEATURE_WORDINGS = {
  name: tuple(lines) for name, lines in _TABLES["features"].items()
}
"""Waveform feature -> how reports put it."""

HEDGES = ("Possible", "Probable", "Consider", "Cannot rule out")
_NOT_SINUS = (
  "atrial fibrillation",
  "atrial flutter",
  "ventricular pacing",
  "supraventricular tachycardia",
  "junctional rhythm",
  "ventricular tachycardia",
  "third degree AV block",
  "sinus bradycardia",
  "sinus tachycardia",
  "sinus arrhythmia",
)
_SINUS = ("Sinus rhythm", "Normal sinus rhythm", "Regular sinus rhythm")
_UNHEDGED = (NORMAL, *_NOT_SINUS[-3:])


def write_report(stream, names, severity, features):
  """Statements of a report, rhythm first.

  Args:
    stream: numbers of the record's report.
    names: diagnoses.
    severity: name -> 0 .. 1; faint findings are hedged more often.
    features: names of the waveform features that are present.

  Returns:
    Tuple of str, at least one.
  """
  lines = []
  if not set(names) & set(_NOT_SINUS) and stream.chance(0.8):
    irregular = "irregular RR intervals" in features
    lines.append(stream.pick(_SINUS[: 1 if irregular else 3]))
  named = [name for name in names if not stream.chance(OMISSION)]
  for name in named or names[:1]:
    wordings = DIAGNOSIS_WORDINGS[name]
    line = stream.pick(wordings, (5, 2, 2, 2)[: len(wordings)])
    if name not in _UNHEDGED and stream.chance(
      0.16 - 0.12 * severity.get(name, 1.0)
    ):
      line = f"{stream.pick(HEDGES)} {_lowered(line)}"
    lines.append(line)
  if features and stream.chance(MENTION):
    wanted = 1 + int(3 * stream.uniform() ** 1.4)
    for name in stream.shuffled(features)[:wanted]:
      lines.append(stream.pick(FEATURE_WORDINGS[name]))
  return tuple(lines)


def _lowered(line):
  """The first letter small, unless the first word is an abbreviation."""
  word = line.split()[0]
  return (
    line
    if word[:2].isupper() or word == "A-fib"
    else (line[0].lower() + line[1:])
  )
