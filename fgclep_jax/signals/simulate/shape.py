"""One heart beat as a sum of Gaussian waves with directions in 3-D.

A wave is a row (centre s, width before s, width after s, x, y, z mV,
stretch); `stretch` says how far the wave moves when QT grows by one second.
A QRS row is (centre s, width s, x, y, z). Axes as in `torso`.
"""

import dataclasses

import numpy as np

EDGE = 2.2
"""Wave bounds in widths: a Gaussian has fallen to 9 % of its peak there."""
T_END = 2.0
"""The tangent at the steepest descent meets the baseline there."""
_BEFORE, _AFTER = 0.056, 0.040  # widths of the T wave at QT = 0.40 s
_ST_PLACES = np.array([0.15, 0.45, 0.75])  # from the J point to the T peak
_ST_SUM = 1.38  # what three such waves add up to between their peaks


@dataclasses.dataclass(frozen=True)
class Shape:
  """Parameters of the dominant beat of a record.

  Attributes:
    qrs_rows: (n, 5) waves of ventricular activation.
    st, t, u: (3,) mV vectors of ST plateau, T and U wave.
    qtc: QT interval corrected by Bazett, s.
    p_right, p_left: (3,) mV vectors of the two halves of the P wave.
    p_delay: s from right to left atrial peak.
    p_width: width of both halves, s.
    pr_segment: (3,) mV vector of atrial repolarisation.
    j_notch: (3,) mV vector of a notch at the J point.
    spike: (3,) mV vector of a pacing spike.
    st_form: (3,) weights of the ST segment's beginning, middle and end.
    t_width: width of the T wave against the usual.
  """

  qrs_rows: np.ndarray
  st: np.ndarray
  t: np.ndarray
  u: np.ndarray
  qtc: float
  p_right: np.ndarray
  p_left: np.ndarray
  p_delay: float
  p_width: float
  pr_segment: np.ndarray
  j_notch: np.ndarray
  spike: np.ndarray
  st_form: tuple = (1.0, 1.0, 1.0)
  t_width: float = 1.0

  @property
  def qrs_duration(self):
    """Seconds from the first to the last bound of the QRS waves."""
    centre, width = self.qrs_rows[:, 0], self.qrs_rows[:, 1]
    return float((centre + EDGE * width).max() - (centre - EDGE * width).min())

  @property
  def p_duration(self):
    """Seconds from the onset of the P wave to its end."""
    return self.p_delay + 2 * EDGE * self.p_width

  def replace(self, **changes):
    return dataclasses.replace(self, **changes)


def vector(x, y, z):
  """(3,) heart vector: left, to the feet, to the back."""
  return np.array([x, y, z])


def jittered(stream, values, spread, wobble):
  """Vectors (..., 3) with other lengths and slightly other directions."""
  length = np.sqrt((values**2).sum(axis=-1, keepdims=True))
  noise = stream.normal(0.0, wobble, values.shape) * length
  return values * stream.scale(spread, (*values.shape[:-1], 1)) + noise


def with_qrs_duration(shape, seconds):
  """The shape with its QRS complex stretched or pressed to `seconds`."""
  rows = shape.qrs_rows.copy()
  rows[:, :2] *= seconds / shape.qrs_duration
  return shape.replace(qrs_rows=rows)


def add_row(shape, centre, width, vec):
  """The shape with one more QRS wave in direction `vec` (3,) mV."""
  row = np.array([[centre, width, *vec]])
  return shape.replace(qrs_rows=np.concatenate([shape.qrs_rows, row]))


def normal_qrs(stream):
  """(5, 5) septum, apex, both walls, base of the left ventricle, rest."""
  rows = np.array(
    [
      [0.019, 0.0080, -0.16, -0.05, -0.28],
      [0.034, 0.0088, 0.48, 0.26, -0.30],
      [0.046, 0.0096, 0.98, 0.52, 0.32],
      [0.061, 0.0100, 0.26, 0.18, 0.86],
      [0.077, 0.0085, -0.24, -0.17, 0.20],
    ]
  )
  rows[:, :2] *= float(np.clip(stream.normal(1.0, 0.07), 0.82, 1.16))
  rows[:, 2:] = jittered(stream, rows[:, 2:], 0.15, 0.08)
  rows[:, 2:] *= stream.scale(0.22)
  return rows


