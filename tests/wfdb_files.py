"""Writes synthetic WFDB records in format 16 with NumPy, for the tests."""

import numpy as np

from fgclep_jax.signals.leads import LEADS


def random_adc(rng, leads=12, length=300, high=3000):
  """Returns (leads, length) int16 of a smooth random walk, never -32768."""
  steps = rng.normal(size=(leads, length)).cumsum(axis=1)
  steps -= steps.mean(axis=1, keepdims=True)
  return (high * steps / np.abs(steps).max()).astype(np.int16)


def write_record(
  folder,
  name,
  adc,
  names=LEADS,
  rate=100,
  gain="1000(0)/mV",
  token="16",
  suffix="dat",
  comments=(),
):
  """Writes `name.hea` and its samples, (n, T) int16; returns the stem.

  `gain` is one token for all signals or a list of n; a `+24` in the format
  token puts a MAT v4 header of 24 bytes before the samples.
  """
  folder.mkdir(parents=True, exist_ok=True)
  count, length = adc.shape
  gains = [gain] * count if isinstance(gain, str) else gain
  lines = [f"{name} {count} {rate} {length}"]
  for row in range(count):
    checksum = int(adc[row].sum(dtype=np.int64)) & 0xFFFF
    lines.append(
      f"{name}.{suffix} {token} {gains[row]} 16 0 {adc[row, 0]} {checksum} "
      f"0 {names[row]}"
    )
  lines += [f"#{comment}" for comment in comments]
  (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
  prefix = b""
  if "+24" in token:
    head = np.array([30, count, length, 0, 4], "<i4")
    prefix = head.tobytes() + b"val\0"
  data = prefix + np.ascontiguousarray(adc.T, "<i2").tobytes()
  (folder / f"{name}.{suffix}").write_bytes(data)
  return folder / name
