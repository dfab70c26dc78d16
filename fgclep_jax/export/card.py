"""The model card of an export: README.md with Hugging Face's front matter.

It says what the checkpoint, its config and its evaluation say, and no more.
"""

from fgclep_jax import inference
from fgclep_jax.evaluation import results
from fgclep_jax.export import data_terms, limits

NOTICE = "Research software. Not a medical device."
CITATION = """\
    @misc{li2025fgclep,
      title = {Fine-Grained {ECG}-Text Contrastive Learning via Waveform
               Understanding Enhancement},
      author = {Li, Haitao and Liu, Che and Ding, Zhengyao and Liu, Ziyi and
                Huang, Zhengxing},
      year = {2025},
      eprint = {2505.11939},
      archivePrefix = {arXiv}
    }"""
INTENDED = """\
Research on twelve-lead ECGs: embeddings of records, features for a classifier
that is fitted and tested on labelled records of one's own{texts}."""
OUT_OF_SCOPE = """\
- Diagnosis, triage, monitoring, or any decision about a patient.
- Probabilities: cosines and probe scores order records, they are not
  calibrated.
- Finding out who a person is. An embedding is made of health data and is to
  be kept like it."""


def page(about, input_form, evaluation):
  """Returns README.md as a str.

  Args:
    about: content of config.json.
    input_form: content of preprocessor.json.
    evaluation: lines of `evaluation_lines`, or None where there are none.
  """
  encoder = about["kind"] == inference.ECG_ENCODER
  title = "FG-CLEP ECG encoder" if encoder else "FG-CLEP model of ECGs and text"
  texts = "" if encoder else ", cosines of records\nand statements (zero-shot)"
  parts = [
    _front_matter(about, encoder),
    f"# {title}",
    f"**{NOTICE}**",
    _summary(about, input_form, encoder),
    "## Use",
    _use(encoder),
    "## Intended use",
    INTENDED.format(texts=texts),
    "## Out of scope",
    OUT_OF_SCOPE,
    "## Training data",
    data_terms.training_data(about),
    "## Evaluation",
    "\n".join(evaluation or ["No evaluation was given with this export."]),
    "## Limits",
    "\n".join(f"- {line}" for line in limits.lines(about, input_form)),
    "## Licence",
    data_terms.licence(about),
    "## Citation",
    CITATION,
  ]
  return "\n\n".join(parts) + "\n"


def evaluation_lines(content, encoder):
  """Lines of the section on metrics.

  Args:
    content: of results.json.
    encoder: whether only the ECG encoder is exported, which by itself has
      no zero-shot score.

  Returns:
    A list of str; figures of other models that stand beside are left out.
  """
  data = content["data"]
  where = [data["dataset"], data["config"], f"split {data['split']}"]
  lines = [
    f"On {_inert(', '.join(where))}{' (a part)' * bool(data['partial'])}: "
    "averages over the classes, in brackets 95 % intervals of a bootstrap "
    "over patients, or records where patients are not known.",
    "",
    "| task | method | records | classes | AUROC | AUPRC | F1 |",
    "|---|---|---|---|---|---|---|",
  ]
  for task, block in content["tasks"].items():
    for name, summary in results.methods_of(block):
      hidden = name.startswith("beside ")
      if not hidden and not (encoder and name.endswith("zero-shot")):
        counts = block["records"], summary.get("classes_averaged", "-")
        row = [task, name, *map(str, counts), *_macros(summary)]
        lines.append(f"| {' | '.join(map(_inert, row))} |")
  if encoder:
    lines += [
      "", "Zero-shot figures are left out: they need the text tower, which "
      "this export does not hold.",
    ]  # fmt: skip
  same = content["model"]["in_domain"]
  if same is not None:
    lines += ["", _domain(same, data["window"])]
  return lines


def _macros(summary):
  """`0.913 [0.890, 0.934]` of each metric, or why there is none."""
  if summary.get("macro_auroc") is None:
    return [results.macro_text(summary), "", ""]
  cells = []
  for name, bounds in (
    ("macro_auroc", "ci95"),
    ("macro_auprc", "auprc_ci95"),
    ("macro_f1", "f1_ci95"),
  ):
    value, between = summary.get(name), summary.get(bounds)
    cell = "-" if value is None else f"{value:.3f}"
    cells.append(
      f"{cell} [{between[0]:.3f}, {between[1]:.3f}]"
      if between
      else f"{cell} (no interval)"
    )
  return cells


def _domain(same, window):
  source = (
    "the dataset it was trained on (other records): nothing is said of other "
    "devices and hospitals"
    if same
    else "another dataset than it was trained on"
  )
  return (
    f"The tested records are of {source}. Records longer than the input were "
    f"seen by the window `{_inert(window)}`. Rows named untrained, baseline, "
    "floor and ceiling are of other methods on the same records."
  )


def _front_matter(about, encoder):
  lines = [
    "---",
    *data_terms.front_matter(about),
    "library_name: fgclep_jax",
    "tags:",
    "- ecg",
    "- electrocardiogram",
    "- jax",
    "- contrastive-learning" if not encoder else "- feature-extraction",
    "- arxiv:2505.11939",
    "---",
  ]
  return "\n".join(lines)


def _summary(about, input_form, encoder):
  """What it is, where it is from, what goes in and what comes out."""
  model, origin = about["config"]["model"], about["checkpoint"]
  towers = f"ECG encoder `{model['ecg']['name']}`"
  if not encoder:
    text = model["text"]
    towers += (
      f", text encoder a BERT ({text['depth']} layers of width "
      f"{text['width']}), alignment in training `{model['alignment']}`"
    )
  rows = {
    "towers": towers,
    "parameters": f"{about['parameters']['values']:,} float32",
    "input": f"12 leads ({' '.join(input_form['leads'])}), int16 microvolts, "
    f"{input_form['seconds']:g} s at {input_form['sampling_rate']} Hz",
    "output": f"unit vectors of {model['embedding']} numbers",
    "checkpoint": f"step {origin['step']}, parameter hash "
    f"`{origin['hash'][:16]}`",
    "versions": ", ".join(
      f"{n} {v}" for n, v in about["exported_with"].items()
    ),
  }
  lines = ["| | |", "|---|---|"]
  lines += [f"| {name} | {_inert(value)} |" for name, value in rows.items()]
  return "\n".join(lines)


def _use(encoder):
  call = 'zero_shot(signal_uv, 500, ["Atrial fibrillation", "Normal ECG"])'
  if encoder:
    call = "embed_ecg(signal_uv, 500)"
  return f"""\
    import fgclep_jax
    model = fgclep_jax.load("FOLDER")
    model.{call}

`signal_uv`: int16 microvolts (12, T), here at 500 Hz, leads in the order
above; `fgclep_jax.signals.reader.read_record(path).signal` reads it from a
WFDB record. Records with other leads: `leads=["I", "II"]`, one name for each
row. `preprocessor.json` says what is done to records of another rate or
length."""


def _inert(text):
  """Text that is no mark-up of a table, and shows what it holds."""
  text = results.inert(text)
  return text.replace("|", "\\|").replace("<", "&lt;")
