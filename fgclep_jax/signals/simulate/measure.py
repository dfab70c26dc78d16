"""Measurements on the noise-free dominant beat and on the rhythm."""

import dataclasses
import math

import numpy as np

from fgclep_jax.signals.leads import LEADS
from fgclep_jax.signals.simulate import rhythm as rhythms
from fgclep_jax.signals.simulate import shape as shapes
from fgclep_jax.signals.simulate import synthesis, torso

_RATE = 500
_ROW = {name: row for row, name in enumerate(LEADS)}
_COURSE = (0.04, 0.25, 0.45)

MEASUREMENTS = (
  "heart_rate_bpm",
  "rr_variation",
  "p_duration_ms",
  "pr_interval_ms",
  "qrs_duration_ms",
  "qt_interval_ms",
  "qtc_interval_ms",
  "qrs_axis_deg",
  "r_avl_mv",
  "r_v1_mv",
  "s_v1_mv",
  "s_v3_mv",
  "r_v5_mv",
  "r_v6_mv",
  "st_ii_mv",
  "st_v2_mv",
  "st_v5_mv",
  "t_ii_mv",
  "t_v2_mv",
  "t_v5_mv",
)
"""Names, with the unit, of what every record is measured for."""


@dataclasses.dataclass(frozen=True)
class Beat:
  """The dominant beat without noise, wave by wave. Arrays are (12,) mV.

  Attributes:
    p: (12, T) P wave alone, from its onset; empty without P waves.
    qrs: (12, T) from QRS onset to the J point.
    q, r, s: sizes of the negative wave before the first positive one, of the
      largest positive, and of the largest negative behind the first.
    st: level 60 ms after the J point, or a fifth of the way to the T end
      where that is sooner (fast rates).
    st_course: (12, 3) levels at 4, 25 and 45 % of the way from J to T end.
    t, u: signed peak of T wave, and level at the peak of a U wave.
    t_breadth: width of the T wave at half of its height over J to T end.
    segment: level at the end of the P wave.
    j_notch: size of a notch at the J point.
  """

  p: np.ndarray
  qrs: np.ndarray
  q: np.ndarray
  r: np.ndarray
  s: np.ndarray
  st: np.ndarray
  st_course: np.ndarray
  t: np.ndarray
  t_breadth: np.ndarray
  u: np.ndarray
  segment: np.ndarray
  j_notch: np.ndarray

  def lead(self, wave, *names):
    """Values of a wave in the leads `names`, in that order."""
    return getattr(self, wave)[[_ROW[name] for name in names]]


def measure_beat(shape, field, cycle):
  """Beat of a Shape on the torso `field` (9, 3) at RR interval `cycle`."""
  qt = float(synthesis.qt_interval(shape.qtc, cycle))
  waves = shapes.ventricular_waves(shape.replace(spike=np.zeros(3)), qt)
  to_leads = torso.LEAD_MATRIX @ field
  j = shape.qrs_duration
  times = np.arange(math.ceil(qt * _RATE) + 1) / _RATE
  beat = to_leads @ shapes.evaluate(waves, times)
  qrs = beat[:, : int(j * _RATE) + 1]
  st = beat[:, round((j + min(0.06, 0.2 * (qt - j))) * _RATE)]
  course = [round((j + part * (qt - j)) * _RATE) for part in _COURSE]
  later = beat[:, int((j + 0.45 * (qt - j)) * _RATE) :]
  place = np.abs(later).argmax(axis=1)
  t = later[np.arange(len(later)), place]
  high = later * np.sign(t)[:, None] > 0.5 * np.abs(t)[:, None]
  p_times = np.arange(int(shape.p_duration * _RATE) + 1) / _RATE
  p = to_leads @ shapes.evaluate(shapes.p_waves(shape), p_times)
  q, r, s = _deflections(qrs)
  return Beat(
    p=p,
    qrs=qrs,
    q=q,
    r=r,
    s=s,
    st=st,
    st_course=beat[:, course],
    t=t,
    t_breadth=high.sum(axis=1) / _RATE / (qt - j),
    u=to_leads @ shape.u,
    segment=to_leads @ shape.pr_segment,
    j_notch=to_leads @ shape.j_notch,
  )


def _deflections(qrs):
  """(12, T) -> sizes of Q, R and S waves, each (12,) and not negative."""
  positive = np.maximum.accumulate(qrs > 0.03, axis=1)
  q = np.where(positive, 0.0, -qrs).max(axis=1)
  r = np.maximum(qrs, 0.0).max(axis=1)
  s = np.where(positive, -qrs, 0.0).max(axis=1)
  s = np.where(positive.any(axis=1), s, q)  # the depth of a QS complex
  return np.maximum(q, 0.0), r, np.maximum(s, 0.0)


def peaks(trace):
  """Indices of the local maxima of a trace (T,)."""
  inner = (trace[1:-1] > trace[:-2]) & (trace[1:-1] >= trace[2:])
  return np.flatnonzero(inner) + 1


def measurements(beat, shape, rhythm, seconds):
  """Name -> float for all of `MEASUREMENTS`; NaN where there is nothing."""
  inside = rhythm.qrs[(rhythm.qrs >= 0) & (rhythm.qrs < seconds)]
  cycles = np.diff(inside)
  cycle = synthesis.typical_cycle(rhythm, seconds)
  pr = rhythm.pr[(rhythm.p > -0.2) & (rhythm.p < seconds)]
  conducted = pr[np.isfinite(pr)]
  qt = float(synthesis.qt_interval(shape.qtc, cycle))
  p_seen = rhythm.conducted or rhythm.sinus_p
  values = {
    "heart_rate_bpm": 60.0 / cycles.mean(),
    "rr_variation": cycles.std() / cycles.mean(),
    "p_duration_ms": 1e3 * shape.p_duration if p_seen else math.nan,
    "pr_interval_ms": 1e3 * np.median(conducted)
    if rhythm.conducted
    else math.nan,
    "qrs_duration_ms": 1e3 * shape.qrs_duration,
    "qt_interval_ms": 1e3 * qt,
    "qtc_interval_ms": 1e3 * qt / math.sqrt(cycle),
    "qrs_axis_deg": _axis(beat.qrs),
  }
  for name in MEASUREMENTS[len(values) :]:
    wave, lead, _ = name.split("_")
    lead = {"avl": "aVL"}.get(lead, lead.upper())
    values[name] = beat.lead(wave, lead)[0]
  return {name: float(value) for name, value in values.items()}


def _axis(qrs):
  """Frontal axis in degrees from the net areas in I and aVF."""
  area = qrs.sum(axis=1)
  upward = 2 / math.sqrt(3) * area[_ROW["aVF"]]
  return math.degrees(math.atan2(upward, area[_ROW["I"]]))


def premature(rhythm, seconds):
  """(narrow, wide) numbers of premature beats inside the record."""
  p = rhythm.p[rhythm.p_ectopic] + np.nan_to_num(rhythm.pr[rhythm.p_ectopic])
  narrow = int(((p > 0.1) & (p < seconds - 0.2)).sum())
  wide = rhythm.qrs[rhythm.kind == rhythms.ECTOPIC]
  return narrow, int(((wide > 0.1) & (wide < seconds - 0.2)).sum())
