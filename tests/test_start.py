"""What is made of all records before the first step."""

import hashlib

import numpy as np
import pytest

from fgclep_jax import config as c
from fgclep_jax.data import mixture
from fgclep_jax.reports import tokenizer
from fgclep_jax.training import setup
from tests import data_fakes


@pytest.mark.parametrize("simulated", [0, 7])
def test_vocabulary_is_of_the_statements_of_the_chosen_records(simulated):
  """As often as they hold them; those of other records do not count."""
  split = data_fakes.split(records=60, seed=4)
  chosen = np.arange(60)[np.arange(60) % 3 > 0]
  before = ()
  if simulated:
    split = mixture.Mixture(split, simulated, 0, 100, 5.0)
    before = 60 + np.arange(simulated)
  records = np.append(chosen, before)
  texts = [x for i in records.astype(int) for x in split.statements[i]]
  for size in (30, 60, 400):
    config = c.override(
      c.TrainConfig(), {"model.text.vocabulary-size": str(size)}
    )
    found = setup._vocabulary(config, None, split, records)
    assert found == tokenizer.train_vocabulary(texts, size)


def test_hash_of_record_ids_knows_no_order():
  ids = np.array(["b", "a", "c\N{GREEK SMALL LETTER MU}", "aa"])
  text = "a\naa\nb\nc\N{GREEK SMALL LETTER MU}"
  wanted = hashlib.sha256(text.encode()).hexdigest()
  assert setup._ids_hash(ids) == setup._ids_hash(ids[::-1]) == wanted
