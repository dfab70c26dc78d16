"""The reviewer's sheet, and corrections that win over any backend."""

import csv
import dataclasses
import hashlib
import io
import json
import pathlib

from fgclep_jax import atomic
from fgclep_jax.errors import InputError
from fgclep_jax.reports import features, knowledge
from fgclep_jax.reports.classify import RELEVANT, classify

COLUMNS = (
  *("finding", "class", "records", "features", "refused", "missing"),
  *("add", "remove", "no_feature", "reviewer", "date"),
)
_SEPARATOR = "; "  # names of features hold commas
_YES, _NO = ("1", "x", "yes", "true"), ("", "0", "no", "false")
_FORMULA = ("=", "+", "-", "@", "\t", "'")


@dataclasses.dataclass(frozen=True)
class Correction:
  """What a reviewer says of a finding.

  Attributes:
    add: names of features that it gets.
    remove: names that it does not get.
    no_feature: it gets none at all.
    reviewer, date: who said so and when, as written in the sheet.
  """

  add: tuple[str, ...] = ()
  remove: tuple[str, ...] = ()
  no_feature: bool = False
  reviewer: str = ""
  date: str = ""

  def apply(self, names):
    """Returns the corrected names: those that stay, then the added."""
    if self.no_feature:
      return ()
    stay = [name for name in names if name not in self.remove]
    return tuple(dict.fromkeys((*stay, *self.add)))


class Corrections(dict):
  """{finding: Correction}; `hash` is that of the content, for provenance."""

  @property
  def hash(self):
    content = {name: dataclasses.astuple(self[name]) for name in sorted(self)}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def write_sheet(path, candidates, records):
  """Writes the reviewer's sheet: CSV, a line a finding, commonest first.

  The last columns of COLUMNS are for the reviewer: `add` and `remove` take
  names of features separated by semicolons, `no_feature` an x.

  Args:
    path: file to write.
    candidates: `candidates.Candidates`.
    records: {statement: number of records that hold it}.
  """
  rows = {}
  for statement, names in candidates.features.items():
    found = classify(statement)
    row = rows.setdefault(
      found.finding,
      {"class": found.kind, "records": 0, "features": names, "refused": {}},
    )
    row["records"] += records.get(statement, 0)
    # Statements of one finding differ in what they themselves state.
    row["features"] = tuple(dict.fromkeys((*row["features"], *names)))
  for (statement, text), reason in candidates.refused.items():
    rows[classify(statement).finding]["refused"][text] = reason
  ordered = sorted(rows.items(), key=lambda row: (-row[1]["records"], row[0]))
  text = io.StringIO(newline="")
  writer = csv.writer(text)
  writer.writerow(COLUMNS)
  for finding, row in ordered:
    writer.writerow(cell(value) for value in _values(finding, row))
  atomic.write_text(pathlib.Path(path), text.getvalue())


def read(path):
  """Reads a sheet in which a reviewer filled in corrections.

  Args:
    path: CSV with the column `finding` and some of `add`, `remove`,
      `no_feature`, `reviewer`, `date`; others are passed over, and so are
      rows without a correction.

  Returns:
    Corrections.

  Raises:
    InputError: no such file or column, an unknown feature, a row that says
      two things, a finding twice, or features for a finding that may have
      none; with the number of the line.
  """
  found = Corrections()
  try:
    with open(path, encoding="utf-8-sig", newline="") as file:
      reader = csv.DictReader(file)
      if "finding" not in (reader.fieldnames or ()):
        raise InputError(f"{path}: no column 'finding' in the first line")
      for row in reader:
        where = f"{path}, line {reader.line_num}"
        change = _correction(row, where)
        if change is None:
          continue
        finding = classify(_text(row["finding"])).finding
        _check(finding, change, where)
        if finding in found:
          raise InputError(f"{where}: {finding!r} is corrected twice")
        found[finding] = change
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise InputError(f"{path}: cannot be read as CSV ({error})") from error
  return found


def _values(finding, row):
  refused = [f"{text}: {why}" for text, why in row["refused"].items()]
  missing = ()
  if row["class"] in RELEVANT:
    missing = knowledge.misses(finding, row["features"])
  return (
    *(finding, row["class"], str(row["records"])),
    *(_SEPARATOR.join(names) for names in (row["features"], refused, missing)),
    *("", "", "", "", ""),
  )


def cell(value):
  """Keeps a spreadsheet from taking text for a formula."""
  return f"'{value}" if value.startswith(_FORMULA) else value


def _text(value):
  """The text of a cell as it was before `cell`."""
  value = (value or "").strip()
  if value.startswith("'") and value[1:].startswith(_FORMULA):
    return value[1:]
  return value


def _correction(row, where):
  """Returns the Correction of a row, or None when it makes none."""
  add, remove = (_names(row.get(name), where) for name in ("add", "remove"))
  flag = _text(row.get("no_feature")).lower()
  if flag not in (*_YES, *_NO):
    raise InputError(f"{where}: no_feature is {flag!r}: write x or nothing")
  none = flag in _YES
  if not (add or remove or none):
    return None
  both = set(add) & set(remove)
  if both or (none and add):
    name = min(both) if both else add[0]
    raise InputError(f"{where}: {name!r} is to be added and to be left out")
  who, when = _text(row.get("reviewer")), _text(row.get("date"))
  return Correction(add, remove, none, who, when)


def _names(value, where):
  names = [name.strip() for name in _text(value).split(";")]
  names = tuple(dict.fromkeys(name for name in names if name))
  try:
    features.lookup(names)
  except InputError as error:
    raise InputError(f"{where}: {error}") from error
  return names


def _check(finding, change, where):
  if not finding:
    raise InputError(f"{where}: a correction without a finding")
  kind = classify(finding).kind
  if change.add and kind not in RELEVANT:
    raise InputError(
      f"{where}: {finding!r} is {kind}; only {', '.join(RELEVANT)} statements "
      "may have features"
    )
