"""The diagnoses, how often each occurs and which exclude one another.

Frequencies are those of a hospital's ECG archive with the rare diagnoses
made more common, so that some thousand records hold each of them often
enough. Trends with age and sex follow population studies: Framingham for
atrial fibrillation, bundle branch block and infarction; women have fewer
infarctions and longer QT; pericarditis is a disease of young men.
"""

import dataclasses
import math

BURDENS = ("atrial", "conduction", "coronary", "hypertension", "lung")
"""Loads of disease that make a patient's diagnoses come together."""


@dataclasses.dataclass(frozen=True)
class Diagnosis:
  """How often a diagnosis occurs.

  Attributes:
    name: the class name of task `simulated`.
    share: probability at 60 years in a man with average burdens.
    decade: change of the log odds with each ten years of age.
    female: change of the log odds in women.
    burdens: (name, weight) pairs that add to the log odds.
    chronic: whether all records of a patient show it.
  """

  name: str
  share: float
  decade: float = 0.0
  female: float = 0.0
  burdens: tuple = ()
  chronic: bool = False

  def probability(self, age, sex, burdens):
    """Probability in a patient of that age, sex and burdens."""
    odds = math.log(self.share / (1 - self.share))
    odds += self.decade * (age - 60) / 10 + self.female * sex
    odds += sum(weight * burdens[name] for name, weight in self.burdens)
    return 1 / (1 + math.exp(-odds))


NORMAL = "normal ECG"
TABLE = (
  Diagnosis("sinus bradycardia", 0.085, 0.05, -0.2),
  Diagnosis("sinus tachycardia", 0.095, -0.15, 0.1),
  Diagnosis(
    "atrial fibrillation", 0.055, 0.45, -0.2, (("atrial", 1.0),), chronic=True
  ),
  Diagnosis("atrial flutter", 0.045, 0.25, -0.5, (("atrial", 0.8),)),
  Diagnosis("premature atrial complexes", 0.07, 0.25, 0.0, (("atrial", 0.6),)),
  Diagnosis(
    "premature ventricular complexes", 0.075, 0.2, -0.1, (("coronary", 0.4),)
  ),
  Diagnosis(
    "first degree AV block",
    0.065,
    0.3,
    -0.3,
    (("conduction", 0.7),),
    chronic=True,
  ),
  Diagnosis("second degree AV block", 0.035, 0.3, -0.2, (("conduction", 0.7),)),
  Diagnosis(
    "left bundle branch block",
    0.045,
    0.35,
    0.1,
    (("conduction", 0.6), ("hypertension", 0.4)),
    chronic=True,
  ),
  Diagnosis(
    "right bundle branch block",
    0.065,
    0.3,
    -0.5,
    (("conduction", 0.7),),
    chronic=True,
  ),
  Diagnosis(
    "left anterior fascicular block",
    0.06,
    0.3,
    -0.3,
    (("conduction", 0.6), ("hypertension", 0.3)),
    chronic=True,
  ),
  Diagnosis(
    "left ventricular hypertrophy",
    0.08,
    0.15,
    0.0,
    (("hypertension", 1.0),),
    chronic=True,
  ),
  Diagnosis(
    "right ventricular hypertrophy",
    0.04,
    -0.05,
    0.1,
    (("lung", 1.0),),
    chronic=True,
  ),
  Diagnosis(
    "anterior myocardial infarction",
    0.065,
    0.3,
    -0.6,
    (("coronary", 0.8),),
    chronic=True,
  ),
  Diagnosis(
    "inferior myocardial infarction",
    0.07,
    0.3,
    -0.5,
    (("coronary", 0.8),),
    chronic=True,
  ),
  Diagnosis(
    "lateral ischemia",
    0.06,
    0.2,
    0.1,
    (("coronary", 0.7), ("hypertension", 0.2)),
  ),
  Diagnosis("acute pericarditis", 0.045, -0.4, -0.7),
  Diagnosis("long QT", 0.045, -0.05, 0.5, chronic=True),
  Diagnosis(
    "ventricular pacing", 0.03, 0.5, -0.2, (("conduction", 0.7),), chronic=True
  ),
)
DIAGNOSES = (NORMAL, *(row.name for row in TABLE))

# The first of each row hides or rules out the others when both were drawn.
_EXCLUDES = {
  "ventricular pacing": (
    "atrial fibrillation",
    "atrial flutter",
    "second degree AV block",
    "first degree AV block",
    "sinus bradycardia",
    "sinus tachycardia",
    "premature atrial complexes",
    "premature ventricular complexes",
    "left bundle branch block",
    "right bundle branch block",
    "left anterior fascicular block",
    "left ventricular hypertrophy",
    "right ventricular hypertrophy",
    "anterior myocardial infarction",
    "inferior myocardial infarction",
    "lateral ischemia",
    "acute pericarditis",
    "long QT",
  ),
  "atrial fibrillation": (
    "atrial flutter",
    "second degree AV block",
    "first degree AV block",
    "sinus bradycardia",
    "sinus tachycardia",
    "premature atrial complexes",
  ),
  "atrial flutter": (
    "second degree AV block",
    "first degree AV block",
    "sinus bradycardia",
    "sinus tachycardia",
    "premature atrial complexes",
  ),
  "second degree AV block": (
    "first degree AV block",
    "sinus bradycardia",
    "sinus tachycardia",
    "premature atrial complexes",
    "premature ventricular complexes",
  ),
  "sinus bradycardia": ("sinus tachycardia",),
  "left bundle branch block": (
    "right bundle branch block",
    "left anterior fascicular block",
    "left ventricular hypertrophy",
    "right ventricular hypertrophy",
    "anterior myocardial infarction",
    "inferior myocardial infarction",
    "lateral ischemia",
    "acute pericarditis",
    "long QT",
  ),
  "right bundle branch block": ("right ventricular hypertrophy",),
  "right ventricular hypertrophy": (
    "left anterior fascicular block",
    "left ventricular hypertrophy",
    "inferior myocardial infarction",
  ),
  "inferior myocardial infarction": ("left anterior fascicular block",),
  "acute pericarditis": (
    "anterior myocardial infarction",
    "inferior myocardial infarction",
    "lateral ischemia",
    "left ventricular hypertrophy",
  ),
}


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
