"""Our WFDB reader against `wfdb.rdrecord`, side by side on the same files.

  python -m benchmarks.reader

Synthetic records of format 16 (12 x 5000 at 500 Hz, 12 x 1000 at 100 Hz);
medians of seven interleaved rounds, one process.
"""

import pathlib
import tempfile

import numpy as np
import wfdb

from benchmarks import common
from fgclep_jax.signals import reader
from tests import wfdb_files

RECORDS, ROUNDS = 150, 7


def write_records(folder, samples, rate):
  rng = np.random.default_rng(0)
  paths = []
  for number in range(RECORDS):
    adc = wfdb_files.random_adc(rng, 12, samples)
    name = f"r{number:04d}"
    wfdb_files.write_record(folder, name, adc, rate=rate)
    paths.append(str(folder / name))
  return paths


def main():
  table = {}
  for samples, rate in ((5000, 500), (1000, 100)):
    with tempfile.TemporaryDirectory() as folder:
      paths = write_records(pathlib.Path(folder), samples, rate)
      seconds = common.interleaved(
        {
          "ours": lambda p=paths: [reader.read_record(x) for x in p],
          "wfdb": lambda p=paths: [wfdb.rdrecord(x) for x in p],
        },
        ROUNDS,
      )
    ours, other = (common.median(seconds[name]) for name in ("ours", "wfdb"))
    table[f"12 x {samples}"] = {
      "ours_records_per_s": RECORDS / ours,
      "wfdb_records_per_s": RECORDS / other,
      "ratio": other / ours,
    }
  common.write("reader", {"rounds": ROUNDS, "table": table})


if __name__ == "__main__":
  main()
