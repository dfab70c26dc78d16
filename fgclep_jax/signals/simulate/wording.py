"""Reports: what a reader or a machine writes about a record.

A report names the diagnoses (now and then one is left out) and, in about 45
of 100 records, also some of the waveform features that are there.
"""

from fgclep_jax.signals.simulate.diagnoses import NORMAL

MENTION = 0.52
"""Chance that a report on a record with features mentions any of them."""
OMISSION = 0.06
"""Chance that a report leaves out a diagnosis."""

DIAGNOSIS_WORDINGS = {
  NORMAL: ("Normal ECG", "Normal tracing", "Within normal limits"),
  "sinus bradycardia": ("Sinus bradycardia", "Bradycardic sinus rhythm"),
  "sinus tachycardia": ("Sinus tachycardia", "Rapid sinus rhythm"),
  "atrial fibrillation": (
    "Atrial fibrillation",
    "Atrial fibrillation with variable ventricular response",
    "A-fib",
  ),
  "atrial flutter": (
    "Atrial flutter",
    "Atrial flutter with AV block",
    "Typical atrial flutter",
  ),
  "premature atrial complexes": (
    "Premature atrial complexes",
    "Atrial premature beats",
    "Supraventricular extrasystoles",
    "PAC(s)",
  ),
  "premature ventricular complexes": (
    "Premature ventricular complexes",
    "Ventricular premature beats",
    "Ventricular extrasystoles",
    "PVC(s)",
  ),
  "first degree AV block": (
    "First degree AV block",
    "1st degree A-V block",
    "First degree atrioventricular block",
  ),
  "second degree AV block": (
    "Second degree AV block",
    "2nd degree A-V block",
    "Second degree atrioventricular block",
  ),
  "left bundle branch block": (
    "Left bundle branch block",
    "Complete left bundle branch block",
    "LBBB",
  ),
  "right bundle branch block": (
    "Right bundle branch block",
    "Complete right bundle branch block",
    "RBBB",
  ),
  "left anterior fascicular block": (
    "Left anterior fascicular block",
    "Left anterior hemiblock",
    "LAFB",
  ),
  "left ventricular hypertrophy": (
    "Left ventricular hypertrophy",
    "LVH",
    "Hypertrophy of the left ventricle",
  ),
  "right ventricular hypertrophy": (
    "Right ventricular hypertrophy",
    "RVH",
    "Hypertrophy of the right ventricle",
  ),
  "anterior myocardial infarction": (
    "Anterior myocardial infarction",
    "Anterior infarct",
    "Anteroseptal myocardial infarction",
  ),
  "inferior myocardial infarction": (
    "Inferior myocardial infarction",
    "Inferior infarct",
    "Inferior wall infarction",
  ),
  "lateral ischemia": (
    "Lateral ischemia",
    "Lateral myocardial ischemia",
    "Ischemia of the lateral wall",
  ),
  "acute pericarditis": ("Acute pericarditis", "Pericarditis"),
  "long QT": ("Long QT", "Long QT syndrome", "Delayed repolarization"),
  "ventricular pacing": (
    "Ventricular pacing",
    "Ventricular-paced rhythm",
    "Electronic ventricular pacemaker",
  ),
}

