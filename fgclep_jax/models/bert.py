"""BERT: a post-norm transformer encoder over word pieces, with its pooler.

Source: Devlin et al. 2019, arXiv 1810.04805; parameter layout as in the
Hugging Face folders (word, position and type embeddings, layers, pooler).
"""

import jax
import jax.numpy as jnp
from flax import nnx

from fgclep_jax.models import layers

STD = 0.02


class Embeddings(nnx.Module):
  """Word, position and type embeddings, summed and normed."""

  def __init__(self, config, vocabulary_size, *, rngs):

    def table(rows, std):
      init = nnx.initializers.truncated_normal(std)
      return nnx.Embed(rows, config.width, embedding_init=init, rngs=rngs)

    # Small places: a tower trained from scratch starts as a bag of words,
    # where texts are as near as the words they share.
    self.word = table(vocabulary_size, STD)
    self.position = table(config.max_tokens, STD / 10)
    self.type = table(2, STD / 10)
    self.norm = layers.layer_norm(
      config.width, epsilon=config.norm_epsilon, rngs=rngs
    )

  def __call__(self, ids):
    places = jnp.arange(ids.shape[1])
    kinds = jnp.zeros_like(ids)
    return self.norm(self.word(ids) + self.position(places) + self.type(kinds))


class Layer(nnx.Module):
  """Self-attention and MLP, each with a norm after its residual."""

  def __init__(self, config, *, dtype, rngs):
    rest = {"dtype": dtype, "rngs": rngs, "std": STD}
    width, epsilon = config.width, config.norm_epsilon
    self.attention = layers.Attention(width, config.heads, **rest)
    self.norm1 = layers.layer_norm(width, epsilon=epsilon, rngs=rngs)
    self.mlp = layers.Mlp(width, config.mlp, width, **rest)
    self.norm2 = layers.layer_norm(width, epsilon=epsilon, rngs=rngs)
    self.dtype = dtype
    self.rate = config.dropout

  def __call__(self, x, mask, key, count=None):
    """(U, L, W) -> the same, of the first `count` places where it is given."""
    key1, key2 = layers.split_key(key, 2)
    mixed = self.attention(x.astype(self.dtype), mask, count)
    x = self.norm1(x[:, :count] + layers.dropout(mixed, self.rate, key1))
    mixed = self.mlp(x.astype(self.dtype))
    return self.norm2(x + layers.dropout(mixed, self.rate, key2))


class Bert(nnx.Module):
  """(U, L) int32 word pieces, 0 is padding -> pooled (U, W) float32.

  Pooled is BERT's own (`first`: a dense layer and tanh over the first word
  piece), or the mean over the word pieces (`mean`).
  """

  def __init__(
    self, config, vocabulary_size, *, dtype, rngs, remat="none", scan=False
  ):
    self.embeddings = Embeddings(config, vocabulary_size, rngs=rngs)
    self.layers = nnx.List(
      Layer(config, dtype=dtype, rngs=rngs) for _ in range(config.depth)
    )
    self.pool = config.pool
    if config.pool == "first":
      self.pooler = layers.linear(
        config.width, config.width, dtype=dtype, rngs=rngs, std=STD
      )
    self.dtype = dtype
    self.width = config.width
    self.rate = config.dropout
    self.remat, self.scan = remat, scan

  def embed(self, ids, key=None):
    """(U, L) word pieces -> embedded (U, L, W), and which are attended to."""
    x = layers.dropout(self.embeddings(ids), self.rate, key)
    return x, _attended(ids)

  def lower(self, ids, count, key=None):
    """(U, L) word pieces -> (U, L, W) float32 after `count` layers."""
    first, *keys = layers.split_key(key, 1 + len(self.layers))
    x, mask = self.embed(ids, first)
    return self._run(slice(count), x, mask, keys)

  def upper(self, x, ids, count, key=None):
    """What `lower` gave, and its word pieces -> pooled (U, W) float32."""
    _, *keys = layers.split_key(key, 1 + len(self.layers))
    mask, last = _attended(ids), len(self.layers) - 1
    if self.pool == "mean":
      x = self._run(slice(count, None), x, mask, keys)
      weight = (ids > 0)[..., None].astype(jnp.float32)
      return (x * weight).sum(1) / jnp.maximum(weight.sum(1), 1)
    # What the last layer makes of any place but the first is looked at by none.
    x = self._run(slice(count, last), x, mask, keys)
    if count <= last:
      x = self.layers[last](x, mask, keys[last], 1)
    pooled = jnp.tanh(self.pooler(x[:, 0].astype(self.dtype)))
    return pooled.astype(jnp.float32)

  def __call__(self, ids, *, key=None):
    return self.upper(self.lower(ids, 0, key), ids, 0, key)

  def _run(self, which, x, mask, keys):
    shape = x.shape
    if self.dtype == jnp.bfloat16:  # a CPU gains nothing from it
      x, mask = layers.pack(x, mask)
    x = layers.apply_layers(
      list(self.layers)[which], x, mask, keys[which], self.remat, self.scan
    )
    return x.reshape(shape)


def _attended(ids):
  """(U, L) which word pieces are attended to."""
  # A row of padding only attends to its first place, not to nothing.
  return (ids > 0).at[:, 0].set(True)


def abstract(config, vocabulary_size):
  """The definition of a float32 `Bert`, to be merged with parameters."""
  model = nnx.eval_shape(
    lambda: Bert(
      config,
      vocabulary_size,
      dtype=jnp.float32,
      rngs=nnx.Rngs(params=jax.random.key(0)),
    )
  )
  return nnx.split(model)[0]
