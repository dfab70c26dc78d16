"""What one example of a built dataset holds, and the account of a build.

Every builder in `tfds_builders/` yields the same fields, so that training
and evaluation read any of them without knowing which one it is.
"""

import collections
import contextlib
import csv
import dataclasses
import hashlib
import json
import math
import os
import pathlib
import sys

import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.signals import leads


def example_features(features, tasks, extra=None):
  """Returns the feature dictionary of one example.

  Args:
    features: the module `tensorflow_datasets.features`, handed in so that
      this package never imports TFDS.
    tasks: task name -> class names, e.g. `{"super": ("HYP", "NORM", ...)}`.
      Each task gives `labels/<task>`, `labels_merl/<task>` (n,) uint8
      multi-hot and `labelled/<task>` bool.
    extra: more entries of a single builder.

  Returns:
    A dict for `features.FeaturesDict`. `ecg` is (12, T) int16 microvolts.
  """

  def vector(size, dtype):
    return features.Tensor(shape=(size,), dtype=dtype)

  def multi_hot():
    return {task: vector(len(names), np.uint8) for task, names in tasks.items()}

  spec = {
    "record_id": features.Text(),
    "patient_id": features.Text(),
    "ecg": features.Tensor(
      shape=(leads.COUNT, None), dtype=np.int16, encoding="bytes"
    ),
    "sampling_rate": np.int32,
    "statements": features.Sequence(features.Text()),
    "features": features.Sequence(features.Text()),
    "age": np.float32,
    "sex": np.int8,
    "quality": {
      "lead_missing": vector(leads.COUNT, np.bool_),
      "lead_flat": vector(leads.COUNT, np.bool_),
      "n_invalid": np.int32,
      "n_clipped": np.int32,
      "invalid_runs": features.Tensor(shape=(None, 3), dtype=np.int32),
      "flags": features.Sequence(features.Text()),
      "lines": features.Sequence(features.Text()),
    },
  }
  if tasks:
    spec["labels"] = multi_hot()
    spec["labels_merl"] = multi_hot()
    spec["labelled"] = dict.fromkeys(tasks, np.bool_)
  return spec | (extra or {})


