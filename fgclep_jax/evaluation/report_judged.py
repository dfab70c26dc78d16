"""Confusion, calibration, subgroups and examples in report.html."""

from fgclep_jax.evaluation import figures
from fgclep_jax.evaluation.page import between, grid, percent, picture, text
from fgclep_jax.evaluation.table import FEW

PROTOCOL = """
<p><b>Confusion</b>: a class is called where its score reaches the threshold
that was best for F1 on the records chosen on. A record may have several
classes, so the matrix counts, among records with one class and without
another, how often that other one is called.</p>
<p><b>Calibration</b> is of probes only; the cosines of zero-shot are no
probabilities. 15 bins of equal count along the score; ECE is the mean over
records of the gap between probability and share of positives of their bin,
Brier the mean squared gap of probability and label, log loss in nats. One
temperature for all classes is fitted on the records chosen on. Noise adds
to ECE whichever way it goes, more so with few records; what resampling adds
on average is taken off its intervals again.</p>
<p><b>Subgroups</b>: AUROC among the records of a group, and its gap to the
other groups of the same attribute on the same resamples. A cell with fewer
than 10 positives or negatives shows its counts only. Exploratory: the
intervals are not corrected for the number of cells.</p>
"""


def sections(block):
  """Parts of the page: confusion, calibration, subgroups of one task."""
  yield from _confusion(block)
  yield from _calibration(block)
  yield from _subgroups(block)


def _confusion(block):
  """Parts of the page: counts of every class, and the matrix, by method."""
  names = block["classes"]
  for method, found in block["confusion"].items():
    yield f"<h3>Confusion, {_name(method)}</h3>"
    rows = []
    for name, row in found["per_class"].items():
      cells = [text(name)]
      limit = row["threshold"]
      cells.append("&ndash;" if limit is None else f"{limit:.3f}")
      cells += [text(row[key]) for key in ("tp", "fn", "fp", "tn")]
      for key in ("sensitivity", "specificity"):
        cells += [percent(row[key]), between(row[f"{key}_ci95"])]
      few = row["tp"] is None or row["tp"] + row["fn"] < FEW
      rows.append(_row(cells, "few" if few else ""))
    head = (
      "Class", "Threshold", "Has it, called", "Has it, missed",
      "Not, but called", "Not, not called", "Sensitivity", "95 %",
      "Specificity", "95 %",
    )  # fmt: skip
    yield grid(head, rows)
    yield picture(
      figures.confusion_picture(found, names),
      f"{method.replace('_', ' ')}: of the records with the class of the row "
      "and without that of the column, the share that is called the column's "
      "class, in %. Diagonal, bold: sensitivity. Darker is more. n is the "
      "number of records with the class.",
    )


def _calibration(block):
  """Parts of the page: picture of the largest probe, table of each."""
  found = block["calibration"]
  if not found:
    return
  yield "<h3>Calibration of the probe</h3>"
  most = max(found, key=float)
  yield picture(
    figures.reliability_picture(found[most]),
    f"Reliability of the probe on {float(most):.0%} of the labels, 15 bins of "
    "equal count. Open circles, dashed: as fitted. Filled squares, solid: "
    "after one temperature. On the grey line probabilities are right. Axes "
    "end where the values do. n is the number of positives.",
  )
  for fraction, one in found.items():
    yield _calibration_table(fraction, one)


def _calibration_table(fraction, one):
  rows = []
  for title, suffix in (
    ("mean over classes", ""), ("mean, n &ge; 10", "_n10"),
  ):  # fmt: skip
    cells = [title, text(one["before"][f"classes_averaged{suffix}"])]
    for measure in ("ece", "brier", "log_loss"):
      for when in ("before", "after"):
        key = f"{measure}{suffix}"
        bounds = one[when][f"{key}_ci95"]
        cells.append(_stacked(one[when][f"macro_{key}"], bounds))
    rows.append(_row(cells, "own"))
  for name, row in one["per_class"].items():
    cells = [text(name), str(row["n_pos"])]
    for measure in ("ece", "brier", "log_loss"):
      for when in ("before", "after"):
        own = row[when] or {}
        bounds = [own.get(f"{measure}_{end}") for end in ("lo", "hi")]
        cells.append(_stacked(own.get(measure), bounds))
    rows.append(_row(cells, "few" if row["n_pos"] < FEW else ""))
  head = ["Class", "n_pos or classes"]
  for measure in ("ECE", "Brier", "Log loss"):
    for when in ("before", "after"):
      head.append(f"{measure} {when}")
  absent = [*one["untrainable_classes"], *one["undefined_classes"]]
  limit = ", at its limit" if one["temperature_at_limit"] else ""
  note = (
    f"Probe {float(fraction):.0%}: temperature {one['temperature']:.3f}"
    f"{limit}, fitted on {one['fitted_records']} records of "
    f"{one['fitted_on']}. All values times 100, with 95 % intervals "
    "below; log loss in nats."
  )
  if absent:
    note += f" Untrainable or undefined: {', '.join(absent)}."
  return f"{grid(head, rows)}<p class='note'>{text(note)}</p>"


