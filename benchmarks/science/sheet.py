"""A contact sheet: one record of each diagnosis, all twelve leads."""

import matplotlib.figure
import numpy as np

from fgclep_jax.signals.leads import LEADS

_COLUMNS = 4  # of three leads each, as on paper
_SECONDS, _STEP = 2.5, 2.0  # of each lead; mV from row to row
_FINE, _THICK = "#f6d5d5", "#e9a9a9"


def draw(records, path, across=2):
  """Writes a PNG of records, each with its diagnoses as title.

  Args:
    records: SimulatedRecords at 500 Hz, one for each panel.
    path: where the picture goes.
    across: panels side by side.
  """
  rows = -(-len(records) // across)
  figure = matplotlib.figure.Figure(figsize=(10.5 * across, 4.8 * rows))
  for place, record in enumerate(records):
    axes = figure.add_subplot(rows, across, place + 1)
    _panel(axes, record)
  figure.tight_layout(h_pad=0.6, w_pad=0.4)
  figure.savefig(path, dpi=80)


def _panel(axes, record):
  """Three rows of four leads, and ten seconds of lead II below."""
  signal = record.signal / 1e3
  length = round(_SECONDS * record.rate)
  times = np.arange(signal.shape[1]) / record.rate
  for k, name in enumerate(LEADS):
    column, row = divmod(k, 3)
    part = slice(column * length, (column + 1) * length)
    level = -_STEP * row - np.median(signal[k, part])
    axes.plot(times[part], signal[k, part] + level, "k", linewidth=0.7)
    axes.text(times[part][0] + 0.03, -_STEP * row + 0.75, name, fontsize=7)
  level = -3 * _STEP - np.median(signal[1])
  axes.plot(times, signal[1] + level, "k", linewidth=0.7)
  low, high = -3 * _STEP - 1.2, 1.5
  axes.vlines(np.arange(0, 10.01, 0.04), low, high, _FINE, linewidth=0.25)
  axes.vlines(np.arange(0, 10.01, 0.2), low, high, _THICK, linewidth=0.5)
  levels = np.arange(np.ceil(low * 2) / 2, high, 0.5)
  axes.hlines(levels, 0, 10, _THICK, linewidth=0.5)
  axes.set(xlim=(0, _COLUMNS * _SECONDS), ylim=(low, high))
  axes.set_axis_off()
  values = record.measurements
  known = [
    f"{words} {values[name]:.0f}"
    for words, name in (
      ("HR", "heart_rate_bpm"),
      ("PR", "pr_interval_ms"),
      ("QRS", "qrs_duration_ms"),
      ("QTc", "qtc_interval_ms"),
      ("axis", "qrs_axis_deg"),
    )
    if np.isfinite(values[name])
  ]
  who = f"{record.age:.0f} {'fm'[record.sex == 0]}"
  title = f"{', '.join(record.diagnoses)}  ({who}; {', '.join(known)})"
  axes.set_title(title, fontsize=9, loc="left", pad=2)
