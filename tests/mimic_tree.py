"""Writes a synthetic archive in MIMIC-IV-ECG's layout, with planted faults.

`write` returns what a right build must make of it: the records that stay,
with every field, and the exact count of each fault. Nothing here uses the
builder.
"""

import collections
import csv
import dataclasses

import numpy as np

from tests import wfdb_files

ORDER = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5",
         "V6")  # fmt: skip
LISTED = ("subject_id", "study_id", "file_name", "ecg_time", "path")
MEASURED = ("rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end",
            "t_end", "p_axis", "qrs_axis", "t_axis")  # fmt: skip
HEAD = ("subject_id", "study_id", "cart_id", "ecg_time")
REPORT = tuple(f"report_{number}" for number in range(18))
COLUMNS = (*HEAD, *REPORT, "bandwidth", "filtering", *MEASURED)
TIME = "2180-07-23 08:44:00"
RATE = 500
# A line as written, its statement and its technical line.
LINES = (
  ("Sinus rhythm", "Sinus rhythm", ""),
  ("Atrial fibrillation.", "Atrial fibrillation", ""),
  ("Inferior infarct, age indeterminate",
   "Inferior infarct, age indeterminate", ""),
  ("*** CONSIDER ACUTE ST ELEVATION MI ***",
   "CONSIDER ACUTE ST ELEVATION MI", ""),
  ("- bigeminal PVCs", "bigeminal PVCs", ""),
  ("Pacemaker rhythm - no further analysis", "Pacemaker rhythm",
   "Pacemaker rhythm - no further analysis"),
  ("Lead(s) unsuitable for analysis: V1,V2", "",
   "Lead(s) unsuitable for analysis: V1,V2"),
  ("Baseline wander in lead(s) V6", "", "Baseline wander in lead(s) V6"),
  ("Normal ECG", "Normal ECG", ""),
  ("Abnormal ECG", "", "Abnormal ECG"),
)  # fmt: skip
# Fault -> reason its record is dropped for, "" where it stays.
FAULTS = {
  "short gap": "",
  "flat lead": "",
  "microvolts": "",
  "wild values": "",
  "no report": "",  # the study has no line of measurements
  "blank report": "",
  "technical report": "",
  "repeated report": "",
  "long gap": "invalid_dropped",
  "all flat": "all_flat",
  "missing lead": "lead_missing",
  "unknown lead": "bad_lead_names",
  "truncated": "bad_length",
  "no samples": "missing_file",
  "changed sample": "bad_checksum",
  "odd unit": "bad_unit",
  "other subject": "subject_differs",  # in the table of measurements
  "other header": "subject_differs",
  "outside": "bad_path",
  "listed twice": "duplicate_study",  # one of the two lines stays
  "two subjects": "conflicting_study",  # both lines go
  "two reports": "conflicting_study",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
  """A study as it is written, before its fault."""

  subject: int
  study: int
  fault: str
  adc: np.ndarray  # (12, T) int16 in steps of 5 microvolts, rows as ORDER
  report: tuple  # of 18 entries of LINES or None
  values: tuple  # of MEASURED, as written

  @property
  def path(self):
    group = f"p{self.subject}"[:5]
    return f"files/{group}/p{self.subject}/s{self.study}/{self.study}"


@dataclasses.dataclass(frozen=True, eq=False)
class Kept:
  """What the dataset must hold of a record."""

  subject: int
  signal: np.ndarray  # (12, T) float microvolts, rows I II III aVR aVL aVF V
  runs: list  # [lead, start, length] of repaired gaps
  statements: list
  lines: list
  values: dict  # of MEASURED, NaN where wild
  flags: set


@dataclasses.dataclass(frozen=True, eq=False)
class Planted:
  """What a right build makes of the archive."""

  kept: dict  # record id -> Kept
  dropped: collections.Counter  # reason -> lines of record_list.csv
  dropped_ids: dict  # record id -> reason
  flags: collections.Counter
  join: dict  # counts


def write(root, records, each=1, samples=500, seed=0):
  """Writes the archive; each of FAULTS is planted `each` times.

  Args:
    root: folder, may not exist.
    records: number of studies, of about a third as many subjects.
    each, samples, seed: of the faults, of a lead, of the random values.

  Returns:
    Planted.
  """
  rng = np.random.default_rng(seed)
  faults = [fault for fault in FAULTS for _ in range(each)]
  assert len(faults) <= records
  faults += [""] * (records - len(faults))
  rng.shuffle(faults)
  subjects = rng.integers(10_000_000, 20_000_000, max(records // 3, 1))
  studies = rng.choice(9_000_000, records, replace=False) + 40_000_000
  made = [
    _record(rng, int(rng.choice(subjects)), int(study), fault, samples)
    for study, fault in zip(studies, faults, strict=True)
  ]
  for record in made:
    _write_record(root, record)
  orphans = [
    _record(rng, 10_000_001, 39_000_000 + number, "", 2)
    for number in range(each)
  ]
  listed = [line for record in made for line in _listed(record)]
  measured = [line for r in (*made, *orphans) for line in _measured(r)]
  for lines in (listed, measured):  # no two tables in one order
    rng.shuffle(lines)
  _write_table(root / "record_list.csv", LISTED, listed)
  _write_table(root / "machine_measurements.csv", COLUMNS, measured)
  return _planted(made, orphans, len(listed), len(measured))


def _record(rng, subject, study, fault, samples):
  walk = rng.normal(size=(12, samples)).cumsum(axis=1)
  walk -= walk.mean(axis=1, keepdims=True)
  peaks = rng.uniform(200, 400, (12, 1))
  adc = np.rint(peaks * walk / np.abs(walk).max(axis=1, keepdims=True))
  lines = [LINES[i] for i in rng.integers(len(LINES), size=rng.integers(1, 7))]
  # Nobody else has this one: a report of another study is found out.
  own = f"Ventricular rate pattern {study}"
  lines.append((own, own, ""))
  if fault == "technical report":
    lines = [line for line in LINES if not line[1]]
  if fault == "blank report":
    lines = []
  report = [None] * 18
  columns = sorted(rng.choice(18, len(lines), replace=False))
  for column, line in zip(columns, lines, strict=True):
    report[column] = line
  steps = rng.integers(20, 200, 5).cumsum()
  values = [rng.integers(400, 1500), *steps, *rng.integers(-180, 181, 3)]
  values = [int(value) for value in values]
  if fault == "wild values":
    values[0], values[1], values[2] = 29999, -5, ""
    values[6], values[8] = 29999, 361
  return Record(
    subject, study, fault, adc.astype(np.int16), tuple(report), tuple(values)
  )


def _write_record(root, record):
  """Writes header and samples with the record's fault in them."""
  adc, names, fault = record.adc.copy(), list(ORDER), record.fault
  gain, subject = "200.0(0)/mV", record.subject
  if fault == "short gap":
    adc[4, 100:103] = -32768
  elif fault == "long gap":
    adc[4, 100:300] = -32768
  elif fault == "flat lead":
    adc[7] = 3
  elif fault == "all flat":
    adc[:] = 3
  elif fault == "missing lead":
    adc, names = adc[:11], names[:11]
  elif fault == "unknown lead":
    names[3] = "X1"
  elif fault == "microvolts":
    gain = "0.2(0)/uV"
  elif fault == "odd unit":
    gain = "200.0(0)/mmHg"
  elif fault == "other header":
    subject += 1
  folder, name = (root / record.path).parent, str(record.study)
  wfdb_files.write_record(
    folder,
    name,
    adc,
    names,
    RATE,
    gain,
    comments=(f" <subject_id>: {subject}",),
  )
  path = folder / f"{name}.dat"
  if fault == "truncated":
    path.write_bytes(path.read_bytes()[:-7])
  elif fault == "no samples":
    path.unlink()
  elif fault == "changed sample":
    content = bytearray(path.read_bytes())
    content[999] ^= 1
    path.write_bytes(content)


def _listed(record):
  """Returns the lines of record_list.csv of a record."""
  path = record.path
  if record.fault == "outside":
    path = f"files/../../{record.study}"
  lines = [(record.subject, record.study, record.study, TIME, path)]
  if record.fault == "listed twice":
    lines *= 2
  if record.fault == "two subjects":
    other = dataclasses.replace(record, subject=record.subject + 1)
    lines.append((other.subject, other.study, other.study, TIME, other.path))
  return lines


def _measured(record):
  """Returns the lines of machine_measurements.csv of a record."""
  if record.fault == "no report":
    return []
  subject = record.subject + (record.fault == "other subject")
  head = (subject, record.study, 6848296, TIME)
  report = [line[0] if line else "" for line in record.report]
  rest = (*report, "0.005-150 Hz", "60 Hz notch Baseline filter")
  lines = [(*head, *rest, *record.values)]
  if record.fault == "repeated report":  # of another cart
    lines.append((*head[:2], 1, TIME, *rest, *record.values))
  if record.fault == "two reports":
    lines.append((*head, *rest, record.values[0] + 1, *record.values[1:]))
  return lines


def _write_table(path, columns, lines):
  with open(path, "w", encoding="utf-8", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)


def _kept(record):
  """Returns what must be in the dataset, by the rules of the data contract."""
  signal = record.adc.astype(float) * 5
  flags, runs = {"length_other"}, []
  if record.fault == "short gap":
    signal[4, 99:104] = np.linspace(*signal[4, [99, 103]], 5)
    runs = [[5, 100, 3]]  # aVF
    flags.add("invalid_repaired")
  if record.fault == "flat lead":
    signal[7] = 15
    flags.add("lead_flat")
  lines = [line for line in record.report if line]
  values = {
    name: float(value or 0)
    for name, value in zip(MEASURED, record.values, strict=True)
  }
  if record.fault == "wild values":
    values |= dict.fromkeys(
      ("rr_interval", "p_onset", "p_end", "p_axis", "t_axis"), np.nan
    )
  if record.fault == "no report":
    lines, values = [], dict.fromkeys(MEASURED, np.nan)
    flags.add("no_measurements")
  statements = [line[1] for line in lines if line[1]]
  if not statements:
    flags.add("no_statements")
  return Kept(
    record.subject,
    signal[[0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11]],
    runs,
    statements,
    [line[2] for line in lines if line[2]],
    values,
    flags,
  )


def _planted(made, orphans, listed, measured):
  kept, dropped, ids = {}, collections.Counter(), {}
  for record in made:
    reason = FAULTS.get(record.fault, "")
    if reason:
      dropped[reason] += 1 + (record.fault == "two subjects")
      ids[str(record.study)] = reason
    if not reason or record.fault == "listed twice":
      kept[str(record.study)] = _kept(record)
  faults = collections.Counter(record.fault for record in made)
  unlisted = faults["outside"] + faults["two subjects"]
  lost = ("outside", "two subjects")
  with_report = [r for r in (*made, *orphans) if r.fault != "no report"]
  words = [
    sum(len(line[0].split()) for line in r.report if line) for r in with_report
  ]
  join = {
    "records_listed": listed,
    "subjects": len({r.subject for r in made if r.fault not in lost}),
    "measurements_listed": measured,
    "records_without_measurements": faults["no report"],
    "measurements_without_record": len(orphans) + unlisted,
    "measurements_repeated": faults["repeated report"] + faults["two reports"],
    "measurement_values_removed": 4 * faults["wild values"],
    "reports_of_4_words": sum(count >= 4 for count in words),
    "records_not_downloaded": 0,
  }
  flags = collections.Counter(
    f for record in kept.values() for f in record.flags
  )
  return Planted(kept, dropped, ids, flags, join)
