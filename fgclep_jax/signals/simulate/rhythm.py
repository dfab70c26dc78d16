"""When atria and ventricles are activated: the RR process of each rhythm."""

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
    atrial: "sinus", "fibrillation" or "flutter".
    cycle: flutter cycle length in seconds, else 0.
    blocked: number of P waves inside the record that were not conducted.
    lengthening: whether PR grows from beat to beat until one is dropped.
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


def draw_rhythm(stream, names, age, seconds):
  """The rhythm of a record with the diagnoses `names` -> Rhythm."""
  if "ventricular pacing" in names:
    return _paced(stream, age, seconds)
  if "atrial fibrillation" in names:
    rhythm = _fibrillation(stream, seconds)
  elif "atrial flutter" in names:
    return _flutter(stream, names, seconds)
  elif "second degree AV block" in names:
    return _second_degree_block(stream, age, seconds)
  else:
    rhythm = _sinus(stream, names, age, seconds)
  if "premature ventricular complexes" in names:
    rhythm = _with_ventricular_ectopics(stream, rhythm, seconds)
  return rhythm


def _cycles(stream, mean, age, seconds):
  """(n,) sinus cycles: breathing, slow drift and a little noise."""
  count = int(seconds / mean) + 5
  breathing = 0.015 + 0.06 * math.exp(-(age - 18.0) / 22.0)
  breathing *= stream.scale(0.35) * min(1.0, mean / 0.85) ** 2
  phase = np.arange(count) * mean * stream.uniform(0.18, 0.32)
  wave = np.sin(2 * np.pi * (phase + stream.uniform()))
  drift = np.sin(2 * np.pi * (phase * 0.3 + stream.uniform()))
  noise = stream.normal(0.0, 0.006, count)
  return mean * (1 + breathing * wave + 0.012 * drift + noise)


def _sinus(stream, names, age, seconds):
  rate = float(np.clip(stream.normal(74.0, 9.0), 61.0, 96.0))
  if "sinus bradycardia" in names:
    rate = 57.5 - stream.uniform(0.0, 1.0) ** 0.7 * 18.0
  if "sinus tachycardia" in names:
    rate = 102.5 + stream.uniform(0.0, 1.0) ** 0.8 * 40.0
  cycles = _cycles(stream, 60.0 / rate, age, seconds)
  pr = float(np.clip(stream.normal(0.155, 0.017), 0.115, 0.192))
  pr -= 0.015 * max(0.0, min(1.0, (rate - 90) / 40))
  if "first degree AV block" in names:
    pr = 0.212 + stream.uniform(0.0, 1.0) ** 1.2 * min(0.12, 20.0 / rate)
  p_ectopic = np.zeros(len(cycles), bool)
  if "premature atrial complexes" in names:
    cycles, p_ectopic = _with_atrial_ectopics(stream, cycles, seconds)
  p = np.cumsum(cycles) - cycles[0] - cycles[0] * stream.uniform(0.3, 1.3)
  pr = np.where(p_ectopic, pr + stream.uniform(-0.01, 0.03), pr)
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


def _with_ventricular_ectopics(stream, rhythm, seconds):
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


def _fibrillation(stream, seconds):
  rate = float(np.clip(stream.normal(92.0, 24.0), 48.0, 165.0))
  count = int(seconds * rate / 60 * 1.6) + 6
  spread = stream.uniform(0.16, 0.27)
  cycles = np.maximum(60.0 / rate * stream.scale(spread, count), 0.30)
  qrs = np.cumsum(cycles) - cycles[0] - stream.uniform(0.2, 1.0) * cycles[1]
  qrs = qrs[qrs < seconds + 1.0]
  none = np.zeros(0)
  kind = np.full(len(qrs), CONDUCTED)
  return Rhythm(none, none.astype(bool), none, qrs, kind, "fibrillation")


def _flutter(stream, names, seconds):
  cycle = 60.0 / stream.uniform(235.0, 330.0)
  ratio = stream.pick((2, 3, 4), (0.35, 0.2, 0.45))
  count = int(seconds / cycle / 2) + 6
  ratios = np.full(count, ratio)
  if stream.chance(0.3):
    ratios = np.array([stream.pick((2, 3, 4)) for _ in range(count)])
  steps = np.cumsum(ratios) - ratios[0] - 3
  qrs = (steps + stream.uniform()) * cycle
  qrs = qrs[qrs < seconds + 1.0]
  none = np.zeros(0)
  kind = np.full(len(qrs), CONDUCTED)
  rhythm = Rhythm(
    none, none.astype(bool), none, qrs, kind, "flutter", cycle=cycle
  )
  if "premature ventricular complexes" in names:
    rhythm = _with_ventricular_ectopics(stream, rhythm, seconds)
  return rhythm


def _second_degree_block(stream, age, seconds):
  """Wenckebach, fixed PR with dropped beats, or two to one."""
  rate = float(np.clip(stream.normal(80.0, 9.0), 64.0, 105.0))
  p = np.cumsum(_cycles(stream, 60.0 / rate, age, seconds))
  p -= p[0] + stream.uniform(0.3, 1.3) * 60.0 / rate
  form = stream.pick(("lengthening", "fixed", "two"), (0.55, 0.2, 0.25))
  group = {"lengthening": stream.integer(3, 5), "fixed": stream.integer(3, 4)}
  group = group.get(form, 2)
  place = (np.arange(len(p)) + stream.integer(0, group - 1)) % group
  pr = np.full(len(p), stream.uniform(0.14, 0.20))
  if form == "lengthening":
    first = stream.uniform(0.06, 0.10)
    pr = pr + first * (1 - 0.5**place) / 0.5
  dropped = place == group - 1
  pr = np.where(dropped, np.nan, pr)
  qrs = (p + pr)[~dropped]
  inside = (p > 0.1) & (p < seconds - 0.4)
  return Rhythm(
    p,
    np.zeros(len(p), bool),
    pr,
    qrs,
    np.full(len(qrs), CONDUCTED),
    blocked=int((dropped & inside).sum()),
    lengthening=form == "lengthening",
  )


def _paced(stream, age, seconds):
  """Ventricular pacing on fibrillating atria, or after sinus P waves."""
  rate = stream.uniform(58.0, 82.0)
  if stream.chance(0.5):
    cycles = _cycles(stream, 60.0 / rate, age, seconds)
    p = np.cumsum(cycles) - cycles[0] - stream.uniform(0.3, 1.3) * cycles[0]
    pr = np.full(len(p), stream.uniform(0.13, 0.19))
    kind = np.full(len(p), PACED)
    return Rhythm(p, np.zeros(len(p), bool), pr, p + pr, kind)
  rate = float(round(rate / 5) * 5)
  qrs = (np.arange(int(seconds * rate / 60) + 4) - 1.0) * 60.0 / rate
  qrs += stream.uniform(-0.5, 0.5)
  none = np.zeros(0)
  kind = np.full(len(qrs), PACED)
  return Rhythm(none, none.astype(bool), none, qrs, kind, "fibrillation")
