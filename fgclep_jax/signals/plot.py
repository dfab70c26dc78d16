"""A 12-lead ECG drawn on ECG paper, true to scale.

25 mm/s and 10 mm/mV on a millimetre grid: one unit of the axes is one
millimetre, and printed without scaling the picture is as a recorder's.
"""

import dataclasses
import os
import pathlib

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from fgclep_jax.errors import InputError
from fgclep_jax.signals import challenge, leads, reader

MM_PER_SECOND = 25.0
MM_PER_MILLIVOLT = 10.0
SECONDS = 10.0
_COLUMNS = 4
_ROW_HEIGHT = 30.0  # mm between two baselines, more where traces are tall
_TALLEST = 60.0  # mm that a row grows for; traces beyond cross others
_MARGIN = 5.0
_PULSE = 10.0  # mm kept free for the calibration pulse
_TITLE = 10.0
_LABEL = 11.0  # mm of a name above its baseline, more above a tall trace
_LETTER = 2.4, 3.5  # mm of a letter, width and height
_PICTURES = (".png", ".pdf", ".svg")
_FINE, _COARSE, _INK = "#f7d9d9", "#eba9a9", "#111111"


def plot_ecg(
  signal_uv, rate, title="", path=None, strip="II", dpi=150, absent=()
):
  """Draws three rows of four leads (2.5 s each) and a rhythm strip.

  Rows stand on the lines of the grid, 30 mm apart or as much more as tall
  traces need, so that neither a trace nor a name lies on another.

  Args:
    signal_uv: (12, T) microvolts, rows as `leads.LEADS`; the first 10 s are
      drawn, a shorter record leaves paper free.
    rate: samples per second.
    title: line above the tracing; says nothing about the patient.
    path: where to save the picture (.png, .pdf, .svg), or None.
    strip: lead of the rhythm strip.
    dpi: dots per inch of a saved picture.
    absent: names of leads that were not recorded, marked as such.

  Returns:
    matplotlib Figure, not known to pyplot: nothing is left to close.

  Raises:
    InputError: the signal is not (12, T), or `strip` is not a lead.
  """
  millivolts = _checked(signal_uv, strip)
  rows = _pieces(millivolts, rate, strip, absent)
  baselines, height = _baselines(rows)
  figure, axes, width = _paper(title, height)
  for row, y in zip(rows, baselines, strict=True):
    _pulse(axes, y)
    for piece in row:
      axes.plot(piece.x, y + piece.y, color=_INK, linewidth=0.7)
      axes.text(
        piece.left + 1.0, y + piece.label_height, piece.label, fontsize=9,
        fontweight="bold",
      )  # fmt: skip
    for piece in row[1:]:
      left = [piece.left, piece.left]
      axes.plot(left, [y - 4.0, y + 4.0], color=_INK, linewidth=0.5)
  note = "25 mm/s   10 mm/mV"
  seconds = millivolts.shape[1] / rate
  if seconds > SECONDS:
    note = f"first {SECONDS:g} s of {seconds:.1f} s   {note}"
  axes.text(width - _MARGIN, 1.5, note, ha="right", fontsize=7)
  if path is not None:
    figure.savefig(path, dpi=dpi)
  return figure


def plot_record(record, out, title=None):
  """Draws a WFDB record.

  Args:
    record: its path, with or without `.hea`, `.dat` or `.mat`.
    out: the picture to write.
    title: default the name of the file; nothing of the header is shown.

  Raises:
    InputError: the record cannot be read, or the picture not be written.
  """
  path = pathlib.Path(record)
  if path.suffix in (".hea", ".dat", ".mat"):
    path = path.with_suffix("")
  if not os.fspath(out).lower().endswith(_PICTURES):
    raise InputError(f"{out}: a name ending in {' '.join(_PICTURES)} expected")
  if not os.path.exists(f"{path}.hea"):
    raise InputError(f"{path}.hea: no such header; give a WFDB record")
  header, _ = challenge.read_header(os.fspath(path))
  found = reader.read_record(path, header=header)
  try:
    plot_ecg(
      found.signal, found.rate, title or path.name, out,
      absent=tuple(np.array(leads.LEADS)[found.quality.lead_missing]),
    )  # fmt: skip
  except OSError as error:
    raise InputError(f"{out}: cannot write ({error.strerror})") from error


