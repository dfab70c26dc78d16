"""The knowledge table at work: matching, proposals, contradictions."""

import random

import pytest

from fgclep_jax.reports import classify, knowledge
from fgclep_jax.reports.canonical import canonical
from fgclep_jax.signals.simulate import wording
from tests.test_knowledge_table import OPPOSITES

# What a cardiologist expects to see, whatever else the table proposes.
COMMON = {
  "Sinus rhythm": "one P wave before every QRS",
  "Sinus bradycardia": "heart rate < 60 bpm",
  "Sinus tachycardia": "heart rate > 100 bpm",
  "Sinus arrhythmia": "irregular RR intervals",
  "Atrial fibrillation": "absent P waves",
  "Atrial fibrillation with rapid ventricular response": "heart rate > 100 bpm",
  "ATRIAL FIBRILLATION WITH SLOW VENTRICULAR RESPONSE": "heart rate < 60 bpm",
  "Possible atrial flutter.": "flutter waves in II, III and aVF",
  "Probable supraventricular tachycardia": "heart rate > 100 bpm",
  "Ectopic atrial tachycardia": "atrial rate > 100 bpm",
  "Possible ectopic atrial bradycardia": "heart rate < 60 bpm",
  "Wandering atrial pacemaker": "three or more P wave shapes",
  "Junctional tachycardia": "heart rate > 100 bpm",
  "Atrial premature complexes": "premature P waves",
  "frequent PVCs": "premature wide QRS complexes",
  "Multiform ventricular premature complexes": "multiform wide QRS complexes",
  "Ventricular bigeminy": "every second beat premature",
  "Ventricular couplets": "paired wide QRS complexes",
  "Ventricular tachycardia, unsustained": "runs of wide QRS complexes",
  "Wide QRS tachycardia": "QRS duration > 120 ms",
  "Ventricular-paced rhythm": "QRS duration > 120 ms",
  "Borderline 1st degree A-V block": "PR interval > 200 ms",
  "Prolonged PR interval": "PR interval > 200 ms",
  "Short PR interval": "PR interval < 120 ms",
  "Second degree AV block, Mobitz II": "dropped QRS complexes",
  "WENCKEBACH (MOBITZ I) 2nd DEG A-V BLOCK": "progressive PR prolongation",
  "- complete A-V block": "P waves unrelated to QRS",
  "Vent pre-excit'n(WPW), right access'y pathway": "delta wave",
  "Right bundle branch block": "rSR' pattern in V1",
  "Incomplete RBBB and LAFB": "left axis deviation",
  "Left bundle branch block": "QRS duration > 120 ms",
  "IV conduction defect": "QRS duration > 110 ms",
  "Left axis deviation": "left axis deviation",
  "LAD, consider left anterior fascicular block": "left axis deviation",
  "RIGHTWARD AXIS": "right axis deviation",
  "Right superior axis": "extreme axis deviation",
  "Low QRS voltages in standard limb leads": "low QRS voltage in limb leads",
  "Poor R wave progression - probable normal variant": (
    "poor R wave progression"
  ),
  "PROLONGED QT INTERVAL": "QTc interval > 460 ms",
  "SHORT QT INTERVAL": "QTc interval < 360 ms",
  "Inferior infarct, acute": "ST elevation in II, III and aVF",
  "*** ANTERIOR INFARCT - POSSIBLY ACUTE ***": "ST elevation in V1-V4",
}
# One of these is enough: no single feature is needed.
COMMON_GROUPS = {
  "Possible left atrial abnormality": "negative terminal P wave in V1",
  "Right atrial enlargement": "P wave > 0.25 mV in II",
  "Left ventricular hypertrophy": "S wave in V1 + R wave in V5 > 3.5 mV",
  "Possible right ventricular hypertrophy": "dominant R wave in V1",
  "Inferior infarct - age undetermined": "Q waves in II, III and aVF",
  "Cannot rule out anterior infarct - age undetermined": "Q waves in V1-V3",
  "Septal infarct, old": "Q waves in V1-V3",
  "Lateral ST-T changes may be due to myocardial ischemia": (
    "T wave inversion in I, aVL, V5 and V6"
  ),
  "Early repolarization": "J point notch",
  "Extensive ST elevation - consider pericarditis": "diffuse ST elevation",
}


def names(finding):
  return [entry.name for entry in knowledge.match(finding)]


def test_every_row_is_found_by_each_of_its_phrases():
  rng = random.Random(4)
  for entry in knowledge.entries():
    for phrase in entry.phrases:
      text = phrase.replace("...", "xyz")
      assert entry.name in names(text), (entry.name, phrase)
      loud = f"  {rng.choice(('Possible ', '*** '))}{text.upper()}. "
      assert entry.name in names(loud), loud


def test_simulated_wordings_match_their_own_entry():
  for diagnosis, wordings in wording.DIAGNOSIS_WORDINGS.items():
    for text in wordings:
      (entry,) = knowledge.match(text)
      assert f"simulated:{diagnosis}" in entry.codes, text


@pytest.mark.parametrize("finding", COMMON)
def test_common_statements_propose_what_they_must(finding):
  assert COMMON[finding] in knowledge.propose(finding)
  rest = set(knowledge.propose(finding)) - {COMMON[finding]}
  assert COMMON[finding] in knowledge.misses(finding, rest)


