"""Towers: shapes, invariances, sharding of parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgclep_jax import config as c
from fgclep_jax import optim, sharding, tree
from fgclep_jax.errors import InputError
from fgclep_jax.models import inputs, two_tower


def small(**changes):
  base = {
    "data.rate": "100",
    "data.seconds": "2.5",
    "model.ecg.width": "16",
    "model.ecg.depth": "2",
    "model.ecg.heads": "2",
    "model.ecg.mlp": "32",
    "model.ecg.stages": "[1, 1]",
    "model.text.width": "16",
    "model.text.depth": "1",
    "model.text.heads": "2",
    "model.text.mlp": "32",
    "model.embedding": "8",
    "model.compute": "float32",
  }
  return c.override(c.TrainConfig(), base | changes)


def build(config):
  definition, params = two_tower.create(config, 50, 0)
  return two_tower.merge(definition, params), params


def random_signal(batch=3, samples=250, seed=0):
  rng = np.random.default_rng(seed)
  return jnp.array(rng.normal(size=(batch, 12, samples)), jnp.float32)


@pytest.mark.parametrize("name", ["st_vit", "resnet"])
@pytest.mark.parametrize("pool", ["mean", "mean_max"])
def test_shapes(name, pool):
  config = small(**{"model.ecg.name": name, "model.ecg.pool": pool})
  model, _ = build(config)
  tokens, pooled, mask = model.encode_ecg(random_signal())
  count = {"st_vit": 36, "resnet": 63}[name]
  width = {"st_vit": 16, "resnet": 32}[name]
  assert tokens.shape == (3, count, width)
  assert mask.shape == (3, count)
  assert mask.all()
  assert pooled.shape == (3, width * (2 if pool == "mean_max" else 1))
  ecg = model.project_ecg(pooled)
  text = model.embed_text(jnp.ones((4, 6), jnp.int32))
  for rows in (ecg, text):
    assert rows.shape[1] == 8
    np.testing.assert_allclose(jnp.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_st_vit_patch_order_is_lead_then_time():
  """A change in lead 7, second 1 reaches only patch 7 * times + 1 at once."""
  model, _ = build(small(**{"model.ecg.depth": "0"}))
  signal = random_signal(1)
  changed = signal.at[0, 7, 150].add(1.0)
  before, after = (model.encode_ecg(x)[0] for x in (signal, changed))
  moved = np.flatnonzero(np.abs(before - after).max((0, 2)) > 1e-6)
  assert moved.tolist() == [7 * 3 + 1]


def test_st_vit_paper_sizes():
  """120 tokens at 500 Hz and 10 s; parameters of the published tiny size."""
  config = c.TrainConfig()
  _, params = two_tower.abstract(config, 100)
  assert params["ecg.embed.kernel"].shape == (500, 192)
  assert params["ecg.lead"].shape == (12, 192)
  assert params["ecg.time"].shape == (10, 192)
  count = sum(x.size for n, x in params.items() if n.startswith("ecg."))
  block = 4 * (192 * 192 + 192) + 2 * 192 * 768 + 768 + 192 + 4 * 192
  assert count == 12 * block + 501 * 192 + 22 * 192 + 2 * 192


def test_text_padding_has_no_influence():
  model, _ = build(small())
  ids = jnp.array([[2, 7, 9, 3]])
  padded = jnp.pad(ids, [(0, 0), (0, 5)])
  np.testing.assert_allclose(
    model.embed_text(ids), model.embed_text(padded), atol=1e-6
  )
  assert np.isfinite(model.embed_text(jnp.zeros((1, 4), jnp.int32))).all()


def test_batch_norm_statistics_are_parameters_that_move_only_in_training():
  config = small(**{"model.ecg.name": "resnet"})
  model, params = build(config)
  named = {n for n in params if two_tower.is_statistic(n)}
  assert named == set(two_tower.statistics(model))
  model.encode_ecg(random_signal())
  for name, value in two_tower.statistics(model).items():
    np.testing.assert_array_equal(value, params[name])
  model.encode_ecg(random_signal(), train=True)
  moved = two_tower.statistics(model)
  assert all(np.abs(moved[n] - params[n]).max() > 0 for n in named)


def test_bfloat16_is_near_float32():
  exact, params = build(small())
  definition, _ = two_tower.abstract(small(**{"model.compute": "bfloat16"}), 50)
  rough = two_tower.merge(definition, params)
  signal = random_signal()
  a, b = (m.project_ecg(m.encode_ecg(signal)[1]) for m in (exact, rough))
  assert b.dtype == jnp.float32
  np.testing.assert_allclose(a, b, atol=0.03)
  assert float(jnp.abs(a - b).max()) > 0


def test_abstract_equals_create():
  config = small(**{"model.ecg.name": "resnet", "loss.bias": "-10"})
  _, params = two_tower.create(config, 50, 0)
  _, shapes = two_tower.abstract(config, 50)
  assert not tree.mismatches(params, shapes)
  assert float(params["bias"]) == -10


def test_augment_is_off_by_default_and_changes_when_on():
  signal = random_signal()
  key = jax.random.key(0)
  there = inputs.recorded(signal)
  still, _ = inputs.augment(key, signal, *there, c.AugmentConfig(), 100)
  np.testing.assert_array_equal(still, signal)
  for name, value in {
    "shift_seconds": 1.0,
    "scale": 0.2,
    "noise_mv": 0.1,
    "wander_mv": 0.1,
    "mask_seconds": 0.5,
  }.items():
    config = c.AugmentConfig(**{name: value})
    changed, _ = inputs.augment(key, signal, *there, config, 100)
    assert changed.shape == signal.shape
    assert float(jnp.abs(changed - signal).max()) > 0, name


def test_shift_is_circular_and_bounded():
  signal = random_signal(8, 50)
  config = c.AugmentConfig(shift_seconds=0.1)
  moved, _ = inputs.augment(
    jax.random.key(1), signal, *inputs.recorded(signal), config, 100
  )
  found = set()
  for before, after in zip(*map(np.asarray, (signal, moved)), strict=True):
    shifts = [
      n for n in range(-10, 11) if np.array_equal(np.roll(before, n, 1), after)
    ]
    assert len(shifts) == 1
    found.add(shifts[0])
  assert len(found) > 2


def test_millivolts():
  ecg = np.array([[[1000, -500]]], np.int16)
  np.testing.assert_allclose(inputs.millivolts(ecg), [[[1.0, -0.5]]])


def test_mesh_and_fsdp():
  mesh = sharding.make_mesh(c.MeshConfig(data=-1, fsdp=4))
  assert dict(mesh.shape) == {"data": 2, "fsdp": 4}
  with pytest.raises(InputError, match="3 x 1 on 8 devices"):
    sharding.make_mesh(c.MeshConfig(data=3))
  shapes = {
    "big": jax.ShapeDtypeStruct((3, 512, 256), jnp.float32),
    "small": jax.ShapeDtypeStruct((64,), jnp.float32),
    "odd": jax.ShapeDtypeStruct((333, 777), jnp.float32),
  }
  specs = {n: s.spec for n, s in sharding.parameters(mesh, shapes).items()}
  assert tuple(specs["big"]) == (None, "fsdp")
  assert tuple(specs["small"]) == tuple(specs["odd"]) == ()


def test_schedule_and_rules():
  config = c.OptimConfig(learning_rate=1.0, warmup=0.1)
  rate = optim.schedule(config, 100)
  assert float(rate(0)) == 0
  np.testing.assert_allclose(rate(10), 1.0)
  np.testing.assert_allclose(rate(55), 0.5, atol=1e-6)
  np.testing.assert_allclose(rate(100), 0.0, atol=1e-6)
  names = ["text.layers.0.kernel", "text.layers.1.kernel", "ecg.kernel"]
  frozen = optim.frozen_names(c.OptimConfig(freeze=(r"layers\.0\.",)), names)
  assert frozen == {"text.layers.0.kernel"}
  with pytest.raises(InputError, match="matches no parameter"):
    optim.frozen_names(c.OptimConfig(freeze=("bert",)), names)


def test_rates_scale_the_update():
  params = {"a": jnp.ones(3), "b": jnp.ones(3)}
  config = c.OptimConfig(learning_rate=0.1, rates=(("^a$", 0.1),))
  optimizer = optim.create(config, 10)
  grads = {"a": jnp.ones(3), "b": jnp.ones(3)}
  state = optimizer.init(params)
  _, state = optimizer.update(grads, state, params)  # rate 0 at step 0
  updates, _ = optimizer.update(grads, state, params)
  np.testing.assert_allclose(updates["a"] * 10, updates["b"], rtol=1e-6)
