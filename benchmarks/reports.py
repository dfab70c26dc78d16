"""Reports with the statements of MIMIC-IV-ECG at chosen frequencies.

Statements are the lines of `$FGCLEP_SHARED/mimic_iv_ecg/statements.txt`, in
word pieces of the BERT vocabulary beside it. Their frequencies are a Zipf law
over a random order of them. How many a report holds is drawn from what the 60
reports of `reports_sample.txt` hold, taken apart into known statements.
"""

import os
import pathlib

import numpy as np

from fgclep_jax.data import batches
from fgclep_jax.reports import tokenizer

# Statements of a report: how many of the 60 reports hold so many; mean 4.05.
HELD = {1: 2, 2: 9, 3: 10, 4: 14, 5: 17, 6: 5, 7: 2, 8: 1}


class Split:
  """Records with random signals, drawn when they are read."""

  dataset = config = name = "statements"

  def signals(self, records, rate, samples, cache=0, window="first"):
    return np.stack([
      np.random.default_rng(i).integers(-2000, 2000, (12, samples), np.int16)
      for i in records
    ])  # fmt: skip


def read(count=None, folder=None):
  """Tokens (n, L) int32 of the first `count` statements; word pieces."""
  default = pathlib.Path(__file__).parent.parent.parent / "shared" / "data"
  folder = pathlib.Path(folder or os.environ.get("FGCLEP_SHARED", default))
  lines = (folder / "mimic_iv_ecg" / "statements.txt").read_text("utf-8")
  lines = [line.strip() for line in lines.splitlines() if line.strip()]
  pieces = tokenizer.read_vocabulary(folder / "bert_vocab" / "vocab.txt")
  order = np.random.default_rng(0).permutation(len(lines))[:count]
  tokens = tokenizer.Tokenizer(pieces, 64).encode([lines[i] for i in order])
  return tokens, len(pieces)


def draw(tokens, records, exponent, held=None, seed=0):
  """`data.batches.Texts`, the statements of a report without repeats.

  Args:
    tokens: (n, L) of the statements, the commonest first.
    records: how many reports.
    exponent: of the Zipf law.
    held: statements of every report; None draws from `HELD`.
    seed: of all that is drawn.
  """
  rng = np.random.default_rng(seed)
  chance = np.arange(1, len(tokens) + 1) ** -float(exponent)
  chance /= chance.sum()
  share = np.array(list(HELD.values())) / sum(HELD.values())
  counts = rng.choice(list(HELD), records, p=share)
  if held is not None:
    counts[:] = held
  ids = [rng.choice(len(tokens), n, replace=False, p=chance) for n in counts]
  return batches.Texts(
    table=tuple(map(str, range(len(tokens)))),
    tokens=tokens,
    ids=np.concatenate(ids).astype(np.int32),
    offsets=np.append(0, np.cumsum(counts)),
    truncated=0,
  )


def every_pair(texts, records):
  """The same with a text of its own for every pair of some records.

  Returns:
    `Texts`, and (K,) the number of each among the statements.
  """
  records = np.sort(records)
  counts = np.zeros(len(texts.offsets) - 1, int)
  counts[records] = [len(texts.of(record)) for record in records]
  ids = np.concatenate([texts.of(record) for record in records])
  return batches.Texts(
    table=tuple(map(str, range(len(ids)))),
    tokens=texts.tokens[ids],
    ids=np.arange(len(ids), dtype=np.int32),
    offsets=np.append(0, np.cumsum(counts)),
    truncated=0,
  ), ids
