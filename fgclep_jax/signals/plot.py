"""A 12-lead ECG drawn on ECG paper, true to scale.

25 mm/s and 10 mm/mV on a millimetre grid: one unit of the axes is one
millimetre, and printed without scaling the picture is as a recorder's.
"""

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
_ROW_HEIGHT = 32.0  # mm between two baselines
_MARGIN = 5.0
_PULSE = 10.0  # mm kept free for the calibration pulse
_TITLE = 10.0
_PICTURES = (".png", ".pdf", ".svg")
_FINE, _COARSE, _INK = "#f7d9d9", "#eba9a9", "#111111"


def plot_ecg(signal_uv, rate, title="", path=None, strip="II", dpi=150):
  """Draws three rows of four leads (2.5 s each) and a rhythm strip.

  Args:
    signal_uv: (12, T) microvolts, rows as `leads.LEADS`; the first 10 s are
      drawn, a shorter record leaves paper free.
    rate: samples per second.
    title: line above the tracing; says nothing about the patient.
    path: where to save the picture (.png, .pdf, .svg), or None.
    strip: lead of the rhythm strip.
    dpi: dots per inch of a saved picture.

  Returns:
    matplotlib Figure, not known to pyplot: nothing is left to close.

  Raises:
    InputError: the signal is not (12, T), or `strip` is not a lead.
  """
  millivolts = _checked(signal_uv, strip)
  figure, axes, width, height = _paper(title)
  base = height - _TITLE - _MARGIN - 0.55 * _ROW_HEIGHT
  rows = leads.COUNT // _COLUMNS
  for row in range(rows):
    y = base - row * _ROW_HEIGHT
    _pulse(axes, y)
    for column in range(_COLUMNS):
      lead = column * rows + row
      start = column * SECONDS / _COLUMNS
      end = start + SECONDS / _COLUMNS
      _trace(axes, millivolts[lead], rate, start, end, y)
      _name(axes, leads.LEADS[lead], start, y, tick=column > 0)
  y = base - rows * _ROW_HEIGHT
  _pulse(axes, y)
  _trace(axes, millivolts[leads.LEADS.index(strip)], rate, 0.0, SECONDS, y)
  _name(axes, strip, 0.0, y, tick=False)
  axes.text(width - _MARGIN, 1.5, "25 mm/s   10 mm/mV", ha="right", fontsize=7)
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
  header, _ = challenge.read_header(os.fspath(path))
  found = reader.read_record(path, header=header)
  try:
    plot_ecg(found.signal, found.rate, title or path.name, out)
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


def _paper(title):
  """Figure and axes in mm, with grid and title -> (figure, axes, w, h)."""
  width = SECONDS * MM_PER_SECOND + _PULSE + 2 * _MARGIN
  rows = leads.COUNT // _COLUMNS + 1
  height = rows * _ROW_HEIGHT + _TITLE + 2 * _MARGIN
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
  return figure, axes, width, height


def _x(seconds):
  return _MARGIN + _PULSE + seconds * MM_PER_SECOND


def _trace(axes, lead, rate, start, end, y):
  """One lead (T,) mV from `start` to `end` seconds at baseline `y`."""
  first, last = round(start * rate), round(end * rate)
  piece = lead[first : last + 1]
  times = (first + np.arange(len(piece))) / rate
  axes.plot(_x(times), y + piece * MM_PER_MILLIVOLT, color=_INK, linewidth=0.7)


def _pulse(axes, y):
  """Calibration: 1 mV for 0.2 s."""
  x = _MARGIN + 2.0 + np.array([0.0, 1.5, 1.5, 6.5, 6.5, 8.0])
  height = MM_PER_MILLIVOLT * np.array([0, 0, 1, 1, 0, 0])
  axes.plot(x, y + height, color=_INK, linewidth=0.7)


def _name(axes, name, start, y, tick):
  x = _x(start)
  axes.text(x + 1.0, y + 11.0, name, fontsize=9, fontweight="bold")
  if tick:
    axes.plot([x, x], [y - 4.0, y + 4.0], color=_INK, linewidth=0.5)
