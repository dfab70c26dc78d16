"""Beats that spread abnormally: blocks, pacing and ventricular ectopics.

As in `expression`: a beat in, a beat out, size and direction drawn anew.
"""

import numpy as np

from fgclep_jax.signals.simulate.shape import (
  add_row,
  jittered,
  vector,
  with_qrs_duration,
)


def left_anterior_fascicular_block(shape, severity, stream):
  size = np.abs(shape.qrs_rows[:, 2:]).sum() / 5.0
  rows = [
    [0.018, 0.0080, -0.16, 0.30, -0.24],
    [0.036, 0.0095, 0.55, 0.10, -0.18],
    [0.055, 0.0105, 0.62, -0.62 - 0.25 * severity, 0.40],
    [0.073, 0.0100, 0.18, -0.62 - 0.25 * severity, 0.36],
    [0.090, 0.0085, -0.02, -0.22, 0.12],
  ]
  rows = _varied_rows(stream, rows)
  rows[:, 2:] *= size
  if stream.chance(0.15):  # the first vector does not always point right
    rows[0, 2:] *= (0.1, 0.9, 1.0)
  return shape.replace(qrs_rows=rows)


def left_posterior_fascicular_block(shape, severity, stream):
  """The mirror image: first up and to the left, then down and right."""
  size = np.abs(shape.qrs_rows[:, 2:]).sum() / 5.0
  right = -0.52 - 0.22 * severity
  rows = [
    [0.018, 0.0080, 0.10, -0.24, -0.24],
    [0.036, 0.0095, 0.42, 0.15, -0.20],
    [0.055, 0.0105, 0.02, 0.80, 0.36],
    [0.073, 0.0100, right, 0.75, 0.42],
    [0.090, 0.0085, right * 0.6, 0.25, 0.12],
  ]
  rows = _varied_rows(stream, rows)
  rows[:, 2:] *= size
  return shape.replace(qrs_rows=rows)


def incomplete_right_bundle_branch_block(shape, severity, stream):
  """A small late vector to the right and front; QRS below 120 ms."""
  size = stream.scale(0.12) * (0.65 + 0.35 * severity)
  wave = jittered(stream, vector(-0.34, 0.02, -0.50) * size, 0.06, 0.08)
  late = shape.qrs_duration + 0.001
  shape = add_row(shape, late, 0.0095, wave)
  return with_qrs_duration(shape, 0.108 + 0.010 * stream.uniform())


def preexcited(shape, severity, stream):
  """A delta wave before the QRS, which an accessory pathway begins."""
  left = stream.chance(0.55)  # type A, positive in V1; else type B
  way = vector(0.12, 0.10, -0.34) if left else vector(0.36, -0.10, 0.16)
  delta = jittered(stream, way, 0.1, 0.12) * (0.8 + 0.6 * severity)
  early = 0.026 + 0.012 * severity
  rows = shape.qrs_rows.copy()
  rows[:, 0] += early
  # A ramp that runs into the QRS complex without a dip: the septum is
  # reached from the pathway as well, and its own first vector is lost.
  rows[0, 2:] = 0.15 * rows[0, 2:] + 1.05 * delta
  rows[0, 1] = 0.0105
  rows[1, 2:] = 0.6 * rows[1, 2:] + 0.8 * delta
  rows[2:, 2:] = rows[2:, 2:] + 0.25 * delta
  middle = 0.5 * (0.016 + rows[0, 0])
  ramp = [
    [0.016, 0.0100, *(0.38 * delta)],
    [middle, 0.0105, *(0.50 * delta)],
  ]
  shape = shape.replace(qrs_rows=np.concatenate([ramp, rows]))
  against = delta * (0.25 + 0.55 * severity)
  return shape.replace(t=shape.t * 0.7 - against, st=shape.st - 0.22 * against)


def right_bundle_branch_block(shape, severity, stream):
  size = stream.scale(0.18) * (0.80 + 0.35 * severity)
  late = 0.098 + 0.012 * severity
  wave = vector(-0.50, 0.02, -0.68) * size
  for centre, part in ((late - 0.016, 0.45), (late, 0.8)):
    vec = jittered(stream, wave * part, 0.06, 0.08)
    shape = add_row(shape, centre, 0.0125 + 0.002 * severity, vec)
  if stream.chance(0.85):
    shape = shape.replace(
      t=shape.t + vector(0.04, 0.02, 0.24) * size,
      st=shape.st + vector(0.01, 0.0, 0.045) * size,
    )
  return shape.replace(qtc=shape.qtc + 0.022)


