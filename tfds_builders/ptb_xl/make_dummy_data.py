"""Writes dummy_data/: a tiny archive in PTB-XL's layout, all synthetic.

Run from anywhere: `python make_dummy_data.py [folder]`. The values mean
nothing; they cover every split, task and kind of row the builder knows.
"""

import numpy as np

from fgclep_jax.signals import dummy

RATE = 100
SAMPLES = 200
LEADS = [
  "I",
  "II",
  "III",
  "AVR",
  "AVL",
  "AVF",
  "V1",
  "V2",
  "V3",
  "V4",
  "V5",
  "V6",
]
# code, diagnostic, form, rhythm, class, subclass
CODES = (
  ("NDT", "1.0", "1.0", "", "STTC", "STTC"),
  ("NST_", "1.0", "1.0", "", "STTC", "NST_"),
  ("NORM", "1.0", "", "", "NORM", "NORM"),
  ("IMI", "1.0", "", "", "MI", "IMI"),
  ("LVH", "1.0", "", "", "HYP", "LVH"),
  ("1AVB", "1.0", "", "", "CD", "_AVB"),
  ("ISC_", "1.0", "", "", "STTC", "ISC_"),
  ("PRC(S)", "", "1.0", "", "", ""),
  ("STE_", "", "1.0", "", "", ""),
  ("SR", "", "", "1.0", "", ""),
  ("AFIB", "", "", "1.0", "", ""),
)
COLUMNS = [
  "ecg_id",
  "patient_id",
  "age",
  "sex",
  "report",
  "scp_codes",
  "strat_fold",
  "filename_lr",
  "filename_hr",
]
# patient, age, sex, report, codes, fold
ROWS = (
  (7, "56.0", "1", "sinus rhythm. normal ecg.", "NORM SR", 1),
  (7, "57.0", "1", "sinusrhythmus normales ekg", "NORM SR", 2),
  (8, "300.0", "0", "alter inferiorer infarkt. Edit: IMI 100", "IMI", 3),
  (9, "", "", "", "LVH NDT", 4),
  (10, "40.0", "0", "trace only requested.", "PRC(S)", 5),
  (11, "91.0", "1", "q waves in ii, iii, avf. st segments low.", "STE_ SR", 6),
  (12, "33.0", "0", "a-v block i", "1AVB SR", 7),
  (13, "60.0", "1", "vorhofflimmern", "AFIB ISC_", 8),
  (14, "71.0", "0", "sinus rhythm. first degree a-v block.", "1AVB SR", 9),
  (15, "72.0", "1", "ischaemia in v4,5,6.", "ISC_ NST_", 9),
  (16, "73.0", "0", "sinus rhythm. normal ecg.", "NORM SR", 10),
  (17, "74.0", "1", "atrial fibrillation.", "AFIB", 10),
)
ENGLISH = {2: "sinus rhythm normal ecg", 3: "old inferior infarct. Edit: IMI"}


def main(folder):
  dummy.write_table(
    folder / "scp_statements.csv",
    (
      "",
      "diagnostic",
      "form",
      "rhythm",
      "diagnostic_class",
      "diagnostic_subclass",
    ),
    CODES,
  )
  rows = []
  for ecg_id, (patient, age, sex, report, codes, fold) in enumerate(ROWS, 1):
    names = [
      f"records{rate}/00000/{ecg_id:05d}_{kind}"
      for rate, kind in ((100, "lr"), (500, "hr"))
    ]
    likelihoods = str(dict.fromkeys(codes.split(), 100.0))
    rows.append(
      (ecg_id, f"{patient}.0", age, sex, report, likelihoods, fold, *names)
    )
    write_record(folder / names[0], dummy.signal(ecg_id, SAMPLES, RATE))
  dummy.write_table(folder / "ptbxl_database.csv", COLUMNS, rows)
  dummy.write_table(
    folder / "reports_en.csv", ("ecg_id", "report"), ENGLISH.items()
  )


def write_record(stem, microvolts):
  stem.parent.mkdir(parents=True, exist_ok=True)
  lines = [f"{stem.name} 12 {RATE} {SAMPLES}"]
  for name, lead in zip(LEADS, microvolts, strict=True):
    checksum = int(lead.sum(dtype=np.int64)) & 0xFFFF
    lines.append(
      f"{stem.name}.dat 16 1000.0(0)/mV 16 0 {lead[0]} {checksum} 0 {name}"
    )
  stem.with_suffix(".hea").write_text("\n".join(lines) + "\n")
  stem.with_suffix(".dat").write_bytes(microvolts.T.astype("<i2").tobytes())


if __name__ == "__main__":
  main(dummy.folder(__file__))