@dataclasses.dataclass
class BuildLog:
  """Counts what a build read, kept, dropped and repaired, record by record.

  `read == kept + sum(dropped)` always holds. `flags` counts kept records
  by remark (`lead_flat`, `invalid_repaired`, ...): a record may have many.
  """

  max_skip_rate: float = 0.01
  kept: int = 0
  dropped: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  flags: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  skipped: list = dataclasses.field(default_factory=list)

  @classmethod
  def from_environment(cls, default=0.01):
    """Reads the limit from FGCLEP_MAX_SKIP_RATE (a share, 0 to 1)."""
    given = os.environ.get("FGCLEP_MAX_SKIP_RATE", str(default))
    try:
      rate = float(given)
    except ValueError:
      rate = -1.0
    if not 0 <= rate <= 1:
      raise InputError(
        f"FGCLEP_MAX_SKIP_RATE={given!r}: give a share between 0 and 1"
      )
    return cls(max_skip_rate=rate)

  @property
  def read(self):
    return self.kept + sum(self.dropped.values())

  def keep(self, flags=()):
    self.kept += 1
    self.flags.update(flags)

  def drop(self, record_id, path, reason, detail=""):
    self.dropped[reason] += 1
    self.skipped.append(
      {
        "record_id": str(record_id),
        "path": str(path),
        "reason": reason,
        "detail": detail,
      }
    )

  def summary(self):
    """One line: read / kept / dropped by reason / flags."""
    parts = [f"read {self.read}", f"kept {self.kept}"]
    parts += [f"dropped {k} {n}" for k, n in sorted(self.dropped.items())]
    parts += [f"flag {k} {n}" for k, n in sorted(self.flags.items())]
    return ", ".join(parts)

  def write(self, folder, name="build"):
    """Writes `<name>.json` (counts) and `skipped.jsonl` into `folder`.

    Written again, the files are replaced: one log serves all splits.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    counts = {
      "read": self.read,
      "kept": self.kept,
      "dropped": dict(sorted(self.dropped.items())),
      "flags": dict(sorted(self.flags.items())),
      "max_skip_rate": self.max_skip_rate,
    }
    (folder / f"{name}.json").write_text(json.dumps(counts, indent=2) + "\n")
    with open(folder / "skipped.jsonl", "w", encoding="utf-8") as file:
      for row in self.skipped:
        file.write(json.dumps(row) + "\n")

  def check(self):
    """Raises InputError when more than `max_skip_rate` was dropped."""
    dropped = self.read - self.kept
    if dropped > self.max_skip_rate * self.read:
      reasons = ", ".join(f"{k} {n}" for k, n in sorted(self.dropped.items()))
      raise InputError(
        f"{dropped} of {self.read} records dropped, above the limit of "
        f"{self.max_skip_rate:.2%} ({reasons}): repair the raw files, or "
        "raise FGCLEP_MAX_SKIP_RATE"
      )


@contextlib.contextmanager
def exit_on_bad_input(name):
  """Ends the program on InputError: one line on stderr, exit code 2.

  `tfds build` runs the builders inside its own program, so they end it
  themselves. `name` is the dataset, put in front of the line.
  """
  try:
    yield
  except InputError as error:
    # On a line of its own: a progress bar may stand on the current one.
    print(f"\n{name}: {error}", file=sys.stderr)
    raise SystemExit(2) from None


def manual_dir(dl_manager, tree):
  """Returns the folder of the raw archive as text.

  Args:
    dl_manager: TFDS's download manager.
    tree: what the folder must hold, for the message.

  Raises:
    InputError: no folder was given, or it is absent or empty.
  """
  try:
    return os.fspath(dl_manager.manual_dir)
  except AssertionError as error:
    found = str(error).split(" Create it")[0].removesuffix(".")
    raise InputError(
      f"{found}; pass --manual_dir with a folder that holds {tree}"
    ) from error


def read_table(path, columns, tree=""):
  """Yields line number and dict column -> text of each line of a CSV file.

  Args:
    path: the file, UTF-8 with or without a byte order mark.
    columns: names that must be there; others are passed on too.
    tree: what the archive holds, named when the file is absent.

  Raises:
    InputError: the file cannot be read, or a column is absent.
  """
  try:
    with open(path, encoding="utf-8-sig", newline="") as file:
      reader = csv.DictReader(file, restval="")
      absent = set(columns) - set(reader.fieldnames or ())
      if absent:
        raise InputError(
          f"{path}: no column {', '.join(map(repr, sorted(absent)))}"
        )
      for entry in reader:
        yield reader.line_num, entry
  except OSError as error:
    expected = f"; expected beside it: {tree}" if tree else ""
    raise InputError(f"{path}: {error.strerror}{expected}") from error
  except (UnicodeDecodeError, csv.Error) as error:
    raise InputError(f"{path}: not a CSV file in UTF-8 ({error})") from error


def allow_missing():
  """True where the user accepts validation and test with records missing."""
  return os.environ.get("FGCLEP_ALLOW_MISSING", "0") == "1"


def refusal(record_id, split, error):
  """Says why a build must not go on without a record.

  Args:
    record_id, split: of the record.
    error: header.RecordError it cannot be read for.
  """
  return (
    f"record {record_id} of {split} cannot be read ({error}): repair it, "
    "or set FGCLEP_ALLOW_MISSING=1 to build without it"
  )


def known_age(age):
  """Returns the age in years and whether it was above 89.

  Ages above 89 become 90, as privacy rules ask; what no age can be (NaN,
  negative) becomes NaN. PTB-XL's 300 means "over 89".
  """
  if not math.isfinite(age) or age < 0:
    return math.nan, False
  return (90.0, True) if age > 89 else (float(age), False)


def stable_share(text):
  """A number in [0, 1) from the first 64 bits of the sha256 of a text."""
  word = hashlib.sha256(text.encode("utf-8")).digest()[:8]
  return int.from_bytes(word, "big") / 2**64
