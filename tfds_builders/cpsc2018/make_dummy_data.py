"""Writes dummy_data/: a tiny archive in CPSC2018's layout, all synthetic.

Run from anywhere: `python make_dummy_data.py [folder]`. The values mean
nothing; they cover every split, class and kind of row the builder knows.
"""

import numpy as np
from scipy import io

from fgclep_jax.signals import dummy

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
  (folder / "TrainingSet").mkdir(exist_ok=True)
  lines = [
    (record_id, *numbers, *[""] * (3 - len(numbers)))
    for record_id, _, _, _, numbers in ROWS
  ]
  columns = ("Recording", *LABELS)
  dummy.write_table(folder / "REFERENCE.csv", columns, lines)
  for record_id, sex, age, samples, _ in ROWS:
    path = folder / "TrainingSet" / f"{record_id}.mat"
    write_struct(
      path, sex, age, dummy.signal(int(record_id[1:]), samples, RATE)
    )
  dummy.write_features(folder, [row[0] for row in ROWS], FEATURES)


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
  main(dummy.folder(__file__))
