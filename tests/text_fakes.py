"""Texts of many lengths, and records that hold them: no dataset."""

import numpy as np

from fgclep_jax.config import DataConfig
from fgclep_jax.data import batches
from tests import data_fakes

VOCABULARY = 50


def texts(count=60, longest=30, records=40, most=3, seed=0):
  """`Texts` of 3 to `longest` word pieces, short ones held more often."""
  rng = np.random.default_rng(seed)
  lengths = rng.integers(3, longest + 1, count)
  lengths[:2] = 3, longest
  tokens = rng.integers(1, VOCABULARY, (count, longest)).astype(np.int32)
  tokens[np.arange(longest) >= lengths[:, None]] = 0
  held = rng.integers(1, most + 1, records)
  chance = 1 / lengths**2
  chance /= chance.sum()
  ids = [rng.choice(count, n, replace=False, p=chance) for n in held]
  return batches.Texts(
    table=tuple(map(str, range(count))),
    tokens=tokens,
    ids=np.concatenate(ids).astype(np.int32),
    offsets=np.append(0, np.cumsum(held)),
    truncated=0,
  )


def make(found, size=16, divisor=1, length_groups=1):
  """`Batches` of them, with random signals of one second at 100 Hz."""
  records = len(found.offsets) - 1
  config = DataConfig(batch_size=size, rate=100, seconds=1.0)
  return batches.Batches(
    data_fakes.split(records), found, np.arange(records), config, 0, divisor,
    length_groups=length_groups,
  )  # fmt: skip


def arrays(batch):
  return {name: x for name, x in batch.items() if name != "records"}
