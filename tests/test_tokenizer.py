"""WordPiece vocabulary and tokenizer."""

import collections
import itertools

import numpy as np
import pytest

from fgclep_jax.errors import InputError
from fgclep_jax.reports import tokenizer as t

TEXTS = ["Sinus rhythm", "sinus bradycardia", "ST elevation in V1-V4"] * 3


def test_vocabulary_is_a_function_of_the_texts():
  first = t.train_vocabulary(TEXTS, 200)
  assert first == t.train_vocabulary(list(reversed(TEXTS)), 200)
  assert tuple(first[:5]) == t.SPECIAL
  assert "sinus" in first
  assert len(t.train_vocabulary(TEXTS, 40)) == 40
  assert len(set(first)) == len(first)


def recounted(texts, size):
  """The same vocabulary by counting all pairs again before each merge."""
  words = collections.Counter(w for text in texts for w in t._words(text))
  parts = {w: [w[0], *("##" + c for c in w[1:])] for w in words}
  pieces = dict.fromkeys(t.SPECIAL)
  pieces |= dict.fromkeys(sorted({p for ps in parts.values() for p in ps}))
  while len(pieces) < size:
    pairs = collections.Counter()
    for word, split in parts.items():
      for pair in itertools.pairwise(split):
        pairs[pair] += words[word]
    if not pairs:
      break
    best = min(pairs, key=lambda pair: (-pairs[pair], pair))
    merged = best[0] + best[1].removeprefix("##")
    pieces[merged] = None
    parts = {w: t._merge(split, best, merged) for w, split in parts.items()}
  return list(pieces)


@pytest.mark.parametrize("seed", range(4))
def test_vocabulary_equals_one_of_pairs_counted_again(seed):
  """Few letters: pairs overlap, tie and appear by other merges."""
  rng = np.random.default_rng(seed)
  texts = [
    " ".join(
      "".join(rng.choice(list("abc"), rng.integers(1, 9))) for _ in range(4)
    )
    for _ in range(40)
  ]
  for size in (5, 30, 90, 1000):
    assert t.train_vocabulary(texts, size) == recounted(texts, size)
  times = rng.integers(1, 9, len(texts))
  many = [x for x, n in zip(texts, times, strict=True) for _ in range(n)]
  found = t.train_vocabulary(texts, 90, times.tolist())
  assert found == recounted(many, 90)


def test_every_training_text_is_spelled_without_unknowns():
  vocabulary = t.train_vocabulary(TEXTS, 60)
  tokenizer = t.Tokenizer(vocabulary, 64)
  ids = tokenizer.encode(TEXTS)
  assert not (ids == vocabulary.index("[UNK]")).any()
  spelled = "".join(vocabulary[i].removeprefix("##") for i in ids[0] if i > 4)
  assert spelled == "sinusrhythm"


def test_encode_pads_and_cuts():
  tokenizer = t.Tokenizer(t.train_vocabulary(TEXTS, 200), 4)
  ids = tokenizer.encode(["sinus", "sinus rhythm sinus rhythm"])
  assert ids.shape == (2, 4)
  assert ids.dtype == np.int32
  cls, sep = (tokenizer.vocabulary.index(x) for x in ("[CLS]", "[SEP]"))
  assert ids[0, 0] == ids[1, 0] == cls
  assert ids[0, 2] == ids[1, 3] == sep  # the end stays when a text is cut
  assert ids[0, 3] == 0
  assert tokenizer.lengths(["sinus rhythm sinus rhythm"]) == [6]
  assert tokenizer.encode([]).shape == (0, 1)


def test_case_does_not_matter():
  tokenizer = t.Tokenizer(t.train_vocabulary(TEXTS, 200), 64)
  a, b = tokenizer.encode(["SINUS Rhythm", "sinus rhythm"])
  np.testing.assert_array_equal(a, b)


def test_given_vocabulary(tmp_path, shared):
  pieces = t.read_vocabulary(shared / "bert_vocab" / "vocab.txt")
  assert len(pieces) == 30522
  ids = t.Tokenizer(pieces, 64).encode(["Sinus rhythm"])
  assert ids[0, 0] == 101
  assert ids[0, -1] == 102
  bad = tmp_path / "vocab.txt"
  bad.write_text("[UNK]\nsinus\n")
  with pytest.raises(InputError, match="no BERT vocabulary"):
    t.read_vocabulary(bad)
  with pytest.raises(InputError, match="no vocabulary at"):
    t.read_vocabulary(tmp_path / "none.txt")
