"""Whole reports as texts: joined, and broken into word pieces."""

import types

import numpy as np
import pytest

from fgclep_jax.data import batches, whole
from fgclep_jax.reports import tokenizer
from tests import data_fakes

TABLE = (
  "Sinus rhythm",
  "ST elevation in V1-V4.",
  "Sinus rhythm. ST elevation in V1-V4.",  # two of them, in one
  "(9@128) ÉTAT, QRS > 120 ms",
  "** unknown 5 % [SEP] \N{GREEK SMALL LETTER MU}V",
  " leading and trailing ",
)


def split_of(rows, table=TABLE):
  return types.SimpleNamespace(
    table=table,
    statement_ids=np.array([i for row in rows for i in row], np.int32),
    statement_offsets=np.append(0, np.cumsum([len(row) for row in rows])),
  )


def test_reports_equal_statements_joined():
  split = data_fakes.split(records=300, seed=2)
  table, ids, offsets = whole.reports(split)
  texts = list(table)
  assert len(set(texts)) == len(texts)
  for record, statements in enumerate(split.statements):
    own = [texts[i] for i in ids[offsets[record] : offsets[record + 1]]]
    assert own == ([". ".join(statements)] if statements else [])


def test_other_statements_that_join_to_one_text():
  table, ids, _ = whole.reports(split_of([[2], [0, 1], [], [0], [1, 0]]))
  assert ids.tolist() == [0, 0, 1, 2]
  assert list(table) == [TABLE[2], TABLE[0], f"{TABLE[1]}. {TABLE[0]}"]


@pytest.mark.parametrize("size", [40, 300])
@pytest.mark.parametrize("most", [4, 12, 200])
def test_pieces_are_those_of_the_whole_text(size, most):
  """With unknown pieces and marks of a tokenizer; cut or not."""
  rng = np.random.default_rng(most)
  rows = [
    rng.choice(len(TABLE), n, replace=False) for n in rng.integers(0, 5, 40)
  ]
  split = split_of(rows)
  vocabulary = tokenizer.train_vocabulary(TABLE[:4], size)
  breaker = tokenizer.Tokenizer(vocabulary, most)
  texts = batches.texts(split, "report", breaker)
  np.testing.assert_array_equal(texts.tokens, breaker.encode(texts.table))
  lengths = breaker.lengths(texts.table)
  assert texts.truncated == sum(n > most for n in lengths)
