"""Leads are recognised and placed by name."""

import numpy as np
import pytest

from fgclep_jax.errors import InputError
from fgclep_jax.signals import leads


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    ("AVR", "aVR"),
    ("avr", "aVR"),
    ("aVf", "aVF"),
    ("DI", "I"),
    ("dii", "II"),
    ("DIII", "III"),
    ("v6", "V6"),
    (" V1 ", "V1"),
  ],
)
def test_names_are_recognised(name, expected):
  assert leads.LEADS[leads.row_of(name)] == expected


@pytest.mark.parametrize("name", ["", "V7", "vx", "aVR2", "MLII", "1"])
def test_unknown_names_are_refused(name):
  with pytest.raises(InputError, match="unknown lead name"):
    leads.row_of(name)


def test_doubled_names_are_refused():
  with pytest.raises(InputError, match="aVR occurs twice"):
    leads.place(np.zeros((3, 4)), ["I", "AVR", "aVR"])


def test_names_and_signals_must_match():
  with pytest.raises(InputError, match="2 lead names for 3 signals"):
    leads.place(np.zeros((3, 4)), ["I", "II"])


@pytest.mark.parametrize("seed", range(5))
def test_place_undoes_any_order(seed):
  rng = np.random.default_rng(seed)
  signal = rng.integers(-3000, 3000, (12, 50)).astype(np.int16)
  order = rng.permutation(12)[: rng.integers(1, 13)]
  names = [leads.LEADS[row].swapcase() for row in order]
  placed, missing = leads.place(signal[order], names)
  assert placed.shape == (12, 50)
  assert placed.dtype == np.int16
  np.testing.assert_array_equal(placed[order], signal[order])
  np.testing.assert_array_equal(np.flatnonzero(~missing), np.sort(order))
  assert not placed[missing].any()


def test_derived_leads_follow_einthoven_and_goldberger():
  rng = np.random.default_rng(0)
  one, two = rng.normal(0, 500, (2, 100)).round()
  # From the electrodes: I = L - R, II = F - R with R = 0.
  left, foot, right = one, two, np.zeros(100)
  expected = np.stack(
    [
      foot - left,
      right - (left + foot) / 2,
      left - (right + foot) / 2,
      foot - (right + left) / 2,
    ]
  )
  signal = np.zeros((12, 100), np.int16)
  signal[:2] = one, two
  missing = np.array([False, False] + [True] * 4 + [False] * 6)
  filled, derived = leads.derive(signal, missing)
  np.testing.assert_allclose(filled[2:6], expected, atol=0.5)
  np.testing.assert_array_equal(derived, missing)
  assert not signal[2:].any(), "the input must stay as it was"


def test_nothing_is_derived_without_lead_one():
  missing = np.zeros(12, bool)
  missing[[0, 3]] = True
  signal, derived = leads.derive(np.ones((12, 5), np.int16), missing)
  assert not derived.any()
  np.testing.assert_array_equal(signal, 1)


def test_derived_leads_are_clipped():
  signal = np.zeros((12, 1), np.int16)
  signal[0], signal[1] = -32767, 32767
  missing = np.zeros(12, bool)
  missing[2] = True
  assert leads.derive(signal, missing)[0][2, 0] == 32767
