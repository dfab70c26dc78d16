"""A training step and its arguments as shapes: nothing is allocated."""

import dataclasses

import jax
import jax.numpy as jnp

from fgclep_jax import config as config_lib
from fgclep_jax import sharding
from fgclep_jax.models import two_tower
from fgclep_jax.training import steps

# Width of the rows of similarity `frozen`, that of a BERT of base size.
SEMANTICS = 768


@dataclasses.dataclass(frozen=True)
class Sizes:
  """What a step's shapes depend on beside the config; data decide it.

  Attributes:
    vocabulary: word pieces.
    pairs: M, statements of a record at most.
    columns: U, distinct statements of a batch.
    tokens: L, word pieces of the longest statement.
    texts: n, distinct statements of the data set (similarity `frozen`).
  """

  vocabulary: int = 30_522
  pairs: int = 4
  columns: int = 256
  tokens: int = 64
  texts: int = 16_384


def training_step(config, sizes, mesh):
  """Makes what `setup.prepare` and the loop give to `jax.jit`, as shapes.

  Args:
    config: `config.TrainConfig`.
    sizes: `Sizes`; columns are rounded up to a multiple of the devices.
    mesh: of `sharding.make_mesh`, also of devices that are not there.

  Returns:
    The step, to be jitted with `donate_argnums=0`, and its arguments (state,
    batch, semantics) as `jax.ShapeDtypeStruct` placed on the mesh.
  """
  config_lib.check_divisible(config, mesh.size)
  definition, params = two_tower.abstract(config, sizes.vocabulary)
  step, optimizer, frozen = steps.make_step(
    config, definition, params, mesh, config.optim.steps or 1000
  )
  state = jax.eval_shape(
    lambda params: steps.first_state(params, optimizer, frozen), params
  )
  semantics = None
  if config.loss.similarity == "frozen":
    semantics = jax.ShapeDtypeStruct((sizes.texts, SEMANTICS), jnp.float32)
  return step, (
    jax.tree.map(_placed, state, sharding.parameters(mesh, state)),
    {
      name: _placed(x, sharding.batch(mesh))
      for name, x in _batch(config, sizes, mesh.size).items()
    },
    semantics and _placed(semantics, sharding.replicated(mesh)),
  )


def _batch(config, sizes, devices):
  """Shapes of `data.batches.Batches`, without `records`."""
  records = config.data.batch_size
  columns = -(-sizes.columns // devices) * devices
  samples = round(config.data.rate * config.data.seconds)
  of = jax.ShapeDtypeStruct
  return {
    "ecg": of((records, 12, samples), jnp.int16),
    "statement": of((records, sizes.pairs), jnp.int32),
    "tokens": of((columns, sizes.tokens), jnp.int32),
    "text_ids": of((columns,), jnp.int32),
    "text_weights": of((columns,), jnp.float32),
  }


def _placed(shape, place):
  return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=place)
