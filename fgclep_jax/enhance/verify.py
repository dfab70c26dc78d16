"""Scores every candidate feature of every record; keeps what is confirmed.

Verification is per record, never per statement: the same diagnosis shows
with different features in different records.

Shapes: n records, F features, U findings, W width of the encoder's output,
P pairs (record, feature) of a `chunks.Chunk`.
"""

import numpy as np

from fgclep_jax.enhance import calibrate
from fgclep_jax.errors import InputError

CELLS = 2000  # of a histogram of cosines
NEVER = np.float32(2.0)  # no score reaches it
METHODS = ("calibrated", "quantile", "fixed")
FOLDS = 2  # of patients, each judged by what the other taught


class Fixed:
  """A cosine of at least `value` (F,) or one for all is kept."""

  def __init__(self, value, count, method="fixed"):
    self.method = method
    self.value = np.broadcast_to(np.float32(value), (count,))
    set_ = self.value[self.value < NEVER]
    self.about = {"threshold": float(np.median(set_)) if len(set_) else None}

  def judge(self, chunk, pooled, folds):
    """Score and threshold (P,) float32 each; kept where score >= it."""
    del pooled, folds
    return chunk.cosine, self.value[chunk.feature]


def quantile(parts, share, count):
  """Fixed: the best-scoring `share` of the candidates of every feature.

  Args:
    parts: Chunks of the calibrating records.
    share: in (0, 1].
    count: F.
  """
  counts = np.zeros(count * CELLS, np.int64)
  for part in parts:
    cosine, feature = part.cosine[part.silent], part.feature[part.silent]
    cell = np.clip((cosine + 1) * (CELLS / 2), 0, CELLS - 1).astype(int)
    counts += np.bincount(feature * CELLS + cell, minlength=len(counts))
  counts = counts.reshape(count, CELLS)
  above = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
  cell = (above >= share * above[:, :1]).sum(1) - 1
  value = np.where(above[:, 0] > 0, cell * (2 / CELLS) - 1, NEVER)
  return Fixed(value, count, "quantile")


class Calibrated:
  """Keeps pairs whose probability of presence reaches the threshold.

  Args of the constructor:
    heads, priors: one for each fold of patients, fitted on the others.
    rates: (F,) of mention, see `calibrate`; features of rate 0 are never
      kept.
    threshold: of the probability, one for all features.
    asked: Asked, for the findings of statements.
    about: what the report says of the fit.
  """

  method = "calibrated"

  def __init__(self, heads, priors, rates, threshold, asked, about):
    self.heads, self.priors, self.rates = heads, priors, rates
    self.threshold, self.asked, self.about = threshold, asked, about

  def judge(self, chunk, pooled, folds):
    """Score and threshold (P,) float32 each.

    Args:
      chunk: Chunk.
      pooled: (c, W) output of the ECG encoder of its records.
      folds: (c,) int, fold of each record's patient.
    """
    score = self.probabilities(chunk, pooled, folds)
    return score, np.full(len(score), self.threshold, np.float32)

  def probabilities(self, chunk, pooled, folds):
    """Probability of presence (P,) float32 of every pair."""
    logits = _logits(self.heads, pooled, folds)
    feature, fold = chunk.feature, folds[chunk.record]
    cell = np.stack([priors.cell for priors in self.priors])
    offset, slope = (
      np.stack([getattr(priors, name) for priors in self.priors])
      for name in ("offset", "slope")
    )
    finding = self.asked.finding[chunk.statement]
    source = chunk.source
    cells = cell[fold[source], finding, feature[source]]
    log_odds = np.bincount(source, cells, len(feature)).astype(np.float32)
    log_odds += offset[fold, feature]
    log_odds += slope[fold, feature] * logits[chunk.record, feature]
    rates = self.rates.astype(np.float32)
    found = calibrate.presence(log_odds, rates[feature])
    found[chunk.must[chunk.record, feature]] = calibrate.CERTAIN
    found[(rates == 0)[feature]] = 0.0
    return found


def _logits(heads, pooled, folds):
  """Logits (c, F) float32 of records, each by the head of its own fold."""
  found = np.empty((len(folds), len(heads[0].bias)), np.float32)
  for fold, head in enumerate(heads):
    mine = folds == fold
    found[mine] = head.logits(pooled[mine])
  return found


def calibrated(parts, pooled, folds, asked, target):
  """Fits a Calibrated verifier on records whose reports are known.

  Args:
    parts: Chunks of the calibrating records, `start` counted from the first.
    pooled: (n, W) of all of them.
    folds: (n,) int, below FOLDS, by patient.
    asked: Asked.
    target: expected precision of what is kept.
  """
  parts = list(parts)
  if len(np.unique(folds)) < FOLDS:
    raise InputError(
      "calibrated thresholds need several patients, each judged by what the "
      "others taught: give --threshold quantile or fixed"
    )
  stated = np.concatenate([part.stated for part in parts])
  must = np.concatenate([part.must for part in parts])
  known = stated | must
  rates, measured = calibrate.mention_rates(stated, must)
  often = calibrate.known_rates(rates, stated, must)
  heads, priors, probabilities = [], [], []
  for fold in range(FOLDS):
    other = folds != fold
    heads.append(calibrate.fit_heads(pooled[other], known[other], often))
  logits = _logits(heads, pooled, folds)
  for f in np.flatnonzero((rates > 0) & ~measured):
    rates[f] = calibrate.top_rate(logits[:, f], stated[:, f])
  findings = int(asked.finding.max()) + 1
  for fold in range(FOLDS):
    priors.append(_priors(parts, logits, folds, fold, asked, rates, findings))
  verifier = Calibrated(heads, priors, rates, NEVER, asked, {})
  for part in parts:
    rows = slice(part.start, part.stop)
    found = verifier.probabilities(part, pooled[rows], folds[rows])
    probabilities.append(found[part.silent])
  probabilities = np.concatenate(probabilities)
  threshold, expected = calibrate.cut(probabilities, target)
  verifier.threshold = threshold
  verifier.about = {
    "threshold": threshold,
    "target_precision": target,
    "expected_precision": expected,
    "mention_rate": float(rates[rates > 0].mean()),
    "features": int((rates > 0).sum()),
    "features_of_measured_rate": int(measured.sum()),
    "thresholds": {
      other: calibrate.cut(probabilities, other)[0]
      for other in sorted({0.8, 0.85, 0.9, 0.95, target})
    },
    "records": len(folds),
    "stated": int(stated.sum()),
    "certain": int(must.sum()),
  }
  return verifier


def _priors(parts, logits, folds, fold, asked, rates, findings):
  """Priors for `fold`, fitted on the pairs of the other patients."""
  count, collected, total = len(asked.features), [], 0
  for part in parts:
    here = folds[part.start : part.stop]
    use = (here[part.record] != fold) & (rates[part.feature] > 0)
    use &= ~part.must[part.record, part.feature]
    number = np.cumsum(use) - 1 + total
    total += int(use.sum())
    source = use[part.source]
    finding = asked.finding[part.statement[source]]
    row, feature = part.source[source], part.feature[use]
    collected.append(
      (
        feature,
        logits[part.start + part.record[use], feature],
        number[row],
        finding * count + part.feature[row],
        part.stated[part.record[use], feature],
      )
    )
  feature, logit, row, cell, known = map(
    np.concatenate, zip(*collected, strict=True)
  )
  pairs = calibrate.Pairs(feature, logit.astype(np.float64), row, cell, count)
  return calibrate.fit_priors(pairs, known, rates, findings)
