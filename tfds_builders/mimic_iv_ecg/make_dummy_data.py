"""Writes dummy_data/: a tiny archive in MIMIC-IV-ECG's layout, all synthetic.

Run from anywhere: `python make_dummy_data.py [folder]`. The values mean
nothing; they cover every split and every kind of row the builder knows.
"""

import dataclasses

import numpy as np

from fgclep_jax.signals import dummy

RATE = 500
SAMPLES = 500
_LEADS = "I II III aVR aVF aVL V1 V2 V3 V4 V5 V6"  # as MIMIC orders them
LEADS = _LEADS.split()
MEASURED = (
  "rr_interval",
  "p_onset",
  "p_end",
  "qrs_onset",
  "qrs_end",
  "t_end",
  "p_axis",
  "qrs_axis",
  "t_axis",
)
SINUS = (800, 40, 150, 180, 270, 560, 50, 30, 40)
FIBRILLATION = (600, 29999, 29999, 40, 130, 380, 29999, -45, 120)


@dataclasses.dataclass(frozen=True)
class Row:
  """A record; `report` is separated by |, None has no line of its own."""

  subject: int
  study: int
  report: str | None
  measured: tuple = SINUS
  gain: str = "200.0(0)/mV"


ROWS = (
  Row(10000001, 40000011, "Sinus rhythm|Normal ECG"),
  Row(10000001, 40000012, "Sinus rhythm||Borderline ECG|- bigeminal PVCs"),
  Row(10000002, 40000013, "Atrial fibrillation.|Abnormal ECG", FIBRILLATION),
  Row(10000003, 40000014, "Lead(s) unsuitable for analysis: V1"),
  Row(10000004, 40000015, None),
  Row(10000005, 40000016, "Pacemaker rhythm - no further analysis"),
  Row(10000006, 40000017, "Left axis deviation", gain="0.2(0)/uV"),
  Row(10000008, 40000018, "Inferior infarct, age indeterminate|Abnormal ECG"),
  Row(10000017, 40000019, "*** CONSIDER ACUTE ST ELEVATION MI ***"),
  Row(10000010, 40000020, "Sinus tachycardia|Normal ECG except for rate"),
  Row(10000013, 40000021, "Sinus rhythm|Prolonged QT interval"),
)
WITHOUT_RECORD = Row(10000099, 40000099, "Sinus rhythm")
# subject, gender, age, year; the others are unknown
PATIENTS = ((10000001, "F", 52, 2180), (10000008, "M", 91, 2150))
# record, feature, score; kept from 0.5 on
FEATURES = (
  ("40000013", "absent P waves", 0.9),
  ("40000013", "irregular RR intervals", 0.7),
  ("40000011", "flat T waves", 0.1),
)


def main(folder):
  dummy.write_table(
    folder / "record_list.csv",
    ("subject_id", "study_id", "file_name", "ecg_time", "path"),
    [
      (row.subject, row.study, row.study, "2183-07-23 08:44:00", place(row))
      for row in ROWS
    ],
  )
  dummy.write_table(
    folder / "machine_measurements.csv",
    (
      *("subject_id", "study_id", "cart_id", "ecg_time"),
      *(f"report_{number}" for number in range(18)),
      *("bandwidth", "filtering", *MEASURED),
    ),
    # Neither table is in the order of the other one.
    [
      measured_line(row)
      for row in (WITHOUT_RECORD, *reversed(ROWS))
      if row.report is not None
    ],
  )
  columns = ("subject_id", "gender", "anchor_age", "anchor_year")
  dummy.write_table(folder / "patients.csv", columns, PATIENTS)
  for row in ROWS:
    write_record(folder / place(row), signal(row.study), row)
  dummy.write_features(folder, [str(row.study) for row in ROWS], FEATURES)


def place(row):
  subject = f"p{row.subject}"
  return f"files/{subject[:5]}/{subject}/s{row.study}/{row.study}"


def measured_line(row):
  report = row.report.split("|")
  report += [""] * (18 - len(report))
  head = (row.subject, row.study, 6848296, "2183-07-23 08:44:00")
  return (*head, *report, "0.005-150 Hz", "60 Hz notch", *row.measured)


def signal(seed):
  """(12, SAMPLES) int16 in steps of 5 microvolts: a spike and noise."""
  rng = np.random.default_rng(seed)
  spike = np.exp(-((np.arange(SAMPLES) / RATE - 0.4) ** 2) / (2 * 0.02**2))
  one, two = rng.uniform(60, 300, 2)[:, None] * spike
  limb = [one, two, two - one, -(one + two) / 2, two - one / 2, one - two / 2]
  chest = rng.uniform(-300, 300, (6, 1)) * spike
  noise = rng.normal(0, 2, (12, SAMPLES))
  return np.rint(np.vstack([*limb, chest]) + noise).astype(np.int16)


def write_record(stem, adc, row):
  stem.parent.mkdir(parents=True, exist_ok=True)
  lines = [f"{stem.name} 12 {RATE} {SAMPLES} 08:44:00 23/07/2183"]
  for name, lead in zip(LEADS, adc, strict=True):
    checksum = int(lead.sum(dtype=np.int64).astype(np.int16))
    lines.append(
      f"{stem.name}.dat 16 {row.gain} 16 0 {lead[0]} {checksum} 0 {name}"
    )
  lines.append(f"# <subject_id>: {row.subject}")
  stem.with_suffix(".hea").write_text("\n".join(lines) + "\n")
  samples = np.ascontiguousarray(adc.T, "<i2").tobytes()
  stem.with_suffix(".dat").write_bytes(samples)


if __name__ == "__main__":
  main(dummy.folder(__file__))
