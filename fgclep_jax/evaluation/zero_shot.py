"""Zero-shot scores: cosine of an ECG's embedding with that of a class.

A class's score depends on its own prompts only: no softmax over classes,
which would change the ranking of records with the company a class keeps.
"""

import numpy as np

from fgclep_jax.errors import InputError


def class_embeddings(model, prompts):
  """Unit mean of the unit embeddings of each class's prompts.

  Args:
    model: has `embed_text(list of str) -> (U, E)` unit rows.
    prompts: dict class -> sequence of prompts; each distinct prompt is
      encoded once.

  Returns:
    (C, E) float64 unit rows in the order of `prompts`.
  """
  distinct = sorted({text for texts in prompts.values() for text in texts})
  rows = np.asarray(model.embed_text(distinct), np.float64)
  if not np.isfinite(rows).all():
    raise InputError(
      "the text tower gives values that are not finite: the checkpoint "
      "diverged; evaluate an earlier step"
    )
  row_of = dict(zip(distinct, rows, strict=True))
  means = np.stack(
    [np.mean([row_of[t] for t in texts], 0) for texts in prompts.values()]
  )
  length = np.linalg.norm(means, axis=1, keepdims=True)
  return means / np.maximum(length, 1e-12)


def add_token_counts(summary, model, prompts):
  """Adds to every class the word pieces of its longest prompt, and a flag
  where the model does not read the whole of it.

  Args:
    summary: of a table, with `per_class`.
    model: has `tokenizer.lengths(list of str)` and `tokenizer.max_tokens`.
    prompts: dict class -> sequence of prompts.
  """
  for name, texts in prompts.items():
    row = summary["per_class"][name]
    row["prompt_tokens"] = max(model.tokenizer.lengths(list(texts)))
    if row["prompt_tokens"] > model.tokenizer.max_tokens:
      row["flags"].append("truncated_prompt")


def zero_shot_scores(embedding, classes):
  """Cosines (n, C) float32 of unit rows (n, E) with unit rows (C, E)."""
  scores = np.asarray(embedding, np.float64) @ classes.T
  return scores.astype(np.float32)
