"""Retrieval in both directions: ECG -> text and text -> ECG.

Records with the same text are equally correct, candidates are the distinct
texts, ties count against the model. Beside it stand the stricter and the
looser reading: equal strings only, and the own pair only.
"""

import dataclasses
import hashlib

import numpy as np

from fgclep_jax import metrics
from fgclep_jax.evaluation import ranks
from fgclep_jax.evaluation import retrieval_texts as texts
from fgclep_jax.evaluation.parts import unit_ids, unit_name

TASK = "retrieval"
GALLERY = 1000  # records of the smaller gallery
PAIRED = "recall@10"
NAMES = {
  "ecg_to_text": "ECG to text",
  "ecg_to_text_per_text": "ECG to text, mean over distinct texts",
  "ecg_to_text_exact": "ECG to text, equal strings only",
  "ecg_to_text_own": "ECG to text, own report only",
  "text_to_ecg": "text to ECG",
  "text_to_ecg_exact": "text to ECG, equal strings only",
  "text_to_ecg_own": "text to ECG, own record only",
}


@dataclasses.dataclass(frozen=True)
class Gallery:
  """Records that are searched.

  rows (N,) int of the split; record_ids (N,) str; drawn: how, in words;
  identity: what equal texts are; texts: {identity: Texts}; stream: of their
  patients; unit: what is resampled, in words.
  """

  name: str
  drawn: str
  rows: np.ndarray
  record_ids: np.ndarray
  identity: str
  texts: dict
  stream: metrics.Resamples
  unit: str


def has_texts(split):
  """Whether any record of a split has a statement."""
  return bool(np.diff(split.statement_offsets).any())


def evaluate(work):
  """Retrieval among the tested records that have a text.

  Args:
    work: `work.Work`.

  Returns:
    The block `retrieval` of results.json, and a dict of arrays from which
    every figure follows: record ids, the text of each record, ranks.
  """
  split = work.parts["test"].split
  statements = split.statements
  texted = np.array([bool(own) for own in statements])
  asked = [own for own in statements if own]
  identity = texts.identity_of(split.dataset)
  embedders = {
    name: texts.TextEmbedder(model, model.config.data.text, asked)
    for name, model in work.encoders.items()
  }
  block = {
    "protocol": "standard",
    "text_identity": texts.IDENTITIES[identity],
    "text_embedding": {name: e.kind for name, e in embedders.items()},
    "truncated_strings": {name: e.truncated for name, e in embedders.items()},
    "records_without_text": int((~texted).sum()),
    "galleries": {},
  }
  arrays = {}
  for gallery in galleries(split, statements, identity, work.options.seed):
    entry, kept = _gallery_block(gallery, work, embedders)
    block["galleries"][gallery.name] = entry
    arrays |= {f"{gallery.name}/{key}": value for key, value in kept.items()}
  return block, arrays


def galleries(split, statements, identity, seed):
  """The whole split, and GALLERY records of it where there are more.

  The draw depends on the seed and the ids alone: records are sorted by the
  sha256 of both, the first ones are taken.

  Args:
    split: has `record_ids` and `patient_ids`.
    statements: of every record of the split, n tuples of str; records
      without any are left out.
    identity: `statements` or `words`.
    seed: int.

  Yields:
    Gallery.
  """
  rows = np.flatnonzero([bool(own) for own in statements])
  ids, patients = np.asarray(split.record_ids, str), split.patient_ids
  chosen = {"whole": (rows, "every record with a text")}
  if len(rows) > GALLERY:
    marks = [
      hashlib.sha256(f"{seed}/{record}".encode()).hexdigest()
      for record in ids[rows]
    ]
    drawn = np.sort(rows[np.argsort(marks, kind="stable")[:GALLERY]])
    text = f"the first {GALLERY} by sha256 of seed {seed} and record id"
    chosen[str(GALLERY)] = (drawn, text)
  for name, (own, drawn) in chosen.items():
    held = [statements[i] for i in own]
    owners = [patients[i] for i in own]
    yield Gallery(
      name, drawn, own, ids[own], identity,
      {i: texts.distinct_texts(held, i) for i in (identity, "exact_string")},
      metrics.Resamples(unit_ids(owners, ids[own]), seed),
      unit_name(owners),
    )  # fmt: skip


