"""Similarity of texts without a pretrained encoder."""

import collections
import re

import numpy as np


def tfidf(texts):
  """Unit TF-IDF word vectors.

  Args:
    texts: n str.

  Returns:
    (n, Q) float32 unit rows, Q distinct words; a text without a word is a
    zero row. The product of two rows is their cosine, in [0, 1].
  """
  words = [re.findall(r"[a-z0-9]+", text.lower()) for text in texts]
  seen = collections.Counter(word for row in words for word in set(row))
  column = {word: i for i, word in enumerate(sorted(seen))}
  out = np.zeros((len(texts), max(len(column), 1)))
  for row, text in zip(out, words, strict=True):
    for word in text:
      row[column[word]] += np.log((1 + len(texts)) / (1 + seen[word])) + 1
  length = np.linalg.norm(out, axis=1, keepdims=True)
  return (out / np.maximum(length, 1e-12)).astype(np.float32)
