"""What the statements of a dataset say of waveform features, as arrays."""

import numpy as np

from fgclep_jax.enhance import chunks
from fgclep_jax.errors import InputError
from fgclep_jax.reports import features, knowledge
from fgclep_jax.reports.classify import RELEVANT, classify
from fgclep_jax.reports.stated import stated

ORIGINS = ("", "corrections", "planted")
"""Who proposed a pair: "" is the backend."""
_NAMING = ("diagnosis", "rhythm")


def lay_out(table, candidates, planted=None):
  """Returns `chunks.Asked` over the whole vocabulary.

  Args:
    table: U distinct statements of the dataset.
    candidates: `candidates.Candidates` of them.
    planted: {statement: names} added on purpose, see `plant`, or None.
  """
  names = tuple(feature.name for feature in features.VOCABULARY)
  planted = planted or {}
  proposed, origin = {}, []
  for text in table:
    own = candidates.features[text]
    added = planted.get(text, ())
    proposed[text] = (*own, *added)
    code = 1 if text in candidates.corrected else 0
    origin += [code] * len(own) + [2] * len(added)
  numbers = {}
  finding = [
    numbers.setdefault(classify(t).finding, len(numbers)) for t in table
  ]
  return chunks.Asked(
    names,
    chunks.said(table, proposed, names),
    np.array(origin, np.int8),
    chunks.said(table, {t: stated(t) for t in table}, names),
    chunks.said(table, {t: certain(t) for t in table}, names),
    np.array(finding, np.int64),
  )


def certain(statement):
  """Features that an unhedged diagnosis or rhythm has by definition.

  What the statement itself states is left out.
  """
  found = classify(statement)
  if found.kind not in _NAMING or found.modality:
    return ()
  itself = stated(statement)
  return tuple(
    sign.feature
    for entry in knowledge.match(found.finding)
    for sign in entry.signs
    if sign.role == "must" and sign.often == "always"
    and sign.feature not in itself
  )  # fmt: skip


def plant(candidates, share, among, seed=0):
  """Draws wrong candidates, as a hallucinating model would give them.

  Each is a (statement, feature) that the backend did not propose, for a
  statement that may have features and states none itself. The share is of
  all proposals, counted by statement.

  Args:
    candidates: `candidates.Candidates`.
    share: of planted among all proposals, in [0, 1).
    among: names of the features drawn.
    seed: of the draw.

  Returns:
    {statement: names}.
  """
  if not 0 <= share < 1:
    raise InputError(f"share of planted features {share}: give [0, 1)")
  free = [
    (text, name)
    for text, own in sorted(candidates.features.items())
    if classify(text).kind in RELEVANT and not stated(text)
    for name in among
    if name not in own
  ]
  total = sum(map(len, candidates.features.values()))
  count = min(round(share / (1 - share) * total), len(free))
  drawn = np.random.default_rng(seed).choice(len(free), count, replace=False)
  planted = {}
  for text, name in (free[i] for i in sorted(drawn)):
    planted.setdefault(text, []).append(name)
  return {text: tuple(names) for text, names in planted.items()}