def left_bundle_branch_block(shape, severity, stream):
  wide = 1.0 + 0.22 * severity
  up = stream.normal(0.12, 0.20)
  rows = [
    [0.022, 0.0095, 0.20, 0.08, 0.10 if stream.chance(0.6) else -0.10],
    [0.046, 0.0130, 1.00, 0.40 * up + 0.1, 0.85],
    [0.076, 0.0125, 0.60, 0.70 * up, 1.25],
    [0.102, 0.0140, 0.98, 0.70 * up, 0.85],
    [0.124, 0.0105, 0.14, 0.30 * up, 0.25],
  ]
  rows = _varied_rows(stream, rows)
  rows[:, :2] *= wide
  rows[:, 2:] *= stream.scale(0.16)
  size = 0.7 + 0.4 * severity
  against = vector(-0.36, -0.04, -0.42) if stream.chance(0.85) else None
  t = shape.t if against is None else jittered(stream, against, 0.2, 0.1)
  st = vector(-0.07, 0.0, -0.13) * size
  return shape.replace(qrs_rows=rows, t=t, st=st, qtc=shape.qtc + 0.032)


def paced(shape, severity, stream):
  right = stream.uniform(0.1, 0.6)  # apical: superior; outflow: inferior
  up = -1.0 if stream.chance(0.8) else 0.7
  rows = [
    [0.026, 0.0105, 0.25, 0.40 * up, 0.18],
    [0.060, 0.0160, right, 0.85 * up, 0.70],
    [0.095, 0.0165, right * 0.8, 0.85 * up, 0.80],
    [0.122, 0.0105, 0.12, 0.36 * up, 0.34],
  ]
  rows = _varied_rows(stream, rows)
  rows[:, :2] *= 1.0 + 0.15 * severity
  t = vector(-0.5 * right, -0.38 * up, -0.32)
  st = vector(-0.08, -0.08 * up, -0.08)
  spike = vector(0.5, 0.9 * -up, -0.3) * stream.uniform(0.35, 1.3)
  return shape.replace(
    qrs_rows=rows, t=t, st=st, spike=-spike, qtc=shape.qtc + 0.035
  )


def of_rhythm(shape, rhythm, stream):
  """The dominant beat in the record's rhythm: where it comes from."""
  if rhythm.ventricular:
    shape = ectopic_shape(shape, stream)
  if rhythm.atrial in ("low", "retrograde"):  # atria activated from below
    shape = shape.replace(
      p_right=shape.p_right * (0.4, -1.1, 0.6),
      p_left=shape.p_left * (0.4, -1.1, 0.6),
      pr_segment=shape.pr_segment * (1.0, -1.0, 1.0),
    )
  return shape


def ectopic_shape(shape, stream):
  """The beat that starts in a ventricle: wide, T against QRS."""
  origins = (vector(0.7, 0.8, 0.9), vector(-0.7, 0.6, -0.8))
  origins += (vector(0.4, -1.0, 0.5), vector(-0.5, -0.9, -0.6))
  way = jittered(stream, stream.pick(origins), 0.0, 0.2)
  usual = np.sqrt((shape.qrs_rows[:, 2:] ** 2).sum(axis=1)).max()
  size = stream.uniform(1.2, 1.8) * max(1.1, usual)
  way *= size / np.sqrt((way**2).sum())
  rows = [
    [0.026, 0.0100, *(way * 0.45)],
    [0.052, 0.0105, *(way * 0.85)],
    [0.080, 0.0115, *(way * 0.75)],
    [0.112, 0.0125, *(way * 0.35)],
  ]
  rows = _varied_rows(stream, rows, 0.15, 0.16)
  rows[:, :2] *= stream.uniform(0.95, 1.2)
  return shape.replace(
    qrs_rows=rows,
    st=-0.08 * way,
    t=-0.30 * way,
    qtc=shape.qtc + 0.03,
    u=np.zeros(3),
    j_notch=np.zeros(3),
    spike=np.zeros(3),
    st_form=(1.0, 1.0, 1.0),
    t_width=1.0,
  )


def _varied_rows(stream, rows, spread=0.12, wobble=0.07):
  """(n, 5) QRS rows with directions and sizes of their own."""
  rows = np.array(rows)
  rows[:, 2:] = jittered(stream, rows[:, 2:], spread, wobble)
  return rows
