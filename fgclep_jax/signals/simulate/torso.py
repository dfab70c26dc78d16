"""From the heart vector to electrodes, and from electrodes to leads.

The heart is one dipole in Frank's axes: x to the left, y to the feet, z to
the back (mV). Every electrode sees a weighted sum of the three; the weights
of the standard torso are those of Dower et al. (Clin. Cardiol. 1980), read as
potentials against Wilson's terminal.
"""

import numpy as np

from fgclep_jax.signals import leads

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")

_LEAD_I = np.array([0.632, -0.235, 0.059])
_LEAD_II = np.array([0.235, 1.066, -0.132])
_CHEST = np.array(
  [
    [-0.515, 0.157, -0.917],
    [0.044, 0.164, -1.387],
    [0.882, 0.098, -1.277],
    [1.213, 0.127, -0.601],
    [1.125, 0.127, -0.086],
    [0.831, 0.076, 0.230],
  ]
)
_LIMBS = np.stack(
  [
    -(_LEAD_I + _LEAD_II) / 3,
    (2 * _LEAD_I - _LEAD_II) / 3,
    (2 * _LEAD_II - _LEAD_I) / 3,
  ]
)
# Brings median sizes in the chest leads to those of real records (PTB-XL).
_CHEST_GAIN = np.array([[0.82], [1.04], [1.02], [1.08], [1.14], [1.16]])
STANDARD_FIELD = np.concatenate([_LIMBS, _CHEST_GAIN * _CHEST])
"""(9, 3) potential of each electrode per unit of heart vector."""


def _lead_matrix():
  """(12, 9): Einthoven, Goldberger, and chest minus Wilson's terminal."""
  ra, la, ll = np.eye(len(ELECTRODES))[:3]
  limb = [
    la - ra,
    ll - ra,
    ll - la,
    ra - (la + ll) / 2,
    la - (ra + ll) / 2,
    ll - (ra + la) / 2,
  ]
  chest = np.eye(len(ELECTRODES))[3:] - (ra + la + ll) / 3
  matrix = np.concatenate([limb, chest])
  assert matrix.shape == (leads.COUNT, len(ELECTRODES))
  return matrix


LEAD_MATRIX = _lead_matrix()


def leads_from_electrodes(potentials):
  """(9, T) potentials against any ground -> (12, T) leads, same unit."""
  return LEAD_MATRIX @ potentials


def rotation(axis, degrees):
  """(3, 3) rotation of the heart about axis 0 (x), 1 (y) or 2 (z)."""
  angle = np.deg2rad(degrees)
  matrix = np.eye(3)
  i, j = (axis + 1) % 3, (axis + 2) % 3
  matrix[i, i] = matrix[j, j] = np.cos(angle)
  matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
  return matrix


def patient_field(stream, age, female):
  """(9, 3) field of one patient: position of the heart, chest, electrodes."""
  field = STANDARD_FIELD.copy()
  field[:3] *= stream.scale(0.04, (3, 1))
  field[3:] = _moved(field[3:], stream.normal(0.0, 0.10, 6))
  # A thicker chest wall lies between heart and chest electrodes in women.
  field[3:] *= stream.scale(0.12) * (0.90 if female else 1.05)
  field[3:] *= stream.scale(0.06, (6, 1))
  # The axis turns to the left and the heart lies flatter with age.
  frontal = -0.35 * (age - 50.0) + stream.normal(0.0, 13.0)
  horizontal = stream.normal(0.0, 9.0)
  turn = rotation(2, float(np.clip(frontal, -32.0, 32.0)))
  return field @ rotation(1, float(np.clip(horizontal, -20, 20))) @ turn


def replaced_electrodes(field, stream):
  """The field after the electrodes were taken off and stuck on again."""
  field = field.copy()
  field[3:] = _moved(field[3:], stream.normal(0.0, 0.05, 6))
  return field


def _moved(chest, shifts):
  """Chest electrodes (6, 3) shifted along their row by parts of a space."""
  step = np.gradient(chest, axis=0)
  return chest + shifts[:, None] * step
