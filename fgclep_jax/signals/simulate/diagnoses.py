"""The diagnoses, how often each occurs and which exclude one another.

`diagnoses.csv` beside this file holds for each diagnosis how often it was
seen in a published archive, with the source. The cohort follows these
frequencies within limits (`wanted`): the rare are made more common, so that
some thousand records hold each of them often enough, the two commonest
infarctions rarer. Trends with age and sex follow population studies:
Framingham for atrial fibrillation, bundle branch block and infarction; women
have fewer infarctions and longer QT; pericarditis, early repolarization and
the Brugada pattern are found in young men.

Sources: Reyna 2022 = Reyna MA et al., Physiol. Meas. 2022;43:084001 (counts
of the archives of the PhysioNet Challenge 2021); Wagner 2020 = Wagner P et
al., Sci. Data 2020;7:154; Kytö 2014 = Kytö V et al., Circulation
2014;130:1601-1606.
"""

import csv
import dataclasses
import importlib.resources
import math

BURDENS = ("atrial", "conduction", "coronary", "hypertension", "lung")
"""Loads of disease that make a patient's diagnoses come together."""
RAREST, COMMONEST = 0.02, 0.08
"""Limits of the share of records that a diagnosis is given."""


@dataclasses.dataclass(frozen=True)
class Diagnosis:
  """How often a diagnosis occurs.

  Attributes:
    name: the class name of task `simulated`.
    share: probability at 60 years in a man with average burdens, before
      the diagnoses that cannot be read beside others are taken away.
    decade: change of the log odds with each ten years of age.
    female: change of the log odds in women.
    burdens: (name, weight) pairs that add to the log odds.
    chronic: whether all records of a patient show it.
    published: share of the records of an archive, or of patients.
    source: where that is found.
  """

  name: str
  share: float
  decade: float
  female: float
  burdens: tuple
  chronic: bool
  published: float
  source: str

  @property
  def wanted(self):
    """Share of the cohort's records that are to have it."""
    return min(max(self.published, RAREST), COMMONEST)

  def probability(self, age, sex, burdens):
    """Probability in a patient of that age, sex and burdens."""
    odds = math.log(self.share / (1 - self.share))
    odds += self.decade * (age - 60) / 10 + self.female * sex
    odds += sum(weight * burdens[name] for name, weight in self.burdens)
    return 1 / (1 + math.exp(-odds))


def _read():
  """Rows of `diagnoses.csv`."""
  text = importlib.resources.files(__package__).joinpath("diagnoses.csv")
  rows = csv.DictReader(text.read_text(encoding="utf-8").splitlines())
  return tuple(
    Diagnosis(
      name=row["name"],
      share=float(row["share"]),
      decade=float(row["decade"]),
      female=float(row["female"]),
      burdens=tuple(
        (name, float(weight))
        for name, _, weight in (
          part.partition(":") for part in row["burdens"].split()
        )
      ),
      chronic=row["chronic"] == "1",
      published=int(row["seen"]) / int(row["of"]),
      source=row["source"],
    )
    for row in rows
  )


NORMAL = "normal ECG"
TABLE = _read()
DIAGNOSES = (NORMAL, *(row.name for row in TABLE))

_RATES = ("sinus bradycardia", "sinus tachycardia", "sinus arrhythmia")
_SINUS = (*_RATES, "premature atrial complexes", "first degree AV block")
_FASCICLES = (
  "left anterior fascicular block",
  "left posterior fascicular block",
)
_BRANCHES = (
  "left bundle branch block",
  "right bundle branch block",
  "incomplete right bundle branch block",
)
_ATRIA = ("left atrial enlargement", "right atrial enlargement")
_CHAMBERS = (
  "left ventricular hypertrophy",
  "right ventricular hypertrophy",
)
_OLD = tuple(
  f"{wall} myocardial infarction"
  for wall in ("anterior", "inferior", "lateral", "posterior")
)
# One of these at a time gives ST segment and T wave their shape.
_REPOLARISATION = (
  "acute anterior myocardial infarction",
  "acute inferior myocardial infarction",
  "acute pericarditis",
  "Brugada pattern",
  "hyperkalemia",
  "hypokalemia",
  "digitalis effect",
  "early repolarization",
  "anterior ischemia",
  "inferior ischemia",
  "lateral ischemia",
  "long QT",
)
# All that gives the ventricular beat its shape.
_BEATS = (*_BRANCHES, *_FASCICLES, *_CHAMBERS, *_OLD, *_REPOLARISATION)
# Rhythms, each ruling out the ones after it and what needs sinus rhythm.
_RHYTHMS = (
  "ventricular pacing",
  "ventricular tachycardia",
  "third degree AV block",
  "junctional rhythm",
  "supraventricular tachycardia",
  "second degree AV block",
  "atrial flutter",
  "atrial fibrillation",
)
_WITHOUT_ECTOPICS = _RHYTHMS[:6]


