"""How each diagnosis changes the beat, in a part of its possible ways.

The changes themselves are here (chambers), in `conduction`, `infarction` and
`repolarisation`.

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

from fgclep_jax.signals.simulate import conduction, infarction, repolarisation
from fgclep_jax.signals.simulate.shape import add_row, jittered, vector


def express(shape, names, severity, stream):
  """The beat of a record.

  Args:
    shape: the healthy beat.
    names: diagnoses of the record.
    severity: name -> 0 (barely) .. 1 (fully developed).
    stream: numbers of the record's shape.

  Returns:
    Shape.
  """
  for name, change in _CHANGES.items():
    if name in names:
      shape = change(shape, severity[name], stream)
  return _with_incidentals(shape, names, stream)


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
  if stream.chance(0.3):
    rows = shape.qrs_rows.copy()
    turn = np.deg2rad(stream.uniform(25.0, 50.0))
    x, y = rows[:, 2].copy(), rows[:, 3].copy()
    rows[:, 2] = np.cos(turn) * x + np.sin(turn) * y
    rows[:, 3] = np.cos(turn) * y - np.sin(turn) * x
    shape = shape.replace(qrs_rows=rows)
  return shape


def _left_atrium(shape, severity, stream):
  """A broad P wave with two tops in II and a late dip in V1."""
  size = 1.25 + 0.5 * severity + stream.uniform(0.0, 0.2)
  return shape.replace(
    p_left=shape.p_left * size + vector(0.0, 0.0, 0.045) * size,
    p_delay=shape.p_delay + 0.016 + 0.010 * severity,
    p_width=max(shape.p_width, 0.0175) + 0.001 * severity,
  )


def _right_atrium(shape, severity, stream):
  """A tall and pointed P wave in the inferior leads."""
  size = 1.9 + 0.6 * severity + stream.uniform(0.0, 0.25)
  right = shape.p_right * size
  return shape.replace(
    p_right=right + vector(0.0, 0.03, -0.01), p_left=shape.p_left * 1.1
  )


def _right_ventricular_hypertrophy(shape, severity, stream):
  shape = _scale_rows(shape, 0, 1, np.array([0.35, 1.0, 1.0]))
  shape = _scale_rows(shape, 1, 4, 0.62 - 0.2 * severity)
  size = 0.9 + 0.5 * severity
  vec = vector(-0.55, 0.50, -0.95 if stream.chance(0.75) else -0.15)
  vec = jittered(stream, vec * size, 0.1, 0.08)
  shape = add_row(shape, 0.055, 0.012, vec)
  if stream.chance(0.45):
    shape = shape.replace(
      t=vector(0.16, 0.14, 0.24) * (0.7 + 0.5 * severity),
      st=shape.st + vector(0.0, 0.0, 0.05),
    )
  return shape


_CHANGES = {
  "left ventricular hypertrophy": _left_ventricular_hypertrophy,
  "right ventricular hypertrophy": _right_ventricular_hypertrophy,
  "left atrial enlargement": _left_atrium,
  "right atrial enlargement": _right_atrium,
  "left anterior fascicular block": conduction.left_anterior_fascicular_block,
  "left posterior fascicular block": (
    conduction.left_posterior_fascicular_block
  ),
  "anterior myocardial infarction": infarction.anterior,
  "inferior myocardial infarction": infarction.inferior,
  "lateral myocardial infarction": infarction.lateral,
  "posterior myocardial infarction": infarction.posterior,
  "acute anterior myocardial infarction": infarction.acute_anterior,
  "acute inferior myocardial infarction": infarction.acute_inferior,
  "acute pericarditis": repolarisation.pericarditis,
  "early repolarization": repolarisation.early,
  "hyperkalemia": repolarisation.hyperkalemia,
  "right bundle branch block": conduction.right_bundle_branch_block,
  "incomplete right bundle branch block": (
    conduction.incomplete_right_bundle_branch_block
  ),
  "left bundle branch block": conduction.left_bundle_branch_block,
  "Brugada pattern": repolarisation.brugada,
  "Wolff-Parkinson-White pattern": conduction.preexcited,
  "ventricular pacing": conduction.paced,
  "anterior ischemia": infarction.anterior_ischemia,
  "lateral ischemia": infarction.lateral_ischemia,
  "inferior ischemia": infarction.inferior_ischemia,
  "long QT": repolarisation.long_qt,
  "hypokalemia": repolarisation.hypokalemia,
  "digitalis effect": repolarisation.digitalis,
}


def _with_incidentals(shape, names, stream):
  """Findings that belong to no diagnosis, or only by accident."""
  if stream.chance(0.07):  # fat, air or water between heart and skin
    shape = _scale_rows(shape, 0, None, stream.uniform(0.45, 0.65))
    shape = shape.replace(t=shape.t * 0.6)
  if stream.chance(0.05) and shape.qrs_duration < 0.12:
    vec = vector(-0.08, -0.42, 0.0) * stream.uniform(0.8, 1.3)
    shape = add_row(shape, 0.052, 0.0042, vec)
  if stream.chance(0.04):
    u = vector(0.045, 0.05, -0.075) * stream.uniform(0.9, 1.6)
    shape = shape.replace(u=u)
  if stream.chance(0.15 if "atrial fibrillation" in names else 0.04):
    shape = shape.replace(t=shape.t * stream.uniform(0.1, 0.35))
  return shape
