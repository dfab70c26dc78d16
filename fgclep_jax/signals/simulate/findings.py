"""The waveform features, each decided by measurement on the clean beat.

Limits are the usual ones of electrocardiography (mV; 0.1 mV = 1 mm). A
feature is true when the tracing shows it, whatever the cause.
"""

import numpy as np

from fgclep_jax.signals.simulate import measure
from fgclep_jax.signals.simulate import rhythm as rhythms

_INFERIOR = ("II", "III", "aVF")
_LATERAL = ("I", "aVL", "V5", "V6")


def features(beat, shape, rhythm, values, seconds):
  """Names of the features that are present, in the order of `FEATURES`.

  Args:
    beat: measure.Beat.
    shape: Shape of the dominant beat.
    rhythm: Rhythm.
    values: name -> float of `measure.measurements`.
    seconds: length of the record.
  """
  narrow, wide = measure.premature(rhythm, seconds)
  facts = {
    "beat": beat,
    "shape": shape,
    "rhythm": rhythm,
    "values": values,
    "narrow": narrow,
    "wide": wide,
  }
  return tuple(name for name, rule in _RULES.items() if rule(**facts))


def _count(flags, least):
  return int(np.count_nonzero(flags)) >= least


def _has_p(rhythm):
  return rhythm.atrial == "sinus"


def _compensatory(rhythm, wide, **_):
  return wide > 0 and _has_p(rhythm)


def _terminal_p(beat, rhythm, **_):
  if not _has_p(rhythm):
    return False
  trace = beat.lead("p", "V1")[0]
  negative = np.minimum(trace, 0.0)
  # 40 ms x 0.1 mV, the area of one small square of the paper
  return -negative.sum() * 2.0 >= 2.4 and trace.min() <= -0.07


def _tall_p(beat, rhythm, **_):
  return _has_p(rhythm) and beat.lead("p", "II")[0].max() > 0.25


def _pr_depression(beat, rhythm, **_):
  if not _has_p(rhythm):
    return False
  return _count(beat.lead("segment", "II", "aVF", "V5", "V6") < -0.035, 2)


def _second_r(beat, **_):
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


def _notched_r(beat, **_):
  for trace in beat.lead("qrs", "V5", "V6"):
    tops = [k for k in measure.peaks(trace) if trace[k] > 0.4 * trace.max()]
    if len(tops) < 2 or trace.max() < 0.3:
      continue
    dip = trace[tops[0] : tops[-1]].min()
    if dip < trace[[tops[0], tops[-1]]].min() - 0.02:
      return True
  return False


