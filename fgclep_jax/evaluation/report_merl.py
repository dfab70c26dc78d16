"""The `merl` columns of report.html, beside the `standard` ones."""

from fgclep_jax.evaluation.overview import merl_of
from fgclep_jax.evaluation.page import between, grid, percent, text
from fgclep_jax.evaluation.results import methods_of

PROTOCOL = """
<p><b>Protocol merl</b> repeats the public code of MERL, faults included, so
that figures can be set beside published ones. Labels are read by the
position of their column, CSN labels by substring; prompts are the published
ones; a probe is fitted on a share of rows, not patients, drawn once with
seed 42, by Adam with a learning rate that falls after about 40 batches.
Such a probe is shown at the epoch that is best on validation, and, marked
<b>test-tuned</b>, at the epoch that is best on the tested records
themselves, which is what was published; their gap is optimism, not skill.
Thresholds of F1 and accuracy are chosen on the tested records too. The
encoder is in evaluation mode and keeps the input scaling it was trained
with (<i>scaling: own</i>); the head is trained in float32.</p>
"""


def beside_standard(block):
  """Parts of the page: every method, `standard` left, `merl` right."""
  if "merl" not in block:
    return
  yield "<h3>Both protocols</h3>"
  yield _table(block, "", "macro AUROC")
  yield _table(block, "_n10", "macro AUROC, n &ge; 10")
  yield _notes(block)


def _table(block, suffix, value):
  merl, rows = merl_of(block), []
  for name, summary in methods_of(block):
    other = merl.get(name, {})
    cells = [text(name), *_macro(summary, suffix)]
    cells += _macro(other.get("at_best_val", other), suffix)
    cells += [percent(other.get(f"max_test_auroc{suffix}"))]
    cells += [between(other.get(f"max_test_auroc_ci95{suffix}"))]
    own = " class='own'" if name.startswith(("zero", "probe")) else ""
    rows.append(f"<tr{own}><td>{'</td><td>'.join(cells)}</td></tr>")
  head = ["Method"]
  for protocol in ("standard", "merl"):
    head += [f"{protocol}: {value}", "95 %", "Classes"]
  return grid([*head, f"merl, test-tuned: {value}", "95 %"], rows)


def _macro(summary, suffix):
  return [
    percent(summary.get(f"macro_auroc{suffix}")),
    between(summary.get(f"ci95{suffix}")),
    text(summary.get(f"classes_averaged{suffix}")),
  ]


def class_tables(block):
  """Parts of the page: classes under `merl`, in the tested file's order."""
  shown = {}
  for name, summary in merl_of(block).items():
    own = summary.get("at_best_val", summary)
    if "per_class" in own and ": " not in name:
      # Fractions come rising: the largest probe stays.
      shown["probe" if name.startswith("probe") else name] = (name, own)
  if not shown:
    return
  head = ["Class", "n_pos"]
  for name, _ in shown.values():
    head += [f"{text(name)}: AUROC", "95 %", "F1, test-tuned"]
  rows = []
  for name in block["merl"]["classes"]:
    each = [own["per_class"][name] for _, own in shown.values()]
    few = {"undefined", "n_pos<10"} & {*each[0]["flags"]}
    cells = [text(name), str(each[0]["n_pos"])]
    for row in each:
      cells += [
        percent(row["auroc"]),
        between([row.get("auroc_lo"), row.get("auroc_hi")]),
        percent(row["f1_test_tuned"]),
      ]
    own = " class='few'" if few else ""
    rows.append(f"<tr{own}><td>{'</td><td>'.join(cells)}</td></tr>")
  yield "<h3>Classes, protocol merl</h3>"
  yield grid(head, rows)


def _notes(block):
  """What must be known to read the `merl` columns of a task."""
  lines = [
    f"merl {name}: {summary['reason']}"
    for name, summary in merl_of(block).items()
    if "reason" in summary
  ]
  if "selection" in block["merl"]:
    lines.append(
      f"selection: {block['merl']['selection']}; checkpoint of step "
      f"{block['merl']['step']} in all columns of merl"
    )
  undefined = _first(block).get("undefined_classes")
  if undefined:
    lines.append(f"merl, undefined: {', '.join(undefined)}")
  for fraction, summary in block.get("linear_probe_merl", {}).items():
    if "at_best_val" not in summary:
      continue
    line = (
      f"merl probe {float(fraction):.0%}: {summary['fitted_records']} of "
      f"{summary['of_records']} rows ({summary['row_order']}), epoch "
      f"{summary['at_best_val']['epoch']} is best on validation, "
      f"{summary['max_test_epoch']} on test, optimism "
      f"{100 * summary['optimism']:+.1f}, scaling: {summary['scaling']}"
    )
    absent = summary["classes_without_positive"]
    if absent:
      line += f", without a positive: {', '.join(absent)}"
    lines.append(line)
  columns = block["merl"]["misplaced_columns"]
  if columns:
    pairs = [f"{c['fitted']} as {c['tested']}" for c in columns]
    lines.append(
      f"merl, columns fitted as one class and tested as another: "
      f"{', '.join(pairs)}"
    )
  if not lines:
    return ""
  return f"<p class='note'>{'.<br>'.join(map(text, lines))}.</p>"


def _first(block):
  """The first summary with a table, {} without."""
  for summary in merl_of(block).values():
    own = summary.get("at_best_val", summary)
    if "per_class" in own:
      return own
  return {}
