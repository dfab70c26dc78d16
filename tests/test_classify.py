"""Statements get the class of their head; modality is set aside and kept."""

import collections
import csv
import hashlib
import json
import pathlib
import random
import re
import time

import numpy as np
import pytest

from fgclep_jax.reports import classify, statements, technical
from fgclep_jax.signals.simulate import wording

# Statement, class, canonical finding, modality.
CASES = [
  # The ties of the definitions.
  ("LVH by voltage", "diagnosis", "lvh by voltage", ()),
  ("Voltage criteria for LVH", "diagnosis", "voltage criteria for lvh", ()),
  (
    "LEFT AXIS DEVIATION - LEFT ANTERIOR FASCICULAR BLOCK",
    "waveform",
    "left axis deviation - left anterior fascicular block",
    (),
  ),
  (
    "Lateral ST elevation, consider acute infarct",
    "waveform",
    "lateral st elevation, acute infarct",
    ("consider",),
  ),
  ("*** Consider acute ST elevation MI ***", "diagnosis", None, ("consider",)),
  (
    "Poor R wave progression - consider old anterior infarct",
    "waveform",
    "poor r wave progression - anterior infarct",
    ("consider", "old"),
  ),
  (
    "RBBB with left anterior fascicular block",
    "diagnosis",
    "rbbb with left anterior fascicular block",
    (),
  ),
  ("Sinus rhythm - no further analysis", "rhythm", "sinus rhythm", ()),
  (
    "No further analysis attempted due to ventricular paced rhythm",
    "rhythm",
    "ventricular paced rhythm",
    (),
  ),
  ("Atrial-paced complexes", "rhythm", "atrial-paced complexes", ()),
  ("Irregular rhythm, no P-waves found", "rhythm", None, ()),
  ("Intraventricular conduction delay", "diagnosis", None, ()),
  ("or aberrant ventricular conduction", "diagnosis", None, ()),
  ("Changes are probably due to LVH", "diagnosis", None, ("probable",)),
  ("ST-T changes may be due to myocardial ischemia", "waveform", None, ()),
  ("rSr'(V1) - probable normal variant", "waveform", None, ("probable",)),
  ("Repolarization changes may be partly due to rate", "waveform", None, ()),
  ("Early repolarization", "diagnosis", None, ()),
  ("Changes may also partly be due to rate", "administrative", None, ()),
  ("Wide QRS tachycardia", "rhythm", None, ()),
  ("2:1 A-V block", "diagnosis", "2:1 av block", ()),
  (
    "Sinus rhythm with 1st degree A-V block",
    "rhythm",
    "sinus rhythm with first degree av block",
    (),
  ),
  ("2nd deg AVB, 3rd degree", "diagnosis",
   "second degree av block, third degree", ()),
  ("vent pre-excit'n(wpw), left acces'y pathway", "diagnosis",
   "ventricular pre-excitation(wpw), left accessory pathway", ()),
  ("ST depr + ST elev, prob repol abnrm", "waveform",
   "st depression + st elevation, repolarization abnormality", ("probable",)),
  ("S1,S2,S3 pattern", "waveform", None, ()),
  ("Wandering in the AV node", "rhythm", None, ()),
  ("counterclockwise rotation", "waveform", None, ()),
  ("heart failure", "diagnosis", None, ()),
  # Technical, although a finding is named.
  ("? FAULTY V3 - omitted from analysis", "technical", None, ("possible",)),
  ("Consider dextrocardia", "technical", "dextrocardia", ("consider",)),
  ("similar QRS in V leads", "technical", "similar qrs in v leads", ()),
  ("No further analysis due to lack of dominant QRS", "technical", None, ()),
  ("suspect arm ecg leads reversed", "technical", None, ("possible",)),
  ("Wandering baseline", "technical", None, ()),
  ("there is gross artifact in chest leads", "technical", None, ()),
  # Nothing about the tracing.
  ("Borderline ECG", "administrative", "ecg", ("borderline",)),
  ("Summary: ABNORMAL", "administrative", "abnormal", ()),
  ("PROBABLE NORMAL VARIANT", "administrative", None, ("probable",)),
  ("there is no ecg evidence of ischaemia", "administrative", None, ()),
  ("Repeat if myocardial injury is suspected", "administrative", None, None),
  ("If rhythm is confirmed, review", "administrative", None, ()),
  ("please ring the ward", "administrative", "please ring the ward", ()),
  ("***", "administrative", "", ()),
  ("", "administrative", "", ()),
  # Earlier tracings; normal.
  ("No change since yesterday", "comparison", None, ()),
  ("Compared with the tracing of May, T is flat", "comparison", None, ()),
  ("Otherwise normal ECG", "normal", "otherwise normal ecg", ()),
  ("Normal EKG except for rate", "normal", "normal ecg except for rate", ()),
  ("no definite pathology", "normal", None, ()),
  ("sinus rhythm normal ecg", "rhythm", None, ()),
  ("No P waves seen", "waveform", "no p waves seen", ()),
  # Modality, wherever it stands.
  (
    "Inferior infarct, age indeterm.",
    "diagnosis",
    "inferior infarct",
    ("age undetermined",),
  ),
  (
    "CANNOT RULE OUT septal infarct - age undetermined",
    "diagnosis",
    "septal infarct",
    ("cannot rule out", "age undetermined"),
  ),
  (
    "old inferior infarct cannot be entirely excluded",
    "diagnosis",
    "inferior infarct",
    ("old", "cannot rule out"),
  ),
  (
    "Anterior infarct, possibly acute",
    "diagnosis",
    "anterior infarct, acute",
    ("possible",),
  ),
  (
    "Lateral T wave changes are borderline abnormal",
    "waveform",
    "lateral t wave changes are abnormal",
    ("borderline",),
  ),
  ("recent lateral infarct is likely", "diagnosis",
   "recent lateral infarct", None),
  ("Probable WPW pattern type A", "diagnosis", "wpw pattern type a", None),
  ("unlikely to be pericarditis", "diagnosis", None, ()),
  # Abbreviations and spellings.
  ("Nonspecific T abnrm, anterolateral lds", "waveform",
   "nonspecific t abnormality, anterolateral leads", ()),
  ("A-V block w/ PVC(s)", "diagnosis", "av block with pvcs", ()),
  ("unclassified complex(es), myocardial ischaemia", "diagnosis",
   "unclassified complexes, myocardial ischemia", ()),
]  # fmt: skip

