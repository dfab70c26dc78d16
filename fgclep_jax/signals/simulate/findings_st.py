"""Rules for the waveform features of ST segment, T and U wave.

See `findings`; a rule takes the facts of a record as keywords. Sizes in mV.
"""

import numpy as np

from fgclep_jax.signals.simulate.findings_qrs import count


def anterior_st(beat, **_):
  level = beat.lead("st", "V1", "V2", "V3", "V4")
  return count(level > np.array([0.1, 0.2, 0.2, 0.1]), 2)


def diffuse_st(beat, **_):
  leads = ("I", "II", "aVF", "V3", "V4", "V5", "V6")
  return count(beat.lead("st", *leads) > 0.07, 6)


def st_level(leads, limit, least):
  def rule(beat, **_):
    level = beat.lead("st", *leads)
    return count(level > limit if limit > 0 else level < limit, least)

  return rule


def t_inversion(leads, least):
  def rule(beat, **_):
    return count(beat.lead("t", *leads) < -0.1, least)

  return rule


def flat_t(beat, **_):
  leads = ("I", "II", "V4", "V5", "V6")
  return count(np.abs(beat.lead("t", *leads)) < 0.1, 4)


def diffuse_st_depression(beat, **_):
  leads = ("I", "II", "III", "aVL", "aVF", "V2", "V3", "V4", "V5", "V6")
  return count(beat.lead("st", *leads) < -0.05, 6)


def coved_st(beat, **_):
  """0.2 mV at the J point, falling straight into a negative T wave."""
  first, middle, last = beat.lead("st_course", "V1", "V2").T
  falling = (first > middle + 0.03) & (middle > last)
  return count((first > 0.2) & falling & (beat.lead("t", "V1", "V2") < 0), 1)


def scooped_st(beat, **_):
  """Deepest in its middle, in two of II and V4 to V6."""
  first, middle, last = beat.lead("st_course", "II", "V4", "V5", "V6").T
  sag = (middle < -0.06) & (first > 0.6 * middle) & (last > middle + 0.01)
  return count(sag, 2)


def peaked_t(beat, **_):
  """Tall, and at half its height a quarter of the way from J to T end."""
  leads = ("II", "V2", "V3", "V4", "V5")
  tall = beat.lead("t", *leads) > 0.5
  return count(tall & (beat.lead("t_breadth", *leads) < 0.28), 2)
