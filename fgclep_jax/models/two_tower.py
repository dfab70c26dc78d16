"""The two towers, their projections and the logit scale."""

import jax
import jax.numpy as jnp
from flax import nnx

from fgclep_jax.models import inputs, layers, st_vit
from fgclep_jax.models.bert import Bert
from fgclep_jax.models.resnet import ResNet, resnet18
from fgclep_jax.models.xresnet import xresnet1d101

ENCODERS = {
  "st_vit": st_vit.StVit,
  **{f"st_vit_{size}": st_vit.sized(size) for size in st_vit.SIZES},
  "resnet": ResNet,
  "resnet18": resnet18,
  "xresnet1d101": xresnet1d101,
}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class TwoTower(nnx.Module):
  """An ECG encoder and a text encoder with a common embedding space.

  Args of the constructor:
    config: `config.TrainConfig`.
    vocabulary_size: rows of the word table; None leaves out all that is of
      texts: the ECG encoder and its projection stay.
    rngs: `nnx.Rngs` that draws the parameters.
  """

  def __init__(self, config, vocabulary_size, *, rngs):
    model, data = config.model, config.data
    rest = {
      "dtype": DTYPES[model.compute],
      "rngs": rngs,
      "remat": model.remat,
      "scan": model.scan_layers,
    }
    self.ecg = ENCODERS[model.ecg.name](
      model.ecg,
      samples=round(data.rate * data.seconds),
      rate=data.rate,
      **rest,
    )
    self.pool = model.ecg.pool
    width = self.ecg.width * (2 if self.pool == "mean_max" else 1)
    self.ecg_projection = layers.linear(
      width, model.embedding, dtype=jnp.float32, bias=False, rngs=rngs
    )
    if vocabulary_size is None:
      return
    self.text = Bert(model.text, vocabulary_size, **rest)
    self.text_projection = layers.Mlp(
      self.text.width,
      model.embedding,
      model.embedding,
      dtype=jnp.float32,
      rngs=rngs,
    )
    self.log_scale = nnx.Param(jnp.log(jnp.float32(config.loss.scale)))
    bias = config.loss.bias
    self.bias = None if bias is None else nnx.Param(jnp.float32(bias))

  def encode_ecg(
    self, signal, leads=None, samples=None, *, train=False, key=None
  ):
    """Encodes records of any leads and of any length up to T.

    What is not there has no influence, whatever the signal holds in its
    place: it is set to zero, not attended to (st_vit) and not pooled.

    Args:
      signal: (B, 12, T) mV.
      leads: (B, 12) bool, which are there; default see `inputs.recorded`.
      samples: (B,) int32, how many are there; likewise.
      train: whether batch norms take the statistics of the batch.
      key: of dropout, or None for none.

    Returns:
      tokens (B, N, W), pooled features (B, W or 2 W), both float32, and
      (B, N) bool which tokens are there. Without any, features are 0.
    """
    if leads is None or samples is None:
      found = inputs.recorded(signal)
      leads = found[0] if leads is None else leads
      samples = found[1] if samples is None else samples
    signal = inputs.only_recorded(signal, leads, samples)
    tokens, mask = self.ecg(signal, leads, samples, train=train, key=key)
    tokens = tokens.astype(jnp.float32)
    there = mask[:, :, None]
    count = jnp.maximum(there.sum(axis=1), 1)
    pooled = jnp.where(there, tokens, 0).sum(axis=1) / count
    if self.pool == "mean_max":
      highest = jnp.where(there, tokens, -jnp.inf).max(axis=1)
      highest = jnp.where(there.any(axis=1), highest, 0)
      pooled = jnp.concatenate([pooled, highest], axis=-1)
    return tokens, pooled, mask

  def project_ecg(self, features):
    """Pooled features, or tokens where pooled by mean -> unit rows of E."""
    return layers.unit(self.ecg_projection(features))

  def embed_text(self, ids, *, key=None):
    """(U, L) word pieces -> (U, E) unit rows."""
    return self.project_text(self.text(ids, key=key))

  def project_text(self, pooled):
    """What the text encoder gives, (U, W) -> (U, E) unit rows."""
    return layers.unit(self.text_projection(pooled))


def create(config, vocabulary_size, seed):
  """Draws a model: (definition, parameters).

  Args:
    config: `config.TrainConfig`.
    vocabulary_size: word pieces of the tokenizer, or None.
    seed: of the initial parameters.

  Returns:
    The static definition, and {dotted name: array} of all parameters and
    of the running statistics of batch norms.
  """
  model = TwoTower(
    config, vocabulary_size, rngs=nnx.Rngs(params=jax.random.key(seed))
  )
  definition, state = nnx.split(model)
  return definition, _flat(state)


def abstract(config, vocabulary_size):
  """Like `create`, with shapes in place of arrays; allocates nothing."""
  model = nnx.eval_shape(
    lambda: TwoTower(
      config, vocabulary_size, rngs=nnx.Rngs(params=jax.random.key(0))
    )
  )
  definition, state = nnx.split(model)
  return definition, _flat(state)


def merge(definition, params):
  """Inverse of `create`: a module that can be called."""
  flat = [
    (tuple(int(k) if k.isdigit() else k for k in name.split(".")), value)
    for name, value in params.items()
  ]
  return nnx.merge(definition, nnx.from_flat_state(flat))


def statistics(model):
  """{dotted name: array} of the running statistics of batch norms."""
  return _flat(nnx.state(model, nnx.BatchStat))


def is_statistic(name):
  """Whether a parameter of this name is a running statistic."""
  return name.endswith((".norm.mean", ".norm.var"))


def _flat(state):
  return {
    ".".join(map(str, path)): variable.get_value()
    for path, variable in nnx.to_flat_state(state)
  }
