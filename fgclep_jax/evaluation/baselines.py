"""Features that know nothing: what an encoder must beat to be worth it.

Both kinds are fixed functions of the signal, computed at 100 Hz over
windows of ten seconds and read by the same linear probe as an encoder's.
"""

import dataclasses

import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.signals import windows

NAMES = ("random_kernels", "pooled_statistics")
RATE, SAMPLES = 100, 1000
_TAPS = 9


@dataclasses.dataclass(frozen=True)
class Kernels:
  """Random dilated convolutions over 12 leads, grouped by dilation.

  groups: tuple of (dilation, weight (12 * 9, k) float32, bias (k,)).
  """

  groups: tuple

  @property
  def count(self):
    return sum(len(bias) for _, _, bias in self.groups)


def random_kernels(seed=0, count=400, samples=SAMPLES, leads=12):
  """Draws kernels after ROCKET (Dempster et al., arXiv 1910.13051).

  Nine taps from N(0, 1), mean removed per lead, on a random subset of the
  leads (its size log-uniform, weights scaled by its root so that outputs
  compare), dilation a power of two up to the signal's length, bias uniform
  in (-1, 1).
  """
  rng = np.random.default_rng(seed)
  highest = int(np.log2((samples - 1) / (_TAPS - 1)))
  dilations = 2 ** rng.integers(0, highest + 1, count)
  groups = []
  for dilation in np.unique(dilations):
    k = int((dilations == dilation).sum())
    weight = rng.normal(size=(k, leads, _TAPS))
    weight -= weight.mean(-1, keepdims=True)
    for kernel in weight:
      size = int(2 ** rng.uniform(0, np.log2(leads + 1)))
      silent = rng.permutation(leads)[size:]
      kernel[silent] = 0
      kernel /= np.sqrt(size)
    bias = rng.uniform(-1, 1, k)
    flat = weight.reshape(k, -1).T.astype(np.float32)
    groups.append((int(dilation), flat, bias.astype(np.float32)))
  return Kernels(tuple(groups))


def kernel_features(signals, kernels, unit=250.0):
  """Pools every kernel's output over time.

  Args:
    signals: (n, 12, T) int16 microvolts.
    kernels: Kernels.
    unit: microvolts that count as one, so that the biases cut the outputs.

  Returns:
    (n, 2 * count) float32: share of positive outputs, then the maximum.
  """
  n, leads, samples = signals.shape
  share = np.empty((n, kernels.count), np.float32)
  highest = np.empty((n, kernels.count), np.float32)
  reach = max(dilation for dilation, _, _ in kernels.groups) * (_TAPS // 2)
  padded = np.zeros((leads, samples + 2 * reach), np.float32)
  taps = np.empty((leads, _TAPS, samples), np.float32)
  for row, signal in enumerate(signals):
    inner = padded[:, reach : reach + samples]
    np.divide(signal, unit, out=inner, dtype=np.float32, casting="unsafe")
    inner -= inner.mean(-1, keepdims=True)
    column = 0
    for dilation, weight, bias in kernels.groups:
      # A copy of each lead for each tap, shifted: rows stay contiguous.
      for tap in range(_TAPS):
        start = reach + (tap - _TAPS // 2) * dilation
        taps[:, tap] = padded[:, start : start + samples]
      output = weight.T @ taps.reshape(-1, samples)
      columns = slice(column, column + len(bias))
      above = output > -bias[:, None]
      share[row, columns] = above.sum(1, dtype=np.int32) / samples
      highest[row, columns] = output.max(1) + bias
      column += len(bias)
  return np.concatenate([share, highest], axis=1)


def pooled_statistics(signals):
  """Eleven numbers per lead, blind to order beyond neighbouring samples.

  Args:
    signals: (n, 12, T) int16 microvolts.

  Returns:
    (n, 132) float32: mean, deviation, seven quantiles from minimum to
    maximum, mean absolute and deviation of the differences, in millivolts.
  """
  signals = signals.astype(np.float32) / 1000
  quantiles = np.quantile(signals, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1], axis=-1)
  steps = np.diff(signals, axis=-1)
  parts = [signals.mean(-1), signals.std(-1), *quantiles]
  parts += [np.abs(steps).mean(-1), steps.std(-1)]
  return np.concatenate(parts, axis=1).astype(np.float32)


class Measuring:
  """Gathers the features of a split, block by block, see `sweep.sweep`.

  Args of the constructor:
    name: `random_kernels` or `pooled_statistics`.
    seed: of the kernels.
  """

  rate, samples = RATE, SAMPLES

  def __init__(self, name, seed=0):
    if name not in NAMES:
      raise InputError(f"no baseline {name!r}: choose from {', '.join(NAMES)}")
    self._kernels = random_kernels(seed) if name == "random_kernels" else None
    self._parts = []

  def see(self, signals, counts):
    """Measures int16 (N, 12, SAMPLES), `counts` (B,) windows a record."""
    if self._kernels is None:
      found = pooled_statistics(signals)
    else:
      found = kernel_features(signals, self._kernels)
    self._parts.append(windows.mean_over(found, counts))

  def result(self):
    """Features (n, W) float32 of all records seen."""
    return np.concatenate(self._parts)
