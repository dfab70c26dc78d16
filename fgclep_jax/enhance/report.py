"""report.html of an enhancement: what was asked, kept, dropped, and why.

One file that a reader without the program understands: pictures are
embedded, nothing is fetched, every text from outside is escaped. It shows
tracings and statements of a few records, and no patient ids. Whatever is
missing from the content is left out.
"""

from fgclep_jax.enhance import figures, sections
from fgclep_jax.enhance.cells import at, count, row, score, share, total
from fgclep_jax.evaluation.page import STYLE, between, grid, picture, text

_EXAMPLES = 10
_STYLE = """
.bar{display:inline-block;width:5rem;height:.7rem;border:1px solid #1a1a1a;
margin-right:.5rem;vertical-align:-.05rem}
.bar i{display:block;height:100%;background:#6b6b6b;
print-color-adjust:exact;-webkit-print-color-adjust:exact}
.example{display:flex;flex-wrap:wrap;gap:0 1.2rem;align-items:flex-start;
break-inside:avoid}
.example figure{flex:3 1 34rem;min-width:0;margin:.4rem 0}
.example>div{flex:1 1 17rem}.example td:first-child{white-space:normal}
.example th{border-bottom:1px solid #1a1a1a}.example table{width:100%}
.example h4{margin:.5rem 0 0}dl{display:grid;
grid-template-columns:max-content 1fr;gap:.4rem 1.2rem}
dt{font-weight:600}dd{margin:0}
"""
_METHODS = {
  "calibrated": (
    "A candidate is kept when its probability of being seen in the tracing "
    "reaches {threshold}. The probability comes from the coarse model's view "
    "of the ECG and from what reports of other patients state, without any "
    "truth; the threshold is the lowest at which the kept candidates are "
    "expected to be right in {target} of cases (expected: {expected})."
  ),
  "quantile": (
    "Of the candidates of every feature the best-scoring share is kept. The "
    "score is the cosine of ECG and feature in the coarse model; the median "
    "threshold over the features is {threshold}."
  ),
  "fixed": (
    "A candidate is kept when the cosine of ECG and feature in the coarse "
    "model is at least {threshold}."
  ),
}
# What a decision was, by the truth of the feature.
_VERDICTS = {
  "kept": {1: "<b>&#10003; present</b>", 0: "<b>&#10007; absent</b>"},
  "dropped": {1: "<b>&#10007; present</b>", 0: "<b>&#10003; absent</b>"},
}


def write(path, content, examples=()):
  """Writes the page.

  Args:
    path: the file, e.g. report.html.
    content: dict as in enhance.json; every key may be missing or None.
    examples: up to ten dicts of `record` (a label that names no patient),
      `signal` (12, T) int16 microvolts, `rate` Hz, `statements`, `kept` and
      `dropped` [(feature, score)], `truth` {feature: 0 or 1} or None.
  """
  with open(path, "w", encoding="utf-8") as file:
    file.write(page(content, examples))


def page(content, examples=()):
  """The document as one string; arguments as `write`."""
  title = f"Waveform enhancement: {content.get('dataset') or 'reports'}"
  parts = [
    "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
    "<meta name='viewport' content='width=device-width'>",
    f"<title>{text(title)}</title><style>{STYLE}{_STYLE}</style></head><body>",
    f"<h1>{text(title)}</h1>",
  ]
  if content.get("notice"):
    parts.append(f"<p class='notice'>{text(content['notice'])}</p>")
  for heading, section in (
    ("In short", _short(content)),
    ("How it was judged", _method(content)),
    ("Right or wrong", sections.truth(content)),
    ("Other thresholds", sections.thresholds(content)),
    ("What was asked", sections.asked(content)),
    ("Features", sections.features(content)),
    ("Examples", _examples(examples)),
    ("How it was run", _run(content)),
  ):
    body = "".join(section)
    if body:
      parts.append(f"<h2>{heading}</h2>{body}")
  return "".join([*parts, "</body></html>\n"])


def _short(content):
  """What was asked, kept, dropped and why, in plain words."""
  lines = [*_proposed(content), *_decided(content), *_right(content)]
  yield "<dl>"
  yield from (f"<dt>{name}</dt><dd>{what}</dd>" for name, what in lines)
  yield "</dl>"


def _proposed(content):
  records, refused = (total(content.get(key)) for key in ("splits", "refused"))
  yield (
    "Asked",
    f"{count(at(content, 'statements', 'distinct'))} distinct statements of "
    f"{count(records)} records were read. For the findings in them, "
    f"the backend {text(at(content, 'backend', 'source') or '')} proposed "
    f"waveform features: {count(at(content, 'pairs', 'candidates'))} pairs of "
    "a record and a feature that its tracing may show.",
  )
  if content.get("planted"):
    yield (
      "Planted",
      "Wrong candidates were added on purpose, to see them caught: "
      f"{share(content['planted'])} of all proposals, counted by statement.",
    )
  if refused:
    yield (
      "Refused",
      f"{count(refused)} proposals, before any ECG "
      "was looked at, for their form or their meaning.",
    )


