"""WordPiece tokenizer: a given `vocab.txt`, or one trained on the reports."""

import collections
import itertools
import pathlib

import numpy as np
import tokenizers

from fgclep_jax.errors import InputError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_vocabulary(texts, size, times=None):
  """Trains a WordPiece vocabulary by merging the commonest neighbours.

  The trainer of the `tokenizers` package breaks ties by hash order, so two
  runs differ; this one gives the same list for the same texts.

  Args:
    texts: an iterable of str.
    size: the largest number of word pieces.
    times: how often each text counts; None for once.

  Returns:
    A list of str; the first five are the special ones, [PAD] is 0.
  """
  counts = collections.Counter()
  for text, count in zip(texts, times or itertools.repeat(1), strict=False):
    for word in _words(text):
      counts[word] += count
  words = {
    word: [word[0], *(f"##{letter}" for letter in word[1:])] for word in counts
  }
  pieces = dict.fromkeys(SPECIAL)
  pieces |= dict.fromkeys(sorted({p for ps in words.values() for p in ps}))
  pairs, holders = collections.Counter(), collections.defaultdict(set)
  for word, parts in words.items():
    _tally(pairs, parts, counts[word])
    for pair in itertools.pairwise(parts):
      holders[pair].add(word)
  while len(pieces) < size and pairs:
    best = min(pairs, key=lambda pair: (-pairs[pair], pair))
    merged = best[0] + best[1].removeprefix("##")
    pieces[merged] = None
    for word in holders.pop(best):
      _tally(pairs, words[word], -counts[word])
      words[word] = _merge(words[word], best, merged)
      _tally(pairs, words[word], counts[word])
      for pair in itertools.pairwise(words[word]):
        holders[pair].add(word)
  return list(pieces)


def _tally(pairs, parts, count):
  """Adds `count` for each pair of neighbours; none of 0 are kept."""
  for pair in itertools.pairwise(parts):
    pairs[pair] += count
    if not pairs[pair]:
      del pairs[pair]


def read_vocabulary(path):
  """Reads a `vocab.txt`: one word piece a line, [PAD] on the first."""
  path = pathlib.Path(path)
  if not path.is_file():
    raise InputError(f"no vocabulary at {path}: give a BERT vocab.txt")
  # Not splitlines: a piece may itself be one of Unicode's line separators.
  pieces = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
  missing = [piece for piece in SPECIAL if piece not in pieces]
  if missing or pieces[0] != SPECIAL[0]:
    raise InputError(
      f"{path} is no BERT vocabulary: [PAD] must be its first line and "
      f"these are missing: {' '.join(missing) or 'none'}"
    )
  return pieces


class Tokenizer:
  """Texts -> word pieces with [CLS] and [SEP].

  Args of the constructor:
    vocabulary: list of word pieces, [PAD] first.
    max_tokens: longest row; what is beyond is cut and counted.
    lowercase: whether letters are lower-cased and accents stripped.
  """

  def __init__(self, vocabulary, max_tokens, lowercase=True):
    self.vocabulary = list(vocabulary)
    self.max_tokens = max_tokens
    self._model = tokenizers.BertWordPieceTokenizer(
      vocab={piece: i for i, piece in enumerate(vocabulary)},
      lowercase=lowercase,
    )

  def encode(self, texts):
    """List of U str -> (U, L) int32, 0 is padding, L the longest of them."""
    return self.padded(self.pieces(texts))

  def pieces(self, texts):
    """Word pieces of each text, without [CLS] and [SEP], before any cut."""
    return [row.ids[1:-1] for row in self._model.encode_batch(list(texts))]

  def padded(self, pieces):
    """U lists of word pieces -> (U, L) as `encode`, with [CLS] and [SEP]."""
    first, last = (self._model.token_to_id(x) for x in ("[CLS]", "[SEP]"))
    longest = max(map(len, pieces), default=-1) + 2
    longest = min(longest, self.max_tokens)
    ids = np.zeros((len(pieces), longest), np.int32)
    for row, of_text in zip(ids, pieces, strict=True):
      whole = [first, *of_text[: max(longest - 2, 0)], last]
      row[: len(whole)] = whole[-longest:]  # the closing [SEP] stays
    return ids

  def lengths(self, texts):
    """Word pieces of each text before anything is cut."""
    return [len(row) + 2 for row in self.pieces(texts)]


def _words(text):
  text = tokenizers.normalizers.BertNormalizer(lowercase=True).normalize_str(
    text
  )
  split = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)
  return [word for word, _ in split]


def _merge(parts, pair, merged):
  """Replaces each occurrence of `pair` in `parts` by `merged`."""
  out, i = [], 0
  while i < len(parts):
    if tuple(parts[i : i + 2]) == pair:
      out.append(merged)
      i += 2
    else:
      out.append(parts[i])
      i += 1
  return out
