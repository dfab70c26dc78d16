"""Only features that a statement itself says are seen count as stated."""

import itertools
import random
import re
import time

import pytest

from fgclep_jax.reports import classify, features, phrases, places
from fgclep_jax.reports.stated import stated
from fgclep_jax.signals.simulate import wording

WORDINGS = [
  (name, text) for name, words in wording.FEATURE_WORDINGS.items()
  for text in words
]  # fmt: skip
DIAGNOSES = list(itertools.chain(*wording.DIAGNOSIS_WORDINGS.values()))
NAMES = [feature.name for feature in features.VOCABULARY]

# Statement and the features of the first 51 that it states.
CASES = [
  ("st segments are elevated in v1,2,3", ["ST elevation in V1-V4"]),
  ("ST segment elevation V2 through V4", ["ST elevation in V1-V4"]),
  ("ST-elevation in II, III, and aVF", ["ST elevation in II, III and aVF"]),
  ("ST elevation in V2", []),
  ("ST elevation, consider anterior injury", []),
  ("Inferior and anterior ST elevation, CONSIDER ACUTE INFARCT",
   ["ST elevation in V1-V4", "ST elevation in II, III and aVF"]),
  ("ST elev, consider pericarditis, diffuse leads", ["diffuse ST elevation"]),
  ("Widespread ST elevation suggests pericarditis", ["diffuse ST elevation"]),
  ("st segments are depressed in i, avl, v5,6",
   ["ST depression in V4-V6", "ST depression in I and aVL"]),
  ("ST depr, prob ischemia, anterolateral lds",
   ["ST depression in V4-V6", "ST depression in I and aVL"]),
  ("T waves are flat in V4 and inverted in II, III, aVF",
   ["T wave inversion in II, III and aVF", "flat T waves"]),
  ("st segments are depressed and t waves inverted in v4,5,6 and i, avl",
   ["ST depression in V4-V6", "ST depression in I and aVL",
    "T wave inversion in I, aVL, V5 and V6"]),
  ("Inferior Q + ST elevation in V2-V5",
   ["Q waves in II, III and aVF", "ST elevation in V1-V4"]),
  ("q waves in ii, iii, avf consistent with old anterior infarction",
   ["Q waves in II, III and aVF"]),
  ("Q waves in III, aVF are probably normal", []),
  ("QS complexes in V2", []),
  ("Abnormal Q suggests inferior infarct", []),
  ("LAD, consider left anterior fascicular block", ["left axis deviation"]),
  ("Lateral infarct, acute (LAD)", []),
  ("LEFT AXIS DEVIATION - POSSIBLE LEFT ANTERIOR FASCICULAR BLOCK",
   ["left axis deviation"]),
  ("Borderline left axis deviation", []),
  ("QRS axis rightward for age", ["right axis deviation"]),
  ("Low voltage, extremity leads", ["low QRS voltage in limb leads"]),
  ("Low voltage, precordial leads", []),
  ("Borderline low voltage, extremity leads", []),
  ("voltages are high in chest leads suggesting lvh",
   ["S wave in V1 + R wave in V5 > 3.5 mV"]),
  ("voltages are high in limb leads suggesting lvh", []),
  ("prolonged pr interval 0.24 sec", ["PR interval > 200 ms"]),
  ("Sinus rhythm with prolonged PR interval", ["PR interval > 200 ms"]),
  ("PR interval is normal", []),
  ("Borderline prolonged PR interval", []),
  ("pr interval is at upper limit of normal (0.21 sec)", []),
  ("Prolonged QT, probably secondary to wide QRS", ["QTc interval > 460 ms"]),
  ("LONG QTc : POSSIBLE HYPOCALCEMIA", ["QTc interval > 460 ms"]),
  ("Wide QRS tachycardia", ["QRS duration > 120 ms"]),
  ("Poor R wave progression - probable normal variant",
   ["poor R wave progression"]),
  ("Probable poor R wave progression but consider septal infarct", []),
  ("rSr'(V1) - probable normal variant", ["rSR' pattern in V1"]),
  ("Tall R V1/V2 probably reflect the infarct", ["dominant R wave in V1"]),
  ("Tall inferior P waves - possible right atrial abnormality",
   ["P wave > 0.25 mV in II"]),
  ("regular rhythm, no p-wave found", ["absent P waves"]),
  # Nothing of the tracing is said, or it is denied.
  ("First degree A-V block", []),
  ("Sinus bradycardia", []),
  ("Anterior T wave changes are abnormal", []),
  ("Nonspecific ST-T changes in inferior leads", []),
  ("LVH with repolarization abnormality", []),
  ("No ST elevation in V1-V4", []),
  ("Anterior infarct without ST elevation in V1-V4", []),
  ("ST elevation in V1-V4 is no longer present", []),
  ("T wave inversion in V1-V4 cannot be ruled out", []),
  ("ST elevation in V1-V4?", []),
  ("Artifact in V1-V4, ST elevation in V1-V4 unreliable", []),
  ("Lead(s) V1,V2,V3,V4 were not used for analysis: T wave inversion", []),
  ("", []),
]  # fmt: skip
# Everyday wordings of features beyond the first 51, and all that they state.
MORE = [
  ("Short PR interval", ["PR interval < 120 ms"]),
  ("Abnormally tall P in V1 or V2", ["P wave > 0.15 mV in V1"]),
  ("negative p in iii, avf", ["inverted P waves in II, III and aVF"]),
  ("bifid P waves in II", ["notched P wave in II"]),
  ("P waves dissociated from the QRS", ["P waves unrelated to QRS"]),
  ("Right superior axis", ["extreme axis deviation"]),
  ("Minimally prolonged QRS duration", ["QRS duration > 110 ms"]),
  ("Narrow QRS tachycardia", ["QRS duration < 120 ms"]),
  ("Delta wave V5/V6 + tall R in V5",
   ["delta wave", "R wave in V5 or V6 > 2.6 mV"]),
  ("notched QRS in anterior leads", ["fragmented QRS in anterior leads"]),
  ("QRS notching", ["notched or slurred QRS complexes"]),
  ("Broad R or R' in V1 or V2", ["R wave in V1-V2 > 40 ms"]),
  ("Low voltage, precordial leads", ["low QRS voltage in chest leads"]),
  ("QR complex in V1", ["qR complex in V1"]),
  ("rS complexes, rS pattern in II, III, aVF",
   ["rS complex in II, III and aVF"]),
  ("S1,S2,S3 pattern", ["S waves in I, II and III"]),
  ("Q wave in III, T wave inversion in III",
   ["Q wave in III", "T wave inversion in III"]),
  ("Q in lateral leads", ["Q waves in I and aVL", "Q waves in V5-V6"]),
  ("Abnormal R-wave progression, early transition", ["early R/S transition"]),
  ("Anterolateral ST elevation - cannot rule out myocardial injury",
   ["ST elevation in I and aVL", "ST elevation in V5-V6"]),
  ("ST elevation in aVR, diffuse ST depression",
   ["ST elevation in aVR", "diffuse ST depression"]),
  ("Downsloping ST depression in II, III, aVF",
   ["horizontal or downsloping ST depression",
    "ST depression in II, III and aVF"]),
  ("st segments are slightly depressed in v4,5,6",
   ["slight ST depression", "ST depression in V4-V6"]),
  ("Deeply inverted T waves in V2-V4",
   ["deep symmetric T wave inversion in V2-V4", "T wave inversion in V1-V4"]),
  ("T waves are biphasic in V2,3", ["biphasic T waves in V2-V3"]),
  ("low amplitude T-waves, T wave low in V5", ["flat T waves"]),
  ("Axis left shift", ["left axis deviation"]),
  ("low QRS voltages in the frontal and horizontal leads",
   ["low QRS voltage in limb leads", "low QRS voltage in chest leads"]),
  ("Septal ST elevation", []),
  ("Left anterior hemiblock, ST elevation", []),
  ("peaked T waves", ["narrow peaked T waves"]),
  ("SHORT QT INTERVAL", ["QTc interval < 360 ms"]),
  ("QTc 0.52 s", ["QTc interval > 500 ms"]),
  ("Unknown rhythm, irregular rate", ["irregular RR intervals"]),
  ("REGULAR RHYTHM", ["regular RR intervals"]),
  ("atrial rate 300", ["atrial rate > 250 bpm"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "names"), MORE)
def test_wordings_beyond_the_simulated_archive(text, names):
  assert set(stated(text)) == set(names)


@pytest.mark.parametrize(("name", "text"), WORDINGS)
def test_every_feature_wording_states_just_its_feature(name, text):
  for words in (text, text.upper(), text.lower(), f"*** {text} ***."):
    assert stated(words) == (name,), words


@pytest.mark.parametrize("text", DIAGNOSES)
def test_no_diagnosis_wording_states_a_feature(text):
  assert stated(text) == ()


@pytest.mark.parametrize(
  "hedge",
  [*wording.HEDGES, "Borderline", "Might be", "Suspected", "There is no", "?"],
)
def test_what_is_hedged_or_denied_is_not_stated(hedge):
  for name, text in WORDINGS:
    if text.startswith(("No ", "Absent ")) and "no" in hedge:
      continue
    assert stated(f"{hedge} {text}") == (), (name, text)


def test_every_name_of_the_vocabulary_states_itself():
  for name in NAMES:
    assert stated(name) == (name,)
    assert stated(f"Possible {name}") == ()
  for feature in features.VOCABULARY:
    # In a sentence, an amplitude in certain leads is not taken apart.
    if not (feature.limit and feature.leads) or "voltage" in feature.name:
      assert feature.name in stated(f"Also {feature.name} today"), feature


@pytest.mark.parametrize(("text", "names"), CASES)
def test_cases(text, names):
  first = NAMES[:51]
  assert [n for n in stated(text) if n in first] == sorted(
    names, key=first.index
  )


def test_statements_joined_state_both():
  chance = random.Random(4)
  for _ in range(600):
    (one, first), (two, second) = chance.sample(WORDINGS, 2)
    joint = f"{first}{chance.choice(['; ', '. ', ', '])}{second}"
    assert set(stated(joint)) == {one, two}, joint
    hedged = f"{first}, possible {chance.choice(DIAGNOSES)}"
    assert stated(hedged) == (one,), hedged


def maximal(wave, finding, leads):
  """Second implementation: largest features two thirds of whose leads hold."""
  held = [
    feature for feature in features.VOCABULARY
    if (feature.wave, feature.finding) == (wave, finding) and feature.leads
    and 3 * len(set(feature.leads) & leads) >= 2 * len(feature.leads)
  ]  # fmt: skip
  return {
    one.name
    for one in held
    if not any(set(one.leads) < set(other.leads) for other in held)
  }


def written(leads, chance):
  """A list of leads in one of the manners of reports."""
  names = [lead for lead in places.LEADS if lead in leads]
  style = chance.randrange(4)
  if style == 0:
    return ", ".join(names).lower()
  if style == 1:
    chance.shuffle(names)
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
  chest = [name[1] for name in names if name[0] == "V"]
  parts = [name for name in names if name[0] != "V"]
  if chest and style == 2:
    parts.append("v" + ",".join(chest))
  elif chest:
    runs = [[chest[0]]]
    for number in chest[1:]:
      if int(number) == int(runs[-1][-1]) + 1:
        runs[-1].append(number)
      else:
        runs.append([number])
    parts += [
      f"V{run[0]}" + (f"-V{run[-1]}" if len(run) > 1 else "") for run in runs
    ]
  return ", ".join(parts)


def test_lists_of_leads():
  manners = [
    ("ST", "elevation", "st segments are elevated in {}"),
    ("ST", "elevation", "ST elevation {}"),
    ("ST", "depression", "ST depr, consider ischemia, {}"),
    ("ST", "depression", "Depressed ST segments in {} - possible strain"),
    ("T", "inversion", "T wave inversion in {}"),
    ("T", "inversion", "Inverted T waves in leads {}, probable ischemia"),
    ("QRS", "Q", "q waves in {} consistent with old anterior infarction"),
  ]
  chance = random.Random(7)
  some = 0
  for _ in range(800):
    leads = set(chance.sample(places.LEADS, chance.randrange(1, 7)))
    wave, finding, manner = chance.choice(manners)
    text = manner.format(written(leads, chance))
    expected = maximal(wave, finding, leads)
    assert set(stated(text)) == expected, text
    some += bool(expected)
  assert some > 200


def test_measured_values():
  chance = random.Random(9)
  for _ in range(300):
    value = chance.randrange(90, 420)
    sign = chance.choice(["", "is ", "of ", "= ", "> ", "above "])
    seconds = chance.random() < 0.5
    shown = f"{value / 1000} s" if seconds else f"{value} ms"
    names = stated(f"PR interval {sign}{shown}")
    beyond = sign in ("> ", "above ")
    limits = [
      feature.limit[1] for feature in features.VOCABULARY
      if feature.wave == "PR" and feature.limit and feature.limit[0] == ">"
      and (value > feature.limit[1]
           or (beyond and value == feature.limit[1]))
    ]  # fmt: skip
    long = {f"PR interval > {max(limits)} ms"} if limits else set()
    assert {name for name in names if ">" in name} == long, (sign, shown)
  assert stated("heart rate 59") == ("heart rate < 60 bpm",)
  assert stated("heart rate 60") == stated("heart rate 75 bpm") == ()
  assert stated("QTc 0.47 sec") == ("QTc interval > 460 ms",)
  assert stated("QRS duration < 150 ms") == ()


def test_phrases_name_waves_and_findings_of_the_vocabulary():
  known = {(one.wave, one.finding) for one in features.VOCABULARY}
  for phrase in phrases.PHRASES:
    for finding in phrase.findings:
      assert (phrase.wave, finding) in known
  for wave_and_finding in phrases.BARE.values():
    assert wave_and_finding in known


def test_real_statements(shared):
  path = shared / "mimic_iv_ecg" / "statements.txt"
  lines = path.read_text(encoding="utf-8").splitlines()
  stated.cache_clear()
  classify.classify.cache_clear()
  classify.written_out.cache_clear()
  start = time.process_time()
  found = {line: stated(line) for line in lines}
  seconds = time.process_time() - start
  print(sum(map(bool, found.values())), f"lines, {seconds:.2f} s")
  assert seconds < 2.0
  hedged = r"borderline|possible|probabl|consider .*(progress|delta)"
  for name, pattern in [
    ("left axis deviation", r"left axis dev|^lad,|axis leftw|superior to -30"),
    ("right axis deviation", r"right(ward)? axis|\brad\b"),
    ("PR interval > 200 ms", r"prolonged pr"),
    ("QTc interval > 460 ms", r"prolonged qt|long qtc"),
    ("ST elevation in V1-V4", r"(anterior|ant/septal|anteroseptal) st elev|"
     r"st elevation, anterior leads"),
    ("ST elevation in II, III and aVF", r"inferior[^,]* st elev|"
     r"st elevation, inferior leads"),
    ("diffuse ST elevation", r"(extensive|diffuse) st elev|"
     r"st elevation, diffuse"),
    ("absent P waves", r"no p.waves?"),
  ]:  # fmt: skip
    expected = {
      line
      for line in lines
      if re.search(pattern, line, re.IGNORECASE)
      and not re.match(hedged, line, re.IGNORECASE)
    }
    assert {line for line in lines if name in found[line]} == expected, name
  for line, names in found.items():
    if names:
      assert classify.classify(line).kind in classify.RELEVANT
