"""report.html: one file that a reader without the program understands.

Pictures are embedded, nothing is fetched, every text from outside is
escaped. It holds prompts, never report text or patient ids, and waveforms
only where examples were asked for.
Open and filled marks, dashes and labels carry the meaning, not colour.
"""

import html
import json

from fgclep_jax.evaluation import (
  figures,
  report_judged,
  report_merl,
  report_retrieval,
  results,
)
from fgclep_jax.evaluation.page import (
  STYLE,
  between,
  grid,
  paired,
  percent,
  picture,
  text,
)

_PROTOCOL = """
<p>Labels are the dataset's own, by class name. AUROC is exact, ties count
one half. A class without positives or without negatives has no AUROC and
is listed as undefined. A macro value is the plain mean over classes, given
twice: over all defined classes, and over those with at least 10 positives
and 10 negatives among the tested records.</p>
<p><b>Zero-shot</b>: the score of a record for a class is the cosine of the
ECG embedding with the class embedding, the unit mean of the embeddings of
its prompts. No label is used and no class influences another's score.</p>
<p><b>Probe</b>: the frozen encoder's pooled features, standardised; one L2
logistic regression per class, one penalty for all classes. Below 100 % of
the training patients: 5 stratified subsets of whole patients, mean and
standard deviation over them.</p>
<p><b>Intervals</b> are 95 % percentile intervals over resamples of the
tested patients (or records, where patients are unknown). A resample that
leaves a reported class without positives or negatives is drawn again.
They cover the sampling of the test only, not another training run.
Only a paired difference whose interval excludes 0 may be called a
difference.</p>
"""

_ON_LABELS = """
<p><b>Fine-tuned, supervised</b>: the encoder and a linear head on its pooled
features are trained on the labels of the probe's subsets, by AdamW with
binary cross-entropy: <i>fine-tuned</i> from the checkpoint, <i>supervised</i>
from fresh weights, which owe nothing to pre-training. The rates are fixed
beforehand; training stops by macro AUROC on validation.</p>
"""


def write(out_dir, content, tables, examples=()):
  """Writes report.html and report.png (the per-class picture).

  Args:
    out_dir: existing folder.
    content: as returned by `results.write`.
    tables: task -> {"cohort": Cohort, (owner, kind, fraction): Table}.
    examples: sequence of `examples.Example`.
  """
  pictures = {}
  for task, block in content["tasks"].items():
    pictures[task] = (
      figures.class_picture(task, block),
      figures.roc_picture(tables[task]),
    )
  if pictures:
    first = next(iter(pictures.values()))[0]
    (out_dir / "report.png").write_bytes(first)
  document = page(content, pictures, examples)
  (out_dir / "report.html").write_text(document, encoding="utf-8")


def page(content, pictures, examples=()):
  """The document as one string."""
  data, model = content["data"], content["model"]
  title = f"ECG evaluation: {data['dataset']}, split {data['split']}"
  parts = [
    "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
    "<meta name='viewport' content='width=device-width'>",
    f"<title>{text(title)}</title><style>{STYLE}</style></head><body>",
    f"<h1>{text(title)}</h1>",
    f"<p>Checkpoint step {text(model['checkpoint'].get('step'))}, "
    f"<code>{text(str(model['checkpoint'].get('hash'))[:16])}</code></p>",
    f"<p class='notice'>{text(content['notice'])}</p>",
  ]
  if data["partial"]:
    parts.append(
      "<p><b>Partial data.</b> The raw archive was incomplete: these figures "
      "must not be set beside published ones.</p>"
    )
  for task, block in content["tasks"].items():
    parts += _task(task, block, pictures[task])
  if "retrieval" in content:
    parts += report_retrieval.section(content["retrieval"])
  parts += report_judged.examples(examples)
  parts += ["<h2>How it was measured</h2>", _PROTOCOL]
  if any(
    "finetuned" in block or "supervised" in block.get("baselines", {})
    for block in content["tasks"].values()
  ):
    parts.append(_ON_LABELS)
  if content["tasks"]:
    parts.append(report_judged.PROTOCOL)
  if any("merl" in block for block in content["tasks"].values()):
    parts.append(report_merl.PROTOCOL)
  parts.append(_data(data))
  if "command" in content["run"]:
    parts.append(f"<pre>{text(content['run']['command'])}</pre>")
  parts += ["<h2>Model</h2>", _model(model)]
  for name, other in content["beside"].items():
    parts += [f"<h2>Beside: {text(name)}</h2>", _model(other)]
  return "".join([*parts, "</body></html>\n"])


