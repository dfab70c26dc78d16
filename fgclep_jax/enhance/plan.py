"""What an enhancement would ask, before anything is asked."""

import csv
import pathlib

import numpy as np

from fgclep_jax.enhance import candidates, corrections, prompt
from fgclep_jax.errors import InputError
from fgclep_jax.reports.classify import CLASSES, RELEVANT, classify
from fgclep_jax.reports.stated import stated

SECONDS = {"rules": 0.0005, "openai": 0.5, "transformers": 5.0}
"""Of one question: a rough guess (openai: eight at once on one GPU)."""
COLUMNS = ("statement", "records", "class", "finding", "modality", "states")
_TOKENS = 4  # characters a token


class Lines:
  """Statements of a text file, one a line, in place of a dataset's split.

  Args of the constructor:
    path: UTF-8 text; blank lines are passed over.
  """

  def __init__(self, path):
    try:
      text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
      raise InputError(f"cannot read statements {path}: {error}") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
      raise InputError(f"{path} holds no statement: give one a line")
    numbers = {}
    ids = [numbers.setdefault(line, len(numbers)) for line in lines]
    self.table, self.statement_ids = tuple(numbers), np.array(ids)

  def __len__(self):
    return len(self.statement_ids)


def write_classes(path, splits):
  """Writes what every distinct statement is taken for, commonest first.

  Columns: statement, records, class, finding, modality, states (features
  that the statement itself says are seen).
  """
  splits = list(splits)
  table, counts = splits[0].table, records_of(splits)
  order = np.lexsort((np.arange(len(table)), -counts))
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  with path.open("w", encoding="utf-8", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for i in order:
      found = classify(table[i])
      texts = ("; ".join(found.modality), "; ".join(stated(table[i])))
      row = (table[i], str(counts[i]), found.kind, found.finding, *texts)
      writer.writerow(corrections.cell(text) for text in row)


def records_of(splits):
  """(U,) int64: records that hold each distinct statement."""
  splits = list(splits)
  counts = np.zeros(len(splits[0].table), np.int64)
  for split in splits:
    counts += np.bincount(split.statement_ids, minlength=len(counts))
  return counts


def by_class(table, records):
  """Class -> distinct statements and how often reports hold them.

  Args:
    table: U statements.
    records: (U,) how many records hold each.
  """
  found = {kind: {"distinct": 0, "records": 0} for kind in CLASSES}
  for text, count in zip(table, records, strict=True):
    row = found[classify(text).kind]
    row["distinct"] += 1
    row["records"] += int(count)
  return found


def plan(splits, backend, key=None, cache=None):
  """Counts what would be asked; nothing is asked.

  Args:
    splits: of one dataset.
    backend: its name.
    key: (model_hash, prompt_hash), None where only the backend knows it.
    cache: `cache.Cache`, or None.

  Returns:
    dict of counts, `seconds` and `tokens` estimated.
  """
  splits = list(splits)
  table = splits[0].table
  findings = set(candidates.questions(table).values())
  cached = 0
  if cache is not None and key is not None:
    cached = sum(
      cache.get(backend, *key, text) is not None for text in findings
    )
  left = len(findings) - cached
  length = sum(len(prompt.message(text)) for text in findings)
  return {
    "records": sum(map(len, splits)),
    "statements": int(sum(len(split.statement_ids) for split in splits)),
    "distinct": len(table),
    "by_class": by_class(table, records_of(splits)),
    "stating": sum(bool(stated(text)) for text in table),
    "findings": len(findings),
    "cached": cached,
    "asked": left,
    "tokens": round(length / _TOKENS * left / max(len(findings), 1)),
    "seconds": left * SECONDS[backend],
  }


def lines(found):
  """The plan as lines of text."""
  yield (
    f"{found['records']:,} records, {found['statements']:,} statements, "
    f"{found['distinct']:,} distinct ({found['stating']:,} state a feature)"
  )
  for kind, row in found["by_class"].items():
    asked = "asked" if kind in RELEVANT else "never asked"
    yield (
      f"  {kind:<15}{row['distinct']:>7,} distinct{row['records']:>12,} in "
      f"reports   {asked}"
    )
  yield (
    f"{found['findings']:,} distinct findings: {found['cached']:,} answered "
    f"before, {found['asked']:,} to ask, about {found['tokens']:,} tokens and "
    f"{found['seconds'] / 60:.1f} min"
  )
