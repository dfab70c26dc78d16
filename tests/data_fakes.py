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


class FakeSplit(types.SimpleNamespace):
  """What `data.batches` and `data.mixture` read of `sources.Split`."""

  def __len__(self):
    return len(self.record_ids)


def split(records=23, samples=100, seed=0):
  """Records with 0 to 3 statements each; the first has none."""
  rng = np.random.default_rng(seed)
  counts = rng.integers(0, 4, records)
  counts[:2] = 0, 3
  ids = [
    rng.choice(len(STATEMENTS), n, replace=False).astype(np.int32)
    for n in counts
  ]
  ecg = rng.integers(-999, 999, (records, 12, samples)).astype(np.int16)
  statements = [tuple(STATEMENTS[i] for i in row) for row in ids]
  return FakeSplit(
    dataset="fake",
    config="original",
    name="train",
    digest="0",
    partial=True,
    record_ids=np.array([f"r{i}" for i in range(records)]),
    patient_ids=np.array([f"p{i}" for i in range(records)]),
    table=STATEMENTS,
    statement_ids=np.concatenate(ids),
    statement_offsets=np.append(0, np.cumsum(counts)),
    statements=statements,
    ecg=ecg,
    signals=lambda i, rate, samples, cache=0, window="first": ecg[i],
  )