def _gallery_block(gallery, work, embedders):
  """A gallery's entry in results.json, and its ranks."""
  entry, arrays = _head(gallery, work.options), {}
  arrays["record_ids"] = gallery.record_ids
  arrays["text_of_record"] = gallery.texts[gallery.identity].of_record
  drawn = {}
  for name, embedder in embedders.items():
    store = work.stores[name][work.parts["test"].split.name]
    found = _ranks(gallery, store.embedding[gallery.rows], embedder)
    arrays |= {f"{name} {way}": own for way, (own, _, _) in found.items()}
    summary, drawn[name] = _summary(gallery, found, work.options.resamples)
    if name == "trained":
      entry |= summary
    elif name == "untrained":
      entry[name] = summary
    else:
      entry.setdefault("beside", {})[name] = summary
  entry["paired"] = _paired(drawn)
  return entry, arrays


def _head(gallery, options):
  """What a gallery holds, and what knowing nothing would find in it."""
  own = gallery.texts[gallery.identity]
  count, correct = len(gallery.rows), np.bincount(own.of_record)
  chances = {
    "ecg_to_text": (len(own), np.ones(count)),
    "text_to_ecg": (count, correct),
  }
  ids = "\n".join(sorted(gallery.record_ids))
  return {
    "ecgs": count,
    "distinct_texts": len(own),
    "distinct_strings": len(gallery.texts["exact_string"]),
    "commonest_text": int(correct.max()),
    "drawn": gallery.drawn,
    "sha256": hashlib.sha256(ids.encode()).hexdigest(),
    "bootstrap": {
      "resamples": options.resamples,
      "seed": options.seed,
      "unit": gallery.unit,
      "units": gallery.stream.unit_count,
      "sha256": gallery.stream.digest,
    },
    "chance": {
      way: {f"recall@{k}": ranks.chance(*of, k) for k in ranks.DEPTHS}
      for way, of in chances.items()
    },
    # A fixed answer, whatever the ECG shows.
    "most_frequent": {
      "ecg_to_text": {
        f"recall@{k}": np.sort(correct)[::-1][:k].sum() / count
        for k in ranks.DEPTHS
      }
    },
  }


def _ranks(gallery, ecg, embedder):
  """{name: (ranks, query of each record or None, groups or None)}."""
  found = {}
  for identity, end in ((gallery.identity, ""), ("exact_string", "_exact")):
    own = gallery.texts[identity]
    text = embedder.embed(own.statements)
    to_text = ranks.text_ranks(ecg, text, own.of_record)
    to_ecg = ranks.record_ranks(ecg, text, own.of_record)
    found[f"ecg_to_text{end}"] = (to_text, None, None)
    if not end:
      found["ecg_to_text_per_text"] = (to_text, None, own.of_record)
    found[f"text_to_ecg{end}"] = (to_ecg, own.of_record, None)
  # The last identity: a record's own wording, character by character.
  pair = (ecg, text, own.of_record)
  found["ecg_to_text_own"] = (ranks.own_text_ranks(*pair), None, None)
  found["text_to_ecg_own"] = (ranks.own_record_ranks(*pair), None, None)
  return found


def _summary(gallery, found, resamples):
  """Values and intervals of a model, and its resampled recalls."""
  summary, drawn = {}, {}
  for name, (own, of_record, groups) in found.items():
    drawn[name] = ranks.resampled(
      own, gallery.stream, resamples, of_record, groups
    )
    summary[name] = ranks.summarise(own, drawn[name], groups)
  return summary, drawn


def _paired(drawn):
  """Differences of recall on the same resamples, trained minus another."""
  return [
    {"way": way, "metric": PAIRED, "first": "trained", "second": name}
    | metrics.paired_difference(drawn["trained"][way][PAIRED], own[way][PAIRED])
    for name, own in drawn.items()
    if name != "trained"
    for way in ("ecg_to_text", "text_to_ecg")
  ]


def rows_of(entry):
  """(method, summary) of a gallery's entry, the report's order."""
  kinds = {"": entry, "untrained: ": entry.get("untrained")}
  for name, other in entry.get("beside", {}).items():
    kinds[f"beside {name}: "] = other
  for way in ("ecg_to_text", "text_to_ecg"):
    for label, own in kinds.items():
      if own:
        yield f"{label}{NAMES[way]}", own[way]
    for name, label in NAMES.items():
      if name.startswith(f"{way}_") and name in entry:
        yield label, entry[name]
