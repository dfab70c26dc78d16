"""Whole reports as texts: every record's statements joined to one."""

import itertools

import numpy as np

JOINED = ". "


def reports(split):
  """Each record's statements joined to one text, identical ones once.

  Args:
    split: `sources.Split`.

  Returns:
    {text: numbers of its statements in `split.table`} in order of first
    appearance; (N,) int32 text of each record that has any, and (n + 1,)
    int64 offsets of the records among them.
  """
  stored = split.statement_ids.astype(np.int32).tobytes()
  bounds = (4 * split.statement_offsets).tolist()
  numbers, found, ids, offsets = {}, {}, [], [0]
  for start, stop in itertools.pairwise(bounds):
    if start < stop:
      key = stored[start:stop]
      if key not in numbers:
        row = np.frombuffer(key, np.int32).tolist()
        text = JOINED.join(split.table[i] for i in row)
        # Other statements may join to the same text.
        found.setdefault(text, (len(found), row))
        numbers[key] = found[text][0]
      ids.append(numbers[key])
    offsets.append(len(ids))
  table = {text: row for text, (_, row) in found.items()}
  return table, np.array(ids, np.int32), np.array(offsets)


def pieces(split, rows, tokenizer):
  """Word pieces of reports, each statement broken up once.

  A full stop is a word of its own, so the pieces of a report are those of
  its statements with those of the stop between them.

  Args:
    split: `sources.Split`.
    rows: the statements of each report, see `reports`.
    tokenizer: `reports.tokenizer.Tokenizer`.

  Returns:
    A list of ids for each report.
  """
  used = sorted({i for row in rows for i in row})
  found = tokenizer.pieces([*(split.table[i] for i in used), JOINED])
  stop, of = found.pop(), dict(zip(used, found, strict=True))
  out = []
  for row in rows:
    joined = list(of[row[0]])
    for i in row[1:]:
      joined += stop
      joined += of[i]
    out.append(joined)
  return out
