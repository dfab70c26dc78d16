"""A model in use: signals and texts in, unit embeddings out."""

import dataclasses
import functools

import jax
import numpy as np

from fgclep_jax.errors import InputError
from fgclep_jax.models import inputs, two_tower
from fgclep_jax.reports.tokenizer import Tokenizer
from fgclep_jax.signals import leads, transform

BATCH = 64  # records, or texts, that are encoded at once


class Model:
  """Two towers with their tokenizer.

  Attributes:
    config: `config.TrainConfig`.
    rate: samples per second that the encoder was trained on.
    samples: of each lead.
    checkpoint: what is known of the origin of the parameters.
  """

  def __init__(self, config, vocabulary, params=None, checkpoint=None):
    self.config = config
    self.rate = config.data.rate
    self.samples = round(config.data.rate * config.data.seconds)
    self.checkpoint = checkpoint or {
      "step": 0,
      "hash": f"untrained, seed {config.seed}",
    }
    text = config.model.text
    self.tokenizer = Tokenizer(vocabulary, text.max_tokens, text.lowercase)
    # Static part: drawn abstractly, no parameter is allocated.
    definition, drawn = two_tower.abstract(config, len(vocabulary))
    self.definition = definition
    if params is None:
      _, params = two_tower.create(config, len(vocabulary), config.seed)
    elif missing := sorted(drawn.keys() ^ params.keys()):
      raise InputError(
        f"parameters do not fit the config: {', '.join(missing[:5])}"
      )
    self.params = params

  def untrained(self, seed=0):
    """The same model with freshly drawn parameters."""
    config = dataclasses.replace(self.config, seed=seed)
    return Model(config, self.tokenizer.vocabulary)

  def encode_ecg(self, signal_uv):
    """Encodes records at the model's own rate and length.

    Args:
      signal_uv: (B, 12, samples) int16 microvolts.

    Returns:
      embedding (B, E) float32 unit rows, and features (B, W) float32, the
      pooled encoder output before the projection.
    """
    signal_uv = np.asarray(signal_uv)
    if signal_uv.shape[1:] != (leads.COUNT, self.samples):
      raise InputError(
        f"signal of shape {signal_uv.shape}: give (B, 12, {self.samples})"
      )
    return self._in_batches(_encode_ecg, signal_uv)

  def embed_ecg(self, signal_uv, rate):
    """Embeds records of any rate and length.

    Args:
      signal_uv: (12, T) or (B, 12, T) int16 microvolts.
      rate: samples per second.

    Returns:
      (E,) or (B, E) float32 unit rows.
    """
    signal_uv = np.asarray(signal_uv)
    single = signal_uv.ndim == 2
    rows = np.stack(
      [
        transform.crop_or_pad(
          transform.resample(row, rate, self.rate), self.samples
        )[0]
        for row in (signal_uv[None] if single else signal_uv)
      ]
    )
    embedding, _ = self.encode_ecg(rows)
    return embedding[0] if single else embedding

  def embed_text(self, texts):
    """List of U str -> (U, E) float32 unit rows."""
    ids = self.tokenizer.encode(texts)
    width = 1 << max(3, (ids.shape[1] - 1).bit_length())  # few compilations
    width = min(width, self.config.model.text.max_tokens)
    ids = np.pad(ids, [(0, 0), (0, width - ids.shape[1])])
    return self._in_batches(_embed_text, ids)[0]

  def zero_shot(self, signal_uv, rate, texts):
    """Cosine of one record with each text.

    Args:
      signal_uv: (12, T) int16 microvolts.
      rate: samples per second.
      texts: list of U str.

    Returns:
      {text: cosine in [-1, 1]}.
    """
    scores = self.embed_text(texts) @ self.embed_ecg(signal_uv, rate)
    return dict(zip(texts, map(float, scores), strict=True))

  def _in_batches(self, function, rows):
    """Runs over batches of one size; the last is padded, then cut."""
    parts = []
    for start in range(0, max(len(rows), 1), BATCH):
      part = rows[start : start + BATCH]
      pad = [(0, BATCH - len(part))] + [(0, 0)] * (rows.ndim - 1)
      out = function(self.definition, self.params, np.pad(part, pad))
      parts.append([np.asarray(x)[: len(part)] for x in out])
    return tuple(np.concatenate(group) for group in zip(*parts, strict=True))


@functools.partial(jax.jit, static_argnums=0)
def _encode_ecg(definition, params, signal):
  model = two_tower.merge(definition, params)
  _, pooled = model.encode_ecg(inputs.millivolts(signal))
  return model.project_ecg(pooled), pooled


@functools.partial(jax.jit, static_argnums=0)
def _embed_text(definition, params, ids):
  return (two_tower.merge(definition, params).embed_text(ids),)
