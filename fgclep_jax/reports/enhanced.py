"""The verified waveform features of records: `enhanced.parquet`.

Two tables made by `fgclep enhance`: `enhanced.parquet`, a line for each
(record, feature) with `record_id`, `feature`, `kept` and provenance, and
beside it `enhanced_records.parquet`, a line for each record judged, so that
a record without features can be told from one that was forgotten.
"""

import collections
import dataclasses
import hashlib
import os
import sys

from fgclep_jax.errors import InputError

FILE = "enhanced.parquet"
RECORDS_FILE = "enhanced_records.parquet"
_PROVENANCE = ("source", "model_hash", "prompt_hash")


@dataclasses.dataclass(frozen=True)
class Enhanced:
  """The tables of one dataset."""

  path: str
  features: dict[str, tuple[str, ...]]  # of every record judged, as stored
  unjudged: frozenset[str]  # records of the dataset without a line
  total: int  # records of the dataset
  metadata: dict  # provenance, for the built dataset

  def features_of(self, record_id):
    """Returns the kept features of a record.

    Raises:
      InputError: the record was not judged.
    """
    if record_id not in self.features:
      raise _unjudged(self.path, self.unjudged | {record_id}, self.total)
    return list(self.features[record_id])


def of_config(config, root, record_ids, max_unjudged=0.01):
  """Returns the tables of a config: None except for `enhanced`.

  Args:
    config: name of the builder's config.
    root: as `location` takes it.
    record_ids, max_unjudged: as `read` takes them.

  Raises:
    InputError: as `read`.
  """
  if config != "enhanced":
    return None
  return read(location(root), record_ids, max_unjudged)


def location(root):
  """Returns the path of the parquet: FGCLEP_ENHANCED, else in `root`.

  Args:
    root: the raw folder, or a function that returns it when needed.
  """
  given = os.environ.get("FGCLEP_ENHANCED")
  if given:
    return given
  return os.path.join(root() if callable(root) else root, FILE)


def read(path, record_ids, max_unjudged=0.01):
  """Reads both tables and compares them with the records of a dataset.

  Args:
    path: of `enhanced.parquet`.
    record_ids: of the dataset, those that cannot be read included.
    max_unjudged: share of `record_ids` that may lack a line: a record that
      cannot be read was never judged. `features_of` refuses the others.

  Returns:
    Enhanced.

  Raises:
    InputError: a file is absent or no such table, a record judged twice, a
      feature twice in one record, a feature of a record that was not
      judged, or more records without a line than `max_unjudged`.
  """
  beside = os.path.join(os.path.dirname(path), RECORDS_FILE)
  table = _columns(path, ("record_id", "feature", "kept"), _PROVENANCE)
  judged = _columns(beside, ("record_id",))["record_id"]
  _check_once(beside, judged, "records")
  pairs = list(zip(table["record_id"], table["feature"], strict=True))
  _check_once(path, pairs, "features of a record")
  features = {record_id: [] for record_id in judged}
  strangers = {r for r in table["record_id"] if r not in features}
  if strangers:
    raise InputError(
      f"{path}: {len(strangers)} records are not in {RECORDS_FILE} beside it, "
      f"first {min(strangers)}: the two tables must come from one run"
    )
  for (record_id, feature), kept in zip(pairs, table["kept"], strict=True):
    if kept:
      features[record_id].append(feature)
  unjudged = frozenset(record_ids) - features.keys()
  if len(unjudged) > max_unjudged * len(record_ids):
    raise _unjudged(path, unjudged, len(record_ids))
  return Enhanced(
    path,
    {record_id: tuple(found) for record_id, found in features.items()},
    unjudged,
    len(record_ids),
    _metadata(path, table, judged),
  )


def _unjudged(path, missing, total):
  return InputError(
    f"{len(missing)} of {total} records of the dataset are not in "
    f"{RECORDS_FILE} beside {path}, first {min(missing)}: run `fgclep "
    "enhance` on this dataset, all splits"
  )


def _check_once(path, values, what):
  """Raises InputError when a value occurs twice."""
  if len(set(values)) < len(values):
    counts = collections.Counter(values)
    twice = sorted(value for value, count in counts.items() if count > 1)
    raise InputError(
      f"{path}: {len(twice)} {what} occur more than once, first {twice[0]}: "
      "keep one line each"
    )


def _columns(path, names, optional=()):
  """Returns column -> list of str (`kept`: bool), absent optional left out."""
  if not os.path.isfile(path):
    raise InputError(
      f"no file {path}: the config `enhanced` needs {FILE} and {RECORDS_FILE} "
      "of `fgclep enhance`; name the former in FGCLEP_ENHANCED or put both "
      "into the manual directory"
    )
  try:
    import pyarrow as pa  # only this config needs it
    from pyarrow import parquet
  except ImportError as error:
    raise InputError(
      f"{path} cannot be read without pyarrow: pip install pyarrow"
    ) from error
  try:
    # Not read_table, which would take `a=b` in a path for a partition.
    file = parquet.ParquetFile(path)
    known = file.schema_arrow.names
    absent = [name for name in names if name not in known]
    if absent:
      raise InputError(f"{path}: no column {', '.join(map(repr, absent))}")
    wanted = [*names, *(name for name in optional if name in known)]
    table = file.read(columns=wanted)
    columns = {}
    for name in wanted:
      kind = pa.bool_() if name == "kept" else pa.string()
      columns[name] = table.column(name).cast(kind).to_pylist()
  except (pa.ArrowException, OSError, ValueError) as error:
    if isinstance(error, InputError):
      raise
    reason = str(error).splitlines()[0][:200]
    raise InputError(f"{path}: cannot be read ({reason})") from error
  for name in names:
    if any(value is None or value == "" for value in columns[name]):
      raise InputError(f"{path}: column {name!r} has empty values")
  # Few distinct texts in millions of lines: each is kept once.
  for name in set(columns) - {"kept"}:
    columns[name] = [v and sys.intern(v) for v in columns[name]]
  return columns


def _metadata(path, table, judged):
  """Says where the features come from; small, for the metadata."""
  with open(path, "rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
  known = {
    name: sorted({value for value in table[name] if value})
    for name in _PROVENANCE
    if name in table
  }
  return {
    "sha256": digest,
    "records_judged": len(judged),
    "features_kept": sum(table["kept"]),
    "features_dropped": len(table["kept"]) - sum(table["kept"]),
    "provenance": known,
  }