@pytest.mark.parametrize("finding", COMMON_GROUPS)
def test_common_statements_need_one_of_a_group(finding):
  proposed = knowledge.propose(finding)
  assert COMMON_GROUPS[finding] in proposed
  assert knowledge.misses(finding, ())
  assert not knowledge.misses(finding, proposed)


@pytest.mark.parametrize(
  ("finding", "expected"),
  [
    ("incomplete right bundle branch block", ["incomplete right bundle"]),
    ("no left bundle branch block", []),
    ("no evidence of LVH, left axis deviation", ["left axis deviation"]),
    ("without ischemia but atrial fibrillation", ["atrial fibrillation"]),
    ("right bundle branch block is excluded", []),
    ("inferior infarct cannot be ruled out", ["inferior myocardial"]),
    ("First degree atrioventricular block", ["first degree AV block"]),
    ("AVB, 1st deg.", ["first degree AV block"]),
    ("Lateral infarct, acute (LAD)", ["acute lateral"]),
    ("ischemic heartburn", []),
    ("Sinus pausing", []),
    ("ST elevation in V1-V3", []),
    ("ST segment elevation", ["ST elevation"]),
    ("No definite pathology", ["normal ECG"]),
    (
      "no q wave anywhere in all of these leads yet left bundle branch block",
      ["left bundle branch block"],
    ),
    ("", []),
  ],
)
def test_matching(finding, expected):
  found = names(finding)
  assert len(found) == len(expected), found
  assert all(n.startswith(e) for n, e in zip(found, expected, strict=True))


def test_several_entries_most_specific_first():
  found = names("Sinus rhythm with PVCs with 2nd degree A-V block, Mobitz II.")
  assert found == [
    "second degree AV block, Mobitz II",
    "sinus rhythm",
    "premature ventricular complexes",
  ]
  assert set(names("Inferior and lateral ischemia")) == {
    "inferior ischemia",
    "lateral ischemia",
  }


def test_spellings_are_one():
  assert canonical("1st deg. A-V block").words == (
    canonical("first degree atrioventricular block").words
  )
  assert canonical("T waves are inverted").words == ("t", "wave", "inverted")
  assert canonical("WPW").words == ("wolff", "parkinson", "white")


def test_contradictions():
  proposed = knowledge.propose("Sinus rhythm with 2:1 A-V block")
  assert "two P waves for every QRS" in proposed
  assert "one P wave before every QRS" not in proposed
  assert knowledge.misses("Sinus rhythm with 2:1 A-V block", proposed) == ()
  given = ("absent P waves", "flat T waves", "PR interval > 200 ms")
  assert knowledge.objections("Sinus tachycardia", given) == {
    "absent P waves": "contradicted"
  }
  assert knowledge.objections("Atrial fibrillation", given) == {
    "PR interval > 200 ms": "contradicted"
  }
  assert knowledge.objections("technical remark", given) == {}
  assert knowledge.propose("technical remark") == ()
  assert knowledge.misses("technical remark", ()) == ()


def test_left_is_not_right_and_front_is_not_back():
  """Sides and walls, against the criteria in other words than the table's."""
  wrong = {
    "LBBB": ("rSR' pattern in V1", "dominant R wave in V1"),
    "RBBB": ("broad S wave in V1", "notched R wave in V5-V6"),
    "LAFB": ("right axis deviation",),
    "LPFB": ("left axis deviation",),
    "acute inferior MI": ("ST depression in II, III and aVF",),
    "acute anterior MI": ("ST depression in V1-V3",),
    "acute pericarditis": ("ST depression in I and aVL",),
    "hyperkalemia": ("prominent U waves",),
    "hypercalcemia": ("QTc interval > 460 ms",),
  }
  for finding, given in wrong.items():
    assert set(knowledge.objections(finding, given)) == set(given)
    assert not set(given) & set(knowledge.propose(finding))


def test_coverage_of_the_real_vocabulary(shared):
  """At least 0.98 of diagnoses and rhythms name an entry; printed by kind."""
  text = (shared / "mimic_iv_ecg" / "statements.txt").read_text()
  asked, found = {}, {}
  for line in text.splitlines():
    kind = classify.classify(line).kind
    asked[kind] = asked.get(kind, 0) + 1
    found[kind] = found.get(kind, 0) + bool(knowledge.match(line))
  for kind in classify.RELEVANT:
    print(f"{kind}: {found[kind]} of {asked[kind]} statements match")
  for kind in ("diagnosis", "rhythm"):
    assert found[kind] >= 0.98 * asked[kind]
  relevant = [sum(c[k] for k in classify.RELEVANT) for c in (found, asked)]
  assert relevant[0] >= 0.95 * relevant[1]


def test_real_statements_propose_no_opposites(shared):
  text = (shared / "mimic_iv_ecg" / "statements.txt").read_text()
  for line in text.splitlines():
    proposed = set(knowledge.propose(line))
    for pair in OPPOSITES:
      assert not set(pair) <= proposed, (knowledge.match(line)[0].name, pair)
