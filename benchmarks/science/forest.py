"""Differences with their intervals, drawn: a row for each cell."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, FAINT, MARK = "#222222", "#999999", "#1f6fb4"


def draw(rows, keys, path):
  """Saves the picture.

  Args:
    rows: {cell: row} of `claims.table`.
    keys: {title: key of a row's `difference`}, a panel each.
    path: of the picture, .svg or .png.
  """
  shown = {name: row for name, row in rows.items() if row.get("difference")}
  figure = Figure(figsize=(9, 1.2 + 0.28 * len(shown)))
  FigureCanvasAgg(figure)
  panels = figure.subplots(1, len(keys), sharey=True, squeeze=False)[0]
  height = -np.arange(len(shown))
  for panel, (title, key) in zip(panels, keys.items(), strict=True):
    panel.axvline(0, color=FAINT, linewidth=0.8)
    for y, row in zip(height, shown.values(), strict=True):
      found = row["difference"].get(key)
      if not found:
        continue
      seeds = 100 * np.array(found["of_seeds"])
      panel.plot(seeds, np.full(len(seeds), y), "|", color=FAINT, markersize=7)
      if found["ci95"]:
        low, high = (100 * bound for bound in found["ci95"])
        panel.plot([low, high], [y, y], color=MARK, linewidth=2)
      panel.plot(100 * found["difference"], y, "o", color=MARK, markersize=4)
    panel.set_title(title, fontsize=9, color=INK)
    panel.tick_params(labelsize=8, colors=INK)
    panel.grid(axis="x", color="#eeeeee", linewidth=0.6)
    panel.set_axisbelow(True)
    for side in ("top", "right", "left"):
      panel.spines[side].set_visible(False)
  panels[0].set_yticks(
    height,
    [f"{name}  -  {row['against']}" for name, row in shown.items()],
    fontsize=8,
  )
  for panel in panels:
    panel.tick_params(axis="y", length=0)
  figure.supxlabel(
    "difference of AUROC or R@10, points; ticks: the seeds",
    fontsize=8,
    color=INK,
  )
  figure.tight_layout()
  figure.savefig(path, dpi=110, metadata={"Date": None} if _svg(path) else None)


def _svg(path):
  return str(path).endswith(".svg")