def _task(task, block, pictures):
  strap = block["bootstrap"]
  yield f"<h2>Task {text(task)}</h2>"
  yield (
    f"<p>{block['records']} tested records, {len(block['classes'])} classes; "
    f"{strap['resamples']} resamples of {strap['units']} units (unit: "
    f"{text(strap['unit'])}). All values times 100.</p>"
  )
  yield _macro_table(block)
  yield from report_merl.beside_standard(block)
  yield paired(
    "Paired difference of macro AUROC",
    [
      (f"{_name(pair['first'])} minus {_name(pair['second'])}", pair)
      for pair in block["paired"]
    ],
  )
  yield picture(
    pictures[0],
    "AUROC of every class with 95 % intervals. Filled circle: zero-shot. "
    "Open circle: the same model untrained. Filled square: probe. Dashed "
    "line: chance. n is the number of positives.",
  )
  yield _class_table(block)
  yield from report_merl.class_tables(block)
  yield picture(
    pictures[1],
    "ROC curves. Solid: zero-shot. Dashed: the same model untrained. "
    "Dotted: probe.",
  )
  yield from report_judged.sections(block)
  yield _prompts("Prompts", block["zero_shot"])
  if "prompts" in block.get("zero_shot_merl", {}):
    yield _prompts("Prompts of merl", block["zero_shot_merl"])


def _macro_table(block):
  head = (
    "Method", "Macro AUROC", "95 %", "Classes", "Macro AUROC, n &ge; 10",
    "95 %", "Classes", "AUPRC", "F1", "SD of seeds",
  )  # fmt: skip
  rows, notes = [], []
  for name, summary in results.methods_of(block):
    own = " class='own'" if name.startswith(("zero", "probe")) else ""
    cells = [text(name)]
    for suffix in ("", "_n10"):
      cells += [
        percent(summary.get(f"macro_auroc{suffix}")),
        between(summary.get(f"ci95{suffix}")),
        text(summary.get(f"classes_averaged{suffix}", "")),
      ]
    cells += [percent(summary.get(f"macro_{m}")) for m in ("auprc", "f1")]
    cells.append(percent(summary.get("seed_sd")) if "seeds" in summary else "")
    rows.append(f"<tr{own}><td>{'</td><td>'.join(cells)}</td></tr>")
    reasons = list(summary.get("reasons", {}).values())
    reasons += [summary["reason"]] if "reason" in summary else []
    if summary.get("untrainable_classes"):
      reasons.append(
        f"untrainable: {', '.join(summary['untrainable_classes'])}"
      )
    notes += [f"{name}: {reason}" for reason in reasons]
  for name, entry in block.get("baselines", {}).items():
    notes.append(f"{name.replace('_', ' ')}: {entry['role']}")
  zero = block["zero_shot"]
  if zero["undefined_classes"]:
    notes.append(f"undefined: {', '.join(zero['undefined_classes'])}")
  notes = [text(note) for note in notes]
  notes.append(
    "share of resamples used: "
    f"{percent(zero['bootstrap_acceptance'])} for all classes, "
    f"{percent(zero['bootstrap_acceptance_n10'])} for n &ge; 10"
  )
  return grid(head, rows) + f"<p class='note'>{'.<br>'.join(notes)}.</p>"


