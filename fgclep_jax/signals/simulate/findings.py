"""The waveform features, each decided by measurement on the clean beat.

Limits are the usual ones of electrocardiography (mV; 0.1 mV = 1 mm). A
feature is true when the tracing shows it, whatever the cause. The rules for
QRS complexes and repolarisation are in `findings_qrs` and `findings_st`.
"""

import numpy as np

from fgclep_jax.signals.simulate import findings_qrs as qrs
from fgclep_jax.signals.simulate import findings_st as repolarisation
from fgclep_jax.signals.simulate import measure
from fgclep_jax.signals.simulate import rhythm as rhythms

_INFERIOR = ("II", "III", "aVF")
_LATERAL = ("I", "aVL", "V5", "V6")
_HIGH_LATERAL, _LEFT = ("I", "aVL"), ("V5", "V6")


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
    "seconds": seconds,
    "narrow": narrow,
    "wide": wide,
  }
  return tuple(name for name, rule in _RULES.items() if rule(**facts))


def _compensatory(rhythm, wide, **_):
  return wide > 0 and rhythm.conducted


def _absent_p(rhythm, **_):
  return rhythm.atrial in ("none", "fibrillation", "flutter")


def _terminal_p(beat, rhythm, **_):
  if not rhythm.sinus_p:
    return False
  trace = beat.lead("p", "V1")[0]
  negative = np.minimum(trace, 0.0)
  # 40 ms x 0.1 mV, the area of one small square of the paper
  return -negative.sum() * 2.0 >= 2.4 and trace.min() <= -0.07


def _tall_p(beat, rhythm, **_):
  return rhythm.sinus_p and beat.lead("p", "II")[0].max() > 0.25


def _pr_depression(beat, rhythm, **_):
  if not rhythm.conducted:
    return False
  return qrs.count(beat.lead("segment", "II", "aVF", "V5", "V6") < -0.035, 2)


def _inverted_p(beat, rhythm, **_):
  if rhythm.atrial not in ("low", "retrograde"):
    return False
  p = beat.lead("p", *_INFERIOR)
  return qrs.count((p.min(axis=1) < -0.05) & (p.max(axis=1) < 0.05), 2)


def _notched_p(beat, rhythm, **_):
  """Two tops in II, 0.01 mV above what is between."""
  if not rhythm.sinus_p:
    return False
  trace = beat.lead("p", "II")[0]
  tops = measure.peaks(trace)
  if len(tops) < 2:
    return False
  dip = trace[tops[0] : tops[-1]].min()
  return bool(trace[[tops[0], tops[-1]]].min() > dip + 0.01)


def _j_notch(beat, **_):
  """In any lead but V1 to V3, where it would be part of another pattern."""
  leads = ("I", "II", "III", "aVL", "aVF", "V4", "V5", "V6")
  return bool(beat.lead("j_notch", *leads).max() > 0.1)


def _varying_pp(rhythm, seconds, **_):
  """Sinus cycles that differ by more than 120 ms, without a jump."""
  if rhythm.atrial != "sinus" or rhythm.p_ectopic.any():
    return False
  p = rhythm.p[(rhythm.p >= 0) & (rhythm.p < seconds)]
  return len(p) > 3 and bool(np.ptp(np.diff(p)) > 0.12)


def _more_p(rhythm, seconds, **_):
  if not rhythm.sinus_p:
    return False
  inside = [
    int(((times >= 0) & (times < seconds)).sum())
    for times in (rhythm.p, rhythm.qrs)
  ]
  return inside[0] >= inside[1] + 2


def _value(name, limit, sign=1):
  def rule(values, **_):
    return sign * values[name] > sign * limit  # False for NaN

  return rule


