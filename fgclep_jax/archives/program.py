"""`fgclep data check`: prints and writes what `check` found."""

import dataclasses
import json
import os
import pathlib

from fgclep_jax.archives import check as check_lib
from fgclep_jax.errors import InputError
from fgclep_jax.signals import published, releases

# Beside the counts of `releases`; those marked "reported" are other
# projects' counts of the releases, not checked by this one.
EXPECTED = {
  "mimic_iv_ecg": {
    "subjects": "161,352 or 160,862, by source (reported)",
    "lines of measurements": "800,035 or 789,481, by source (reported)",
    "records that a build keeps": "787,677 (reported)",
  },
  "ptb_xl": {"patients": "18,869", "SCP codes": "71"},
  "cpsc2018": {"lines of REFERENCE.csv": "6,877"},
  "chapman_ningbo": {"fused headers": "2, repaired (reported)"},
}
# Measured with the builders' form, array_record of int16 (12, T): size on
# disk of a signal's bytes for 10 s at 500 and at 100 Hz, and seconds.
DISK_SHARE = (0.46, 0.65)
SECONDS_PER_RECORD = 4e-4
SECONDS_PER_BYTE = 1.6e-8
TIME_SPREAD = (0.8, 1.2)
SPILL_BYTES = 1000 << 20  # a split beyond this is sorted on disk


def run(raw, dataset, out=None):
  """Checks an archive, prints the report and writes it as JSON.

  Args:
    raw: its folder.
    dataset: name of the builder.
    out: the JSON file, or None.

  Raises:
    InputError: the folder is no such archive, or would not build.
  """
  if out and not pathlib.Path(out).absolute().parent.is_dir():
    raise InputError(f"{out}: cannot write (no such folder)")
  report = check_lib.check(raw, dataset)
  print(text(report))
  if out:
    content = dataclasses.asdict(report)
    content |= {"expected": expected(dataset), "estimate": estimate(report)}
    content["samples_read"] = False
    try:
      pathlib.Path(out).write_text(json.dumps(content, indent=2) + "\n")
    except OSError as error:
      raise InputError(f"{out}: cannot write ({error.strerror})") from error
  if report.stops:
    raise InputError(f"{raw} cannot be built: {'; '.join(report.stops)}")


def expected(dataset):
  """Returns what the complete archive holds, name -> text."""
  counts = {"records": f"{releases.RECORDS[dataset]:,}"}
  sizes = releases.SPLIT_SIZES.get(dataset, ())
  for split, size in zip(published.SPLITS, sizes, strict=False):
    counts[split] = f"{size:,}"
  return counts | EXPECTED[dataset]


def estimate(report):
  """Returns minutes and bytes of a build, each (least, most).

  The time is for two processor cores and files in the cache: a slow disk
  adds the time it takes to read the archive.
  """
  size = report.signal_bytes
  seconds = report.good * SECONDS_PER_RECORD + size * SECONDS_PER_BYTE
  return {
    "minutes": [round(seconds * share / 60, 2) for share in TIME_SPREAD],
    "dataset_bytes": [round(size * share) for share in DISK_SHARE],
    "temporary_bytes": size if size > SPILL_BYTES else 0,
  }


def text(report):
  """Returns the report as lines of text."""
  whole = "complete" if report.good == report.expected else "partial"
  lines = [
    f"{report.dataset} in {report.folder}: {report.good} of {report.expected} "
    f"records can be built, {whole}",
    f"records looked at: {report.listed}",
  ]
  if report.not_downloaded:
    lines.append(
      f"not downloaded: {report.not_downloaded} more of the tables (a sample)"
    )
  if report.tables:
    lines.append("the tables there hold:")
  lines += [f"  {name}: {count}" for name, count in report.tables.items()]
  for title in ("missing", "corrupt", "duplicated", "repaired"):
    lines += _problems(title, report)
  if report.held_out_unknown:
    lines.append(
      "  a build stops for those that fall into validation or test, unless "
      "FGCLEP_ALLOW_MISSING=1"
    )
  lines.append("the complete archive holds:")
  counts = expected(report.dataset)
  lines += [f"  {name}: {count}" for name, count in counts.items()]
  guess = estimate(report)
  low, high = (_size(number) for number in guess["dataset_bytes"])
  spill = guess["temporary_bytes"]
  lines += [
    f"a build takes about {_minutes(*guess['minutes'])} on two cores, more "
    "where the disk is slow,",
    f"  {low} to {high} for the dataset and {_size(spill) if spill else 'no'} "
    "temporary space",
    "samples were not read: gaps, constant leads and checksums show in the "
    "build",
  ]
  return "\n".join(lines)


def _problems(title, report):
  """Returns a line for the group and one for each reason."""
  counts = getattr(report, title)
  lines = [f"{title}: {sum(counts.values())}"]
  for reason, count in counts.items():
    record_id, detail = report.examples[reason][0]
    detail = detail.replace(os.path.join(report.folder, ""), "")
    detail = " ".join(detail.split())[:160]
    lines.append(f"  {reason} {count}, first {record_id}: {detail}")
  return lines


def _minutes(low, high):
  return f"{low:.0f} to {high:.0f} minutes" if low >= 1 else "a minute"


def _size(count):
  """Returns a number of bytes as text."""
  for unit, scale in (("GB", 1e9), ("MB", 1e6)):
    if count >= scale:
      return f"{count / scale:.1f} {unit}"
  return f"{count / 1e3:.0f} kB"
