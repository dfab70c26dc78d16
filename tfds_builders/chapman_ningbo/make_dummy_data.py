"""Writes dummy_data/: a tiny archive in this archive's layout, all synthetic.

Run from anywhere: `python make_dummy_data.py [folder]`. The values mean
nothing; they cover every split and every kind of header the builder knows.
"""

import dataclasses

import numpy as np

from fgclep_jax.signals import dummy

RATE = 500
SAMPLES = 500
_LEADS = "I II III aVR aVL aVF V1 V2 V3 V4 V5 V6"
_CLASSES = (
  "AQW UW SR WPW 2AVB AT VB ARS STTC SA STE VPB TWO STTU ALS APB 2AVB1 PRIE "
  "CCR CR AF AVB QTIE LBBB VEB SVT RBBB 1AVB STDD MI AFIB TWC PWC ERV RVH "
  "LVH ST JEB"
)
LEADS, CLASSES = _LEADS.split(), _CLASSES.split()


@dataclasses.dataclass(frozen=True)
class Row:
  """A record: `fault` is late, fused, gap or flat, `diagnose` its line."""

  record_id: str
  age: str
  sex: str
  dx: str
  split: str = ""
  diagnose: str = ""
  fault: str = ""


ROWS = (
  Row("JS00001", "85", "Male", "164889003,59118001", "train", "AFIB,RBBB"),
  Row("JS00002", "59", "Female", "426177001"),
  Row("JS00004", "66", "Male", "426177001,,164934002,", "train", "SB,TWC"),
  Row("JS00006", "92", "Female", "426783006", "val", "SR"),
  Row("JS00008", "NaN", "Unknown", "270492004", "test", "1AVB"),
  Row("JS01052", "45", "Female", "427084000", "train", "ST", "fused"),
  Row("JS10890", "70", "Male", "164890007", "test", "AF", "gap"),
  Row("JS20000", "31", "Male", "251146004", "train", "LVQRSAL", "late"),
  Row("JS20004", "52", "Female", "428750005", "val", "STTC", "flat"),
  Row("JS20010", "77", "Male", "426783006,55827005"),
)
# record, feature, score; kept from 0.5 on
FEATURES = (
  ("JS00001", "absent P waves", 0.9),
  ("JS00001", "rSR' pattern in V1", 0.6),
  ("JS00001", "flat T waves", 0.2),
  ("JS00008", "PR interval > 200 ms", 0.8),
)


def main(folder):
  for row in ROWS:
    top = row.record_id[2:4]
    microvolts = signal(int(row.record_id[2:]), row.fault)
    place = folder / "WFDBRecords" / top / f"{top}0"
    place.mkdir(parents=True, exist_ok=True)
    write_record(place / row.record_id, microvolts, row)
  splits = folder / "merl" / "data_split" / "chapman"
  splits.mkdir(parents=True, exist_ok=True)
  for split in ("train", "val", "test"):
    dummy.write_table(
      splits / f"chapman_{split}.csv",
      ("ecg_path", "age", "diagnose", *CLASSES),
      [published_line(row) for row in ROWS if row.split == split],
    )
  dummy.write_features(folder, [row.record_id for row in ROWS], FEATURES)


def published_line(row):
  """The publishers numbered folders otherwise, and matched substrings."""
  path = f"/chapman/WFDBRecords/99/999/{row.record_id}.mat"
  found = [int(name in row.diagnose) for name in CLASSES]
  return (path, 12, row.diagnose, *found)


def signal(seed, fault):
  """(12, SAMPLES) int16 microvolts."""
  found = dummy.signal(seed, SAMPLES, RATE)
  if fault == "gap":
    found[3, 100:200] = -32768
  if fault == "flat":
    found[9:] = 0
  return found


def write_record(stem, microvolts, row):
  """Writes header and samples; samples follow a MAT v4 header of 24 bytes."""
  late = row.fault == "late"
  middle = "16x1+24 1000.0(0)/mV" if late else "16+24 1000/mV"
  lines = [f"{stem.name} 12 {RATE} {SAMPLES}"]
  for name, lead in zip(LEADS, microvolts, strict=True):
    checksum = int(lead.sum(dtype=np.int64).astype(np.int16))
    lines.append(f"{stem.name}.mat {middle} 16 0 {lead[0]} {checksum} 0 {name}")
  if row.fault == "fused":
    lines[:2] = [lines[0] + lines[1][lines[1].index("00/mV") :]]
  else:
    lines[0] += " 23-Mar-2021 20:20:47"
  mark = "# " if late else "#"
  lines += [f"{mark}Age: {row.age}", f"{mark}Sex: {row.sex}"]
  lines += [f"{mark}Dx: {row.dx}", f"{mark}Rx: Unknown"]
  stem.with_suffix(".hea").write_text("\n".join(lines) + "\n")
  head = np.array([30, 12, SAMPLES, 0, 4], "<i4").tobytes() + b"val\0"
  samples = np.ascontiguousarray(microvolts.T, "<i2").tobytes()
  stem.with_suffix(".mat").write_bytes(head + samples)


if __name__ == "__main__":
  main(dummy.folder(__file__))
