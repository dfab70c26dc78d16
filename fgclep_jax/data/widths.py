"""Texts of a batch in a few groups by length, each padded to its own width.

A batch's distinct texts have few word pieces, and one of them many: padded to
one width most of what the text tower computes is padding. The sizes of the
groups are fixed once for a run, from its first batches, so that nearly every
batch has the same shapes and the step is compiled once. Nothing is dropped:
where a group is full its longest texts go to the next wider one, and the widest
grows, which compiles the step again.
"""

import dataclasses
import itertools
import math

import numpy as np

UNIT = 16  # rows of a group are a multiple of this, and of the devices
STEP = 4  # widths are multiples of this
LEAST = 32  # rows of a group that is split off: fewer do not fill a device
SAVED = 0.95  # of the word pieces with one group less, or it is not split off


@dataclasses.dataclass(frozen=True)
class Groups:
  """Sizes of the groups, the narrowest first.

  Attributes:
    rows, widths: texts, and word pieces of each, one a group.
    unit: rows are a multiple of it.
    longest: word pieces of the longest text of the data set.
  """

  rows: tuple[int, ...]
  widths: tuple[int, ...]
  unit: int
  longest: int


def choose(samples, most, texts, longest, devices):
  """Sizes that hold the texts of the sampled batches in little padding.

  Args:
    samples: (u,) word pieces of the distinct texts of a batch, of several.
    most: groups at most.
    texts, longest: of the data set, and word pieces of the longest one.
    devices: that share the rows.

  Returns:
    `Groups`.
  """
  unit = math.lcm(UNIT, devices)
  top = max(int(lengths.max(initial=1)) for lengths in samples)
  top = min(-(-top // STEP) * STEP, longest)
  # (samples, top + 1): how many texts have at most so many word pieces.
  below = np.stack(
    [np.bincount(x, minlength=top + 1).cumsum() for x in samples]
  )
  best = None
  for count in range(1, most + 1):
    found = [
      _rows(below, (*narrow, top), unit, texts)
      for narrow in itertools.combinations(range(STEP, top, STEP), count - 1)
    ]
    found = [x for x in found if min(x[0][:-1], default=LEAST) >= LEAST]
    if not found:
      continue
    least = min(found, key=_padded)
    if best is None or _padded(least) < SAVED * _padded(best):
      best = least
  return Groups(*best, unit, longest)


def _rows(below, widths, unit, texts):
  """(rows, widths): the most texts of a group in any sample, rounded up."""
  rows, placed = [], 0
  for width in widths[:-1]:
    need = int((below[:, width] - placed).max())
    rows.append(-(-need // unit) * unit)
    placed = np.minimum(below[:, width], placed + rows[-1])
  need = int((below[:, -1] - placed).max())
  # Few batches in a thousand hold more than the sampled ones by this.
  need = min(need + 2 * math.isqrt(need), texts)
  rows.append(max(1, -(-need // unit)) * unit)
  return tuple(rows), widths


def _padded(found):
  return sum(n * width for n, width in zip(*found, strict=True))


def assign(lengths, groups):
  """Which texts of a batch go into which group.

  Args:
    lengths: (u,) word pieces of its distinct texts.
    groups: `Groups`.

  Returns:
    [(positions among the texts, rows of the group, its width)], narrowest
    first; together they hold every text once.
  """
  order = np.argsort(lengths, kind="stable")
  found, start = [], 0
  for rows, width in zip(groups.rows[:-1], groups.widths[:-1], strict=True):
    fit = np.searchsorted(lengths[order], width, side="right")
    stop = start + min(max(0, fit - start), rows)
    found.append((order[start:stop], rows, width))
    start = stop
  rows, width = groups.rows[-1], groups.widths[-1]
  while rows < len(order) - start:
    rows *= 2
  if lengths.max(initial=0) > width:
    width = groups.longest
  return [*found, (order[start:], rows, width)]
