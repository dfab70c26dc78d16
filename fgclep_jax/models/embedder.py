"""A model in use: signals and texts in, unit embeddings out."""

import copy
import dataclasses
import functools

import jax
import numpy as np

from fgclep_jax import sharding
from fgclep_jax.config import MeshConfig
from fgclep_jax.errors import InputError
from fgclep_jax.models import inputs, two_tower
from fgclep_jax.reports.tokenizer import Tokenizer
from fgclep_jax.signals import leads as leads_lib
from fgclep_jax.signals import transform, windows

BATCH = 64  # records, or texts, that a device encodes at once, at most
FEW = 8  # where there are no more: each size is compiled once


class Model:
  """Two towers with their tokenizer, or an ECG encoder alone.

  Args of the constructor:
    config: `config.TrainConfig`.
    vocabulary: word pieces, or None for an ECG encoder alone.
    params: {dotted name: array}, or None to draw them.
    checkpoint: origin of the parameters.

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
    text, self.tokenizer, pieces = config.model.text, None, None
    if vocabulary is not None:
      self.tokenizer = Tokenizer(vocabulary, text.max_tokens, text.lowercase)
      pieces = len(vocabulary)
    # Static part: drawn abstractly, no parameter is allocated.
    definition, drawn = two_tower.abstract(config, pieces)
    self.definition = definition
    if params is None:
      _, params = two_tower.create(config, pieces, config.seed)
    elif missing := sorted(drawn.keys() ^ params.keys()):
      raise InputError(
        f"parameters do not fit the config: {', '.join(missing[:5])}"
      )
    self.params = params
    self.mesh = None

  def on(self, devices):
    """This model with its work split over devices, a list of them."""
    spread = copy.copy(self)
    spread.mesh = sharding.make_mesh(MeshConfig(), devices)
    spread.params = jax.device_put(
      self.params, sharding.replicated(spread.mesh)
    )
    return spread

  def having(self, params):
    """This model with other parameters, of the same names and shapes."""
    other = copy.copy(self)
    other.params = params
    return other

  def untrained(self, seed=0):
    """The same model with freshly drawn parameters."""
    config = dataclasses.replace(self.config, seed=seed)
    model = Model(config, self.tokenizer and self.tokenizer.vocabulary)
    return model if self.mesh is None else model.on(self.mesh.devices.flat)

  def encode_ecg(self, signal_uv):
    """Encodes records at the model's own rate and length.

    A lead of zeros alone is absent, zeros after the last sample of all
    leads are padding: neither is attended to, or pooled.

    Args:
      signal_uv: (B, 12, samples) int16 microvolts.

    Returns:
      embedding (B, E) float32 unit rows, and features (B, W) float32, the
      pooled encoder output before the projection.
    """
    signal_uv = np.asarray(signal_uv)
    if signal_uv.shape[1:] != (leads_lib.COUNT, self.samples):
      raise InputError(
        f"signal of shape {signal_uv.shape}: give (B, 12, {self.samples})"
      )
    return self._in_batches(_encode_ecg, signal_uv)

  def embed_ecg(self, signal_uv, rate, leads=leads_lib.LEADS):
    """Embeds records of any rate, length and set of leads.

    Where I and II are given, the other limb leads are derived from them. Of
    a record longer than the model's the windows that cover it are embedded,
    and their mean taken.

    Args:
      signal_uv: (L, T) or (B, L, T) int16 microvolts.
      rate: samples per second.
      leads: names of the L rows, in any order.

    Returns:
      (E,) or (B, E) float32 unit rows.

    Raises:
      InputError: other numbers than these, or an unknown lead.
    """
    signal_uv = np.asarray(signal_uv)
    records = signal_uv[None] if signal_uv.ndim == 2 else signal_uv
    records = _checked(records, signal_uv, rate, leads)
    seen = [
      windows.cover(
        transform.resample(_twelve(record, leads), rate, self.rate),
        self.samples,
      )
      for record in records
    ]
    rows, _ = self.encode_ecg(np.concatenate(seen))
    mean = windows.mean_over(rows, [len(part) for part in seen])
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    mean = np.where(length > 0, mean / np.maximum(length, 1e-12), mean)
    return mean[0] if signal_uv.ndim == 2 else mean

  def embed_text(self, texts):
    """List of U str -> (U, E) float32 unit rows.

    Raises:
      InputError: the model is an ECG encoder alone.
    """
    if self.tokenizer is None:
      raise InputError(
        "this model is an ECG encoder exported without its text tower: use a "
        "workdir, or an export made without --encoder-only"
      )
    ids = self.tokenizer.encode(texts)
    width = 1 << max(3, (ids.shape[1] - 1).bit_length())  # few compilations
    width = min(width, self.config.model.text.max_tokens)
    ids = np.pad(ids, [(0, 0), (0, width - ids.shape[1])])
    return self._in_batches(_embed_text, ids)[0]

  def zero_shot(self, signal_uv, rate, texts, leads=leads_lib.LEADS):
    """Cosine of one record with each text.

    Args:
      signal_uv: (L, T) int16 microvolts.
      rate: samples per second.
      texts: list of U str.
      leads: names of the L rows, in any order.

    Returns:
      {text: cosine in [-1, 1]}.
    """
    scores = self.embed_text(texts) @ self.embed_ecg(signal_uv, rate, leads)
    return dict(zip(texts, map(float, scores), strict=True))

  def _in_batches(self, function, rows):
    """Runs over batches of one size; the last is padded, then cut."""
    devices = 1 if self.mesh is None else self.mesh.size
    sizes = (devices * FEW, -(-BATCH // devices) * devices, devices * BATCH)
    size = next((n for n in sizes if len(rows) <= n), sizes[-1])
    parts = []
    for start in range(0, max(len(rows), 1), size):
      part = rows[start : start + size]
      pad = [(0, size - len(part))] + [(0, 0)] * (rows.ndim - 1)
      batch = np.pad(part, pad)
      if self.mesh is not None:
        batch = jax.device_put(batch, sharding.batch(self.mesh))
      out = function(self.definition, self.params, batch)
      parts.append([np.asarray(x)[: len(part)] for x in out])
    return tuple(np.concatenate(group) for group in zip(*parts, strict=True))


def _checked(records, given, rate, leads):
  """(B, L, T) int16; raises InputError as `Model.embed_ecg` says."""
  if records.ndim != 3 or records.shape[1] != len(leads) or not records.size:
    raise InputError(
      f"signal of shape {given.shape} with {len(leads)} leads: give (L, T) or "
      "(B, L, T), and the names of the L leads"
    )
  if records.dtype.kind not in "iu" or np.abs(records).max() > 2**15:
    raise InputError(
      f"signal of type {records.dtype}, from {records.min():g} to "
      f"{records.max():g}: give int16 microvolts (millivolts times 1000, "
      "rounded)"
    )
  if not rate > 0:
    raise InputError(f"rate {rate}: give the samples per second")
  return records.astype(np.int16)


def _twelve(record, leads):
  """(L, T) int16 -> (12, T), absent leads zero."""
  placed, missing = leads_lib.place(record, leads)
  return leads_lib.derive(placed, missing)[0]


@functools.partial(jax.jit, static_argnums=0)
def _encode_ecg(definition, params, signal):
  model = two_tower.merge(definition, params)
  _, pooled, _ = model.encode_ecg(inputs.millivolts(signal))
  return model.project_ecg(pooled), pooled


@functools.partial(jax.jit, static_argnums=0)
def _embed_text(definition, params, ids):
  return (two_tower.merge(definition, params).embed_text(ids),)
