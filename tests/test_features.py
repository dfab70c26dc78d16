"""The vocabulary of waveform features."""

import pytest

from fgclep_jax.errors import InputError
from fgclep_jax.reports import features
from fgclep_jax.signals import simulate
from fgclep_jax.signals.leads import LEADS


def test_vocabulary_is_well_formed():
  names = [feature.name for feature in features.VOCABULARY]
  assert len(set(names)) == len(names)
  for feature in features.VOCABULARY:
    assert feature.wave in features.WAVES
    assert feature.finding
    assert set(feature.leads) <= set(LEADS)
    if feature.limit is not None:
      comparison, number, unit = feature.limit
      assert comparison in ("<", ">")
      assert unit in ("bpm", "ms", "mV", "degrees")
      assert isinstance(number, (int, float))


def test_limits_in_a_name_are_the_limits():
  for feature in features.VOCABULARY:
    if feature.limit and feature.limit[0] in feature.name:
      comparison, number, unit = feature.limit
      assert f"{comparison} {number} {unit}" in feature.name


def test_simulated_features_are_in_the_vocabulary():
  found = features.lookup(simulate.FEATURES)
  assert tuple(feature.name for feature in found) == simulate.FEATURES


def test_unknown_name():
  with pytest.raises(InputError, match="'green ST'"):
    features.lookup(["flat T waves", "green ST"])
