"""A split without a dataset: random signals, a few statements."""

import types

import numpy as np

STATEMENTS = (
  "Sinus rhythm",
  "Atrial fibrillation",
  "Left bundle branch block",
  "Normal ECG",
  "ST elevation in V1-V4",
)


def split(records=23, samples=100, seed=0):
  """An object with what `data.batches` reads of `sources.Split`."""
  rng = np.random.default_rng(seed)
  counts = rng.integers(0, 4, records)
  counts[:2] = 0, 3
  ids = [
    rng.choice(len(STATEMENTS), n, replace=False).astype(np.int32)
    for n in counts
  ]
  ecg = rng.integers(-999, 999, (records, 12, samples)).astype(np.int16)
  statements = [tuple(STATEMENTS[i] for i in row) for row in ids]
  return types.SimpleNamespace(
    dataset="fake",
    config="original",
    name="train",
    table=STATEMENTS,
    statement_ids=np.concatenate(ids),
    statement_offsets=np.append(0, np.cumsum(counts)),
    statements=statements,
    ecg=ecg,
    signals=lambda i, rate, samples, cache: ecg[i],
  )
