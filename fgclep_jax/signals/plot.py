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
from matplotlib.patches import Rectangle

from fgclep_jax.errors import InputError
from fgclep_jax.signals import challenge, leads, paper, reader

PICTURES = (".png", ".pdf", ".svg")
LEVELS = (
  (0.2, "#e3edf8"),
  (0.4, "#b9d6ee"),
  (0.6, "#84b9e0"),
  (0.8, "#4f96cc"),
)
"""Shares of the largest value from which a shade begins, light to dark."""
_ROW, _SHADED_ROW = 30.0, 20.0  # mm between two baselines at least
_TITLE = 10.0
_LINE = 5.0  # mm of a further line below the title
_BAND = -5.0, 10.0  # mm about a baseline that are shaded
_SHARES = 20.0  # mm kept free for the shares, on the right
_NUMBERED = 8.0  # mm from which a shaded cell has room for its number
_FINE, _COARSE, _INK = "#f7d9d9", "#eba9a9", "#111111"


@dataclasses.dataclass(frozen=True)
class Shading:
  """What is shaded on the paper.

  Attributes:
    values: (12, n), 0 or more, NaN where nothing was recorded.
    edges: (n + 1,) s where the columns begin and end.
    name: what the values are, for the legend.
    lines: further lines of text below the title.
  """

  values: np.ndarray
  edges: np.ndarray
  name: str
  lines: tuple = ()


def plot_ecg(
  signal_uv, rate, title="", path=None, strip="II", dpi=150, absent=(),
  shading=None,
):  # fmt: skip
  """Draws three rows of four leads (2.5 s each) and a rhythm strip.

  With a shading: twelve rows, one lead in each, so that all its seconds are
  seen. Rows stand on the lines of the grid, 30 mm apart (shaded: 20 mm) or
  as much more as tall traces need, so that neither a trace nor a name lies
  on another.

  Args:
    signal_uv: (12, T) microvolts, rows as `leads.LEADS`; the first 10 s are
      drawn, a shorter record leaves paper free.
    rate: samples per second.
    title: line above the tracing; says nothing about the patient.
    path: where to save the picture (.png, .pdf, .svg), or None.
    strip: lead of the rhythm strip.
    dpi: dots per inch of a saved picture.
    absent: names of leads that were not recorded, marked as such.
    shading: Shading, drawn below the traces by five shades from nothing to
      the largest value, the share of the largest in % in each shaded cell;
      beside and below the share of the sum that each lead and second has.

  Returns:
    matplotlib Figure, not known to pyplot: nothing is left to close.

  Raises:
    InputError: the signal is not (12, T), or `strip` is not a lead.
  """
  millivolts = _checked(signal_uv, strip)
  if shading is None:
    rows = paper.standard_rows(millivolts, rate, strip, absent)
    baselines, height = paper.baselines(rows, _ROW)
    figure, axes, width = _sheet(title, height)
  else:
    rows = paper.lead_rows(millivolts, rate, absent)
    baselines, height = paper.baselines(rows, _SHADED_ROW, -_BAND[0])
    figure, axes, width = _sheet(title, height, shading)
    _shade(axes, baselines, shading)
  for row, y in zip(rows, baselines, strict=True):
    _row(axes, row, y)
  note = "25 mm/s   10 mm/mV"
  seconds = millivolts.shape[1] / rate
  if seconds > paper.SECONDS:
    note = f"first {paper.SECONDS:g} s of {seconds:.1f} s   {note}"
  axes.text(width - paper.MARGIN, 1.5, note, ha="right", fontsize=7)
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
  check_picture(out)
  name, found, absent = read(record)
  write(found.signal, found.rate, title or name, out, absent)


def read(record):
  """Reads a WFDB record to be drawn.

  Args:
    record: its path, with or without `.hea`, `.dat` or `.mat`.

  Returns:
    Its name, the reader.Record, and the names of the leads not recorded.

  Raises:
    InputError: it is absent or cannot be read.
  """
  path = pathlib.Path(record)
  if path.suffix in (".hea", ".dat", ".mat"):
    path = path.with_suffix("")
  if not os.path.exists(f"{path}.hea"):
    raise InputError(f"{path}.hea: no such header; give a WFDB record")
  header, _ = challenge.read_header(os.fspath(path))
  found = reader.read_record(path, header=header)
  absent = np.array(leads.LEADS)[found.quality.lead_missing]
  return path.name, found, tuple(absent)


def check_picture(out):
  """Raises InputError unless the name is one of a picture."""
  if not os.fspath(out).lower().endswith(PICTURES):
    raise InputError(f"{out}: a name ending in {' '.join(PICTURES)} expected")


def write(signal_uv, rate, title, out, absent, **options):
  """`plot_ecg` into a file; raises InputError where it cannot be written."""
  try:
    plot_ecg(signal_uv, rate, title, out, absent=absent, **options)
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