# Counted on the real statements once each was read with its class.
MIMIC = {
  "rhythm": 1267,
  "waveform": 667,
  "technical": 594,
  "diagnosis": 335,
  "administrative": 30,
  "normal": 7,
}
PTB_XL = {
  "rhythm": 252,
  "waveform": 205,
  "diagnosis": 56,
  "administrative": 24,
  "comparison": 16,
  "normal": 10,
  "technical": 6,
}
# Plain wordings that settle the class of a real line, and how many there are.
PLAIN = [
  (r"lead\(s\) unsuitable", "technical", 479),
  (r"(artifact|baseline wander) in", "technical", 19),
  (r"sinus (rhythm|bradycardia|tachycardia)\b", "rhythm", None),
  (r"(probable )?atrial (fibrillation|flutter)", "rhythm", None),
  (r"(?!.*(vh\b|hypertrophy with))[\w/ +]+ (st|st-t|t)( wave)? changes?( |$)",
   "waveform", None),
  (r"[\w/ +]+ st elevation\b(?! mi)", "waveform", None),
  (r"(old|recent|acute|possible|probable|consider) ((?!wave)[\w ])*infarct",
   "diagnosis", None),
  (r"((?!due to)[\w+ ])*hypertrophy\b", "diagnosis", None),
]  # fmt: skip


def real_lines(shared):
  path = shared / "mimic_iv_ecg" / "statements.txt"
  return path.read_text(encoding="utf-8").splitlines()


def real_free_text(shared):
  path = shared / "ptbxl" / "reports_en.csv"
  with path.open(encoding="utf-8", newline="") as file:
    reports = [row["report"] for row in csv.DictReader(file)]
  return {
    statement
    for report in reports
    for statement in statements.split_report(report)
  }


def test_labels_by_hand(shared):
  """Read and labelled by somebody who had not seen the patterns."""
  path = pathlib.Path(__file__).with_name("statement_labels.json")
  labelled = json.loads(path.read_text(encoding="utf-8"))
  lines = {
    hashlib.sha256(line.strip().encode()).hexdigest(): line
    for line in real_lines(shared)
  }
  for name, count, least in (("labels", 200, 0.97), ("hard_labels", 100, 0.97)):
    right = [
      classify.classify(lines[key]).kind == kind
      for key, kind in labelled[name].items()
    ]
    print(f"{name}: {sum(right)} of {len(right)} as labelled by hand")
    assert len(right) == count
    assert np.mean(right) >= least


@pytest.mark.parametrize(("text", "kind", "finding", "modality"), CASES)
def test_cases(text, kind, finding, modality):
  found = classify.classify(text)
  assert found.text == text
  assert found.kind == kind
  if finding is not None:
    assert found.finding == finding
  if modality is not None:
    assert found.modality == modality


