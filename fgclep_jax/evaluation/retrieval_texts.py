"""Which records have the same text, and what a text's embedding is.

A text is what a record's statements say, whatever their order, case and
punctuation. Sets with free-text reports are compared word by word.
"""

import dataclasses
import re

import numpy as np

from fgclep_jax.errors import InputError

# Sets whose reports were written by hand, split into statements by rule.
FREE_TEXT = ("ptb_xl",)
IDENTITIES = {
  "statements": "the set of statements, case and punctuation ignored",
  "words": "the sorted words of the report, case and punctuation ignored",
  "exact_string": "the statements joined as they stand",
}
# A full stop or comma inside a number and the sign of one stay.
_SEPARATORS = re.compile(r"(?<!\d)[.,]|[.,](?!\d)|[^\w.,+<>=%-]+|_+")


def identity_of(dataset):
  """`words` for sets of free-text reports, else `statements`."""
  return "words" if dataset in FREE_TEXT else "statements"


def words(text):
  """Lower-case words of a text, EKG written as ECG."""
  found = _SEPARATORS.sub(" ", text.casefold()).split()
  return ["ecg" if word == "ekg" else word for word in found]


def joined(statements):
  """A record's statements as one text, as training joins them."""
  return ". ".join(statements)


def key_of(statements, identity):
  """What records with the same text share, a str.

  Args:
    statements: of one record, in stored order.
    identity: a key of IDENTITIES.
  """
  if identity == "exact_string":
    return joined(statements)
  if identity == "words":
    return " ".join(sorted(words(joined(statements))))
  distinct = {" ".join(words(statement)) for statement in statements}
  return "\n".join(sorted(distinct - {""}))


@dataclasses.dataclass(frozen=True)
class Texts:
  """The distinct texts of n records.

  of_record: (n,) int, which text a record has.
  statements: U tuples of str, the wording that stands for each text: the
    most frequent among its records, of equal ones the first in the alphabet.
  """

  of_record: np.ndarray
  statements: tuple

  def __len__(self):
    return len(self.statements)


def distinct_texts(statements, identity):
  """Groups records by their text; the order of records changes nothing.

  Args:
    statements: n tuples of str, none empty.
    identity: a key of IDENTITIES.

  Returns:
    Texts, in the order of their keys.
  """
  keys = np.array([key_of(own, identity) for own in statements], object)
  names, of_record = np.unique(keys, return_inverse=True)
  wordings = [{} for _ in names]
  for text, own in zip(of_record, statements, strict=True):
    wordings[text][own] = wordings[text].get(own, 0) + 1
  chosen = [min(own, key=lambda s: (-own[s], s)) for own in wordings]
  return Texts(of_record, tuple(chosen))


class TextEmbedder:
  """Embeds records' texts as the model's training saw them.

  A model trained on whole reports (`data.text` = "report") reads the
  statements joined to one text. One trained on single statements never saw
  two together: its text is the unit mean of the unit embeddings of the
  distinct statements. Every distinct string is encoded once; `truncated`
  counts those that are longer than the model reads.

  Args of the constructor:
    model: has `embed_text(list of str) -> (U, E)` unit rows and a
      `tokenizer` with `lengths` and `max_tokens`.
    kind: "report" or "statements".
    texts: all tuples of statements that will be asked for.
  """

  def __init__(self, model, kind, texts):
    self.kind = kind
    distinct = sorted({s for own in texts for s in self._strings(own)})
    rows = np.asarray(model.embed_text(distinct), np.float64)
    if not np.isfinite(rows).all():
      raise InputError(
        "the text tower gives values that are not finite: the checkpoint "
        "diverged; evaluate an earlier step"
      )
    lengths = model.tokenizer.lengths(distinct)
    self.truncated = sum(n > model.tokenizer.max_tokens for n in lengths)
    self._row_of = dict(zip(distinct, rows, strict=True))

  def _strings(self, statements):
    """The strings that are encoded for a text, sorted."""
    whole = self.kind == "report"
    return [joined(statements)] if whole else sorted(set(statements))

  def embed(self, texts):
    """U tuples of statements -> (U, E) float64 unit rows."""
    means = np.stack(
      [
        np.mean([self._row_of[s] for s in self._strings(own)], 0)
        for own in texts
      ]
    )
    length = np.linalg.norm(means, axis=1, keepdims=True)
    return means / np.maximum(length, 1e-12)
