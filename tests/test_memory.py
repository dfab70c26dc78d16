"""Recomputation, scan over layers and precision change no result."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgclep_jax.models import two_tower
from tests.test_models import random_signal, small


def gradients(name, **changes):
  """Loss and gradients of both towers, dropout on, batch norms in training."""
  changes = {"model.ecg.name": name, "model.ecg.dropout": "0.1"} | changes
  changes["model.text.depth"] = "3"
  definition, params = two_tower.create(small(**changes), 50, 0)
  signal = random_signal()
  ids = jnp.array([[2, 7, 9, 3], [2, 8, 3, 0], [4, 3, 0, 0]])

  def value(params):
    model = two_tower.merge(definition, params)
    keys = jax.random.split(jax.random.key(1))
    _, pooled, _ = model.encode_ecg(signal, train=True, key=keys[0])
    text = model.embed_text(ids, key=keys[1])
    dot = model.project_ecg(pooled) @ text.T
    return (dot * jnp.arange(9).reshape(3, 3)).sum(), two_tower.statistics(
      model
    )

  return jax.jit(jax.value_and_grad(value, has_aux=True)), params


@functools.lru_cache
def plain(name):
  step, params = gradients(name)
  return step(params)


@pytest.mark.parametrize(
  ("name", "changes"),
  [
    ("st_vit", {"model.remat": "products"}),
    ("st_vit", {"model.scan_layers": "true", "model.remat": "layers"}),
    ("resnet", {"model.remat": "layers"}),
  ],
)
def test_same_values_gradients_and_statistics(name, changes):
  step, params = gradients(name, **changes)
  found, wanted = step(params), plain(name)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
    found,
    wanted,
  )


def residuals(name, **changes):
  """Numbers that are kept for the gradient of the ECG tower."""
  changes = {"model.ecg.depth": "6", "model.ecg.name": name} | changes
  definition, params = two_tower.abstract(small(**changes), 50)

  def keep(params):
    def value(params):
      model = two_tower.merge(definition, params)
      return model.encode_ecg(random_signal(), train=True)[1].sum()

    return jax.vjp(value, params)[1]

  kept = jax.tree.leaves(jax.eval_shape(keep, params))
  return sum(x.size for x in kept)


@pytest.mark.parametrize("name", ["st_vit", "resnet"])
def test_recomputation_keeps_less(name):
  layers, products, everything = (
    residuals(name, **{"model.remat": remat})
    for remat in ("layers", "products", "none")
  )
  assert layers < products < everything
  assert layers < 0.6 * everything


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_softmax_and_norms_are_in_float32(compute):
  """No exponential and no root of the towers is taken in bfloat16."""
  config = small(**{"model.compute": compute})
  definition, params = two_tower.abstract(config, 50)

  def value(params):
    model = two_tower.merge(definition, params)
    _, pooled, _ = model.encode_ecg(random_signal())
    text = model.embed_text(jnp.ones((2, 4), jnp.int32))
    return model.project_ecg(pooled) @ text.T

  kinds = {"exp": set(), "rsqrt": set(), "dot_general": set()}
  for equation in equations(jax.make_jaxpr(value)(params).jaxpr):
    if equation.primitive.name in kinds:
      kinds[equation.primitive.name].add(equation.invars[0].aval.dtype.name)
  assert kinds["exp"] == kinds["rsqrt"] == {"float32"}
  assert ("bfloat16" in kinds["dot_general"]) == (compute == "bfloat16")


def equations(jaxpr):
  for equation in jaxpr.eqns:
    yield equation
    for value in equation.params.values():
      for inner in value if isinstance(value, (tuple, list)) else (value,):
        inner = getattr(inner, "jaxpr", inner)
        if hasattr(inner, "eqns"):
          yield from equations(inner)
