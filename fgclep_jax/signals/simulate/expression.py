"""How each diagnosis changes the beat, in a part of its possible ways.

A diagnosis draws a severity and then, each with its own probability, the
changes that it makes in this record: the same diagnosis looks different from
record to record, and different diagnoses make the same change. What is truly
seen is measured afterwards (`findings`); nothing here names a feature.
Frequencies follow the literature in round figures: repolarisation changes in
about half of hypertrophied left ventricles, Q waves in most old infarctions,
right axis in most, dominant R in V1 in two thirds of hypertrophied right
ventricles, ST elevation in four and PR depression in two thirds of acute
pericarditis.
"""

import numpy as np

from fgclep_jax.signals.simulate import conduction
from fgclep_jax.signals.simulate.shape import add_row, jittered, vector


def express(shape, names, severity, stream, age):
  """The beat of a record.

  Args:
    shape: the healthy beat.
    names: diagnoses of the record.
    severity: name -> 0 (barely) .. 1 (fully developed).
    stream: numbers of the record's shape.
    age: years.

  Returns:
    Shape.
  """
  for name, change in _CHANGES.items():
    if name in names:
      shape = change(shape, severity[name], stream)
  return _with_incidentals(shape, names, stream, age)


def _scale_rows(shape, first, last, factors):
  rows = shape.qrs_rows.copy()
  rows[first:last, 2:] *= factors
  return shape.replace(qrs_rows=rows)


def _left_ventricular_hypertrophy(shape, severity, stream):
  size = 1.5 + 0.65 * severity
  front = stream.uniform(0.85, 1.1)  # limb leads grow in some, chest in most
  factors = np.array([size * front, size * 0.75, size * 1.08])
  shape = _scale_rows(shape, 2, 4, factors)
  if stream.chance(0.25 + 0.45 * severity):
    strain = 0.45 + 0.65 * severity
    shape = shape.replace(
      t=shape.t * 0.15 + vector(-0.24, 0.02, -0.20) * strain,
      st=shape.st + vector(-0.08, -0.01, -0.09) * strain,
    )
  if stream.chance(0.4):
    shape = _left_atrium(shape, stream)
  if stream.chance(0.3):
    rows = shape.qrs_rows.copy()
    turn = np.deg2rad(stream.uniform(25.0, 50.0))
    x, y = rows[:, 2].copy(), rows[:, 3].copy()
    rows[:, 2] = np.cos(turn) * x + np.sin(turn) * y
    rows[:, 3] = np.cos(turn) * y - np.sin(turn) * x
    shape = shape.replace(qrs_rows=rows)
  return shape


def _left_atrium(shape, stream):
  size = stream.uniform(1.3, 2.1)
  return shape.replace(
    p_left=shape.p_left * size + vector(0.0, 0.0, 0.035) * size,
    p_delay=shape.p_delay + stream.uniform(0.018, 0.032),
  )


def _right_ventricular_hypertrophy(shape, severity, stream):
  shape = _scale_rows(shape, 1, 4, 0.62 - 0.2 * severity)
  size = 0.75 + 0.6 * severity
  vec = vector(-0.55, 0.50, -0.95 if stream.chance(0.75) else -0.15)
  vec = jittered(stream, vec * size, 0.1, 0.08)
  shape = add_row(shape, 0.055, 0.012, vec)
  if stream.chance(0.45):
    shape = shape.replace(
      t=vector(0.16, 0.14, 0.24) * (0.7 + 0.5 * severity),
      st=shape.st + vector(0.0, 0.0, 0.05),
    )
  if stream.chance(0.45):
    size = stream.uniform(1.7, 2.3)
    shape = shape.replace(p_right=shape.p_right * size)
  return shape


