"""What changes ST segment, T and U wave without harm to a wall.

As in `expression`: a beat in, a beat out, size and direction drawn anew.
"""

from fgclep_jax.signals.simulate.shape import (
  add_row,
  jittered,
  vector,
  with_qrs_duration,
)

_CONCAVE = (0.65, 0.95, 1.2)
_COVED = (1.15, 0.75, 0.25)
_SCOOPED = (0.7, 1.3, 0.45)


def pericarditis(shape, severity, stream):
  strength = 0.65 + 0.6 * severity
  late = stream.chance(0.2)
  st = jittered(stream, vector(0.165, 0.165, -0.05), 0.1, 0.1)
  shape = shape.replace(
    st=st * strength * (0.35 if late else 1.0), st_form=_CONCAVE
  )
  if stream.chance(0.65):
    pr = vector(-0.045, -0.050, 0.010) * strength
    shape = shape.replace(pr_segment=pr)
  if late:
    shape = shape.replace(t=vector(-0.17, -0.13, 0.06) * strength)
  return shape


def long_qt(shape, severity, stream):
  shape = shape.replace(qtc=0.478 + 0.07 * severity + stream.uniform(0, 0.01))
  if stream.chance(0.35):
    shape = shape.replace(t=shape.t * stream.uniform(0.3, 0.6))
  return shape


def early(shape, severity, stream):
  """Notch at the J point and ST segments that rise to tall T waves."""
  notch = vector(0.12, 0.12, -0.02) * (1.0 + 0.6 * severity)
  front = vector(0.10, 0.06, -0.12) * (0.7 + 0.6 * severity)
  return shape.replace(
    j_notch=jittered(stream, notch, 0.08, 0.08),
    st=shape.st + jittered(stream, front, 0.1, 0.1),
    st_form=_CONCAVE,
    t=shape.t * stream.uniform(1.2, 1.6),
  )


def brugada(shape, severity, stream):
  """Type 1: r' and coved ST elevation in V1 and V2, then a negative T."""
  size = 1.0 + 0.35 * severity
  late = shape.qrs_duration - 0.006
  prime = jittered(stream, vector(-0.10, 0.0, -0.24) * size, 0.08, 0.05)
  shape = add_row(shape, late, 0.0085, prime)
  st = jittered(stream, vector(-0.03, -0.02, -0.25) * size, 0.05, 0.04)
  t = jittered(stream, vector(0.28, 0.17, 0.20) * size, 0.05, 0.05)
  return shape.replace(st=st, st_form=_COVED, t=t, j_notch=0.55 * st)


def hyperkalemia(shape, severity, stream):
  """Narrow peaked T waves; later flat P, long PR and a broad QRS."""
  shape = shape.replace(
    t=shape.t * (1.9 + 0.9 * severity) + vector(0.08, 0.05, -0.12),
    t_width=stream.uniform(0.55, 0.68),
    st=shape.st * 0.3,
    qtc=shape.qtc - 0.012,
  )
  if severity > 0.6:
    late = (severity - 0.6) / 0.4
    shape = shape.replace(
      p_right=shape.p_right * (0.8 - 0.5 * late),
      p_left=shape.p_left * (0.8 - 0.5 * late),
      p_width=shape.p_width * (1.1 + 0.15 * late),
    )
    longer = shape.qrs_duration * (1.10 + 0.30 * late)
    shape = with_qrs_duration(shape, longer)
  return shape


def hypokalemia(shape, severity, stream):
  """U waves above low T waves, slight ST depression."""
  u = jittered(stream, vector(0.06, 0.06, -0.11), 0.1, 0.08)
  return shape.replace(
    u=u * (1.0 + 0.8 * severity),
    t=shape.t * (0.5 - 0.3 * severity),
    st=jittered(stream, vector(-0.07, -0.06, 0.02), 0.1, 0.1)
    * (0.6 + 0.7 * severity),
  )


def digitalis(shape, severity, stream):
  """Scooped ST depression, low T waves, short QT."""
  size = 0.9 + 0.7 * severity
  st = jittered(stream, vector(-0.115, -0.085, -0.01), 0.08, 0.1)
  return shape.replace(
    st=st * size,
    st_form=_SCOOPED,
    t=shape.t * (0.55 - 0.25 * severity),
    qtc=0.375 - 0.030 * severity + stream.uniform(-0.01, 0.01),
  )