def _of_rhythms():
  """Rhythm -> what it rules out."""
  found = {}
  for place, name in enumerate(_RHYTHMS):
    hidden = [*_RHYTHMS[place + 1 :], *_SINUS, "Wolff-Parkinson-White pattern"]
    if name not in ("second degree AV block", "third degree AV block"):
      hidden += _ATRIA
    if name in _WITHOUT_ECTOPICS:
      hidden.append("premature ventricular complexes")
    found[name] = tuple(hidden)
  return found


# The first of each row hides or rules out the others when both were drawn.
_EXCLUDES = _of_rhythms()
_EXCLUDES["ventricular pacing"] += _BEATS
_EXCLUDES["ventricular tachycardia"] += _BEATS
_EXCLUDES["third degree AV block"] += _BEATS
_EXCLUDES["supraventricular tachycardia"] += (*_REPOLARISATION, _BRANCHES[0])
_EXCLUDES |= {
  "sinus bradycardia": ("sinus tachycardia",),
  "sinus tachycardia": ("sinus arrhythmia",),
  "sinus arrhythmia": ("premature atrial complexes",),
  "Wolff-Parkinson-White pattern": (*_BEATS, "first degree AV block"),
  "left bundle branch block": tuple(
    name for name in _BEATS if name != "left bundle branch block"
  ),
  "right bundle branch block": (
    "incomplete right bundle branch block",
    "right ventricular hypertrophy",
    "posterior myocardial infarction",
    "Brugada pattern",
    "hyperkalemia",
    "early repolarization",
  ),
  "right ventricular hypertrophy": (
    *_FASCICLES,
    "incomplete right bundle branch block",
    "left ventricular hypertrophy",
    "inferior myocardial infarction",
    "lateral myocardial infarction",
    "posterior myocardial infarction",
    "Brugada pattern",
  ),
  "posterior myocardial infarction": (
    *_FASCICLES,
    "incomplete right bundle branch block",
    "anterior myocardial infarction",
  ),
  "lateral myocardial infarction": (
    *_FASCICLES,
    "anterior myocardial infarction",
    "inferior myocardial infarction",
  ),
  "inferior myocardial infarction": _FASCICLES,
  "left posterior fascicular block": (
    "left anterior fascicular block",
    "left ventricular hypertrophy",
    "anterior myocardial infarction",
  ),
  "Brugada pattern": (*_OLD, "incomplete right bundle branch block"),
  "early repolarization": (*_OLD, "left ventricular hypertrophy"),
  "acute pericarditis": (*_OLD, "left ventricular hypertrophy"),
  "hyperkalemia": (*_OLD, "left ventricular hypertrophy"),
  "acute anterior myocardial infarction": _OLD,
  "acute inferior myocardial infarction": (*_OLD, *_FASCICLES),
}
for _place, _name in enumerate(_REPOLARISATION):
  _EXCLUDES[_name] = (
    *_EXCLUDES.get(_name, ()),
    *_REPOLARISATION[_place + 1 :],
  )


def draw(stream, age, sex, burdens, chronic):
  """Names of the chronic, or of the passing, diagnoses of one person."""
  return tuple(
    row.name
    for row in TABLE
    if row.chronic == chronic
    and stream.chance(row.probability(age, sex, burdens))
  )


def together(names):
  """The diagnoses that can be read side by side, in table order.

  Returns (NORMAL,) when nothing is left.
  """
  kept = set(names)
  for name, hidden in _EXCLUDES.items():
    if name in kept:
      kept -= set(hidden)
  return tuple(name for name in DIAGNOSES if name in kept) or (NORMAL,)