def _sheet(title, height, shading=None):
  """Figure and axes in mm, grid, title and legend -> (figure, axes, width).

  The axes begin below the lowest row: where there is a shading, a line is
  kept free there for the shares of the seconds.
  """
  width = paper.x_of(paper.SECONDS) + paper.MARGIN
  above, below = _TITLE, 0.0
  if shading is not None:
    width += _SHARES
    above += _LINE * (len(shading.lines) + 1.5)
    below = 2 * _LINE
  size = width / 25.4, (height + above + below) / 25.4
  figure = Figure(figsize=size, facecolor="white")
  FigureCanvasAgg(figure)
  axes = figure.add_axes((0, 0, 1, 1))
  axes.set(xlim=(0, width), ylim=(-below, height + above))
  axes.set_axis_off()
  # A shade lies between the fine lines and the coarse ones.
  for step, colour, line, order in ((1, _FINE, 0.3, 0), (5, _COARSE, 0.5, 0.5)):
    x = np.arange(0, width + 0.5, step)
    y = np.arange(-below, height + 0.5, step)
    lines = [((a, -below), (a, height)) for a in x]
    lines += [((0, b), (width, b)) for b in y]
    axes.add_collection(
      LineCollection(lines, colors=colour, linewidths=line, zorder=order)
    )
  y = height + above - _TITLE + 3.0
  _write(axes, paper.MARGIN, y, title, 9)
  if shading is not None:
    for number, text in enumerate(shading.lines, 1):
      _write(axes, paper.MARGIN, y - _LINE * number, text, 8)
    _legend(axes, height + 2.5, shading.name)
  return figure, axes, width


def _write(axes, x, y, text, size, **options):
  options = {"clip_on": True, "parse_math": False} | options
  axes.text(x, y, text, fontsize=size, **options)


def _row(axes, row, y):
  """Pulse, traces, names and ticks between columns of one row."""
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


def _pulse(axes, y):
  """Calibration: 1 mV for 0.2 s."""
  x = paper.MARGIN + 2.0 + np.array([0.0, 1.5, 1.5, 6.5, 6.5, 8.0])
  height = paper.MM_PER_MILLIVOLT * np.array([0, 0, 1, 1, 0, 0])
  axes.plot(x, y + height, color=_INK, linewidth=0.7)


def _shade(axes, baselines, shading):
  """Shades cells, and writes what shares leads and seconds have."""
  values = np.nan_to_num(shading.values)
  relative = values / (values.max() or 1.0)
  bands = [(y + _BAND[0], y + _BAND[1]) for y in baselines]
  if len(values) == 1:  # leads are not told apart: bands from edge to edge
    bands = [(bands[-1][0], bands[0][1])]
  for row, (low, high) in zip(relative, bands, strict=True):
    for value, *ends in zip(
      row, shading.edges[:-1], shading.edges[1:], strict=True
    ):
      left, right = map(paper.x_of, ends)
      colour = _colour(value)
      if colour is None or left >= paper.x_of(paper.SECONDS):
        continue
      axes.add_patch(
        Rectangle((left, low), right - left, high - low, fc=colour, zorder=0.3)
      )
      if right - left >= _NUMBERED:
        _write(axes, left + 0.7, low + 0.7, f"{100 * value:.0f}", 7)
  total = values.sum() or 1.0
  x = paper.x_of(paper.SECONDS) + paper.MARGIN
  if len(values) > 1:
    _write(axes, x, baselines[0] + 9.0, "share", 9)
    for share, y in zip(values.sum(1) / total, baselines, strict=True):
      _write(axes, x, y - 1.0, f"{100 * share:.0f} %", 9)
  middle = (shading.edges[:-1] + shading.edges[1:]) / 2
  shares = np.bincount(middle.astype(int), values.sum(0) / total)
  for second, share in enumerate(shares[: int(paper.SECONDS)]):
    place = paper.x_of(second + 0.5), 1.0 - _LINE
    _write(axes, *place, f"{100 * share:.0f} %", 9, ha="center")
  _write(axes, paper.MARGIN, 1.0 - _LINE, "share", 9)


def _colour(relative):
  """Shade of a share of the largest value; None below the first."""
  reached = [colour for start, colour in LEVELS if relative >= start]
  return reached[-1] if reached else None


def _legend(axes, y, name):
  """A box for each shade and its bounds, readable also without colour."""
  _write(axes, paper.MARGIN, y, f"{name}, % of the largest:", 8)
  starts = [start for start, _ in LEVELS]
  bounds = zip([0.0, *starts], [*starts, 1.0], strict=True)
  colours = ["white", *(colour for _, colour in LEVELS)]
  for number, ((low, high), colour) in enumerate(
    zip(bounds, colours, strict=True)
  ):
    x = 110.0 + 30.0 * number
    axes.add_patch(
      Rectangle((x, y - 1.0), 8.0, 4.0, fc=colour, ec=_INK, lw=0.4)
    )
    _write(axes, x + 9.5, y, f"{100 * low:.0f} to {100 * high:.0f}", 8)
