"""The `standard` linear probe: one L2 logistic regression per class.

Shapes: n records, W features, C classes. All classes are fitted at once,
in float64, to the optimum that scikit-learn's `LogisticRegression` (lbfgs,
`C`, intercept not penalised) has for each of them alone.
"""

import dataclasses

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.special

from fgclep_jax import metrics
from fgclep_jax.errors import InputError

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
# Largest element of the gradient of the mean loss: wanted, and still good
# where rounding ends the descent before.
_GOAL, _TOLERANCE = 1e-6, 1e-5
_MOST_STEPS = 2000


@dataclasses.dataclass(frozen=True)
class Probe:
  """A fitted head: scores = ((x - mean) / scale) @ weight + bias.

  weight (W, C) and bias (C,) float64, both 0 for untrainable classes.
  strength: the chosen C; validation: C -> macro AUROC on validation.
  """

  mean: np.ndarray
  scale: np.ndarray
  weight: np.ndarray
  bias: np.ndarray
  trainable: np.ndarray
  strength: float
  validation: dict

  def scores(self, features):
    """Logits (n, C) float32 of features (n, W)."""
    features = np.asarray(features, np.float64)
    logits = (features - self.mean) / self.scale @ self.weight + self.bias
    return logits.astype(np.float32)


def fit_probe(features, labels, val_features, val_labels, strengths=STRENGTHS):
  """Fits the head for every C and keeps the best on validation.

  Args:
    features, labels: (n, W) floats and (n, C) of 0 and 1 to fit on; they
      are standardised with their own mean and deviation.
    val_features, val_labels: what C is chosen on, by macro AUROC over the
      classes defined there and trainable here; of equal values the
      smallest C. The head is not fitted again on them.
    strengths: values of C to try, one for all classes.

  Returns:
    Probe. A class with no positive or no negative in the subset cannot be
    trained and scores a constant.

  Raises:
    InputError: nothing to fit, or no class to choose C by.
  """
  features = np.asarray(features, np.float64)
  labels = np.asarray(labels, bool)
  trainable = metrics.usable(labels)
  judged = trainable & metrics.usable(val_labels)
  if not judged.any():
    raise InputError(
      f"linear probe: none of {labels.shape[1]} classes has positives and "
      f"negatives among both {len(labels)} training and {len(val_labels)} "
      "validation records; give more records"
    )
  mean, scale = features.mean(0), features.std(0)
  scale = np.where(scale > 1e-12 * np.maximum(1, np.abs(mean)), scale, 1.0)
  standard = (features - mean) / scale
  val_standard = (np.asarray(val_features, np.float64) - mean) / scale
  solver = LogisticSolver(standard, labels[:, trainable])
  best, validation = None, {}
  for strength in sorted(strengths):
    weight, bias = solver.fit(strength)
    full = np.zeros((features.shape[1], labels.shape[1]))
    full[:, trainable] = weight
    area = metrics.auroc(val_standard @ full, val_labels)
    validation[strength] = metrics.macro(area, judged)
    if best is None or validation[strength] > validation[best[0]]:
      full_bias = np.zeros(labels.shape[1])
      full_bias[trainable] = bias
      best = (strength, full, full_bias)
  strength, weight, bias = best
  return Probe(mean, scale, weight, bias, trainable, strength, validation)


