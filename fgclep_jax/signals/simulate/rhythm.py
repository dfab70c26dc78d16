"""When atria and ventricles are activated: sinus rhythm and its ectopics.

The other rhythms are in `arrhythmia`.
"""

import dataclasses
import math

import numpy as np

CONDUCTED, ECTOPIC, PACED = 0, 1, 2
"""How a ventricular beat came about: one beat shape for each."""


@dataclasses.dataclass(frozen=True)
class Rhythm:
  """Activation times of one record, in seconds from its first sample.

  They reach a beat beyond both ends of the record.

  Attributes:
    p: (n,) onsets of P waves.
    p_ectopic: (n,) bool, the P wave comes from another place in the atria.
    pr: (n,) PR interval after each P wave; NaN where no QRS follows it.
    qrs: (m,) onsets of QRS complexes.
    kind: (m,) CONDUCTED, ECTOPIC or PACED.
    atrial: "sinus"; "low", from the AV node before the QRS; "retrograde",
      after it; "dissociated", sinus P waves that none of the QRS complexes
      follows; "none", P waves hidden in the QRS; "fibrillation", "flutter".
    cycle: flutter cycle length in seconds, else 0.
    blocked: number of P waves inside the record that were not conducted.
    lengthening: whether PR grows from beat to beat until one is dropped.
    ventricular: whether the dominant beats start in a ventricle.
  """

  p: np.ndarray
  p_ectopic: np.ndarray
  pr: np.ndarray
  qrs: np.ndarray
  kind: np.ndarray
  atrial: str = "sinus"
  cycle: float = 0.0
  blocked: int = 0
  lengthening: bool = False
  ventricular: bool = False

  @property
  def conducted(self):
    """Whether P waves lead to QRS complexes, so that PR can be measured."""
    return self.atrial in ("sinus", "low")

  @property
  def sinus_p(self):
    """Whether P waves of the sinus node are seen."""
    return self.atrial in ("sinus", "dissociated")


def cycles_of(stream, mean, age, seconds, arrhythmia=False):
  """(n,) sinus cycles: breathing, slow drift and a little noise.

  Args:
    stream: numbers of the record's rhythm.
    mean: mean cycle, s.
    age: years; the young breathe more visibly.
    seconds: length of the record.
    arrhythmia: whether cycles differ by far more than 120 ms.
  """
  count = int(seconds / mean) + 5
  breathing = 0.015 + 0.06 * math.exp(-(age - 18.0) / 22.0)
  breathing *= stream.scale(0.35) * min(1.0, mean / 0.85) ** 2
  breathing = min(breathing, 0.03 / mean)
  if arrhythmia:
    breathing = stream.uniform(0.16, 0.25)
  phase = np.arange(count) * mean * stream.uniform(0.18, 0.32)
  wave = np.sin(2 * np.pi * (phase + stream.uniform()))
  drift = np.sin(2 * np.pi * (phase * 0.3 + stream.uniform()))
  noise = stream.normal(0.0, 0.006, count)
  return mean * (1 + breathing * wave + 0.012 * drift + noise)


def sinus(stream, names, age, seconds):
  rate = float(np.clip(stream.normal(74.0, 9.0), 61.0, 96.0))
  if "sinus arrhythmia" in names:
    rate = min(max(rate, 68.0), 90.0)
  if "sinus bradycardia" in names:
    rate = 57.5 - stream.uniform(0.0, 1.0) ** 0.7 * 18.0
  if "sinus tachycardia" in names:
    rate = 102.5 + stream.uniform(0.0, 1.0) ** 0.8 * 40.0
  cycles = cycles_of(
    stream, 60.0 / rate, age, seconds, "sinus arrhythmia" in names
  )
  pr = float(np.clip(stream.normal(0.157, 0.016), 0.126, 0.192))
  pr -= 0.010 * max(0.0, min(1.0, (rate - 90) / 40))
  if "first degree AV block" in names:
    pr = 0.212 + stream.uniform(0.0, 1.0) ** 1.2 * min(0.12, 8.0 / rate)
  if "Wolff-Parkinson-White pattern" in names:
    pr = stream.uniform(0.080, 0.112)
  p_ectopic = np.zeros(len(cycles), bool)
  if "premature atrial complexes" in names:
    cycles, p_ectopic = _with_atrial_ectopics(stream, cycles, seconds)
  p = np.cumsum(cycles) - cycles[0] - cycles[0] * stream.uniform(0.3, 1.3)
  pr = np.where(p_ectopic, pr + stream.uniform(-0.005, 0.03), pr)
  pr = pr + stream.normal(0.0, 0.0015, len(p))
  kind = np.full(len(p), CONDUCTED)
  return Rhythm(p, p_ectopic, pr, p + pr, kind)


def _with_atrial_ectopics(stream, cycles, seconds):
  """Cycles, and which P waves come early; the pause is not compensatory."""
  cycles = cycles.copy()
  inside = np.arange(2, max(4, int(seconds / cycles.mean())))
  wanted = 2 + int(stream.uniform(0.0, 1.0) ** 1.3 * 4)
  ectopic = np.zeros(len(cycles), bool)
  for k in stream.shuffled(list(inside)):
    if ectopic.sum() < wanted and not ectopic[k - 1 : k + 2].any():
      ectopic[k] = True
      cycles[k] *= stream.uniform(0.52, 0.72)
      if k + 1 < len(cycles):
        cycles[k + 1] *= stream.uniform(1.0, 1.2)
  return cycles, ectopic


def with_ventricular_ectopics(stream, rhythm, seconds):
  """Early wide beats; the next impulse finds the ventricles refractory."""
  qrs, kind = rhythm.qrs.copy(), rhythm.kind.copy()
  pr, blocked = rhythm.pr.copy(), rhythm.blocked
  inside = np.flatnonzero((qrs > 0.5) & (qrs < seconds - 0.6))
  if stream.chance(0.15):
    chosen = inside[1::2]
  else:
    wanted = 1 + int(stream.uniform(0.0, 1.0) ** 1.2 * 5)
    chosen = []
    for k in stream.shuffled(list(inside)):
      if len(chosen) < wanted and all(abs(k - j) > 1 for j in chosen):
        chosen.append(k)
  coupling = stream.uniform(0.48, 0.66)
  typical = float(np.median(np.diff(qrs)))
  for k in chosen:
    early = coupling + stream.normal(0.0, 0.015)
    qrs[k] = qrs[k - 1] + max(early * typical, 0.30)
    kind[k] = ECTOPIC
    if rhythm.atrial == "sinus":
      pr[k] = np.nan
  return dataclasses.replace(rhythm, qrs=qrs, kind=kind, pr=pr, blocked=blocked)
