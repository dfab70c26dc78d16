"""Texts of a batch in groups by length: all there, little padding."""

import collections

import numpy as np
import pytest

from fgclep_jax.data import widths
from tests import text_fakes


def lengths_of(count, seed, top=60):
  rng = np.random.default_rng(seed)
  return np.clip(rng.gamma(4, 4, count).astype(int) + 2, 3, top)


@pytest.mark.parametrize("devices", [1, 3, 8, 32])
@pytest.mark.parametrize("most", [1, 2, 3])
def test_every_text_is_placed_once(devices, most):
  samples = [lengths_of(400 + 10 * i, i) for i in range(8)]
  groups = widths.choose(samples, most, 4000, 64, devices)
  assert 1 <= len(groups.rows) <= most
  assert list(groups.widths) == sorted(set(groups.widths))
  sizes = set()
  for seed in range(100, 150):
    lengths = lengths_of(430, seed)
    found = widths.assign(lengths, groups)
    assert sorted(np.concatenate([x[0] for x in found])) == list(range(430))
    for places, rows, width in found:
      assert len(places) <= rows
      assert rows % devices == 0
      assert lengths[places].max(initial=0) <= width
    sizes.add(tuple((rows, width) for _, rows, width in found))
  assert len(sizes) <= 2  # few programs are compiled


def test_groups_save_padding():
  samples = [lengths_of(500, i) for i in range(16)]
  padded = [
    widths._padded((groups.rows, groups.widths))
    for groups in (widths.choose(samples, n, 4000, 64, 1) for n in (1, 2, 3))
  ]
  assert padded[0] > 1.4 * padded[1] > 1.5 * padded[2]
  assert padded[2] < 1.7 * max(x.sum() for x in samples)


def test_what_does_not_fit_is_not_dropped():
  groups = widths.Groups((64, 32), (8, 24), 16, 64)
  short = widths.assign(np.full(90, 5), groups)
  assert [(len(x), *size) for x, *size in short] == [(64, 64, 8), (26, 32, 24)]
  many = widths.assign(np.full(200, 5), groups)
  assert [len(x) for x, *_ in many] == [64, 136]
  assert many[1][1] == 256
  long = widths.assign(np.array([5, 25]), groups)
  assert [tuple(size) for _, *size in long] == [(64, 8), (32, 64)]
  none = widths.assign(np.array([], int), groups)
  assert [len(x) for x, *_ in none] == [0, 0]


def test_few_texts_stay_together_and_rows_are_no_more_than_texts():
  groups = widths.choose([np.array([3, 9, 30])], 3, 5, 64, 1)
  assert (groups.rows, groups.widths) == ((16,), (32,))
  groups = widths.choose([lengths_of(500, 0)], 3, 505, 64, 8)
  assert sum(groups.rows) < 505 + 3 * 16


@pytest.mark.parametrize("divisor", [1, 4])
def test_a_batch_says_where_its_texts_are(divisor, monkeypatch):
  monkeypatch.setattr(widths, "LEAST", 2)
  monkeypatch.setattr(widths, "UNIT", 4)
  found = text_fakes.texts()
  data = text_fakes.make(found, divisor=divisor, length_groups=3)
  for k in range(8):
    batch = data[k]
    names = sorted(
      (n for n in batch if n.startswith("tokens")),
      key=lambda n: batch[n].shape[1],
    )
    assert len(names) > 1
    assert names[-1] == "tokens"
    column, held = 0, collections.Counter()
    for device in range(divisor):
      for name in names:
        size = len(batch[name]) // divisor
        for pieces in batch[name][device * size : (device + 1) * size]:
          text = batch["text_ids"][column]
          wanted = found.tokens[text] if text >= 0 else np.zeros(30, int)
          assert list(pieces[pieces > 0]) == list(wanted[wanted > 0])
          column += 1
    assert column == len(batch["text_ids"])
    for row, record in zip(batch["statement"], batch["records"], strict=True):
      ids = batch["text_ids"][row[row >= 0]]
      assert sorted(ids) == sorted(found.of(record))
      held.update(ids.tolist())
    for text, weight in zip(
      batch["text_ids"].tolist(), batch["text_weights"], strict=True
    ):
      assert weight == (held[text] if text >= 0 else 0)


def test_without_groups_all_are_padded_to_the_longest():
  data = text_fakes.make(text_fakes.texts(), length_groups=0)
  assert data[0]["tokens"].shape[1] == 30
