"""The verified waveform features of records: `enhanced.parquet`.

Two tables made by `fgclep enhance`: `enhanced.parquet`, a line for each
(record, feature) with `record_id`, `feature`, `kept` and provenance, and
beside it `enhanced_records.parquet`, a line for each record judged, so that
a record without features can be told from one that was forgotten.
"""

import dataclasses
import hashlib
import json
import os

import numpy as np

from fgclep_jax.errors import InputError

FILE = "enhanced.parquet"
RECORDS_FILE = "enhanced_records.parquet"
_PROVENANCE = ("source", "model_hash", "prompt_hash")


@dataclasses.dataclass(frozen=True, eq=False)
class Enhanced:
  """The tables of one dataset; n records judged, m features kept."""

  path: str
  places: dict[str, int]  # record judged -> its place among n
  offsets: np.ndarray  # (n + 1,) int64: where its features start
  codes: np.ndarray  # (m,) int32 of `names`, those of a record as stored
  names: list[str]
  unjudged: frozenset[str]  # records of the dataset without a line
  total: int  # records of the dataset
  metadata: dict  # provenance, for the built dataset

  def features_of(self, record_id):
    """Returns the kept features of a record.

    Raises:
      InputError: the record was not judged.
    """
    place = self.places.get(record_id)
    if place is None:
      raise _unjudged(self.path, self.unjudged | {record_id}, self.total)
    start, stop = self.offsets[place], self.offsets[place + 1]
    return [self.names[code] for code in self.codes[start:stop].tolist()]


def path_of(config, root):
  """Returns the path of a config's parquet: None except for `enhanced`.

  Args:
    config: name of the builder's config.
    root: as `location` takes it.
  """
  return location(root) if config == "enhanced" else None


def tables(path, record_ids, max_unjudged=0.01, **expect):
  """As `read`, but None for the path None."""
  if path is None:
    return None
  return read(path, record_ids, max_unjudged, expect)


def location(root):
  """Returns the path of the parquet: FGCLEP_ENHANCED, else in `root`.

  Args:
    root: the raw folder, or a function that returns it when needed.
  """
  given = os.environ.get("FGCLEP_ENHANCED")
  if given:
    return given
  return os.path.join(root() if callable(root) else root, FILE)


def read(path, record_ids, max_unjudged=0.01, expect=None):
  """Reads both tables and compares them with the records of a dataset.

  Args:
    path: of `enhanced.parquet`.
    record_ids: of the dataset, those that cannot be read included.
    max_unjudged: share of `record_ids` that may lack a line: a record that
      cannot be read was never judged. `features_of` refuses the others.
    expect: {"dataset": name, ...} or None, compared with what the tables say
      that they were made for, where they do: ids alone may agree by chance.

  Returns:
    Enhanced.

  Raises:
    InputError: a file is absent or no such table, a record judged twice, a
      feature twice in one record, a feature of a record that was not
      judged, or more records without a line than `max_unjudged`.
  """
  beside = os.path.join(os.path.dirname(path), RECORDS_FILE)
  _check_origin(path, expect or {})
  table = _columns(path, ("record_id", "feature", "kept"), _PROVENANCE)
  judged = _columns(beside, ("record_id",))["record_id"]
  _check_once(beside, judged.codes, "records", judged.names.__getitem__)
  places = {name: place for place, name in enumerate(judged.names)}
  place = _places_of(path, table["record_id"], places)
  feature = table["feature"]
  _check_pairs(path, place, feature, judged.names)
  kept = table["kept"]
  place, codes = place[kept], feature.codes[kept]
  counts = np.bincount(place, minlength=len(places))
  unjudged = frozenset(record_ids) - places.keys()
  if len(unjudged) > max_unjudged * len(record_ids):
    raise _unjudged(path, unjudged, len(record_ids))
  return Enhanced(
    path,
    places,
    np.concatenate([[0], np.cumsum(counts)]),
    codes[np.argsort(place, kind="stable")],
    feature.names,
    unjudged,
    len(record_ids),
    _metadata(path, table, len(places)),
  )


def _check_origin(path, expect):
  """Raises InputError when the tables were made for another dataset."""
  made_for = _made_for(path)
  for name, value in expect.items():
    if name in made_for and made_for[name] != value:
      raise InputError(
        f"{path} was made for {name} {made_for[name]!r}, this is {value!r}: "
        "run `fgclep enhance` on this dataset"
      )


