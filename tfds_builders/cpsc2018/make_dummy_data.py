"""Writes dummy_data/: a tiny archive in CPSC2018's layout, all synthetic.

Run from anywhere: `python make_dummy_data.py [folder]`. The values mean
nothing; they cover every split, class and kind of row the builder knows.
"""

import csv
import pathlib
import sys

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from scipy import io

RATE = 500
# record, sex, age (None: empty), samples, class numbers
ROWS = (
  ("A0001", "Male", 74, 600, (5,)),
  ("A0002", "Female", 49, 500, (1,)),
  ("A0003", "Female", 81, 700, (2, 5)),
  ("A0004", "Male", -1, 650, (6, 6)),
  ("A0005", "Male", None, 510, (3, 5, 8)),
  ("A0006", "Female", 91, 520, (4,)),
  ("A0008", "Male", 46, 530, (7,)),
  ("A0009", "Female", 33, 540, (9, 8)),
)
# record, feature, score; kept from 0.5 on
FEATURES = (
  ("A0003", "absent P waves", 0.9),
  ("A0003", "irregular RR intervals", 0.7),
  ("A0003", "flat T waves", 0.1),
  ("A0001", "QRS duration > 120 ms", 0.8),
)
LABELS = ("First_label", "Second_label", "Third_label")


def main(folder):
  (folder / "TrainingSet").mkdir(parents=True, exist_ok=True)
  with open(folder / "REFERENCE.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("Recording", *LABELS))
    for record_id, _, _, _, numbers in ROWS:
      writer.writerow((record_id, *numbers, *[""] * (3 - len(numbers))))
  for record_id, sex, age, samples, _ in ROWS:
    path = folder / "TrainingSet" / f"{record_id}.mat"
    write_struct(path, sex, age, signal(int(record_id[1:]), samples))
  write_features(folder, [row[0] for row in ROWS], FEATURES)


def write_features(folder, judged, features):
  """Writes the two tables of the config `enhanced`."""
  rows = [
    {
      "record_id": record_id,
      "feature": feature,
      "score": score,
      "threshold": 0.5,
      "kept": score >= 0.5,
      "source": "synthetic",
      "model_hash": "0",
      "prompt_hash": "0",
    }
    for record_id, feature, score in features
  ]
  parquet.write_table(pa.Table.from_pylist(rows), folder / "enhanced.parquet")
  parquet.write_table(
    pa.table({"record_id": judged}), folder / "enhanced_records.parquet"
  )


def signal(seed, samples):
  """(12, samples) int16 microvolts: a spike a second and noise."""
  rng = np.random.default_rng(seed)
  time = np.arange(samples) / RATE
  spike = np.exp(-(((time % 1) - 0.4) ** 2) / (2 * 0.02**2))
  one, two = rng.uniform(300, 1500, 2)[:, None] * spike
  limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
  chest = rng.uniform(-1500, 1500, (6, 1)) * spike
  noise = rng.normal(0, 10, (12, samples))
  return np.rint(np.vstack([*limb, chest]) + noise).astype(np.int16)


def write_struct(path, sex, age, microvolts):
  """Writes the original form: a struct of sex, age and millivolts."""
  age = np.zeros((0, 0)) if age is None else age
  struct = {"sex": sex, "age": age, "data": microvolts / 1000}
  io.savemat(path, {"ECG": struct}, do_compression=True)
  # The text at the beginning holds the time of writing.
  content = bytearray(path.read_bytes())
  content[:116] = b"MATLAB 5.0 MAT-file, synthetic".ljust(116)
  path.write_bytes(content)


if __name__ == "__main__":
  here = pathlib.Path(__file__).parent / "dummy_data"
  main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here)