def test_the_class_is_a_matter_of_the_finding_alone():
  for text, *_ in CASES:
    first = classify.classify(text)
    again = classify.classify(first.finding)
    assert (again.finding, again.kind) == (first.finding, first.kind)
    assert again.modality == ()


def test_case_blanks_and_decoration_change_nothing():
  for text, *_ in CASES:
    first = classify.classify(text)
    for other in (
      text.upper(),
      text.lower(),
      f"*** {text} ***",
      f"--- {text} ---",
      f"  - {text}.",
      f"(9@128) {text}",
      "  ".join(text.split(" ")),
    ):
      again = classify.classify(other)
      assert (again.kind, again.finding) == (first.kind, first.finding), other
      assert again.modality == first.modality


@pytest.mark.parametrize("hedge", ["Possible", "Probable", "CONSIDER", "Old"])
def test_hedges_are_set_aside(hedge):
  for words in wording.DIAGNOSIS_WORDINGS.values():
    for text in words:
      plain, hedged = classify.classify(text), classify.classify(
        f"{hedge} {text}"
      )  # fmt: skip
      assert hedged.finding == plain.finding
      assert hedged.kind == plain.kind
      assert hedged.modality == (hedge.lower(),)


def test_only_findings_may_get_features():
  assert set(classify.RELEVANT) == {"waveform", "diagnosis", "rhythm"}
  assert set(classify.RELEVANT) < set(classify.CLASSES)


def test_wordings_of_the_simulated_archive():
  for name, words in wording.DIAGNOSIS_WORDINGS.items():
    for text in words:
      kind = classify.classify(text).kind
      assert (kind == "normal") == (name == wording.NORMAL), text
      assert name == wording.NORMAL or kind in classify.RELEVANT, text
  for words in wording.FEATURE_WORDINGS.values():
    for text in words:
      assert classify.classify(text).kind in ("waveform", "rhythm"), text


def test_any_text_ends_and_is_idempotent():
  words = (
    "possible ? probable cannot rule out excluded be is of uncertain age old "
    "*** --- - , ; : . ( ) (s) / + and or but with prob. abnrm ant/septal "
    "a-v 1st summary: because due to (9@128) not most likely @0 é ST V1"
  )
  pieces = [text for text, *_ in CASES] + words.split()
  chance = random.Random(20)
  for _ in range(4000):
    text = " ".join(chance.choices(pieces, k=chance.randrange(8)))
    first = classify.classify(text)
    again = classify.classify(first.finding)
    assert (again.finding, again.kind) == (first.finding, first.kind), text
    assert first.kind in classify.CLASSES


def test_real_statements(shared):
  lines = real_lines(shared)
  classify.classify.cache_clear()
  classify.written_out.cache_clear()
  start = time.process_time()
  found = [classify.classify(line) for line in lines]
  seconds = time.process_time() - start
  counts = collections.Counter(one.kind for one in found)
  print("class of every statement:", dict(counts), f"in {seconds:.2f} s")
  assert counts == MIMIC
  assert seconds < 2.0
  for one in found:
    again = classify.classify(one.finding)
    assert (again.finding, again.kind) == (one.finding, one.kind), one
  # Modality and decoration stand for almost a third of the lines.
  assert 1900 < len({one.finding for one in found}) < 2000


def test_plain_wordings_among_real_statements(shared):
  lines = real_lines(shared)
  for pattern, kind, count in PLAIN:
    held = [x for x in lines if re.match(pattern, x, re.IGNORECASE)]
    assert held
    assert count is None or len(held) == count
    wrong = [x for x in held if classify.classify(x).kind != kind]
    assert not wrong, (pattern, wrong[:3])


def test_technical_lines_of_the_archive_never_get_features(shared):
  for line in real_lines(shared):
    if technical.is_technical(line):
      kind = classify.classify(line).kind
      assert kind in ("technical", "administrative"), line


def test_real_free_text(shared):
  found = [classify.classify(text) for text in real_free_text(shared)]
  counts = collections.Counter(one.kind for one in found)
  print("class of every free-text statement:", dict(counts))
  assert counts == PTB_XL
  for one in found:
    again = classify.classify(one.finding)
    assert (again.finding, again.kind) == (one.finding, one.kind), one


def test_free_text_keeps_lists_of_leads_whole(shared):
  torn = re.compile(r"(?:^|[ ,])(?:and|in|,)$|^(?:i{1,3}|av[rlf]|v?\d)\b")
  for text in real_free_text(shared):
    assert not torn.search(text), text