def _broad_s_lateral(beat, **_):
  below = beat.lead("qrs", "I", "V6") < -0.05
  late = below[:, below.shape[1] // 3 :].sum(axis=1) * 2
  return bool((late >= 38).all())


def _broad_s_v1(beat, **_):
  trace = beat.lead("qrs", "V1")[0]
  return (trace < -0.1).sum() * 2 >= 85 and trace.min() < -0.5


def _dominant_r_v1(beat, **_):
  """R, or R', above 0.4 mV and above S."""
  trace = beat.lead("qrs", "V1")[0]
  return trace.max() > 0.4 and trace.max() > -trace.min()


def _poor_progression(beat, **_):
  r = beat.lead("r", "V3", "V4")
  return r[0] < 0.3 and r[1] < 0.55


def _anterior_q(beat, **_):
  q, r = beat.lead("q", "V1", "V2", "V3"), beat.lead("r", "V1", "V2", "V3")
  deep = (q > 0.15) & (q > 0.6 * r)
  return bool(deep[1] and (deep[0] or deep[2]))


def _q_waves(leads, least):
  def rule(beat, **_):
    q, r = beat.lead("q", *leads), beat.lead("r", *leads)
    return _count((q > 0.1) & (q > 0.25 * r), least)

  return rule


def _small_q_lateral(beat, **_):
  q = beat.lead("q", "I", "aVL")
  return bool((q > 0.07).all()) and beat.lead("r", "aVL")[0] > 0.4


def _fragmented(beat, shape, **_):
  found = 0
  for trace in beat.lead("qrs", *_INFERIOR):
    scale = np.abs(trace).max()
    turns = len(measure.peaks(trace)) + len(measure.peaks(-trace))
    found += turns >= 5 and scale > 0.2
  return shape.qrs_duration < 0.12 and found >= 2


def _low_voltage(beat, **_):
  return bool(np.ptp(beat.qrs[:6], axis=1).max() < 0.5)


def _anterior_st(beat, **_):
  level = beat.lead("st", "V1", "V2", "V3", "V4")
  return _count(level > np.array([0.1, 0.2, 0.2, 0.1]), 2)


def _diffuse_st(beat, **_):
  leads = ("I", "II", "aVF", "V3", "V4", "V5", "V6")
  return _count(beat.lead("st", *leads) > 0.07, 6)


def _st(leads, limit, least):
  def rule(beat, **_):
    level = beat.lead("st", *leads)
    return _count(level > limit if limit > 0 else level < limit, least)

  return rule


def _t_inversion(leads, least):
  def rule(beat, **_):
    return _count(beat.lead("t", *leads) < -0.1, least)

  return rule


def _flat_t(beat, **_):
  leads = ("I", "II", "V4", "V5", "V6")
  return _count(np.abs(beat.lead("t", *leads)) < 0.1, 4)


def _value(name, limit, sign=1):
  def rule(values, **_):
    return sign * values[name] > sign * limit  # False for NaN

  return rule


_RULES = {
  "heart rate < 60 bpm": _value("heart_rate_bpm", 60, -1),
  "heart rate > 100 bpm": _value("heart_rate_bpm", 100),
  "irregular RR intervals": _value("rr_variation", 0.10),
  "absent P waves": lambda rhythm, **_: not _has_p(rhythm),
  "fibrillatory waves": lambda rhythm, **_: rhythm.atrial == "fibrillation",
  "flutter waves in II, III and aVF": lambda rhythm, **_: (
    rhythm.atrial == "flutter"
  ),
  "premature narrow QRS complexes": lambda shape, narrow, **_: (
    narrow > 0 and shape.qrs_duration < 0.12
  ),
  "premature wide QRS complexes": lambda wide, **_: wide > 0,
  "compensatory pause": _compensatory,
  "premature P waves": lambda narrow, **_: narrow > 0,
  "dropped QRS complexes": lambda rhythm, **_: rhythm.blocked > 0,
  "progressive PR prolongation": lambda rhythm, **_: (
    rhythm.lengthening and rhythm.blocked > 0
  ),
  "pacing spikes": lambda rhythm, **_: bool(
    (rhythm.kind == rhythms.PACED).any()
  ),
  "P wave duration > 120 ms": _value("p_duration_ms", 120),
  "P wave > 0.25 mV in II": _tall_p,
  "negative terminal P wave in V1": _terminal_p,
  "PR interval > 200 ms": _value("pr_interval_ms", 200),
  "PR segment depression": _pr_depression,
  "QRS duration > 120 ms": _value("qrs_duration_ms", 120),
  "left axis deviation": lambda values, **_: -90 < values["qrs_axis_deg"] < -30,
  "right axis deviation": _value("qrs_axis_deg", 100),
  "rSR' pattern in V1": _second_r,
  "dominant R wave in V1": _dominant_r_v1,
  "broad S wave in V1": _broad_s_v1,
  "notched R wave in V5-V6": _notched_r,
  "broad S wave in I and V6": _broad_s_lateral,
  "deep S wave in V6": lambda beat, **_: beat.lead("s", "V6")[0] > 0.6,
  "S wave in V1 + R wave in V5 > 3.5 mV": lambda values, **_: (
    values["s_v1_mv"] + max(values["r_v5_mv"], values["r_v6_mv"]) > 3.5
  ),
  "R wave in V5 or V6 > 2.6 mV": lambda values, **_: (
    max(values["r_v5_mv"], values["r_v6_mv"]) > 2.6
  ),
  "R wave in aVL > 1.1 mV": _value("r_avl_mv", 1.1),
  "R wave in aVL + S wave in V3 > 2.4 mV": lambda values, **_: (
    values["r_avl_mv"] + values["s_v3_mv"] > 2.4
  ),
  "poor R wave progression": _poor_progression,
  "Q waves in V1-V3": _anterior_q,
  "Q waves in II, III and aVF": _q_waves(_INFERIOR, 2),
  "qR complex in I and aVL": _small_q_lateral,
  "low QRS voltage in limb leads": _low_voltage,
  "fragmented QRS in inferior leads": _fragmented,
  "J point notch": lambda beat, **_: bool(beat.j_notch.max() > 0.1),
  "ST elevation in V1-V4": _anterior_st,
  "ST elevation in II, III and aVF": _st(_INFERIOR, 0.1, 2),
  "diffuse ST elevation": _diffuse_st,
  "ST depression in V1-V3": _st(("V1", "V2", "V3"), -0.05, 2),
  "ST depression in V4-V6": _st(("V4", "V5", "V6"), -0.05, 2),
  "ST depression in I and aVL": _st(("I", "aVL"), -0.05, 2),
  "T wave inversion in V1-V4": _t_inversion(("V2", "V3"), 2),
  "T wave inversion in I, aVL, V5 and V6": _t_inversion(_LATERAL, 2),
  "T wave inversion in II, III and aVF": _t_inversion(("II", "aVF"), 2),
  "tall T waves in V2-V4": lambda beat, **_: bool(
    beat.lead("t", "V2", "V3", "V4").max() > 0.9
  ),
  "flat T waves": _flat_t,
  "QTc interval > 460 ms": _value("qtc_interval_ms", 460),
  "prominent U waves": lambda beat, **_: bool(beat.u.max() > 0.1),
}
FEATURES = tuple(_RULES)
"""Names of all waveform features, in the order of the truth vector."""
