"""Pictures of an enhancement as PNG bytes: the same input, the same bytes.

Kept is filled, dropped is hatched; marks and dashes differ, so that nothing
depends on colour.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fgclep_jax.evaluation.figures import DARK, LIGHT, MIDDLE, plain, png
from fgclep_jax.signals import plot

_COLUMNS = 4  # of the histograms
_CURVES = (
  ("precision", "precision", {"ls": "-", "color": DARK, "lw": 1.6}),
  (
    "recall_of_candidates",
    "recall of true candidates",
    {"ls": "--", "color": DARK, "lw": 1.4},
  ),
  (
    "expected_precision",
    "precision, as expected by the fit",
    {"ls": ":", "color": MIDDLE, "lw": 1.6},
  ),
)


def histograms(features, threshold=None, unit="score"):
  """Scores of kept and dropped candidates, a panel a feature: PNG bytes.

  Args:
    features: {name: {"edges": (b + 1,), "kept": (b,), "dropped": (b,)}}.
    threshold: drawn as a line where it lies within the scores, or None.
    unit: what a score is.
  """
  columns = min(_COLUMNS, len(features))
  rows = -(-len(features) // columns)
  figure = Figure(figsize=(2.6 * columns + 0.5, 1.5 * rows + 0.8))
  figure.set_layout_engine("constrained", h_pad=0.07)
  grid = figure.subplots(rows, columns, squeeze=False).ravel()
  low, high = _range(features.values())
  for axes in grid[len(features) :]:
    axes.set_visible(False)
  for axes, (name, one) in zip(grid, features.items(), strict=False):
    edges = np.asarray(one["edges"], float)
    dropped, kept = (np.asarray(one[k], float) for k in ("dropped", "kept"))
    style = {"align": "edge", "width": np.diff(edges), "lw": 0.5}
    axes.bar(
      edges[:-1], dropped, color="white", ec=MIDDLE, hatch="/////", **style
    )
    axes.bar(edges[:-1], kept, bottom=dropped, color=DARK, ec=DARK, **style)
    if threshold is not None and low < threshold < high:
      axes.axvline(threshold, color=DARK, ls="--", lw=1)
    axes.set_title(plain(name, 38), size=7.5)
    axes.set_xlim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
  figure.supxlabel(unit, size=9)
  figure.supylabel("candidates", size=9)
  return png(figure)


def _range(counts):
  """Lowest and highest edge of the cells that hold anything."""
  low, high = [], []
  for one in counts:
    filled = np.flatnonzero(np.add(one["kept"], one["dropped"]))
    if len(filled):
      low.append(one["edges"][filled[0]])
      high.append(one["edges"][filled[-1] + 1])
  return (min(low), max(high)) if low else (0.0, 1.0)


def sweep(curves, chosen=None, target=None, unit="score"):
  """Precision and recall at every threshold: PNG bytes.

  Args:
    curves: {"threshold": (t,), and some of `precision`,
      `recall_of_candidates`, `expected_precision`: (t,), None where there is
      none}.
    chosen: the threshold in use, or None.
    target: precision that was aimed at, or None.
    unit: what a threshold is of.
  """
  figure = Figure(figsize=(8, 3.6), layout="constrained")
  axes = figure.add_subplot()
  order = np.argsort(curves["threshold"])
  x = np.asarray(curves["threshold"], float)[order]
  inside = chosen is not None and x.min() <= chosen <= x.max()
  for key, label, line in _CURVES:
    if curves.get(key):
      y = np.array(curves[key], float)[order]  # None becomes NaN
      at = np.interp(chosen, x, y) if inside else np.nan
      if np.isfinite(at):
        label += f": {100 * at:.1f} % in use"
        axes.plot(chosen, at, "o", ms=6, color=line["color"], zorder=3)
      axes.plot(x, y, label=label, **line)
  if inside:
    label = f"threshold in use, {chosen:.3g}"
    axes.axvline(chosen, color=MIDDLE, lw=1, label=label)
  if target is not None:
    label = f"target, {100 * target:.0f} %"
    axes.axhline(target, color=LIGHT, lw=1.5, label=label, zorder=0)
  axes.set_ylim(-0.02, 1.05)
  axes.set_xlabel(f"threshold of the {unit}", size=8)
  axes.set_ylabel("share", size=8)
  axes.tick_params(labelsize=8)
  axes.spines[["top", "right"]].set_visible(False)
  figure.legend(
    *axes.get_legend_handles_labels(), loc="outside right upper",
    frameon=False, fontsize=8,
  )  # fmt: skip
  return png(figure)


def precisions(rows):
  """Precision with 95 % intervals, one line a way of choosing: PNG bytes.

  Args:
    rows: (label, value, bounds or None, filled) of each; `filled` marks the
      filter itself.
  """
  figure = Figure(figsize=(7, 0.6 + 0.3 * len(rows)), layout="constrained")
  axes = figure.add_subplot()
  for y, (_, value, bounds, filled) in enumerate(rows):
    if bounds and bounds[0] is not None:
      axes.plot(bounds, [y, y], color=DARK, lw=1.2)
    face = DARK if filled else "white"
    axes.plot(value, y, "o", ms=7, color=DARK, mfc=face, zorder=3)
  axes.set_yticks(range(len(rows)), [row[0] for row in rows])
  axes.set_ylim(len(rows) - 0.5, -0.5)
  axes.set_xlim(-0.02, 1.02)
  axes.grid(axis="x", color=LIGHT, lw=0.6)
  axes.set_axisbelow(True)
  axes.set_xlabel("precision, 95 % interval", size=8)
  axes.tick_params(labelsize=8)
  axes.spines[["top", "right"]].set_visible(False)
  return png(figure)


def ecg(signal, rate, title=""):
  """A record (12, T) int16 microvolts on ECG paper: PNG bytes."""
  return png(plot.plot_ecg(signal, rate, title))