def _class_table(block):
  """Per class: zero-shot, and the AUROC of every other method."""
  most = max(block.get("linear_probe", {"": 0}), key=lambda f: float(f or 0))
  others = [
    (name, summary)
    for name, summary in list(results.methods_of(block))[1:]
    if "per_class" in summary
    and name.endswith(("zero-shot", f"{float(most or 0):.0%}"))
  ]
  head = ["Class", "n_pos", "AUROC", "95 %", "AUPRC", "F1", "Flags"]
  head += [text(n).replace(": ", ":<br>") for n, _ in others]
  rows = []
  for name, row in block["zero_shot"]["per_class"].items():
    few = " class='few'" if {"undefined", "n_pos<10"} & {*row["flags"]} else ""
    bounds = [row.get("auroc_lo"), row.get("auroc_hi")]
    cells = [text(results.inert(name)), str(row["n_pos"])]
    cells += [percent(row["auroc"]), between(bounds)]
    cells += [percent(row["auprc"]), percent(row["f1"])]
    cells.append(text(", ".join(row["flags"])))
    cells += [percent(s["per_class"][name]["auroc"]) for _, s in others]
    rows.append(f"<tr{few}><td>{'</td><td>'.join(cells)}</td></tr>")
  note = (
    f"<p class='note'>Zero-shot, then AUROC of the other methods. "
    f"n = {block['records']}. AUPRC of chance is n_pos / n. "
    "Italic: fewer than 10 positives or negatives.</p>"
  )
  return "<h3>Classes</h3>" + grid(head, rows) + note


def _prompts(title, summary):
  prompts, rows = summary["prompts"], []
  for name, texts in prompts["classes"].items():
    row = summary["per_class"][name]
    cut = ", cut" if "truncated_prompt" in row["flags"] else ""
    rows.append(
      f"<tr><td>{text(name)}</td><td class='text'>{text(' | '.join(texts))}"
      f"</td><td>{row['prompt_tokens']}{cut}</td></tr>"
    )
  return (
    f"<h3>{title}</h3><p class='note'>Source: {text(prompts['source'])}, "
    f"sha256 {text(prompts['sha256'][:16])}.</p>"
    + f"<div class='prompts'>{grid(('Class', 'Prompts', 'Tokens'), rows)}</div>"
  )


def _data(data):
  rows = [
    f"<tr><td>{text(role)}</td><td class='text'>{text(part['split'])}</td>"
    f"<td>{part['records']}</td><td>{part['patients']}</td></tr>"
    for role, part in data["parts"].items()
  ]
  return (
    f"<h3>Data</h3><p>Dataset {text(data['dataset'])}, config "
    f"{text(data['config'])}, digest <code>{text(data['digest'][:16])}"
    f"</code>. {text(data['choices'])}. Tested records whose patient was "
    f"also fitted or chosen on: {data['overlap_records']}. Records longer than "
    f"the input are seen by: {text(data['window'])}.{_build(data)}</p>"
    + grid(("Part", "Split", "Records", "Patients"), rows)
  )


def _build(data):
  """What became of the raw records when the dataset was built."""
  build = data["build"]
  if not build:
    return ""
  dropped = [f"{n} {reason}" for reason, n in build["dropped"].items()]
  return text(
    f" Raw records read: {build['read']}, kept: {build['kept']}, dropped: "
    f"{', '.join(dropped) or 'none'}."
  )


def _model(model):
  domain = {True: "yes", False: "no", None: "unknown"}[model["in_domain"]]
  config = {"checkpoint": model["checkpoint"], "config": model["config"]}
  rate, samples = model["input"]["rate"], model["input"]["samples"]
  return (
    f"<p>Trained on {text(model['trained_on'] or 'unknown data')}; tested "
    f"data from the same source: {domain}. Input: 12 leads of {samples} "
    f"samples at {rate} Hz.</p>"
    # JSON is ASCII: nothing in it but its own line breaks is a control.
    f"<pre>{html.escape(json.dumps(config, indent=2))}</pre>"
  )


def _name(method):
  return text(method.replace("_", " "))
