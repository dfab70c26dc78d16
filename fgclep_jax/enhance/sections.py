"""Sections of the report: what was asked, how right it is, features."""

from fgclep_jax.enhance import figures
from fgclep_jax.enhance.cells import at, bar, count, row, unit
from fgclep_jax.evaluation.page import between, grid, percent, picture, text

_PANELS = 24  # histograms of the commonest features
_SHARES = ("precision_before", "precision", "recall_of_candidates")
_REASONS = {
  "unknown": "names nothing of the closed vocabulary",
  "leads": "known finding, but in other leads",
  "bound": "known quantity, but with another limit",
  "contradicted": "excluded by the diagnosis itself",
  "repeated": "named twice in one answer",
  "json": "the answer has another form than asked for",
  "too many": "more features than anyone would choose",
  "too long": "statement or answer beyond the length that is read",
  "failed": "no answer was got",
}
_COUNTS = {
  "findings": "distinct findings",
  "cached": "answered by the cache",
  "asked": "asked now",
  "answered": "of these answered",
  "failed": "without an answer",
  "proposed": "features proposed, after all checks",
  "corrected": "statements set by a reviewer",
}
_DEFINITIONS = (
  "Precision: of the candidates whose truth is known, the share that is "
  "present. Recall of true candidates: of the candidates that are present, "
  "the share kept. Recall: of all features present, asked for or not, the "
  "share kept. AUROC: how well the score alone separates present from "
  "absent. Intervals resample patients; they cover the sampling of the "
  "records only, not another training run."
)


def asked(content):
  """Statements by class, questions to the backend, refused proposals."""
  classes = at(content, "statements", "by_class") or {}
  if classes:
    rows = [
      row([text(name), count(at(one, "distinct")),
            count(at(one, "records"))])
      for name, one in classes.items()
    ]  # fmt: skip
    yield "<h3>Statements</h3>"
    yield grid(("Class", "Distinct statements", "Times in reports"), rows)
    yield (
      "<p class='note'>Only statements of the classes waveform, diagnosis and "
      "rhythm are ever asked about.</p>"
    )
  counts = at(content, "statements", "counts") or {}
  rows = [
    row([label, count(counts[key])])
    for key, label in _COUNTS.items()
    if key in counts
  ]
  if rows:
    yield "<h3>Questions to the backend</h3>" + grid(("What", "Number"), rows)
  refused = content.get("refused") or {}
  if refused:
    ranked = sorted(refused, key=lambda reason: -(refused[reason] or 0))
    rows = [
      f"<tr><td>{text(reason)}</td><td class='text'>"
      f"{_REASONS.get(str(reason).split(':')[0], '')}</td>"
      f"<td>{count(refused[reason])}</td></tr>"
      for reason in ranked
    ]
    head = ("Reason", "Meaning", "Number")
    yield "<h3>Refused proposals</h3>"
    yield f"<div class='prompts'>{grid(head, rows)}</div>"


def truth(content):
  """Precision before and after, beside other ways to choose as many."""
  known = content.get("truth") or {}
  if not known:
    return
  about = known.get("summary") or {}
  yield (
    f"<p>Truth: {text(known.get('source') or 'known features')}, split "
    f"{text(known.get('split'))}, {count(known.get('records'))} records; "
    f"{count(about.get('unknown'))} candidates of unknown truth are left out. "
    "A filter that does not beat as many candidates chosen at random, or by "
    "how common the feature is, verifies nothing.</p>"
  )
  ways = list(_ways(content))
  yield _ways_table(ways)
  points = [
    (label, at(one, "value"), at(one, "ci95"), own)
    for label, _, (one, *_), own in ways
    if at(one, "value") is not None
  ]
  if points:
    yield picture(
      figures.precisions(points),
      "Precision before and after verification. Filled: the filter in use. "
      "Lines: 95 % intervals, where there are any.",
    )
  areas = [about.get(key) for key in ("auroc", "auroc_by_feature")]
  if any(area is not None for area in areas):
    yield (
      "<p class='note'>AUROC of the score, present against absent: "
      f"{percent(areas[0])} over all pairs, {percent(areas[1])} as the mean "
      "over features.</p>"
    )
  yield f"<p class='note'>{_DEFINITIONS}</p>"
  if known.get("by_class"):
    yield "<h3>By class of statement</h3>" + _judged_table(known["by_class"])