def _checked(signal_uv, strip):
  """(12, T) mV; raises InputError as `plot_ecg` says."""
  millivolts = np.asarray(signal_uv, np.float64) / 1e3
  if millivolts.ndim != 2 or len(millivolts) != leads.COUNT:
    raise InputError(
      f"signal of shape {millivolts.shape}: give (12, T), leads "
      f"{' '.join(leads.LEADS)}"
    )
  if strip not in leads.LEADS:
    raise InputError(f"strip {strip!r}: give one of {' '.join(leads.LEADS)}")
  return millivolts


@dataclasses.dataclass(frozen=True)
class _Piece:
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


def _pieces(millivolts, rate, strip, absent):
  """Four rows: 3 of a _Piece a column, and the strip."""
  rows = leads.COUNT // _COLUMNS
  each = SECONDS / _COLUMNS

  def piece(lead, start, end):
    name = leads.LEADS[lead]
    first, last = round(start * rate), round(end * rate)
    values = millivolts[lead, first : last + 1]
    return _Piece(
      f"{name} not recorded" if name in absent else name,
      _x(start),
      _x((first + np.arange(len(values))) / rate),
      values * MM_PER_MILLIVOLT,
    )

  found = [
    [
      piece(column * rows + row, column * each, (column + 1) * each)
      for column in range(_COLUMNS)
    ]
    for row in range(rows)
  ]
  return [*found, [piece(leads.LEADS.index(strip), 0.0, SECONDS)]]


def _extent(row):
  """(columns,) lowest and highest mm of a row, names and pulse included."""
  low, high = np.zeros(_COLUMNS), np.zeros(_COLUMNS)
  high[0] = MM_PER_MILLIVOLT
  edges = _x(SECONDS / _COLUMNS * np.arange(_COLUMNS))
  for piece in row:
    columns = np.searchsorted(edges, piece.x + 1e-6) - 1
    np.minimum.at(low, columns, piece.y)
    np.maximum.at(high, columns, piece.y)
    own = np.searchsorted(edges, piece.left + 1e-6) - 1
    high[own] = max(high[own], piece.label_height + _LETTER[1])
  return np.maximum(low, -_TALLEST), np.minimum(high, _TALLEST)


def _baselines(rows):
  """Mm of each row's baseline above the lower edge, and of the paper."""
  below = None  # highest points of the row underneath
  found, y = [], 0.0
  for row in reversed(rows):
    low, high = _extent(row)
    if below is None:
      y = _whole(max(0.5 * _ROW_HEIGHT, _MARGIN - low.min()))
    else:
      y += _whole(max(_ROW_HEIGHT, (below - low).max() + 2.0))
    found.append(y)
    below = high
  height = y + _whole(max(0.5 * _ROW_HEIGHT, below.max()) + _MARGIN)
  return found[::-1], height + _TITLE


def _whole(millimetres):
  """The next multiple of 5 mm, a thick line of the grid."""
  return 5.0 * np.ceil(millimetres / 5.0)


def _paper(title, height):
  """Figure and axes in mm, with grid and title -> (figure, axes, width)."""
  width = SECONDS * MM_PER_SECOND + _PULSE + 2 * _MARGIN
  figure = Figure(figsize=(width / 25.4, height / 25.4), facecolor="white")
  FigureCanvasAgg(figure)
  axes = figure.add_axes((0, 0, 1, 1))
  axes.set(xlim=(0, width), ylim=(0, height))
  axes.set_axis_off()
  top = height - _TITLE
  for step, colour, line in ((1, _FINE, 0.3), (5, _COARSE, 0.5)):
    x = np.arange(0, width + 0.5, step)
    y = np.arange(0, top + 0.5, step)
    lines = [((a, 0), (a, top)) for a in x] + [((0, b), (width, b)) for b in y]
    axes.add_collection(
      LineCollection(lines, colors=colour, linewidths=line, zorder=0)
    )
  axes.text(
    _MARGIN, top + 3.0, title, fontsize=9, clip_on=True, parse_math=False
  )
  return figure, axes, width


def _x(seconds):
  return _MARGIN + _PULSE + seconds * MM_PER_SECOND


def _pulse(axes, y):
  """Calibration: 1 mV for 0.2 s."""
  x = _MARGIN + 2.0 + np.array([0.0, 1.5, 1.5, 6.5, 6.5, 8.0])
  height = MM_PER_MILLIVOLT * np.array([0, 0, 1, 1, 0, 0])
  axes.plot(x, y + height, color=_INK, linewidth=0.7)
