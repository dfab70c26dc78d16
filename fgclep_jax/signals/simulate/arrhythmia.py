"""The rhythms that are not, or not only, led by the sinus node."""

import numpy as np

from fgclep_jax.signals.simulate.rhythm import (
  CONDUCTED,
  PACED,
  Rhythm,
  cycles_of,
  sinus,
  with_ventricular_ectopics,
)


def draw_rhythm(stream, names, age, seconds):
  """The rhythm of a record with the diagnoses `names` -> Rhythm."""
  for name, draw in _LED_BY_AGE.items():
    if name in names:
      return draw(stream, age, seconds)
  for name, draw in _OTHERS.items():
    if name in names:
      rhythm = draw(stream, seconds)
      break
  else:
    rhythm = sinus(stream, names, age, seconds)
  if "premature ventricular complexes" in names:
    rhythm = with_ventricular_ectopics(stream, rhythm, seconds)
  return rhythm


def _without_p(qrs, atrial, kind=CONDUCTED, **others):
  """A rhythm with QRS complexes at the times `qrs` and no P waves."""
  none = np.zeros(0)
  kinds = np.full(len(qrs), kind)
  return Rhythm(none, none.astype(bool), none, qrs, kinds, atrial, **others)


def _regular(stream, cycle, seconds, spread=0.004):
  """(n,) times of nearly regular beats, one beat beyond both ends."""
  count = int(seconds / cycle) + 5
  cycles = cycle * (1 + stream.normal(0.0, spread, count))
  return np.cumsum(cycles) - cycles[0] - cycle * (0.3 + stream.uniform())


def _fibrillation(stream, seconds):
  rate = float(np.clip(stream.normal(92.0, 24.0), 48.0, 165.0))
  count = int(seconds * rate / 60 * 1.6) + 6
  spread = stream.uniform(0.16, 0.27)
  cycles = np.maximum(60.0 / rate * stream.scale(spread, count), 0.30)
  qrs = np.cumsum(cycles) - cycles[0] - stream.uniform(0.2, 1.0) * cycles[1]
  return _without_p(qrs[qrs < seconds + 1.0], "fibrillation")


def _flutter(stream, seconds):
  cycle = 60.0 / stream.uniform(235.0, 330.0)
  ratio = stream.pick((2, 3, 4), (0.35, 0.2, 0.45))
  count = int(seconds / cycle / 2) + 6
  ratios = np.full(count, ratio)
  if stream.chance(0.3):
    ratios = np.array([stream.pick((2, 3, 4)) for _ in range(count)])
  steps = np.cumsum(ratios) - ratios[0] - 3
  qrs = (steps + stream.uniform()) * cycle
  return _without_p(qrs[qrs < seconds + 1.0], "flutter", cycle=cycle)


def _with_retrograde_p(qrs, delay):
  """The atria follow the ventricles after `delay` s."""
  p, none = qrs + delay, np.full(len(qrs), np.nan)
  kinds = np.full(len(qrs), CONDUCTED)
  return Rhythm(p, np.zeros(len(p), bool), none, qrs, kinds, "retrograde")


def _supraventricular_tachycardia(stream, seconds):
  """AV nodal reentry, P waves hidden, or AV reentry, P waves behind."""
  rate = float(np.clip(stream.normal(178.0, 18.0), 152.0, 215.0))
  qrs = _regular(stream, 60.0 / rate, seconds)
  if stream.chance(0.6):
    return _without_p(qrs, "none")
  return _with_retrograde_p(qrs, stream.uniform(0.09, 0.12))


def _junctional(stream, seconds):
  """40 to 60 a minute; P waves hidden, before or after the QRS."""
  qrs = _regular(stream, 60.0 / stream.uniform(38.0, 58.0), seconds, 0.008)
  form = stream.pick(("none", "low", "retrograde"), (0.5, 0.25, 0.25))
  if form == "none":
    return _without_p(qrs, "none")
  if form == "retrograde":
    return _with_retrograde_p(qrs, stream.uniform(0.11, 0.18))
  pr = np.full(len(qrs), stream.uniform(0.085, 0.112))
  kinds = np.full(len(qrs), CONDUCTED)
  return Rhythm(qrs - pr, np.zeros(len(qrs), bool), pr, qrs, kinds, "low")


def _dissociated(stream, qrs, age, seconds, ventricular):
  """Sinus P waves that go on beside the QRS complexes."""
  rate = float(np.clip(stream.normal(84.0, 9.0), 66.0, 108.0))
  p = np.cumsum(cycles_of(stream, 60.0 / rate, age, seconds))
  p -= p[0] + stream.uniform(0.3, 1.3) * 60.0 / rate
  return Rhythm(
    p,
    np.zeros(len(p), bool),
    np.full(len(p), np.nan),
    qrs,
    np.full(len(qrs), CONDUCTED),
    "dissociated",
    ventricular=ventricular,
  )


def _ventricular_tachycardia(stream, age, seconds):
  rate = float(np.clip(stream.normal(160.0, 18.0), 122.0, 205.0))
  qrs = _regular(stream, 60.0 / rate, seconds, 0.008)
  if stream.chance(0.6):
    return _dissociated(stream, qrs, age, seconds, True)
  return _without_p(qrs, "none", ventricular=True)


def _third_degree_block(stream, age, seconds):
  """An escape from the AV junction, or slower, from a ventricle."""
  wide = stream.chance(0.4)
  rate = stream.uniform(28.0, 42.0) if wide else stream.uniform(36.0, 54.0)
  qrs = _regular(stream, 60.0 / rate, seconds, 0.006)
  return _dissociated(stream, qrs, age, seconds, wide)


def _second_degree_block(stream, age, seconds):
  """Wenckebach, fixed PR with dropped beats, or two to one."""
  rate = float(np.clip(stream.normal(80.0, 9.0), 64.0, 105.0))
  p = np.cumsum(cycles_of(stream, 60.0 / rate, age, seconds))
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
    cycles = cycles_of(stream, 60.0 / rate, age, seconds)
    p = np.cumsum(cycles) - cycles[0] - stream.uniform(0.3, 1.3) * cycles[0]
    pr = np.full(len(p), stream.uniform(0.13, 0.19))
    kind = np.full(len(p), PACED)
    return Rhythm(p, np.zeros(len(p), bool), pr, p + pr, kind)
  rate = float(round(rate / 5) * 5)
  qrs = (np.arange(int(seconds * rate / 60) + 4) - 1.0) * 60.0 / rate
  qrs += stream.uniform(-0.5, 0.5)
  return _without_p(qrs, "fibrillation", PACED)


# The first that a record has leads it.
_LED_BY_AGE = {
  "ventricular pacing": _paced,
  "ventricular tachycardia": _ventricular_tachycardia,
  "third degree AV block": _third_degree_block,
  "second degree AV block": _second_degree_block,
}
_OTHERS = {
  "junctional rhythm": _junctional,
  "supraventricular tachycardia": _supraventricular_tachycardia,
  "atrial fibrillation": _fibrillation,
  "atrial flutter": _flutter,
}