def _anterior_infarction(shape, severity, stream):
  stage = stream.pick(("acute", "evolving", "old"), (0.3, 0.3, 0.4))
  strength = 0.55 + 0.7 * severity
  if stage != "acute" or stream.chance(0.35):
    reach = stream.uniform(-0.35, 0.1)
    rows = shape.qrs_rows.copy()
    rows[0, 2:] = vector(-0.05, 0.02, 0.26 * strength)
    rows[1, 2:] = vector(reach, 0.25, 0.48 * strength)
    rows[2, 4] += 0.20 * strength
    rows[2, 2] *= 1.0 - 0.35 * severity
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


def _inferior_infarction(shape, severity, stream):
  stage = stream.pick(("acute", "evolving", "old"), (0.3, 0.25, 0.45))
  strength = 0.6 + 0.7 * severity
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


def _lateral_ischemia(shape, severity, stream):
  strength = 0.6 + 0.7 * severity
  depressed = stream.chance(0.75)
  if depressed:
    st = jittered(stream, vector(-0.11, -0.04, -0.02), 0.1, 0.2)
    shape = shape.replace(st=st * strength, t=shape.t * 0.55)
  if not depressed or stream.chance(0.45):
    t = jittered(stream, vector(-0.22, 0.04, -0.09), 0.1, 0.15)
    shape = shape.replace(t=shape.t * 0.15 + t * strength)
  return shape


def _pericarditis(shape, severity, stream):
  strength = 0.65 + 0.6 * severity
  late = stream.chance(0.2)
  st = jittered(stream, vector(0.13, 0.13, -0.03), 0.1, 0.1)
  shape = shape.replace(st=st * strength * (0.35 if late else 1.0))
  if stream.chance(0.65):
    pr = vector(-0.045, -0.050, 0.010) * strength
    shape = shape.replace(pr_segment=pr)
  if late:
    shape = shape.replace(t=vector(-0.17, -0.13, 0.06) * strength)
  return shape


def _long_qt(shape, severity, stream):
  shape = shape.replace(qtc=0.478 + 0.07 * severity + stream.uniform(0, 0.01))
  if stream.chance(0.35):
    shape = shape.replace(t=shape.t * stream.uniform(0.3, 0.6))
  return shape


_CHANGES = {
  "left ventricular hypertrophy": _left_ventricular_hypertrophy,
  "right ventricular hypertrophy": _right_ventricular_hypertrophy,
  "left anterior fascicular block": conduction.left_anterior_fascicular_block,
  "anterior myocardial infarction": _anterior_infarction,
  "inferior myocardial infarction": _inferior_infarction,
  "acute pericarditis": _pericarditis,
  "right bundle branch block": conduction.right_bundle_branch_block,
  "left bundle branch block": conduction.left_bundle_branch_block,
  "ventricular pacing": conduction.paced,
  "lateral ischemia": _lateral_ischemia,
  "long QT": _long_qt,
}


def _with_incidentals(shape, names, stream, age):
  """Findings that belong to no diagnosis, or only by accident."""
  if stream.chance(0.07):  # fat, air or water between heart and skin
    shape = _scale_rows(shape, 0, None, stream.uniform(0.45, 0.65))
    shape = shape.replace(t=shape.t * 0.6)
  if stream.chance(0.05) and shape.qrs_duration < 0.12:
    vec = vector(-0.08, -0.42, 0.0) * stream.uniform(0.8, 1.3)
    shape = add_row(shape, 0.052, 0.0042, vec)
  if stream.chance(0.05):
    u = vector(0.045, 0.05, -0.075) * stream.uniform(0.9, 1.6)
    shape = shape.replace(u=u)
  if stream.chance(0.13 if age < 45 else 0.03) and shape.qrs_duration < 0.12:
    notch = vector(0.10, 0.11, 0.0) * stream.uniform(0.9, 1.6)
    shape = shape.replace(j_notch=notch)
  if stream.chance(0.15 if "atrial fibrillation" in names else 0.04):
    shape = shape.replace(t=shape.t * stream.uniform(0.1, 0.35))
  if stream.chance(0.05):
    shape = _left_atrium(shape, stream)
  return shape
