"""Pictures of a task as PNG bytes: the same input, the same bytes.

Marks and dashes differ, so that nothing depends on colour.
"""

import io
import warnings

import numpy as np
from matplotlib.figure import Figure

from fgclep_jax.evaluation import results

DARK, MIDDLE, LIGHT = "#1a1a1a", "#6b6b6b", "#d0d0d0"
# name of the method -> how it is drawn
_MARKS = {
  "zero-shot": {"marker": "o", "color": DARK},
  "untrained: zero-shot": {"marker": "o", "color": MIDDLE, "mfc": "white"},
  "probe": {"marker": "s", "color": DARK},
}
_LINES = (
  (("trained", "zero_shot"), {"ls": "-", "color": DARK, "lw": 1.6}),
  (("untrained", "zero_shot"), {"ls": "--", "color": MIDDLE, "lw": 1.2}),
  (("trained", "linear_probe"), {"ls": ":", "color": DARK, "lw": 1.4}),
)
_COLUMNS = 5  # of the ROC panels


def class_picture(task, block):
  """AUROC of every class with intervals: PNG bytes.

  Args:
    task: its name.
    block: the task's block of results.json.
  """
  shown = _shown(block)
  names = block["classes"]
  height = 1.2 + 0.18 * len(names) * (len(shown) + 0.6)
  figure = Figure(figsize=(8, height), layout="constrained")
  axes = figure.add_subplot()
  axes.axvline(0.5, color=MIDDLE, ls="--", lw=1)
  step = 1 / (len(shown) + 0.6)
  for position, (label, summary, mark) in enumerate(shown):
    rows = [summary["per_class"][name] for name in names]
    y = np.arange(len(names)) + (position - (len(shown) - 1) / 2) * step
    for height, row in zip(y, rows, strict=True):
      if row.get("auroc_lo") is not None:
        bounds = [row["auroc_lo"], row["auroc_hi"]]
        axes.plot(bounds, [height] * 2, color=mark["color"], lw=1.1)
    value = [np.nan if r["auroc"] is None else r["auroc"] for r in rows]
    axes.plot(value, y, ls="", ms=6, label=label, zorder=3, **mark)
  for line in np.arange(len(names) - 1) + 0.5:
    axes.axhline(line, color=LIGHT, lw=0.6)
  counts = block["zero_shot"]["per_class"]
  labels = [f"{plain(n)}  (n {counts[n]['n_pos']})" for n in names]
  for y, name in enumerate(names):
    if counts[name]["auroc"] is None:
      axes.text(0.505, y, "undefined", va="center", style="italic")
  axes.set_yticks(range(len(names)), labels)
  axes.set_ylim(len(names) - 0.5, -0.5)
  low = min(0.45, axes.get_xlim()[0])
  axes.set_xlim(max(low, -0.02), 1.005)
  axes.set_xlabel("AUROC, 95 % interval (dashed: chance)")
  axes.spines[["top", "right"]].set_visible(False)
  figure.legend(
    *axes.get_legend_handles_labels(), loc="outside upper left",
    ncols=len(shown), frameon=False, title=f"Task {plain(task)}",
    alignment="left",
  )  # fmt: skip
  return png(figure)


def _shown(block):
  """(label, summary, mark) of the methods drawn, the largest probe only."""
  found = dict(results.methods_of(block))
  probes = [k for k in found if k.startswith("probe ")]
  probes = [k for k in probes if "per_class" in found[k]]
  names = [n for n in ("zero-shot", "untrained: zero-shot") if n in found]
  shown = [(n, found[n], _MARKS[n]) for n in names]
  if probes:
    most = max(probes, key=lambda k: float(k.split()[1].rstrip("%")))
    shown.append((f"{most} of labels", found[most], _MARKS["probe"]))
  return shown


def roc_picture(tables):
  """A ROC curve per defined class, small panels side by side: PNG bytes.

  Args:
    tables: {"cohort": Cohort, (owner, kind, fraction): Table}.
  """
  cohort = tables["cohort"]
  classes = np.flatnonzero(cohort.defined)
  figure, panels = _panels(len(classes))
  for axes, c in zip(panels, classes, strict=True):
    axes.plot([0, 1], [0, 1], color=LIGHT, lw=0.8)
    for kind, line in _LINES:
      scores = _largest(tables, kind)
      if scores is not None:
        axes.plot(*roc_curve(scores[:, c], cohort.labels[:, c]), **line)
    n_pos = int(cohort.labels[:, c].sum())
    axes.set_title(f"{plain(cohort.class_names[c], 22)}\nn {n_pos}", size=9)
    axes.set_aspect("equal")
    axes.set_xticks([0, 1])
    axes.set_yticks([0, 1])
    axes.tick_params(labelsize=8)
  figure.supxlabel("1 - specificity", size=9)
  figure.supylabel("sensitivity", size=9)
  return png(figure)