class LogisticSolver:
  """L2 logistic regressions of several classes on the same features.

  The features are turned to their principal axes, which drops directions
  without variance. Each value of C starts from the solution of the last
  one, in coordinates in which every class's Hessian there is the identity:
  L-BFGS then converges in tens of steps instead of hundreds. Neither
  changes the optimum: the penalty is the same in every rotated basis, and
  the coordinates are undone.

  Args:
    features: (n, W) float64, standardised.
    labels: (n, C) bool, every class with positives and negatives.
  """

  def __init__(self, features, labels):
    self.labels = labels.astype(np.float64)
    self.axes = _principal_axes(features)
    self.rotated = features @ self.axes
    self.solution = None  # of the last C, in rotated coordinates

  def fit(self, strength):
    """Returns weight (W, C) and bias (C,) for one value of C.

    Starts from the solution of the last C. Raises RuntimeError when the
    optimiser ends before the gradient is small.
    """
    n, width = self.rotated.shape
    classes = self.labels.shape[1]
    penalty = 1.0 / (strength * n)
    if self.solution is None:
      self.solution = np.zeros((width + 1, classes))
      self.solution[width] = scipy.special.logit(self.labels.mean(0))
    start, change = self.solution, self._coordinates(penalty)

    largest = np.inf

    def objective(flat):
      nonlocal largest
      value, gradient = self._loss(start + _moved(change, flat), penalty)
      largest = np.abs(gradient).max()
      return value, (gradient.T[:, None] @ change).ravel()

    def stop_when_flat(_):
      if largest <= _GOAL:
        raise StopIteration

    found = scipy.optimize.minimize(
      objective,
      np.zeros(start.size),
      jac=True,
      method="L-BFGS-B",
      callback=stop_when_flat,
      options={
        "maxiter": _MOST_STEPS,
        "maxfun": 2 * _MOST_STEPS,
        "maxcor": 20,
        "ftol": 0.0,
        "gtol": 0.0,
      },
    )
    self.solution = start + _moved(change, found.x)
    _, gradient = self._loss(self.solution, penalty)
    if np.abs(gradient).max() > _TOLERANCE:
      raise RuntimeError(
        f"logistic regression with C={strength} did not converge in "
        f"{found.nit} steps: gradient {np.abs(gradient).max():.1e}, wanted "
        f"{_TOLERANCE:.0e} ({found.message})"
      )
    return self.axes @ self.solution[:width], self.solution[width].copy()

  def _coordinates(self, penalty):
    """(C, W + 1, W + 1): inverse transposed Cholesky factor of a class's
    Hessian at the present solution."""
    width = self.rotated.shape[1]
    chance = scipy.special.expit(
      self.rotated @ self.solution[:-1] + self.solution[-1]
    )
    root = np.sqrt(chance * (1 - chance) / len(chance))
    with_one = np.hstack([self.rotated, np.ones((len(root), 1))])
    change = np.empty((root.shape[1], width + 1, width + 1))
    for own, column in zip(change, root.T, strict=True):
      scaled = with_one * column[:, None]
      hessian = scaled.T @ scaled
      # The intercept's curvature may vanish where a class is separated.
      hessian[np.diag_indices(width)] += penalty
      hessian[width, width] += 1e-6
      factor = np.linalg.cholesky(hessian)
      own[:] = scipy.linalg.lapack.dtrtri(factor, lower=1)[0].T
    return change

  def _loss(self, weight, penalty):
    """Mean loss plus penalty, summed over classes, and its gradient."""
    slope, bias = weight[:-1], weight[-1]
    logits = self.rotated @ slope + bias
    value = (np.logaddexp(0, logits) - self.labels * logits).mean(0).sum()
    value += 0.5 * penalty * (slope * slope).sum()
    error = (scipy.special.expit(logits) - self.labels) / len(logits)
    gradient = np.empty_like(weight)
    gradient[:-1] = self.rotated.T @ error + penalty * slope
    gradient[-1] = error.sum(0)
    return value, gradient


def _moved(change, flat):
  """Coordinates (C * (W + 1),) as weights and intercept (W + 1, C)."""
  return (change @ flat.reshape(len(change), -1, 1))[..., 0].T


def _principal_axes(features):
  """Principal axes (W, K), K = min(n, W) or less.

  Directions in which the records do not differ carry no weight at the
  optimum, so the smaller of the two Gram matrices is enough.
  """
  n, width = features.shape
  if n >= width:
    return np.linalg.eigh(features.T @ features / n)[1]
  variance, vectors = np.linalg.eigh(features @ features.T / n)
  kept = variance > 1e-10 * variance[-1]
  return features.T @ vectors[:, kept] / np.sqrt(n * variance[kept])


def stratified_subset(labels, unit_ids, fraction, seed):
  """Draws a share of the patients, spread evenly over label combinations.

  Patients are lined up by the labels of their records, rarest class first,
  in random order within equal labels; every (1 / fraction)-th is taken
  from a random start. So each combination, however rare, has its share in
  expectation, and common ones have it almost exactly.

  Args:
    labels: (n, C) of 0 and 1.
    unit_ids: (n,) str, the patient, or the record where unknown.
    fraction: share of patients, 0 < fraction <= 1.
    seed: int.

  Returns:
    (n,) bool: all records of the drawn patients.
  """
  if not 0 < fraction <= 1:
    raise InputError(
      f"probe fraction {fraction}: give a share above 0, at most 1"
    )
  if fraction == 1:
    return np.ones(len(labels), bool)
  units, unit_of_record = np.unique(unit_ids, return_inverse=True)
  held = np.zeros((len(units), labels.shape[1]), bool)
  np.logical_or.at(held, unit_of_record, np.asarray(labels, bool))
  rarity = np.argsort(held.sum(0), kind="stable")
  rng = np.random.default_rng([seed, len(units)])
  keys = [rng.random(len(units)), *~held[:, rarity[::-1]].T]
  line = np.lexsort(keys)
  position = np.arange(rng.random() / fraction, len(units), 1 / fraction)
  drawn = np.zeros(len(units), bool)
  drawn[line[position.astype(int)]] = True
  return drawn[unit_of_record]
