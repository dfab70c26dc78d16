"""Building MIMIC-IV-ECG's layout: time and memory of the whole build.

  python -m benchmarks.build [--records 1500] [--many 50000]

Time: the builder, reading files, against TFDS writing the same examples from
memory, in one process, medians of interleaved rounds. Memory: peak resident
size of a build of `many` records of short signals against half as many, each
in a process of its own, with the shuffler's memory limit lowered to 4 MiB so
that all splits of both are past its spill. Size: array_record against raw
.dat.
"""

import argparse
import itertools
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import tensorflow_datasets as tfds
from tensorflow_datasets.core import shuffle

from benchmarks import common
from tests import mimic_tree
from tfds_builders.mimic_iv_ecg import mimic_iv_ecg_dataset_builder as mimic

ROUNDS = 5
SPILL = 4 * 2**20  # bytes; TFDS's own limit is 1000 MiB


def build(data_dir, manual_dir, examples=None):
  """Builds from the files, or the given {split: [(key, example)]}."""
  builder = mimic.Builder(data_dir=data_dir, config="original")
  if examples is not None:  # the same writer, nothing read or judged
    builder._split_generators = lambda dl_manager: {
      split: iter(rows) for split, rows in examples.items()
    }
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=manual_dir),
    file_format="array_record",
  )


def read_all(data_dir):
  """{split: [(key, example)]} of a built dataset."""
  folder = next((data_dir / mimic.Builder.name / "original").iterdir())
  built = tfds.builder_from_directory(folder)
  return {
    split: [(row["record_id"], row) for row in built.as_data_source(split)]
    for split in built.info.splits
  }


def measure_time(raw, records):
  mimic_tree.write(raw, records, each=0, samples=5000)
  numbers = itertools.count()

  def run(examples=None):
    out = raw.parent / f"out{next(numbers)}"
    build(out, raw, examples)
    return out

  out = run()
  kept = read_all(out)
  seconds = common.interleaved(
    {
      "files": lambda: shutil.rmtree(run()),
      "memory": lambda: shutil.rmtree(run(kept)),
    },
    ROUNDS,
  )
  files, memory = (common.median(seconds[name]) for name in seconds)
  raw_bytes = sum(p.stat().st_size for p in raw.rglob("*.dat"))
  built = sum(p.stat().st_size for p in out.rglob("*.array_record*"))
  return {
    "records": records,
    "seconds_from_files": files,
    "seconds_from_memory": memory,
    "ratio": files / memory,
    "size_against_raw": built / raw_bytes,
  }


def child(raw, out, records):
  """Writes an archive of `records`, or builds one and prints peak MiB."""
  if records:
    mimic_tree.write(raw, records, each=0, samples=500)
    return
  shuffle.MAX_MEM_BUFFER_SIZE = SPILL
  build(out, raw)
  print(common.peak_mib())


def run_child(raw, out, records=0):
  """Runs `child` in a process of its own; returns its last line."""
  line = [sys.executable, "-m", "benchmarks.build", "--child", raw, out]
  line += ["--records", str(records)]
  done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
  return (done.stdout.strip().splitlines() or [""])[-1]


def measure_memory(folder, many):
  found = {}
  for records in (many // 2, many):
    raw, out = folder / f"raw{records}", folder / f"out{records}"
    run_child(raw, out, records)
    found[records] = float(run_child(raw, out))
    shutil.rmtree(raw)
    shutil.rmtree(out)
  return {
    "records": many,
    "peak_mib_half": found[many // 2],
    "peak_mib": found[many],
    "ratio": found[many] / found[many // 2],
  }


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--records", type=int, default=1500)
  parser.add_argument("--many", type=int, default=50000)
  parser.add_argument("--child", nargs=2, type=pathlib.Path)
  arguments = parser.parse_args()
  if arguments.child:
    child(*arguments.child, arguments.records)
    return
  table = {}
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    table["time"] = measure_time(folder / "raw", arguments.records)
  with tempfile.TemporaryDirectory() as folder:
    table["memory"] = measure_memory(pathlib.Path(folder), arguments.many)
  settings = {"rounds": ROUNDS, "spill_bytes": SPILL}
  common.write("build", json.loads(json.dumps(settings | {"table": table})))


if __name__ == "__main__":
  main()
