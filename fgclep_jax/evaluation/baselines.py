"""Features that know nothing: what an encoder must beat to be worth it.

Both kinds are fixed functions of the signal, computed at 100 Hz over the
first ten seconds and read by the same linear probe as an encoder's.
"""

import dataclasses

import numpy as np

from fgclep_jax.errors import InputError

NAMES = ("random_kernels", "pooled_statistics")
RATE, SAMPLES = 100, 1000
_TAPS = 9
_BATCH = 16  # records whose windows lie in memory together


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
  for start in range(0, n, _BATCH):
    block = signals[start : start + _BATCH].astype(np.float32) / unit
    block -= block.mean(-1, keepdims=True)
    rows, column = slice(start, start + len(block)), 0
    for dilation, weight, bias in kernels.groups:
      reach = dilation * (_TAPS - 1)
      padded = np.pad(block, ((0, 0), (0, 0), (reach // 2, reach // 2)))
      windows = np.lib.stride_tricks.sliding_window_view(
        padded, reach + 1, axis=-1
      )[..., ::dilation]
      flat = windows.transpose(0, 2, 1, 3).reshape(-1, leads * _TAPS)
      output = (flat @ weight + bias).reshape(len(block), samples, -1)
      columns = slice(column, column + len(bias))
      share[rows, columns] = (output > 0).mean(1)
      highest[rows, columns] = output.max(1)
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


def baseline_features(split, name, seed=0, batch=256):
  """Features (n, W) float32 of a whole split.

  Args:
    split: a dataset split with `signals(indices, rate, samples)`.
    name: `random_kernels` or `pooled_statistics`.
    seed: of the kernels.
    batch: records read at a time.
  """
  if name not in NAMES:
    raise InputError(f"no baseline {name!r}: choose from {', '.join(NAMES)}")
  kernels = random_kernels(seed) if name == "random_kernels" else None
  parts = []
  for start in range(0, len(split), batch):
    indices = np.arange(start, min(start + batch, len(split)))
    signals = split.signals(indices, RATE, SAMPLES)
    if kernels is None:
      parts.append(pooled_statistics(signals))
    else:
      parts.append(kernel_features(signals, kernels))
  return np.concatenate(parts)
