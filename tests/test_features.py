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


def test_simulated_features_come_first():
  """Frozen archives count on the order of the first 51."""
  first = [feature.name for feature in features.VOCABULARY[:51]]
  assert set(first) == set(simulate.FEATURES[:51])
  assert len(simulate.FEATURES) == 85
  assert first[0] == "heart rate < 60 bpm"
  assert first[-1] == "prominent U waves"
  assert len(features.VOCABULARY) >= 100


def test_features_differ_in_more_than_their_name():
  seen = [(f.wave, f.finding, f.leads, f.limit) for f in features.VOCABULARY]
  assert len(set(seen)) == len(seen)


def test_leads_named_are_the_leads():
  """A name that lists single leads lists those of the feature, no other."""
  for feature in features.VOCABULARY:
    words = feature.name.replace(",", " ").replace("-V", " - V").split()
    named = {word for word in words if word in LEADS}
    if not named:
      continue
    for first, dash, last in zip(words, words[1:], words[2:], strict=False):
      if dash == "-":
        named |= {f"V{n}" for n in range(int(first[1:]), int(last[1:]) + 1)}
    if feature.name.startswith("S wave in V1 + R wave in V5"):
      named.add("V6")  # the larger of the two R waves counts
    assert named == set(feature.leads), feature.name


def test_unknown_name():
  with pytest.raises(InputError, match="'green ST'"):
    features.lookup(["flat T waves", "green ST"])
