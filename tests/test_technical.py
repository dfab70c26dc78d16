"""Technical lines of machine-made reports are told from findings."""

import collections

import pytest

from fgclep_jax.reports import technical

# Distinct lines of each family in the shared vocabulary, counted by hand, and
# how far ours may differ: "All 12 leads are missing" and "Incomplete analysis
# due to missing data" may count as missing or as quality; the verdicts that
# say "normal" without "ECG" were counted apart.
COUNTS = {
  "unusable": (479, 0),
  "missing": (29, 2),
  "noise": (19, 0),
  "not used": (23, 0),
  "reversal": (18, 0),
  "quality": (15, 2),
  "demographics": (8, 0),
  "unconfirmed": (2, 0),
  "pacer": (2, 0),
  "stop": (7, 0),
  "verdict": (12, 3),
}
# Ours, not counted there.
MORE = {"sequence": 5, "advice": 1}

TECHNICAL = [
  "Lead(s) unsuitable for analysis: I,II",
  "LEAD(S) UNSUITABLE FOR ANALYSIS: V1",
  "Partial missing lead(s): V4,V6",
  "Artifact in lead(s) I,II and baseline wander in lead(s) V1",
  "Lead(s) V4 were not used for morphology analysis",
  "? FAULTY V2 - OMITTED FROM ANALYSIS",
  "Sequence error: V3,V4 omitted.",
  "--- Suspect arm lead reversal - only aVF, V1-V6 analyzed ---",
  "Probable precordial electrode reversal",
  "--- Similar QRS in V leads ---",
  "Analysis error",
  "Warning: Data quality may affect computer interpretation!!",
  "Summary: TECHNICAL ERROR",
  "*** report made without knowing patient's age ***",
  "*UnconfirmedAnalysis*",
  "Pacer detection suspended due to external noise-REVIEW ADVISED",
  "--- No further analysis due to lack of dominant QRS ---",
  "REPEAT IF MYOCARDIAL INJURY IS SUSPECTED",
  "Abnormal ECG",
  "Borderline ECG",
  "Summary: ABNORMAL",
  "***",
  "",
]
# A line and the finding in it.
FINDINGS = [
  ("Normal ECG", "Normal ECG"),
  ("Summary: NORMAL ECG", "NORMAL ECG"),
  ("Summary: TACHYCARDIA - OTHERWISE NORMAL", "TACHYCARDIA - OTHERWISE NORMAL"),
  ("Within normal limits for age", "Within normal limits for age"),
  ("Pacemaker rhythm - no further analysis*", "Pacemaker rhythm"),
  ("No further analysis attempted due to paced rhythm", "paced rhythm"),
  ("Reversed R wave progression V2-V4", "Reversed R wave progression V2-V4"),
  ("Pacemaker spikes or artifacts", "Pacemaker spikes or artifacts"),
  ("I.V. CONDUCTION DEFECT", "I.V. CONDUCTION DEFECT"),
  (
    "Inferior ST elevation - repeat if myocardial injury is suspected",
    "Inferior ST elevation",
  ),
  (
    "*** EXTENSIVE INFARCT *** with possible  acute inferior changes",
    "EXTENSIVE INFARCT with possible acute inferior changes",
  ),
  ("- bigeminal PVCs", "bigeminal PVCs"),
  ("(9@192) - cannot rule out injury", "cannot rule out injury"),
  ("Possible anterior infarct - old.", "Possible anterior infarct - old"),
  ("Abnormal EKG pattern", "Abnormal ECG pattern"),
]


@pytest.mark.parametrize("line", TECHNICAL)
def test_technical_lines(line):
  assert technical.is_technical(line)
  assert technical.split_line(line) == ("", line)


@pytest.mark.parametrize(("line", "finding"), FINDINGS)
def test_findings(line, finding):
  assert not technical.is_technical(line)
  assert technical.clean_line(line) == finding
  statement, rest = technical.split_line(line)
  assert statement == finding
  # A rhythm that ended the analysis is both.
  assert rest == (line if "further analysis" in line else "")


@pytest.fixture(scope="module")
def vocabulary(shared):
  path = shared / "mimic_iv_ecg" / "statements.txt"
  return path.read_text(encoding="utf-8").splitlines()


def test_families_of_the_real_vocabulary(vocabulary):
  assert len(vocabulary) == 2900
  found = collections.Counter(map(technical.family, vocabulary))
  for name, (count, tolerance) in COUNTS.items():
    assert abs(found[name] - count) <= tolerance, name
  assert {name: found[name] for name in MORE} == MORE
  assert set(technical.FAMILIES) == COUNTS.keys() | MORE.keys()
  missing_or_quality = found["missing"] + found["quality"]
  assert missing_or_quality == COUNTS["missing"][0] + COUNTS["quality"][0]


def test_cleaning_the_real_vocabulary(vocabulary):
  findings = 0
  for line in vocabulary:
    cleaned = technical.clean_line(line)
    assert cleaned
    assert technical.clean_line(cleaned) == cleaned
    if not technical.is_technical(line):
      findings += 1
      assert not technical.is_technical(cleaned)
      # Words and numbers are only ever left out as whole words.
      assert set(cleaned.split()) <= set(line.replace(".", "").split()) | set(
        line.split()
      )
      for mark in ("***", "---", "further analysis", "repeat if", "Summary:"):
        assert mark not in cleaned
  # 2,277 of no family, 4 rhythms, 9 verdicts that say "normal".
  assert findings == 2277 + 4 + 9


def test_a_normal_verdict_of_the_real_reports_stays(shared):
  """The sample joins statements with ', '; this one never holds a comma."""
  path = shared / "mimic_iv_ecg" / "reports_sample.txt"
  reports = path.read_text(encoding="utf-8").splitlines()
  normal = [r for r in reports if r.split(", ")[-1] == "Normal ECG"]
  assert normal
  for report in normal:
    assert technical.split_line(report.split(", ")[-1]) == ("Normal ECG", "")
