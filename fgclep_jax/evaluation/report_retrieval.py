"""The retrieval section of report.html: numbers only, never report text."""

from fgclep_jax.evaluation.page import between, grid, paired, percent, text
from fgclep_jax.evaluation.retrieval import NAMES, rows_of

_EXPLANATION = """
<p>A query's rank is 1 plus the number of incorrect items that score at least
as high as the best correct one; ties count against the model. Candidates of
an ECG are the distinct texts; every ECG with the text of a query is correct.
R@k is the share of queries of rank k or better. <i>Mean over distinct
texts</i> counts every text once, or frequent normal reports decide. <i>Equal
strings only</i>: the same, but reports must agree in every character. <i>Own
only</i>: among all records, nothing but the pair itself is correct, although
others may have the very same report. Intervals resample the patients of the
queries, the gallery stays. Chance is a random order; most frequent is the
same answer to every ECG, the texts by their frequency.</p>
"""


def section(block):
  """Parts of the page for the block `retrieval` of results.json."""
  yield "<h2>Retrieval</h2>"
  yield (
    f"<p>Records have the same text when they agree in: "
    f"{text(block['text_identity'])}. Records without text, left out: "
    f"{block['records_without_text']}. {_embedding(block)} Texts longer than "
    f"the model reads, cut: {block['truncated_strings']['trained']}.</p>"
  )
  yield _EXPLANATION
  for name, entry in block["galleries"].items():
    yield from _gallery(name, entry)


def _embedding(block):
  kinds = set(block["text_embedding"].values())
  ways = {
    "report": "the whole report, as in training",
    "statements": "the unit mean of its statements' embeddings, "
    "which were trained one by one",
  }
  if len(kinds) == 1:
    return f"The embedding of a text is {ways[kinds.pop()]}."
  each = [f"{n}: {ways[k]}" for n, k in block["text_embedding"].items()]
  return f"The embedding of a text is, {text('; '.join(each))}."


def _gallery(name, entry):
  strap = entry["bootstrap"]
  yield f"<h3>Gallery: {text(name)}</h3>"
  yield (
    f"<p>{entry['ecgs']} ECGs ({text(entry['drawn'])}), "
    f"{entry['distinct_texts']} distinct texts, the commonest of "
    f"{entry['commonest_text']} ECGs, {entry['distinct_strings']} distinct "
    f"strings; {strap['resamples']} resamples of {strap['units']} units "
    f"(unit: {text(strap['unit'])}); ids sha256 "
    f"<code>{text(entry['sha256'][:16])}</code>. R@k times 100.</p>"
  )
  head = ["Method", "Queries"]
  for k in (1, 5, 10):
    head += [f"R@{k}", "95 %"]
  head += ["Median rank", "95 %"]
  rows = []
  for label, summary in rows_of(entry):
    own = " class='own'" if label in ("ECG to text", "text to ECG") else ""
    rows.append(f"<tr{own}><td>{'</td><td>'.join(_cells(label, summary))}")
  for label in ("chance", "most_frequent"):
    for way, found in entry[label].items():
      cells = [f"{label.replace('_', ' ')}: {NAMES[way]}", ""]
      for k in (1, 5, 10):
        cells += [percent(found[f"recall@{k}"]), ""]
      cells += ["", ""]
      rows.append(f"<tr class='few'><td>{'</td><td>'.join(cells)}")
  yield grid(head, [f"{row}</td></tr>" for row in rows])
  yield paired(
    "Paired difference of R@10",
    [
      (f"{NAMES[pair['way']]}: trained minus {text(pair['second'])}", pair)
      for pair in entry["paired"]
    ],
  )


def _cells(label, summary):
  cells = [text(label), str(summary["queries"])]
  for k in (1, 5, 10):
    cells.append(percent(summary[f"recall@{k}"]))
    cells.append(between(summary[f"recall@{k}_ci95"]))
  if "median_rank" not in summary:
    return [*cells, "", ""]
  low, high = summary["median_rank_ci95"]
  return [
    *cells,
    f"{summary['median_rank']:g}",
    f"{round(low, 1):g}&ndash;{round(high, 1):g}",
  ]
