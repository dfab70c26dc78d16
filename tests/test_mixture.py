"""Real and simulated records as one training split."""

import numpy as np

from fgclep_jax.data.mixture import Mixture
from fgclep_jax.signals import simulate
from tests import data_fakes


def test_real_records_first_then_simulated():
  real = data_fakes.split(samples=100)
  mixed = Mixture(real, 5, seed=2, rate=100, seconds=1.0)
  assert len(mixed) == 28
  drawn = [simulate.simulate(i, 2, 100, 5.0) for i in range(5)]
  assert mixed.statements[:23] == real.statements
  assert mixed.statements[23:] == [record.statements for record in drawn]
  for i, statements in enumerate(mixed.statements):
    start, stop = mixed.statement_offsets[i : i + 2]
    found = tuple(mixed.table[j] for j in mixed.statement_ids[start:stop])
    assert found == tuple(statements)
  assert len(set(mixed.table)) == len(mixed.table)
  order = np.array([24, 3, 27, 3])
  signals = mixed.signals(order, 100, 100)
  want = [drawn[1].signal, real.ecg[3], drawn[4].signal, real.ecg[3]]
  want = [signal[:, :100] for signal in want]
  np.testing.assert_array_equal(signals, want)
  assert mixed.record_ids[27] == drawn[4].record_id
  for some in (order[1::2], order[::2]):  # only real, only simulated
    np.testing.assert_array_equal(
      mixed.signals(some, 100, 100),
      mixed.signals(order, 100, 100)[[list(order).index(i) for i in some]],
    )
