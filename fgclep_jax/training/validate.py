"""Validation on pre-training data: no benchmark label is looked at."""

import numpy as np

from fgclep_jax import metrics
from fgclep_jax.models.embedder import Model
from fgclep_jax.training import processes

LEAST = 5  # records with, and without, a statement for it to be scored


def validate(run, params):
  """How well statements find the records whose report holds them.

  Each process encodes its share of the records.

  Returns:
    `valid_statement_auroc`: mean over statements of the AUROC of the cosine
    between statement and ECG; `valid_statements`: how many were scored.
  """
  split, records = run.valid
  ids, labels = _labels(split, records)
  if not len(ids):
    return {"valid_statement_auroc": None, "valid_statements": 0}
  model = Model(run.config, run.tokenizer.vocabulary, processes.whole(params))
  model, data = model.on(run.mesh.local_devices), run.config.data
  mine = processes.share(len(records))
  signals = split.signals(
    records[mine], model.rate, model.samples, data.cache_gib, data.window
  )
  ecg = processes.joined(model.encode_ecg(signals)[0], len(records))
  text = model.embed_text([split.table[i] for i in ids])
  values = metrics.auroc(ecg @ text.T, labels)
  return {
    "valid_statement_auroc": float(np.mean(values)),
    "valid_statements": len(ids),
  }


def _labels(split, records):
  """Statements common enough, and (n, S) which record holds which."""
  held = np.zeros((len(records), len(split.table)), np.uint8)
  for row, record in zip(held, records, strict=True):
    start, stop = split.statement_offsets[record : record + 2]
    row[split.statement_ids[start:stop]] = 1
  count = held.sum(0)
  ids = np.flatnonzero((count >= LEAST) & (len(records) - count >= LEAST))
  return ids, held[:, ids]
