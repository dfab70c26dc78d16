"""A simulated cohort: 12-lead records whose every waveform feature is known.

One dipole with a heart beat made of Gaussian waves is seen by nine
electrodes with noise of their own; the leads are formed from the electrodes,
so Einthoven's and Goldberger's relations hold exactly before rounding.
`patients` and `diagnoses` say who has what, `rhythm` and `arrhythmia` when
the heart beats, `shape` and `expression` (with `conduction`, `infarction`
and `repolarisation`) how a beat looks, `torso` and `noise` what arrives at the
electrodes, `measure` and `findings` what is truly seen, `wording` what the
report says.

The world is frozen: whatever changes a record raises `VERSION`.
"""

from fgclep_jax.signals.simulate.diagnoses import DIAGNOSES
from fgclep_jax.signals.simulate.findings import FEATURES
from fgclep_jax.signals.simulate.measure import MEASUREMENTS
from fgclep_jax.signals.simulate.patients import patient_number
from fgclep_jax.signals.simulate.record import SimulatedRecord, simulate
from fgclep_jax.signals.simulate.stream import VERSION

__all__ = (
  "DIAGNOSES",
  "FEATURES",
  "MEASUREMENTS",
  "VERSION",
  "SimulatedRecord",
  "patient_number",
  "simulate",
)
