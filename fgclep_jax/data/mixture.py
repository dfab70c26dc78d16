"""Simulated records behind the real ones of a training split."""

import numpy as np

from fgclep_jax.signals import simulate, transform, windows


class Mixture:
  """A split followed by simulated records, as one split to train on.

  Small archives teach little of rare findings; the simulator draws them
  with reports of its own. Positions below `len(split)` are the real
  records, so what is chosen or validated by position stays real.

  Args of the constructor:
    split: `sources.Split`.
    count: simulated records to add, numbers 0 .. count - 1 of seed `seed`.
    rate: samples per second they are drawn at.
    seconds: length they are drawn at, 5 to 60; `signals` cuts or pads.
  """

  def __init__(self, split, count, seed, rate, seconds):
    self.dataset, self.config, self.name = (
      split.dataset,
      split.config,
      split.name,
    )
    self.digest, self.partial = split.digest, split.partial
    self._split = split
    self._rate = rate
    seconds = min(max(seconds, 5.0), 60.0)  # what the simulator draws
    records = [simulate.simulate(i, seed, rate, seconds) for i in range(count)]
    self._ecg = np.stack([record.signal for record in records])
    self.record_ids = np.append(
      split.record_ids, [record.record_id for record in records]
    )
    self.patient_ids = np.append(
      split.patient_ids, [record.patient_id for record in records]
    )
    self._add_statements(split, [record.statements for record in records])

  def _add_statements(self, split, added):
    numbers = {text: i for i, text in enumerate(split.table)}
    ids = [
      numbers.setdefault(text, len(numbers)) for row in added for text in row
    ]
    counts = np.cumsum([len(row) for row in added])
    self.table = tuple(numbers)
    self.statements = [*split.statements, *added]
    self.statement_ids = np.append(split.statement_ids, np.int32(ids))
    self.statement_offsets = np.append(
      split.statement_offsets, split.statement_offsets[-1] + counts
    )

  def __len__(self):
    return len(self.record_ids)

  def signals(self, indices, rate, samples, cache_gib=0.0, window="first"):
    """As `sources.Split.signals`."""
    indices = np.asarray(indices)
    real = indices < len(self._split)
    out = np.empty((len(indices), *self._ecg.shape[1:2], samples), np.int16)
    out[real] = self._split.signals(
      indices[real], rate, samples, cache_gib, window
    )
    for row in np.flatnonzero(~real):
      drawn = self._ecg[indices[row] - len(self._split)]
      drawn = transform.resample(drawn, self._rate, rate)
      out[row] = windows.choose(drawn, samples, window)[0]
    return out