def _ways(content):
  """(label, pairs, (precision, recall of candidates, recall), own) of each."""
  about = at(content, "truth", "summary") or {}
  fixed = at(content, "truth", "fixed_0.95") or {}
  method = at(content, "verification", "method") or "the filter"
  before = (about.get("precision_before"), {"value": 1.0})
  yield (
    "all candidates, before", about.get("pairs"),
    (*before, about.get("recall_before")), False,
  )  # fmt: skip
  keys = ("precision", "recall_of_candidates", "recall")
  for label, one, own in (
    (f"kept: {method}", about, True),
    ("kept: cosine of at least 0.95", fixed, False),
  ):
    if one:
      yield label, one.get("kept"), tuple(one.get(key) for key in keys), own
  for key, label in (
    ("at_random", "as many, at random"),
    ("by_frequency", "as many, of the commonest features"),
  ):
    value = {"value": at(about, key, "precision")}
    yield label, about.get("kept"), (value, None, None), False


def _ways_table(ways):
  head = (
    "Chosen", "Pairs", "Precision %", "95 %", "Recall of true candidates %",
    "95 %", "Recall %", "95 %",
  )  # fmt: skip
  rows = []
  for label, pairs, values, own in ways:
    cells = [text(label), count(pairs)]
    for one in values:
      cells += [percent(at(one, "value")), between(at(one, "ci95"))]
    rows.append(row(cells, "own" if own else ""))
  return grid(head, rows)


def _judged_table(table):
  head = (
    "Class", "Asked", "Truth known", "Kept", "Precision before %",
    "Precision after %", "Recall of true candidates %",
  )  # fmt: skip
  rows = []
  for name, one in table.items():
    cells = [text(name)]
    cells += [count(at(one, key)) for key in ("candidates", "known", "kept")]
    cells += [percent(at(one, key)) for key in _SHARES]
    rows.append(row(cells))
  return grid(head, rows)


def thresholds(content):
  """What other thresholds would keep, and the whole sweep."""
  about = content.get("verification") or {}
  if content.get("sensitivity"):
    head = (
      "Threshold", "Kept", "Keep rate %", "Precision %", "95 %",
      "Recall of true candidates %", "95 %",
    )  # fmt: skip
    rows = []
    for one in content["sensitivity"]:
      cells = [text(one.get("label")), count(one.get("kept"))]
      cells.append(bar(one.get("keep_rate")))
      for key in ("precision", "recall_of_candidates"):
        cells += [percent(at(one, key, "value")), between(at(one, key, "ci95"))]
      rows.append(row(cells))
    yield grid(head, rows)
  if at(content, "sweep", "threshold"):
    curves = dict(content["sweep"])
    caption = "Precision and recall at every threshold; dots: the one in use."
    if about.get("method") == "calibrated":
      caption += " Dotted: precision as the fit expects it, without any truth."
    else:
      # A cosine is no probability: its mean expects nothing.
      curves.pop("expected_precision", None)
    yield picture(
      figures.sweep(
        curves, about.get("threshold"), about.get("target_precision"),
        unit(about),
      ),
      caption,
    )  # fmt: skip


def features(content):
  """The table of features, and the scores of the commonest."""
  table = content.get("features") or {}
  if not table:
    return
  ranked = sorted(table, key=lambda name: -(at(table, name, "asked") or 0))
  judged = at(content, "truth", "by_feature") or {}
  head = ["Feature", "Asked", "Kept", "Keep rate %", "Stated"]
  if judged:
    head += ["Truth known", "Precision before %", "Precision after %",
             "Recall of true candidates %"]  # fmt: skip
  rows = []
  for name in ranked:
    one, known = table[name] or {}, judged.get(name)
    cells = [text(name), count(one.get("asked")), count(one.get("kept"))]
    cells += [bar(one.get("keep_rate")), count(one.get("stated"))]
    if judged:
      cells.append(count(at(known, "known")))
      cells += [percent(at(known, key)) for key in _SHARES]
    rows.append(row(cells))
  yield grid(head, rows)
  yield (
    "<p class='note'>Sorted by how often the feature was asked about. Stated: "
    "records whose report names the feature itself.</p>"
  )
  yield _histograms(content, ranked)


def _histograms(content, ranked):
  about = content.get("verification") or {}
  counts = {
    name: at(content, "features", name, "histogram")
    for name in ranked
    if at(content, "features", name, "histogram")
  }
  counts = dict(list(counts.items())[:_PANELS])
  if not counts:
    return ""
  # Under `quantile` every feature has a threshold of its own.
  single = about.get("method") != "quantile"
  threshold = about.get("threshold") if single else None
  return "<h3>Scores</h3>" + picture(
    figures.histograms(counts, threshold, unit(about)),
    f"Scores of the candidates of the {len(counts)} features asked about "
    "most. Filled: kept. Hatched: dropped."
    + " Dashed line: the threshold."
    * (threshold is not None),
  )