def _subgroups(block):
  """Parts of the page: macro AUROC of every group, then its classes."""
  yield "<h3>Subgroups</h3>"
  rows = []
  methods = list(block["confusion"])
  for attribute, found in block["subgroups"].items():
    for name, group in found["groups"].items():
      for method in methods:
        own = group[method]
        cells = [text(f"{attribute} {name}"), _name(method), str(group["n"])]
        cells += [percent(own["macro_auroc"]), between(own["ci95"])]
        cells += [str(own["classes_averaged"])]
        cells += _gap(own["macro_gap"], own["gap_ci95"])
        rows.append(_row([*cells, str(own["gap_classes"])]))
  head = (
    "Group", "Method", "n", "Macro AUROC", "95 %", "Classes",
    "Gap to the other groups", "95 %", "Classes",
  )  # fmt: skip
  yield grid(head, rows)
  left = [
    f"{attribute}: {found['in_no_group']} records in none of the groups"
    for attribute, found in block["subgroups"].items()
  ]
  yield (
    f"<p class='note'>{text('; '.join(left))}. A macro value is over the "
    "classes with at least 10 positives and 10 negatives in the group, so "
    "groups may differ in their classes; a gap is over classes that the "
    "others have, too. * interval excludes 0.</p>"
  )
  for method in methods:
    yield _subgroup_classes(block, method)


def _subgroup_classes(block, method):
  rows = []
  for name in block["classes"]:
    for attribute, found in block["subgroups"].items():
      for group, entry in found["groups"].items():
        row = entry[method]["per_class"][name]
        cells = [text(name), text(f"{attribute} {group}"), str(row["n"])]
        cells += [str(row["n_pos"]), percent(row.get("auroc"))]
        cells.append(between(row.get("auroc_ci95")))
        cells += _gap(row.get("gap"), row.get("gap_ci95"))
        rows.append(_row(cells, "" if "auroc" in row else "few"))
  head = ("Class", "Group", "n", "n_pos", "AUROC", "95 %", "Gap", "95 %")
  return (
    f"<details><summary>Classes by subgroup, {_name(method)}</summary>"
    f"{grid(head, rows)}</details>"
  )


def _stacked(value, bounds):
  """A cell with its interval below."""
  return f"{percent(value)}<br><small>{between(bounds)}</small>"


def _gap(value, bounds):
  """Cells of a difference in points, a star where it is one."""
  if value is None:
    return ["&ndash;", "&ndash;"]
  if not bounds:
    return [f"{100 * value:+.1f}", "&ndash;"]
  low, high = bounds
  star = "" if low <= 0 <= high else "*"
  return [
    f"{100 * value:+.1f}{star}", f"{100 * low:+.1f} to {100 * high:+.1f}"
  ]  # fmt: skip


def examples(shown):
  """Parts of the page: ECGs on paper and the classes closest to them."""
  if not shown:
    return
  yield "<h2>Examples</h2>"
  yield (
    "<p><b>This file holds waveforms of tested records:</b> pass it on only "
    "as the terms of the data allow. The records are drawn by a hash of their "
    "ids, not by their scores. Below each: the three classes of every task "
    "whose prompts are closest to the ECG, by cosine, and whether the label "
    "says so.</p>"
  )
  for number, example in enumerate(shown, 1):
    yield f"<h3>Example {number}</h3>"
    yield picture(example.png, f"Example {number}: 25 mm/s, 10 mm/mV.")
    rows = [
      f"<tr><td>{text(task)}</td><td class='text'>{text(name)}</td>"
      f"<td class='text'>{text(' | '.join(prompts))}</td>"
      f"<td>{cosine:.3f}</td><td>{'has it' if label else 'not'}</td></tr>"
      for task, name, prompts, cosine, label in example.closest
    ]
    head = ("Task", "Class", "Prompts", "Cosine", "Label")
    yield f"<div class='prompts'>{grid(head, rows)}</div>"


def _row(cells, kind=""):
  start = f"<tr class='{kind}'>" if kind else "<tr>"
  return f"{start}<td>{'</td><td>'.join(cells)}</td></tr>"


def _name(method):
  return text(method.replace("_", " "))