def normal_shape(stream, age, female):
  """A healthy heart of that age and sex -> Shape."""
  young_man = 0.0 if female else float(np.clip((55.0 - age) / 35.0, 0.0, 1.0))
  front = 0.8 if female else 1.0 + 0.35 * young_man
  t = vector(0.29, 0.19, -0.17 * front) * stream.scale(0.22)
  st = vector(0.015, 0.015, -0.025 - 0.04 * young_man) * stream.uniform()
  return Shape(
    qrs_rows=normal_qrs(stream),
    st=st,
    t=jittered(stream, t, 0.0, 0.12),
    u=vector(0.01, 0.01, -0.015) * stream.uniform(),
    qtc=float(np.clip(stream.normal(0.408, 0.015), 0.37, 0.442))
    + 0.010 * female,
    p_right=jittered(stream, vector(0.045, 0.100, -0.050), 0.18, 0.10),
    p_left=jittered(stream, vector(0.070, 0.055, 0.026), 0.18, 0.10),
    p_delay=stream.uniform(0.024, 0.034),
    p_width=stream.uniform(0.0145, 0.0180),
    pr_segment=vector(-0.006, -0.010, 0.0),
    j_notch=np.zeros(3),
    spike=np.zeros(3),
  )


def p_waves(shape, ectopic=False):
  """(n, 7) waves after the onset of a P wave."""
  right, left = EDGE * shape.p_width, EDGE * shape.p_width + shape.p_delay
  first, second = shape.p_right, shape.p_left
  if ectopic:  # activation starts low in the left atrium
    first, second = first * (0.5, -0.8, 1.2), second * (-0.6, -0.6, -1.0)
  width = shape.p_width
  after = shape.p_duration + 0.01
  return np.array(
    [
      [right, width, width, *first, 0.0],
      [left, width, width, *second, 0.0],
      [after, 0.022, 0.040, *shape.pr_segment, 0.0],
    ]
  )


def ventricular_waves(shape, qt):
  """(n, 7) waves after the onset of a QRS with QT interval `qt` (s)."""
  rows = shape.qrs_rows
  onset = (rows[:, 0] - EDGE * rows[:, 1]).min()
  waves = [
    [row[0] - onset, row[1], row[1], *row[2:], 0.0] for row in rows.tolist()
  ]
  j = shape.qrs_duration
  stretch = min(1.1, max(0.6, (qt - j) / 0.31))
  before, after = _BEFORE * stretch, _AFTER * stretch * shape.t_width
  before *= shape.t_width
  peak = qt - T_END * after
  gap = max(peak - j, 0.10)
  for place, weight in zip(_ST_PLACES.tolist(), shape.st_form, strict=True):
    vec = (weight * shape.st / _ST_SUM).tolist()
    waves.append([j + place * gap, gap / 6, gap / 6, *vec, place])
  waves.append([peak, before, after, *shape.t, 1.0])
  if shape.u.any():
    waves.append([peak + 0.17, 0.030, 0.040, *shape.u, 1.0])
  if shape.j_notch.any():
    waves.append([j + 0.008, 0.009, 0.009, *shape.j_notch, 0.0])
  if shape.spike.any():
    waves.append([-0.012, 0.0012, 0.0012, *shape.spike, 0.0])
  return np.array(waves)


def evaluate(waves, local, shift=0.0):
  """Heart vector of the waves at the given times.

  Args:
    waves: (n, 7) rows as above.
    local: (..., T) seconds from the onset the rows refer to.
    shift: (...,) s by which QT is longer than the rows say, or 0.

  Returns:
    (..., 3, T) mV.
  """
  centre, before, after = waves[:, 0], waves[:, 1], waves[:, 2]
  centre = centre + np.asarray(shift)[..., None] * waves[:, 6]
  distance = local[..., None, :] - centre[..., None]
  width = np.where(distance < 0, before[:, None], after[:, None])
  distance /= width
  return waves[:, 3:6].T @ np.exp(-0.5 * distance * distance)
