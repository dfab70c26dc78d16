"""What is done about odd samples and leads, and the account of it.

`assemble` turns the microvolts of any file format into the signal of the
contract, int16 (12, T), and a `Quality` that says what was found.
"""

import dataclasses
import statistics

import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.signals import leads, transform
from fgclep_jax.signals.header import RecordError


@dataclasses.dataclass(frozen=True)
class Policy:
  """What to do with odd records; the limits are choices of this project.

  A record that is not dropped keeps unrepairable gaps as 0, absent leads
  derived from I and II or 0, and constant leads as they are, all marked.
  """

  drop_invalid: bool = False  # gaps beyond repair
  drop_missing_lead: bool = False
  drop_flat: bool = False  # every lead constant
  max_invalid_share: float = 0.01  # of a lead, to be repaired
  max_gap_seconds: float = 0.1
  min_seconds: float = 1.0
  min_median_mv: float = 0.4  # peak to peak, median over leads
  max_median_mv: float = 5.0


BENCHMARK = Policy()
TRAINING = Policy(drop_invalid=True, drop_missing_lead=True, drop_flat=True)


@dataclasses.dataclass(frozen=True, eq=False)
class Quality:
  """Findings about one record; the fields `quality/*` of an example."""

  lead_missing: np.ndarray  # (12,) bool, absent and not derived: zeros
  lead_flat: np.ndarray  # (12,) bool, present and constant
  n_invalid: int  # samples without a value in the file
  n_clipped: int  # samples beyond +-32.767 mV
  invalid_runs: np.ndarray  # (n, 3) int32: lead, first sample, length
  flags: tuple[str, ...]

  def example(self, lines=()):
    """Returns the dict of an example; `lines`: technical report lines."""
    fields = {
      field.name: getattr(self, field.name)
      for field in dataclasses.fields(self)
    }
    return fields | {"flags": list(self.flags), "lines": list(lines)}


def assemble(values, names, rate, invalid=None, policy=BENCHMARK):
  """Places, repairs, rounds and judges the leads of one record.

  Args:
    values: (n, T) microvolts, int16 or float.
    names: n lead names.
    rate: samples per second.
    invalid: (n, T) bool, samples without a value, or None for none.
    policy: Policy.

  Returns:
    (12, T) int16 microvolts and Quality.

  Raises:
    RecordError: `bad_lead_names`, `too_short`, and as the policy says
      `lead_missing`, `invalid_dropped`, `all_flat`.
  """
  try:
    if tuple(names) == leads.LEADS and len(values) == leads.COUNT:
      signal, missing = values, np.zeros(leads.COUNT, bool)
    else:
      signal, missing = leads.place(values, names)
  except InputError as error:
    raise RecordError("bad_lead_names", str(error)) from error
  if signal.shape[1] < policy.min_seconds * rate:
    raise RecordError(
      "too_short",
      f"{signal.shape[1]} samples at {rate:g} Hz: at least "
      f"{policy.min_seconds:g} s expected",
    )
  if missing.any() and policy.drop_missing_lead:
    raise RecordError("lead_missing", f"no lead {leads.join(missing)}")
  flags = []
  signal, runs = _repaired(signal, names, rate, invalid, policy, flags)
  n_clipped = 0
  if signal.dtype != np.int16:
    signal, n_clipped = transform.to_microvolts(signal)
  if missing.any():
    signal, derived = leads.derive(signal, missing)
    missing = missing & ~derived
    if derived.any():
      flags.append("derived")
    if missing.any():
      flags.append("lead_missing")
  flat = _flat_leads(signal, missing, policy, flags)
  if n_clipped:
    flags.append("clipped")
  n_invalid = int(runs[:, 2].sum())
  return signal, Quality(
    missing, flat, n_invalid, n_clipped, runs, tuple(flags)
  )


def _repaired(signal, names, rate, invalid, policy, flags):
  """Returns the signal without gaps and the (n, 3) runs; extends flags."""
  if invalid is None or not invalid.any():
    return signal, np.zeros((0, 3), np.int32)
  invalid, _ = leads.place(invalid, names)
  runs = transform.invalid_runs(invalid)
  signal, beyond = transform.repair(
    signal, invalid, rate, policy.max_invalid_share, policy.max_gap_seconds
  )
  if beyond.any() and policy.drop_invalid:
    raise RecordError(
      "invalid_dropped",
      f"{runs[:, 2].sum()} samples without a value, too many to repair in "
      f"{leads.join(beyond)}",
    )
  if (invalid.any(axis=1) & ~beyond).any():
    flags.append("invalid_repaired")
  if beyond.any():
    flags.append("invalid_kept")
  return signal, runs


def _flat_leads(signal, missing, policy, flags):
  """Returns (12,) bool constant leads; extends flags, also by the gain's."""
  # Lists: NumPy is slow on twelve numbers, and int16 too short for a span.
  high, low = signal.max(axis=1).tolist(), signal.min(axis=1).tolist()
  span = [top - bottom for top, bottom in zip(high, low, strict=True)]
  flat = np.array([not width for width in span]) & ~missing
  moving = [width for width in span if width]
  if not moving:
    if policy.drop_flat:
      raise RecordError("all_flat", "every lead is constant")
    flags += ["lead_flat", "all_flat"]
    return flat
  if flat.any():
    flags.append("lead_flat")
  median = statistics.median(moving) / 1000
  if not policy.min_median_mv <= median <= policy.max_median_mv:
    flags.append("suspicious_gain")
  return flat
