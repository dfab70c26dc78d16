"""Where everything lies on ECG paper, in millimetres; nothing is drawn.

25 mm/s and 10 mm/mV. A row is a list of pieces of leads beside each other.
"""

import dataclasses

import numpy as np

from fgclep_jax.signals import leads

MM_PER_SECOND = 25.0
MM_PER_MILLIVOLT = 10.0
SECONDS = 10.0
MARGIN = 5.0
PULSE = 10.0  # mm kept free for the calibration pulse
_COLUMNS = 4
_TALLEST = 60.0  # mm that a row grows for; traces beyond cross others
_LABEL = 11.0  # mm of a name above its baseline, more above a tall trace
_LETTER = 2.4, 3.5  # mm of a letter, width and height


@dataclasses.dataclass(frozen=True)
class Piece:
  """A stretch of one lead.

  label: its name. left: mm where it begins. x, y: (n,) mm, y above the
  baseline.
  """

  label: str
  left: float
  x: np.ndarray
  y: np.ndarray

  @property
  def label_height(self):
    """Mm above the baseline at which the name is clear of the trace."""
    end = self.left + 2.0 + _LETTER[0] * len(self.label)
    beside = self.y[self.x <= end]
    return min(max(_LABEL, beside.max(initial=0.0) + 1.5), _TALLEST)


def standard_rows(millivolts, rate, strip, absent):
  """Three rows of four leads, 2.5 s each, and a rhythm strip.

  Args:
    millivolts: (12, T), rows as `leads.LEADS`.
    rate: samples per second.
    strip: name of the lead of the strip.
    absent: names of leads that were not recorded.

  Returns:
    List of rows of Piece.
  """
  height = leads.COUNT // _COLUMNS
  each = SECONDS / _COLUMNS
  rows = [
    [
      _piece(
        millivolts, rate, absent, column * height + row, column * each, each
      )
      for column in range(_COLUMNS)
    ]
    for row in range(height)
  ]
  strip = leads.LEADS.index(strip)
  return [*rows, [_piece(millivolts, rate, absent, strip, 0.0, SECONDS)]]


def lead_rows(millivolts, rate, absent):
  """Twelve rows, all of a lead in each; arguments as `standard_rows`."""
  return [
    [_piece(millivolts, rate, absent, lead, 0.0, SECONDS)]
    for lead in range(leads.COUNT)
  ]


def baselines(rows, apart, below=0.0):
  """Heights of rows that lie clear of each other, on thick lines.

  Args:
    rows: list of rows of Piece, from above.
    apart: mm between two baselines, more where traces are tall.
    below: mm kept free below each baseline at least.

  Returns:
    Mm of each row's baseline above the lower edge, and mm of all rows.
  """
  underneath = None  # highest points of the row before
  found, y = [], 0.0
  for row in reversed(rows):
    low, high = _extent(row)
    low = np.minimum(low, -below)
    if underneath is None:
      y = _whole(max(0.5 * apart, MARGIN - low.min()))
    else:
      y += _whole(max(apart, (underneath - low).max() + 2.0))
    found.append(y)
    underneath = high
  return found[::-1], y + _whole(max(0.5 * apart, underneath.max()) + MARGIN)


def x_of(seconds):
  """Mm from the left edge of a time in s."""
  return MARGIN + PULSE + seconds * MM_PER_SECOND


def _piece(millivolts, rate, absent, lead, start, seconds):
  name = leads.LEADS[lead]
  first, last = round(start * rate), round((start + seconds) * rate)
  values = millivolts[lead, first : last + 1]
  return Piece(
    f"{name} not recorded" if name in absent else name,
    x_of(start),
    x_of((first + np.arange(len(values))) / rate),
    values * MM_PER_MILLIVOLT,
  )


def _extent(row):
  """(columns,) lowest and highest mm of a row, names and pulse included."""
  low, high = np.zeros(_COLUMNS), np.zeros(_COLUMNS)
  high[0] = MM_PER_MILLIVOLT
  edges = x_of(SECONDS / _COLUMNS * np.arange(_COLUMNS))
  for piece in row:
    columns = np.searchsorted(edges, piece.x + 1e-6) - 1
    np.minimum.at(low, columns, piece.y)
    np.maximum.at(high, columns, piece.y)
    own = np.searchsorted(edges, piece.left + 1e-6) - 1
    high[own] = max(high[own], piece.label_height + _LETTER[1])
  return np.maximum(low, -_TALLEST), np.minimum(high, _TALLEST)


def _whole(millimetres):
  """The next multiple of 5 mm, a thick line of the grid."""
  return 5.0 * np.ceil(millimetres / 5.0)
