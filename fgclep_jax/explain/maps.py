"""Attribution of a statement to leads and seconds of one record.

Exploratory: a map shows what a model's number hangs on, not why, and is no
evidence of a finding. `randomised` compares it with maps of untrained weights.
Statements with similar embeddings have similar maps (benchmarks/pointing.py).
"""

import dataclasses
import functools
import itertools

import jax
import numpy as np
from scipy import stats

from fgclep_jax.errors import InputError
from fgclep_jax.models import alignment, inputs, two_tower
from fgclep_jax.models.st_vit import StVit
from fgclep_jax.signals import transform

METHODS = ("occlusion", "alignment")
CELL_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Map:
  """What each place of a record adds to the cosine with a statement.

  Attributes:
    method: "occlusion", or the alignment: "attention" or "transport".
    statement: the text.
    cosine: of the record's pooled embedding with it.
    values: (12, n), or (1, n) where tokens are places in time only: fall of
      the cosine without the place, or the statement's weight on it; NaN
      where nothing was recorded.
    edges: (n + 1,) s where the columns begin and end.
  """

  method: str
  statement: str
  cosine: float
  values: np.ndarray
  edges: np.ndarray

  @property
  def shading(self):
    """`values` with 0 in place of falls below 0: rises are not shaded."""
    return np.maximum(self.values, 0)

  @property
  def lead_shares(self):
    """(12,) or (1,) share of the shading on each lead; 0 without any."""
    sums = np.nansum(self.shading, axis=1)
    return sums / (sums.sum() or 1.0)


def explain(model, signal_uv, rate, statement, method=None):
  """Draws up the map of a statement.

  Args:
    model: `models.embedder.Model`; occlusion needs no more than `rate`,
      `samples`, `encode_ecg` and `embed_text`.
    signal_uv: (12, T) int16 microvolts, absent leads zero; of a longer record
      the first seconds count, as many as the model sees.
    rate: samples per second.
    statement: the text.
    method: one of METHODS; None takes the alignment where the model has
      another than `pooled`, else occlusion.

  Returns:
    Map.

  Raises:
    InputError: there is no text, no such method, or `alignment` is asked of a
      model whose alignment is `pooled`.
  """
  if not statement.strip():
    raise InputError("the statement is empty: give a text")
  if method is None:
    pooled = model.config.model.alignment == "pooled"
    method = "occlusion" if pooled else "alignment"
  if method not in METHODS:
    raise InputError(f"method {method!r}: give one of {', '.join(METHODS)}")
  signal = transform.resample(np.asarray(signal_uv), rate, model.rate)
  recorded = min(signal.shape[1], model.samples)
  signal, _ = transform.crop_or_pad(signal, model.samples)
  text = model.embed_text([statement])[0]
  if method == "occlusion":
    return _occlusion(model, signal, recorded, statement, text)
  return _alignment(model, signal, recorded, statement, text)


def occluded(signal, recorded, rate):
  """Copies of a record, one lead flat for one second in each.

  The level is the lead's median, near its isoelectric line. It was chosen on
  simulated records against zero, which found the leads of the finding less
  often, and a line between the ends, which untrained models did better with.

  Args:
    signal: (12, T) int16 microvolts, zeros after the first `recorded`.
    rate: samples per second.

  Returns:
    (12 n, 12, T) int16, lead by lead, and (n + 1,) samples where the seconds
    begin and end; the last may be shorter.
  """
  step = round(CELL_SECONDS * rate)
  edges = np.append(np.arange(0, recorded, step), recorded)
  level = np.rint(np.median(signal[:, :recorded], axis=1))
  count = len(edges) - 1
  copies = np.tile(signal, (len(signal), count, 1, 1))
  for lead in range(len(signal)):
    for cell, (start, stop) in enumerate(itertools.pairwise(edges)):
      copies[lead, cell, lead, start:stop] = level[lead]
  return copies.reshape(-1, *signal.shape), edges


def _occlusion(model, signal, recorded, statement, text):
  """Falls of the cosine; absent leads NaN."""
  copies, edges = occluded(signal, recorded, model.rate)
  embedding, _ = model.encode_ecg(np.concatenate([signal[None], copies]))
  cosine = np.asarray(embedding, float) @ text
  values = (cosine[0] - cosine[1:]).reshape(len(signal), -1)
  values[~signal.any(axis=1)] = np.nan
  return Map(
    "occlusion", statement, float(cosine[0]), values, edges / model.rate
  )


def _alignment(model, signal, recorded, statement, text):
  """The weights of the one statement over tokens, as in training."""
  settings = model.config.model
  if settings.alignment == "pooled":
    raise InputError(
      "method alignment: this model compares statements with the pooled "
      "record, which has no weights; give --method occlusion"
    )
  weights, there, cosine = _weights(
    model.definition, settings, model.params, signal, text
  )
  encoder = two_tower.merge(model.definition, model.params).ecg
  by_lead = isinstance(encoder, StVit)
  step = encoder.patch if by_lead else encoder.stride
  values = np.where(there, np.asarray(weights, float), np.nan)
  values = values.reshape(len(signal) if by_lead else 1, -1)
  count = -(-recorded // step)
  edges = np.minimum(np.arange(count + 1) * step, recorded) / model.rate
  return Map(
    settings.alignment, statement, float(cosine), values[:, :count], edges
  )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _weights(definition, settings, params, signal, text):
  """(N,) weights, (N,) bool which tokens are there, and the cosine.

  Of a single statement the row of the plan sums to about 1, as a softmax.
  """
  model = two_tower.merge(definition, params)
  tokens, pooled, there = model.encode_ecg(inputs.millivolts(signal[None]))
  rows = text[None], model.project_ecg(tokens)[0]
  if settings.alignment == "attention":
    temperature = settings.attention_temperature
    weights = alignment.attention_weights(*rows, temperature, None, there[0])
  else:
    options = dataclasses.asdict(settings.transport)
    weights = alignment.transport_plan(*rows, None, there[0], **options)
  return weights[0], there[0], model.project_ecg(pooled)[0] @ text


def untrained(model, seeds, count):
  """`count` models like this one with other weights, from a seed upward.

  The seed of the training run is left out: its weights are the start of what
  was learned.
  """
  numbers = range(seeds, seeds + count + 1)
  chosen = [number for number in numbers if number != model.config.seed]
  return [model.untrained(number) for number in chosen[:count]]


def randomised(found, others):
  """Rank correlation of a map with those of the same model, weights drawn.

  Args:
    found: Map.
    others: Maps of the same record, statement and method.

  Returns:
    (n,) Spearman's rho over the places, one for each other map; 0 where a map
    is the same everywhere, and so ranks nothing.
  """
  return np.array([_spearman(found.values, other.values) for other in others])


def _spearman(first, second):
  there = np.isfinite(first) & np.isfinite(second)
  ranks = [stats.rankdata(values[there]) for values in (first, second)]
  x, y = (rank - rank.mean() for rank in ranks)
  scale = np.sqrt((x @ x) * (y @ y))
  return float(x @ y / scale) if scale else 0.0