FEATURE_WORDINGS = {
  "heart rate < 60 bpm": ("Slow heart rate", "Heart rate below 60"),
  "heart rate > 100 bpm": ("Fast heart rate", "Heart rate above 100"),
  "irregular RR intervals": ("Irregular RR intervals", "Irregular rhythm"),
  "absent P waves": ("Absent P waves", "No P waves seen"),
  "fibrillatory waves": (
    "Fibrillatory waves",
    "Irregular baseline with f waves",
  ),
  "flutter waves in II, III and aVF": (
    "Flutter waves in II, III and aVF",
    "Sawtooth waves in inferior leads",
  ),
  "premature narrow QRS complexes": (
    "Premature narrow QRS complexes",
    "Early narrow beats",
  ),
  "premature wide QRS complexes": (
    "Premature wide QRS complexes",
    "Early wide QRS complexes",
  ),
  "compensatory pause": ("Compensatory pause", "Pause after premature beat"),
  "premature P waves": ("Premature P waves", "Early P waves"),
  "dropped QRS complexes": ("Dropped QRS complexes", "P waves without QRS"),
  "progressive PR prolongation": (
    "Progressive PR prolongation",
    "PR interval lengthens from beat to beat",
  ),
  "pacing spikes": ("Pacing spikes", "Pacer spikes before QRS"),
  "P wave duration > 120 ms": ("Broad P waves", "P wave duration > 120 ms"),
  "P wave > 0.25 mV in II": ("Tall P waves in II", "Peaked P waves in II"),
  "negative terminal P wave in V1": (
    "Negative terminal P wave in V1",
    "Biphasic P wave in V1",
  ),
  "PR interval > 200 ms": (
    "Prolonged PR interval",
    "PR interval > 200 ms",
    "PR prolongation",
  ),
  "PR segment depression": ("PR segment depression", "PR depression"),
  "QRS duration > 120 ms": (
    "Wide QRS complex",
    "QRS duration > 120 ms",
    "Prolonged QRS duration",
  ),
  "left axis deviation": ("Left axis deviation", "Leftward QRS axis"),
  "right axis deviation": ("Right axis deviation", "Rightward QRS axis"),
  "rSR' pattern in V1": ("rSR' pattern in V1", "RSR' in V1"),
  "dominant R wave in V1": ("Dominant R wave in V1", "Tall R wave in V1"),
  "broad S wave in V1": ("Broad S wave in V1", "Wide deep S wave in V1"),
  "notched R wave in V5-V6": (
    "Notched R wave in V5-V6",
    "Notched R wave in lateral leads",
  ),
  "broad S wave in I and V6": (
    "Broad S wave in I and V6",
    "Slurred S wave in lateral leads",
  ),
  "deep S wave in V6": ("Deep S wave in V6", "Persistent S wave in V6"),
  "S wave in V1 + R wave in V5 > 3.5 mV": (
    "High precordial voltage",
    "Increased QRS voltage in chest leads",
  ),
  "R wave in V5 or V6 > 2.6 mV": (
    "Tall R wave in V5 or V6",
    "High R wave in left chest leads",
  ),
  "R wave in aVL + S wave in V3 > 2.4 mV": (
    "Cornell voltage criterion met",
    "Increased voltage in aVL and V3",
  ),
  "R wave in aVL > 1.1 mV": ("Tall R wave in aVL", "High voltage in aVL"),
  "poor R wave progression": (
    "Poor R wave progression",
    "Abnormal R-wave progression",
  ),
  "Q waves in V1-V3": ("Q waves in V1-V3", "QS complexes in V1-V3"),
  "Q waves in II, III and aVF": (
    "Q waves in II, III and aVF",
    "Inferior Q waves",
  ),
  "qR complex in I and aVL": ("qR complex in I and aVL", "Small Q in I, aVL"),
  "low QRS voltage in limb leads": (
    "Low QRS voltage in limb leads",
    "Low voltage",
  ),
  "fragmented QRS in inferior leads": (
    "Fragmented QRS in inferior leads",
    "Notched QRS in II, III and aVF",
  ),
  "J point notch": ("J point notch", "Notching of the J point"),
  "ST elevation in V1-V4": (
    "ST elevation in V1-V4",
    "Anterior ST elevation",
    "ST segment elevation in anterior leads",
  ),
  "ST elevation in II, III and aVF": (
    "ST elevation in II, III and aVF",
    "Inferior ST elevation",
    "ST segment elevation in inferior leads",
  ),
  "diffuse ST elevation": (
    "Diffuse ST elevation",
    "ST elevation in most leads",
  ),
  "ST depression in V1-V3": (
    "ST depression in V1-V3",
    "ST depression in anterior leads",
  ),
  "ST depression in V4-V6": (
    "ST depression in V4-V6",
    "ST depression in left chest leads",
  ),
  "ST depression in I and aVL": (
    "ST depression in I and aVL",
    "ST depression in high lateral leads",
  ),
  "T wave inversion in V1-V4": (
    "T wave inversion in V1-V4",
    "Anterior T wave inversion",
  ),
  "T wave inversion in I, aVL, V5 and V6": (
    "T wave inversion in I, aVL, V5 and V6",
    "Lateral T wave inversion",
  ),
  "T wave inversion in II, III and aVF": (
    "T wave inversion in II, III and aVF",
    "Inferior T wave inversion",
  ),
  "tall T waves in V2-V4": ("Tall T waves in V2-V4", "Peaked anterior T waves"),
  "flat T waves": ("Flat T waves", "Low T wave amplitude"),
  "QTc interval > 460 ms": (
    "Prolonged QTc interval",
    "QTc interval > 460 ms",
    "QT prolongation",
  ),
  "prominent U waves": ("Prominent U waves", "U waves seen"),
}

HEDGES = ("Possible", "Probable", "Consider", "Cannot rule out")
_NOT_SINUS = (
  "atrial fibrillation",
  "atrial flutter",
  "ventricular pacing",
  "sinus bradycardia",
  "sinus tachycardia",
)
_SINUS = ("Sinus rhythm", "Normal sinus rhythm", "Regular sinus rhythm")
_UNHEDGED = (NORMAL, "sinus bradycardia", "sinus tachycardia")


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
