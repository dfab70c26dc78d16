"""The twelve leads, their fixed order, and how names are recognised.

Leads are placed by name and never by position: MIMIC-IV-ECG writes aVF
before aVL, the other archives the other way round.
"""

import numpy as np

from fgclep_jax.errors import InputError

LEADS = (
  "I",
  "II",
  "III",
  "aVR",
  "aVL",
  "aVF",
  "V1",
  "V2",
  "V3",
  "V4",
  "V5",
  "V6",
)
COUNT = len(LEADS)

# CODE-15 calls the limb leads DI, DII, DIII.
_ROWS = {name.lower(): row for row, name in enumerate(LEADS)} | {
  "di": 0,
  "dii": 1,
  "diii": 2,
}

# Einthoven and Goldberger: row -> weights of leads I and II.
DERIVED = {2: (-1.0, 1.0), 3: (-0.5, -0.5), 4: (1.0, -0.5), 5: (-0.5, 1.0)}


def row_of(name):
  """Returns the row (0..11) of a lead name, letter case ignored.

  Raises:
    InputError: the name is none of the twelve leads.
  """
  row = _ROWS.get(name.strip().lower())
  if row is None:
    raise InputError(
      f"unknown lead name {name[:40]!r}: expected one of {' '.join(LEADS)}"
    )
  return row


def rows_of(names):
  """Returns the rows of several lead names, in the order given.

  Raises:
    InputError: a name is unknown, or two names mean the same lead.
  """
  rows = [row_of(name) for name in names]
  if len(set(rows)) < len(rows):
    twice = next(row for row in rows if rows.count(row) > 1)
    raise InputError(
      f"lead {LEADS[twice]} occurs twice in {' '.join(names)[:200]}: "
      "each lead may occur once"
    )
  return rows


def join(marked):
  """Returns the names of the marked leads, (12,) bool, as one text."""
  return " ".join(LEADS[row] for row in np.flatnonzero(marked))


def place(signal, names):
  """Puts the rows of a signal where their names belong.

  Args:
    signal: (n, T), row i is the lead `names[i]`.
    names: n lead names, in any order and letter case.

  Returns:
    (12, T) of the same type, absent leads zero, and (12,) bool `missing`.

  Raises:
    InputError: unknown or doubled lead name, or n names for other rows.
  """
  if len(names) != len(signal):
    raise InputError(
      f"{len(names)} lead names for {len(signal)} signals: give one each"
    )
  rows = rows_of(names)
  missing = np.ones(COUNT, bool)
  missing[rows] = False
  if rows == list(range(COUNT)):
    return signal, missing
  placed = np.zeros((COUNT, signal.shape[1]), signal.dtype)
  placed[rows] = signal
  return placed, missing


def derive(signal, missing):
  """Fills absent III, aVR, aVL, aVF from leads I and II.

  Args:
    signal: (12, T) int16 microvolts or float.
    missing: (12,) bool, leads that are absent.

  Returns:
    The filled copy and (12,) bool `derived`; nothing is derived when
    I or II is absent. Integers are rounded and clipped to +-32767.
  """
  signal = signal.copy()
  derived = np.zeros(COUNT, bool)
  if missing[0] or missing[1]:
    return signal, derived
  for row, (first, second) in DERIVED.items():
    if missing[row]:
      lead = first * signal[0].astype(float) + second * signal[1]
      if signal.dtype.kind == "i":
        lead = np.clip(np.rint(lead), -32767, 32767)
      signal[row] = lead
      derived[row] = True
  return signal, derived