def _decided(content):
  pairs = content.get("pairs") or {}
  asked, kept = pairs.get("candidates"), pairs.get("kept")
  if asked is not None and kept is not None:
    yield (
      "Kept",
      f"{count(kept)} pairs ({share(pairs.get('keep_rate'))}), confirmed by "
      "the coarse model on the record's own ECG.",
    )
    yield (
      "Dropped",
      f"{count(asked - kept)} pairs, whose score did not reach the "
      "threshold: the model does not see the feature clearly enough.",
    )
  if pairs.get("stated") is not None:
    yield (
      "Stated",
      f"{count(pairs['stated'])} pairs stand in the reports themselves.",
    )


def _right(content):
  about = at(content, "truth", "summary") or {}
  before = at(about, "precision_before", "value")
  after = at(about, "precision", "value")
  source = text(at(content, "truth", "source") or "")
  source = f", judged by {source}" if source else ""
  if before is not None and after is not None:
    yield (
      "Right",
      f"{share(before)} of the candidates before verification, "
      f"{share(after)} (95 % interval "
      f"{between(at(about, 'precision', 'ci95'))}) of those kept; "
      f"{share(at(about, 'recall_of_candidates', 'value'))} of the right ones "
      f"were kept{source}.",
    )


def _method(content):
  about = content.get("verification") or {}
  threshold = about.get("threshold")
  calibrated = about.get("method") == "calibrated"
  never = calibrated and threshold is not None and threshold > 1
  if about.get("method") in _METHODS:
    yield "<p>" + _METHODS[about["method"]].format(
      threshold="a value that none has" if never else score(threshold),
      target=share(about.get("target_precision")),
      expected=share(about.get("expected_precision")),
    )
    yield f" Method: <b>{text(about['method'])}</b>.</p>"
  if never:
    yield "<p><b>No threshold reaches the target: nothing is kept.</b></p>"
  if about.get("mention_rate") is not None:
    yield (
      f"<p>Where a diagnosis makes a feature certain, reports mention it in "
      f"{share(about['mention_rate'])} of cases (mention rate), so a silent "
      "report is not taken for absence.</p>"
    )
  if about.get("features") is not None:
    yield (
      f"<p>{count(about['features'])} features are stated by enough reports "
      "to be calibrated; candidates of any other feature are dropped.</p>"
    )


def _examples(examples):
  for number, one in enumerate(examples[:_EXAMPLES], 1):
    if number == 1:
      yield (
        "<p class='note'>Tracings and statements of single records: keep this "
        "page where the data may be kept. &#10003;: a feature rightly kept or "
        "dropped. &#10007;: wrongly. Truth is marked where it is known.</p>"
      )
    statements = "; ".join(map(str, one.get("statements") or ()))
    yield f"<h3>Example {number}: {text(one.get('record'))}</h3>"
    yield f"<p>Report: {text(statements)}</p><div class='example'>"
    if one.get("signal") is not None and one.get("rate"):
      png = figures.ecg(one["signal"], one["rate"], f"Example {number}")
      yield picture(png, f"Example {number}, 12 leads and a rhythm strip.")
    yield "<div>"
    for kind in ("kept", "dropped"):
      yield _listed(kind, one.get(kind) or (), one.get("truth"))
    yield "</div></div>"


def _listed(kind, pairs, truth):
  """Features of an example with scores, and their truth where known."""
  heading = f"<h4>{kind.capitalize()} ({len(pairs)})</h4>"
  if not pairs:
    return heading
  head, rows = ["Feature", "Score"], []
  words = _VERDICTS[kind]
  for name, value in sorted(pairs, key=lambda pair: -pair[1]):
    cells = [text(name), f"{value:.3f}"]
    if truth is not None:
      cells.append(words.get(truth.get(name), "unknown"))
    rows.append(row(cells))
  if truth is not None:
    head.append("Truth")
  return heading + grid(head, rows)


def _run(content):
  run = content.get("run") or {}
  rows = [
    f"<tr><td>{name}</td><td class='text'>{text(value)}</td></tr>"
    for name, value in (
      ("Dataset", content.get("dataset")),
      ("Config", content.get("config")),
      ("Records", _pairs_of(content.get("splits"))),
      ("Data", _pairs_of(content.get("data"))),
      ("Coarse checkpoint", _pairs_of(content.get("coarse"))),
      ("Backend", _pairs_of(content.get("backend"))),
      ("Verification", _pairs_of(content.get("verification"))),
      ("Seconds", _pairs_of(content.get("seconds"))),
      ("Time", run.get("time")),
      ("Machine", run.get("machine")),
      ("Versions", _pairs_of(run.get("versions"))),
    )
    if value
  ]
  if rows:
    yield f"<div class='prompts'>{grid(('Of the run', 'Value'), rows)}</div>"
  if run.get("command"):
    yield f"<pre>{text(run['command'])}</pre>"


def _pairs_of(value):
  """`name value, ...` of what is known in a dict, as plain text."""
  words = []
  for name, one in (value or {}).items():
    if one not in (None, "") and not isinstance(one, dict):
      number = f"{one:.4g}" if isinstance(one, float) else one
      words.append(f"{name.replace('_', ' ')} {number}")
  return ", ".join(words)
