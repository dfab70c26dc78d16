"""Infarctions and ischaemia, by wall.

As in `expression`: a beat in, a beat out, size and direction drawn anew. ST
vectors point to the injured wall, T and Q away from it (Thygesen 2018, the
fourth universal definition of myocardial infarction).
"""

from fgclep_jax.signals.simulate.shape import jittered, vector


def anterior(shape, severity, stream):
  stage = stream.pick(("evolving", "old"), (0.4, 0.6))
  return _anterior(shape, 0.6 + 0.65 * severity, stage, stream)


def acute_anterior(shape, severity, stream):
  return _anterior(shape, 0.95 + 0.5 * severity, "acute", stream)


def _anterior(shape, strength, stage, stream):
  if stage != "acute" or stream.chance(0.35):
    reach = stream.uniform(-0.35, 0.1)
    rows = shape.qrs_rows.copy()
    rows[0, 2:] = vector(-0.05, 0.02, 0.26 * strength)
    rows[1, 2:] = vector(reach, 0.25, 0.48 * strength)
    rows[2, 4] += 0.20 * strength
    rows[2, 2] *= 1.0 - 0.3 * strength
    shape = shape.replace(qrs_rows=rows)
  if stage == "acute":
    shape = shape.replace(
      st=shape.st + vector(0.05, -0.05, -0.20) * strength,
      t=shape.t * 0.8 + vector(0.10, -0.02, -0.30) * strength,
    )
  if stage == "evolving":
    shape = shape.replace(
      st=shape.st + vector(0.02, -0.02, -0.12) * strength,
      t=vector(-0.06, 0.16, 0.26) * strength,
    )
  if stage == "old" and stream.chance(0.45):
    shape = shape.replace(t=vector(0.02, 0.17, 0.17) * strength)
  return shape


def inferior(shape, severity, stream):
  stage = stream.pick(("evolving", "old"), (0.35, 0.65))
  return _inferior(shape, 0.65 + 0.65 * severity, stage, stream)


def acute_inferior(shape, severity, stream):
  return _inferior(shape, 0.9 + 0.5 * severity, "acute", stream)


def _inferior(shape, strength, stage, stream):
  if stage != "acute" or stream.chance(0.35):
    rows = shape.qrs_rows.copy()
    rows[0, 2:] = rows[0, 2:] * (0.5, 1, 1) + vector(0, -0.24, 0) * strength
    rows[0, 1] *= 1.15
    rows[1, 2:] = rows[1, 2:] * (1, 0, 1) + vector(0, -0.34, 0) * strength
    rows[2, 3] *= 0.75
    shape = shape.replace(qrs_rows=rows)
  if stage == "acute":
    back = 0.06 if stream.chance(0.4) else 0.0  # the posterior wall as well
    shape = shape.replace(
      st=shape.st + vector(-0.07, 0.19, back) * strength,
      t=shape.t * 0.8 + vector(-0.08, 0.20, 0.0) * strength,
    )
  elif stage == "evolving" or stream.chance(0.4):
    shape = shape.replace(t=shape.t * 0.4 + vector(0.12, -0.26, 0) * strength)
  return shape


def lateral(shape, severity, stream):
  """Q waves in I, aVL, V5 and V6; ST elevation while it is fresh."""
  stage = stream.pick(("acute", "evolving", "old"), (0.3, 0.25, 0.45))
  strength = 0.8 + 0.6 * severity
  rows = shape.qrs_rows.copy()
  rows[0, 2:] = vector(-0.32, 0.10, -0.10) * strength
  rows[0, 1] *= 1.2
  rows[1, 2:] = vector(-0.18, 0.22, -0.22) * strength
  rows[2, 2] *= 0.9
  shape = shape.replace(qrs_rows=rows)
  if stage == "acute":
    shape = shape.replace(
      st=shape.st + vector(0.20, -0.11, 0.03) * strength,
      t=shape.t * 0.8 + vector(0.16, -0.08, 0.0) * strength,
    )
  elif stage == "evolving" or stream.chance(0.4):
    shape = shape.replace(
      t=shape.t * 0.3 + vector(-0.26, 0.08, -0.08) * strength
    )
  return shape


def posterior(shape, severity, stream):
  """The mirror image in V1 to V3: broad R, upright T, ST depression."""
  strength = 0.9 + 0.5 * severity
  rows = shape.qrs_rows.copy()
  rows[0, 2:] = vector(-0.14, 0.02, -0.22) * strength
  rows[1, 4] -= 0.20 * strength
  rows[2, 4] = -0.42 * strength
  rows[3, 2:] = vector(0.12, 0.20, -0.55 * strength)
  rows[4, 2:] = vector(-0.05, 0.05, -0.10)
  shape = shape.replace(qrs_rows=rows)
  if stream.chance(0.35):
    shape = shape.replace(st=shape.st + vector(0.02, 0.04, 0.13) * strength)
  return shape.replace(t=shape.t + vector(0.0, 0.0, -0.14) * strength)


def lateral_ischemia(shape, severity, stream):
  strength = 0.6 + 0.7 * severity
  depressed = stream.chance(0.75)
  if depressed:
    st = jittered(stream, vector(-0.11, -0.04, -0.02), 0.1, 0.2)
    shape = shape.replace(st=st * strength, t=shape.t * 0.55)
  if not depressed or stream.chance(0.45):
    t = jittered(stream, vector(-0.22, 0.04, -0.09), 0.1, 0.15)
    shape = shape.replace(t=shape.t * 0.15 + t * strength)
  return shape


def anterior_ischemia(shape, severity, stream):
  """T waves inverted, or ST segments low, in V1 to V4."""
  strength = 0.8 + 0.6 * severity
  depressed = stream.chance(0.4)
  if depressed:
    st = jittered(stream, vector(-0.05, 0.0, 0.11), 0.1, 0.1)
    shape = shape.replace(st=st * strength, t=shape.t * 0.7)
  if not depressed or stream.chance(0.35):
    t = jittered(stream, vector(-0.02, 0.12, 0.26), 0.1, 0.1)
    shape = shape.replace(t=shape.t * 0.25 + t * strength)
  return shape


def inferior_ischemia(shape, severity, stream):
  """T waves inverted, or ST segments low, in II, III and aVF."""
  strength = 0.8 + 0.6 * severity
  depressed = stream.chance(0.5)
  if depressed:
    st = jittered(stream, vector(0.02, -0.11, 0.01), 0.1, 0.1)
    shape = shape.replace(st=st * strength, t=shape.t * 0.7)
  if not depressed or stream.chance(0.4):
    t = jittered(stream, vector(0.10, -0.25, -0.05), 0.1, 0.1)
    shape = shape.replace(t=shape.t * 0.3 + t * strength)
  return shape