def _panels(count):
  """A figure of small axes side by side, and `count` of them."""
  columns = min(_COLUMNS, max(count, 1))
  rows = -(-max(count, 1) // columns)
  figure = Figure(figsize=(1.9 * columns + 0.6, 2.15 * rows + 0.4))
  figure.set_layout_engine("constrained")
  grid = figure.subplots(rows, columns, squeeze=False).ravel()
  for axes in grid[count:]:
    axes.set_visible(False)
  return figure, grid[:count]


def _largest(tables, kind):
  """Scores of a kind of method at its largest fraction, None without."""
  keys = [k for k in tables if k[:2] == kind and hasattr(tables[k], "scores")]
  if not keys:
    return None
  return tables[max(keys, key=lambda k: float(k[2] or 0))].scores


def roc_curve(scores, labels):
  """False and true positive rates (m,) at every distinct score (n,)."""
  order = np.argsort(-scores, kind="stable")
  last = np.append(np.diff(scores[order]) != 0, True)
  hits = np.cumsum(labels[order])[last]
  false = np.cumsum(~labels[order])[last]
  return (
    np.append(0, false) / max(false[-1], 1),
    np.append(0, hits) / max(hits[-1], 1),
  )


def plain(name, limit=28):
  """A name that neither mathtext nor a terminal interprets, cut short."""
  name = results.inert(name)
  name = name if len(name) <= limit else name[: limit - 1] + "…"
  return name.replace("$", r"\$")


def png(figure):
  """A matplotlib Figure as PNG bytes, the same for the same picture."""
  buffer = io.BytesIO()
  with warnings.catch_warnings():
    # A class name in a script the font lacks is drawn as boxes.
    warnings.filterwarnings("ignore", message="Glyph .* missing from")
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
  return buffer.getvalue()


def reliability_picture(calibration):
  """Chance given by a head against the share of positives: PNG bytes.

  Args:
    calibration: block of one head, see `calibration.judge`; a panel for
      each class with positives that could be trained.
  """
  classes = {
    name: row
    for name, row in calibration["per_class"].items()
    if row["before"] is not None and row["n_pos"]
  }
  figure, panels = _panels(len(classes))
  for axes, (name, row) in zip(panels, classes.items(), strict=True):
    most = 0.0
    for when, line in (
      ("before", {"ls": "--", "marker": "o", "color": MIDDLE, "mfc": "white"}),
      ("after", {"ls": "-", "marker": "s", "color": DARK}),
    ):
      _, chance, share = np.array(row[when]["curve"]).T
      axes.plot(chance, share, ms=3.5, lw=1, **line)
      most = max(most, chance.max(), share.max())
    top = np.ceil(10 * most) / 10
    axes.plot([0, top], [0, top], color=LIGHT, lw=0.8, zorder=0)
    axes.set_title(f"{plain(name, 22)}\nn {row['n_pos']}", size=9)
    axes.set(xlim=(0, 1.03 * top), ylim=(0, 1.03 * top), aspect="equal")
    ends = [0, top], ["0", f"{top:g}"]
    axes.set_xticks(*ends)
    axes.set_yticks(*ends)
    axes.tick_params(labelsize=8)
  figure.supxlabel("probability given", size=9)
  figure.supylabel("share of positives", size=9)
  return png(figure)


def confusion_picture(block, names):
  """Which class is called where: PNG bytes.

  Args:
    block: of one method, see `confusion.evaluate`.
    names: of the C classes.
  """
  share = np.array(block["called"], float)  # None becomes NaN
  side = 0.36 * len(names) + 2.2
  figure = Figure(figsize=(side, side), layout="constrained")
  axes = figure.add_subplot()
  axes.imshow(np.nan_to_num(share), cmap="Greys", vmin=0, vmax=1)
  for i, j in np.ndindex(share.shape):
    number = "–" if np.isnan(share[i, j]) else f"{100 * share[i, j]:.0f}"
    axes.text(
      j, i, number, ha="center", va="center", size=8,
      color="white" if share[i, j] > 0.55 else DARK,
      weight="bold" if i == j else "normal",
    )  # fmt: skip
  counts = np.array(block["records"]).diagonal()
  labels = [f"{plain(n)}  (n {k})" for n, k in zip(names, counts, strict=True)]
  axes.set_yticks(range(len(names)), labels, size=8)
  axes.set_xticks(
    range(len(names)), [plain(n) for n in names], size=8, rotation=90
  )
  axes.set_ylabel("records with this class")
  axes.set_xlabel("called this class, %")
  axes.tick_params(length=0)
  return png(figure)
