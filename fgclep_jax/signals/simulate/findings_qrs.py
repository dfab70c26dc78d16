"""Rules for the waveform features of the QRS complex (see `findings`).

A rule takes the facts of a record as keywords and says whether the feature
is there. Sizes in mV, times in ms.
"""

import numpy as np

from fgclep_jax.signals.simulate import measure

INFERIOR = ("II", "III", "aVF")


def count(flags, least):
  """Whether at least so many flags are set."""
  return int(np.count_nonzero(flags)) >= least


def second_r(beat, **_):
  """r, a notch or s, and a later R' in V1."""
  trace = beat.lead("qrs", "V1")[0]
  tops = measure.peaks(trace)
  late = [k for k in tops if k > 0.5 * len(trace) and trace[k] > 0.12]
  if not late:
    return False
  dip = trace[: late[-1]]
  first = dip[: int(0.45 * len(trace))].argmax()
  low = dip[first:].min()
  return dip[first] > 0.03 and low < min(dip[first], trace[late[-1]]) - 0.05


def notched_r(beat, **_):
  for trace in beat.lead("qrs", "V5", "V6"):
    tops = [k for k in measure.peaks(trace) if trace[k] > 0.4 * trace.max()]
    if len(tops) < 2 or trace.max() < 0.3:
      continue
    dip = trace[tops[0] : tops[-1]].min()
    if dip < trace[[tops[0], tops[-1]]].min() - 0.02:
      return True
  return False


def broad_s_lateral(beat, **_):
  below = beat.lead("qrs", "I", "V6") < -0.05
  late = below[:, below.shape[1] // 3 :].sum(axis=1) * 2
  return bool((late >= 38).all())


def broad_s_v1(beat, **_):
  trace = beat.lead("qrs", "V1")[0]
  return (trace < -0.1).sum() * 2 >= 85 and trace.min() < -0.5


def dominant_r_v1(beat, **_):
  """R, or R', above 0.4 mV and above S."""
  trace = beat.lead("qrs", "V1")[0]
  return trace.max() > 0.4 and trace.max() > -trace.min()


def poor_progression(beat, **_):
  r = beat.lead("r", "V3", "V4")
  return r[0] < 0.3 and r[1] < 0.55


def anterior_q(beat, **_):
  q, r = beat.lead("q", "V1", "V2", "V3"), beat.lead("r", "V1", "V2", "V3")
  deep = (q > 0.15) & (q > 0.6 * r)
  return bool(deep[1] and (deep[0] or deep[2]))


def q_waves(leads, least):
  def rule(beat, **_):
    q, r = beat.lead("q", *leads), beat.lead("r", *leads)
    return count((q > 0.1) & (q > 0.25 * r), least)

  return rule


def small_q_lateral(beat, **_):
  q = beat.lead("q", "I", "aVL")
  return bool((q > 0.07).all()) and beat.lead("r", "aVL")[0] > 0.4


def fragmented(beat, shape, **_):
  found = 0
  for trace in beat.lead("qrs", *INFERIOR):
    scale = np.abs(trace).max()
    turns = len(measure.peaks(trace)) + len(measure.peaks(-trace))
    found += turns >= 5 and scale > 0.2
  return shape.qrs_duration < 0.12 and found >= 2


def low_voltage(beat, **_):
  return bool(np.ptp(beat.qrs[:6], axis=1).max() < 0.5)


def delta_wave(beat, rhythm, **_):
  """A slow start: half of the top speed not before 42 ms, after a P wave."""
  if not rhythm.conducted:
    return False
  speed = np.sqrt((np.diff(beat.qrs, axis=1) ** 2).sum(axis=0))
  return bool(np.argmax(speed > 0.5 * speed.max()) * 2 >= 42)


def broad_r_v1_v2(beat, **_):
  """The largest positive wave lasts over 40 ms in V1 and in V2."""
  for trace in beat.lead("qrs", "V1", "V2"):
    high = trace > 0.05
    top = int(trace.argmax())
    before = np.flatnonzero(~high[:top])
    after = np.flatnonzero(~high[top:])
    start = before[-1] + 1 if len(before) else 0
    stop = top + (after[0] if len(after) else len(high) - top)
    if (stop - start) * 2 <= 40 or trace[top] < 0.2:
      return False
  return True


def rs_complex(leads, least):
  """Small r, larger S."""

  def rule(beat, **_):
    q, r, s = (beat.lead(wave, *leads) for wave in "qrs")
    return count((r > 0.04) & (s > 1.5 * r) & (s > 0.3) & (q < 0.05), least)

  return rule


def qr_complex(leads, least):
  """Small q, tall R, hardly any S."""

  def rule(beat, **_):
    q, r, s = (beat.lead(wave, *leads) for wave in "qrs")
    small = (q > 0.05) & (q < 0.35 * r)
    return count(small & (r > 0.5) & (s < 0.25 * r), least)

  return rule


def early_transition(beat, **_):
  r, q, s = (beat.lead(wave, "V2")[0] for wave in "rqs")
  return bool(r > max(q, s))


def late_transition(beat, **_):
  return bool(beat.lead("r", "V4")[0] < beat.lead("s", "V4")[0])


def dominant_r_avr(beat, **_):
  r, q, s = (beat.lead(wave, "aVR")[0] for wave in "rqs")
  return bool(r > 0.3 and r > max(q, s))
