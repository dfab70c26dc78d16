"""Random numbers that are the same on every machine and NumPy version.

NumPy promises a stable stream of raw bits for a bit generator, but not for
the distributions of `Generator`; hence only raw Philox bits are used here
and turned into numbers by arithmetic that is written out.
"""

import math

import numpy as np

VERSION = 2
"""Version of the simulated world. A change of any record needs a new one."""

PURPOSES = ("block", "patient", "record", "shape", "rhythm", "noise", "report")


class Stream:
  """Numbers drawn for one purpose of one patient or record.

  Args:
    purpose: one of `PURPOSES`; streams of other purposes are independent,
      so that a longer report leaves the waveform as it is.
    seed: seed of the cohort, 0 to 2**64 - 1.
    number: number of the patient or record, 0 to 2**48 - 1.
  """

  def __init__(self, purpose, seed, number):
    high = VERSION << 56 | PURPOSES.index(purpose) << 48 | number
    self._bits = np.random.Philox(key=np.array([seed, high], np.uint64))

  def uniform(self, low=0.0, high=1.0, size=None):
    """Uniform on [low, high): a float, or an array of shape `size`."""
    if size is None:
      unit = (self._bits.random_raw() >> 11) * 2.0**-53
    else:
      raw = self._bits.random_raw(size)
      unit = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return low + (high - low) * unit

  def normal(self, mean=0.0, deviation=1.0, size=None):
    """Normal by Box and Muller: a float, or an array of shape `size`."""
    if size is None:
      radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform()))
      return mean + deviation * radius * math.cos(math.tau * self.uniform())
    count = math.prod(size) if isinstance(size, tuple) else size
    half = (count + 1) // 2
    radius = np.sqrt(-2.0 * np.log(1.0 - self.uniform(size=half)))
    angle = math.tau * self.uniform(size=half)
    both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    return mean + deviation * both[:count].reshape(size)

  def scale(self, spread, size=None):
    """A factor around 1: exp of a normal with deviation `spread`."""
    return np.exp(self.normal(0.0, spread, size))

  def chance(self, probability):
    """True with the given probability."""
    return self.uniform() < probability

  def integer(self, low, high):
    """An integer from low to high, both included."""
    return low + int(self.uniform() * (high - low + 1))

  def pick(self, choices, weights=None):
    """One of `choices`, evenly or by `weights`."""
    if weights is None:
      return choices[int(self.uniform() * len(choices))]
    place = self.uniform() * sum(weights)
    for choice, weight in zip(choices, weights, strict=True):
      place -= weight
      if place < 0:
        return choice
    return choices[-1]

  def shuffled(self, choices):
    """The choices in random order, as a list."""
    order = np.argsort(self.uniform(size=len(choices)), kind="stable")
    return [choices[i] for i in order]
