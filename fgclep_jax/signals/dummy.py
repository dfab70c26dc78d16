"""Writes tiny synthetic archives: the `dummy_data/` of the builders.

Files come out the same byte for byte wherever they are written, except the
parquet tables, which name their writer's version.
"""

import csv
import pathlib
import sys

import numpy as np


def folder(script):
  """The folder named on the command line, else `dummy_data/` beside `script`.

  Returns:
    pathlib.Path, made where it is absent.
  """
  beside = pathlib.Path(script).parent / "dummy_data"
  found = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else beside
  found.mkdir(parents=True, exist_ok=True)
  return found


def signal(seed, samples, rate):
  """(12, samples) int16 microvolts: a spike a second and noise.

  Rows are I II III aVR aVL aVF V1..V6; the limb leads agree with each other.
  """
  rng = np.random.default_rng(seed)
  time = np.arange(samples) / rate
  spike = np.exp(-(((time % 1) - 0.4) ** 2) / (2 * 0.02**2))
  one, two = rng.uniform(300, 1500, 2)[:, None] * spike
  limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
  chest = rng.uniform(-1500, 1500, (6, 1)) * spike
  noise = rng.normal(0, 10, (12, samples))
  return np.rint(np.vstack([*limb, chest]) + noise).astype(np.int16)


def write_table(path, columns, rows):
  """Writes a CSV file, UTF-8, lines ending in a line feed."""
  with open(path, "w", encoding="utf-8", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def write_features(folder, judged, features, threshold=0.5):
  """Writes the two tables of the config `enhanced`.

  Args:
    folder: where `enhanced.parquet` and `enhanced_records.parquet` go.
    judged: record ids.
    features: tuples of record id, feature, score; kept from `threshold` on.
  """
  import pyarrow as pa  # slow to import, and only needed here
  from pyarrow import parquet

  rows = [
    {
      "record_id": record_id,
      "feature": feature,
      "score": score,
      "threshold": threshold,
      "kept": score >= threshold,
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