def _made_for(path):
  """What `fgclep enhance` noted of the dataset; {} where it did not."""
  if not os.path.isfile(path):
    return {}
  try:
    from pyarrow import parquet

    noted = parquet.ParquetFile(path).schema_arrow.metadata or {}
    about = json.loads(noted.get(b"fgclep", b"{}"))
  except (ImportError, OSError, ValueError):  # said by the reading proper
    return {}
  return {k: about[k] for k in ("dataset",) if k in about} | about.get(
    "data", {}
  )


def _places_of(path, records, places):
  """Returns (m,) int64, the place of the record of each line."""
  strangers = set(records.names) - places.keys()
  if strangers:
    raise InputError(
      f"{path}: {len(strangers)} records are not in {RECORDS_FILE} beside it, "
      f"first {min(strangers)!r}: the two tables must come from one run"
    )
  found = np.array([places[name] for name in records.names], np.int64)
  return found[records.codes]


def _check_pairs(path, place, feature, records):
  """Raises InputError when a record has a feature twice."""
  count = max(len(feature.names), 1)
  _check_once(
    path,
    place * count + feature.codes,
    "features of a record",
    lambda pair: (records[pair // count], feature.names[pair % count]),
  )


def _unjudged(path, missing, total):
  return InputError(
    f"{len(missing)} of {total} records of the dataset are not in "
    f"{RECORDS_FILE} beside {path}, first {min(missing)!r}: run `fgclep "
    "enhance` on this dataset, all splits"
  )


def _check_once(path, values, what, describe):
  """Raises InputError when a number of (m,) occurs twice.

  Args:
    path, what: for the message.
    values: (m,) int.
    describe: function of a number to what the user knows it as.
  """
  ordered = np.sort(values)
  twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
  if len(twice):
    first = min(describe(value) for value in twice.tolist())
    raise InputError(
      f"{path}: {len(twice)} {what} occur more than once, first {first!r}: "
      "keep one line each"
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Texts:
  """A column of text: few distinct ones in millions of lines."""

  codes: np.ndarray  # (m,) int32 of `names`, -1 for no value
  names: list[str]  # each once


def _columns(path, names, optional=()):
  """Returns column -> _Texts (`kept`: (m,) bool), absent optional left out."""
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
    known = parquet.ParquetFile(path).schema_arrow.names
    absent = [name for name in names if name not in known]
    if absent:
      raise InputError(f"{path}: no column {', '.join(map(repr, absent))}")
    wanted = [*names, *(name for name in optional if name in known)]
    file = parquet.ParquetFile(path, read_dictionary=wanted)
    columns = {}
    for name in wanted:
      column = file.read(columns=[name]).column(name)
      where = f"{path}: column {name!r}"
      if len(column) != file.metadata.num_rows:
        raise InputError(
          f"{where} has {len(column)} of {file.metadata.num_rows} values"
        )
      if name == "kept":
        columns[name] = _flags(pa, column, where)
      else:
        columns[name] = _texts(pa, column, where, name in names)
  except (pa.ArrowException, OSError, ValueError, KeyError) as error:
    if isinstance(error, InputError):
      raise
    reason = str(error).splitlines()[0][:200]
    raise InputError(f"{path}: cannot be read ({reason})") from error
  return columns


def _flags(pa, column, where):
  """Returns (m,) bool of a column without empty values."""
  column = column.cast(pa.bool_())
  if column.null_count:
    raise InputError(f"{where} has empty values")
  return column.to_numpy()


def _texts(pa, column, where, full):
  """Returns _Texts of a column; `full`: refuses empty values."""
  column.validate(full=True)  # codes within the dictionary, text in UTF-8
  if not pa.types.is_dictionary(column.type):
    column = column.cast(pa.string()).dictionary_encode()
  column = column.unify_dictionaries().combine_chunks()
  names = column.dictionary.cast(pa.string()).to_pylist()
  codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
  if full and ((codes < 0).any() or "" in names):
    raise InputError(f"{where} has empty values")
  return _Texts(codes.astype(np.int32), names)


def _metadata(path, table, judged):
  """Says where the features come from; small, for the metadata."""
  with open(path, "rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
  known = {
    name: sorted(filter(None, table[name].names))
    for name in _PROVENANCE
    if name in table
  }
  kept = int(table["kept"].sum())
  return {
    "sha256": digest,
    "records_judged": judged,
    "features_kept": kept,
    "features_dropped": len(table["kept"]) - kept,
    "provenance": known,
  }
