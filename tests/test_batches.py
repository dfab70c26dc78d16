"""Batches: order, coverage, texts."""

import collections

import numpy as np
import pytest

from fgclep_jax.config import DataConfig
from fgclep_jax.data import batches as b
from fgclep_jax.data import similarity
from fgclep_jax.errors import InputError
from fgclep_jax.reports import tokenizer
from tests import data_fakes


def make(seed=0, batch=5, records=None, divisor=1, **options):
  split = data_fakes.split()
  vocabulary = tokenizer.train_vocabulary(data_fakes.STATEMENTS, 200)
  kind = options.get("text", "statements")
  texts = b.texts(split, kind, tokenizer.Tokenizer(vocabulary, 64))
  config = DataConfig(batch_size=batch, rate=100, seconds=1.0, **options)
  records = np.arange(23) if records is None else records
  return b.Batches(split, texts, records, config, seed, divisor)


def test_batch_is_a_function_of_seed_and_number():
  one, two, other = make(3), make(3), make(4)
  for k in (7, 0, 31):
    first, second = one[k], two[k]
    for name, value in first.items():
      np.testing.assert_array_equal(value, second[name])
  assert not np.array_equal(one.order(0), other.order(0))


def test_every_record_once_an_epoch_and_none_dropped():
  data = make(batch=5)
  count = len(data.records)
  stream = np.concatenate([data.order(k) for k in range(count)])
  for epoch in stream.reshape(5, count):
    assert sorted(epoch) == sorted(data.records)
  assert not np.array_equal(stream[:count], stream[count : 2 * count])


def test_records_without_text_are_left_out_and_counted():
  data = make()
  counts = np.diff(data.texts.offsets)
  assert data.without_text == (counts == 0).sum() > 0
  assert set(data.records) == set(np.flatnonzero(counts))
  with pytest.raises(InputError, match="nothing to train on"):
    make(records=np.flatnonzero(counts == 0))


@pytest.mark.parametrize("divisor", [1, 3, 8])
def test_texts_of_a_batch(divisor):
  data = make(divisor=divisor)
  for k in range(6):
    batch = data[k]
    assert batch["ecg"].dtype == np.int16
    assert len(batch["tokens"]) % divisor == 0
    held = collections.Counter()
    for row, record in zip(batch["statement"], batch["records"], strict=True):
      found = [batch["text_ids"][j] for j in row if j >= 0]
      table = [data.texts.table[i] for i in found]
      assert sorted(table) == sorted(data.split.statements[record])
      held.update(found)
    weights = dict(zip(batch["text_ids"], batch["text_weights"], strict=True))
    assert {i: n for i, n in weights.items() if i >= 0} == held
    real = batch["text_ids"] >= 0
    assert batch["text_weights"][~real].sum() == 0
    np.testing.assert_array_equal(
      batch["tokens"][real], data.texts.tokens[batch["text_ids"][real]]
    )
    np.testing.assert_array_equal(
      batch["ecg"], data.split.ecg[batch["records"]]
    )


def test_one_statement_drawn_a_record():
  data = make(statements_per_record=1)
  assert data[0]["statement"].shape[1] == 1
  drawn = collections.defaultdict(set)
  for k in range(40):
    batch = data[k]
    for row, record in zip(batch["statement"], batch["records"], strict=True):
      drawn[record].add(int(batch["text_ids"][row[0]]))
  for record, ids in drawn.items():
    assert len(ids) == len(data.split.statements[record])


def test_reports_as_texts():
  data = make(text="report")
  assert data.width == 1
  batch = data[0]
  for row, record in zip(batch["statement"], batch["records"], strict=True):
    text = data.texts.table[batch["text_ids"][row[0]]]
    assert text == ". ".join(data.split.statements[record])


def test_stream_equals_indexing_from_any_start():
  data = make()
  for k, batch in zip(range(3, 8), data.stream(3, 8), strict=True):
    np.testing.assert_array_equal(batch["ecg"], data[k]["ecg"])


def test_tfidf():
  rows = similarity.tfidf(["a b", "a b", "c", ""])
  np.testing.assert_allclose(
    rows @ rows.T,
    np.diag([1, 1, 1, 0])
    + np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
    atol=1e-6,
  )
  rare = similarity.tfidf(["sinus rhythm", "sinus block", "sinus block"])
  assert rare[0] @ rare[1] < 0.5  # the common word counts less


def test_what_comes_before_is_gone_through_first():
  data = make(batch=5)
  first, then = data.records[:6], data.records[6:]
  staged = b.Batches(
    data.split, data.texts, then, data.config, 0, 1, first, 2.5
  )
  assert staged.before_steps == 3
  assert staged.steps(2) == 3 + -(-2 * len(then) // 5)
  early = np.concatenate([staged.order(k) for k in range(3)])
  assert sorted(early[:6]) == sorted(early[6:12]) == sorted(first)
  late = np.concatenate([staged.order(k) for k in range(3, 3 + len(then))])
  for epoch in late.reshape(5, len(then)):
    assert sorted(epoch) == sorted(then)