_RULES = {
  "heart rate < 60 bpm": _value("heart_rate_bpm", 60, -1),
  "heart rate > 100 bpm": _value("heart_rate_bpm", 100),
  "irregular RR intervals": _value("rr_variation", 0.10),
  "absent P waves": _absent_p,
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
  "rSR' pattern in V1": qrs.second_r,
  "dominant R wave in V1": qrs.dominant_r_v1,
  "broad S wave in V1": qrs.broad_s_v1,
  "notched R wave in V5-V6": qrs.notched_r,
  "broad S wave in I and V6": qrs.broad_s_lateral,
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
  "poor R wave progression": qrs.poor_progression,
  "Q waves in V1-V3": qrs.anterior_q,
  "Q waves in II, III and aVF": qrs.q_waves(_INFERIOR, 2),
  "qR complex in I and aVL": qrs.small_q_lateral,
  "low QRS voltage in limb leads": qrs.low_voltage,
  "fragmented QRS in inferior leads": qrs.fragmented,
  "J point notch": _j_notch,
  "ST elevation in V1-V4": repolarisation.anterior_st,
  "ST elevation in II, III and aVF": repolarisation.st_level(_INFERIOR, 0.1, 2),
  "diffuse ST elevation": repolarisation.diffuse_st,
  "ST depression in V1-V3": repolarisation.st_level(
    ("V1", "V2", "V3"), -0.05, 2
  ),
  "ST depression in V4-V6": repolarisation.st_level(
    ("V4", "V5", "V6"), -0.05, 2
  ),
  "ST depression in I and aVL": repolarisation.st_level(("I", "aVL"), -0.05, 2),
  "T wave inversion in V1-V4": repolarisation.t_inversion(("V2", "V3"), 2),
  "T wave inversion in I, aVL, V5 and V6": repolarisation.t_inversion(
    _LATERAL, 2
  ),
  "T wave inversion in II, III and aVF": repolarisation.t_inversion(
    ("II", "aVF"), 2
  ),
  "tall T waves in V2-V4": lambda beat, **_: bool(
    beat.lead("t", "V2", "V3", "V4").max() > 0.9
  ),
  "flat T waves": repolarisation.flat_t,
  "QTc interval > 460 ms": _value("qtc_interval_ms", 460),
  "prominent U waves": lambda beat, **_: bool(beat.u.max() > 0.1),
  # Beyond the first version of the simulator.
  "heart rate < 40 bpm": _value("heart_rate_bpm", 40, -1),
  "heart rate > 150 bpm": _value("heart_rate_bpm", 150),
  "gradually varying PP intervals": _varying_pp,
  "inverted P waves in II, III and aVF": _inverted_p,
  "retrograde P waves after QRS": lambda rhythm, **_: (
    rhythm.atrial == "retrograde"
  ),
  "P waves unrelated to QRS": lambda rhythm, **_: (
    rhythm.atrial == "dissociated"
  ),
  "more P waves than QRS complexes": _more_p,
  "notched P wave in II": _notched_p,
  "PR interval < 120 ms": _value("pr_interval_ms", 120, -1),
  "constant PR interval before a dropped QRS": lambda rhythm, **_: (
    rhythm.blocked > 0 and not rhythm.lengthening
  ),
  "extreme axis deviation": _value("qrs_axis_deg", -90, -1),
  "QRS duration > 110 ms": _value("qrs_duration_ms", 110),
  "delta wave": qrs.delta_wave,
  "dominant R wave in aVR": qrs.dominant_r_avr,
  "R wave in V1-V2 > 40 ms": qrs.broad_r_v1_v2,
  "rS complex in II, III and aVF": qrs.rs_complex(_INFERIOR, 2),
  "qR complex in II, III and aVF": qrs.qr_complex(_INFERIOR, 2),
  "rS complex in I and aVL": qrs.rs_complex(_HIGH_LATERAL, 2),
  "Q waves in I and aVL": qrs.q_waves(_HIGH_LATERAL, 2),
  "Q waves in V5-V6": qrs.q_waves(_LEFT, 2),
  "early R/S transition": qrs.early_transition,
  "late R/S transition": qrs.late_transition,
  "ST elevation in I and aVL": repolarisation.st_level(_HIGH_LATERAL, 0.1, 2),
  "ST elevation in V5-V6": repolarisation.st_level(_LEFT, 0.1, 2),
  "ST elevation in aVR": repolarisation.st_level(("aVR",), 0.1, 1),
  "coved ST elevation in V1-V2": repolarisation.coved_st,
  "ST depression in II, III and aVF": repolarisation.st_level(
    _INFERIOR, -0.05, 2
  ),
  "diffuse ST depression": repolarisation.diffuse_st_depression,
  "scooped ST depression": repolarisation.scooped_st,
  "T wave inversion in I and aVL": repolarisation.t_inversion(_HIGH_LATERAL, 2),
  "T wave inversion in V5-V6": repolarisation.t_inversion(_LEFT, 2),
  "narrow peaked T waves": repolarisation.peaked_t,
  "QTc interval < 360 ms": _value("qtc_interval_ms", 360, -1),
  "QTc interval > 500 ms": _value("qtc_interval_ms", 500),
}
FEATURES = tuple(_RULES)
"""Names of all waveform features, in the order of the truth vector."""
