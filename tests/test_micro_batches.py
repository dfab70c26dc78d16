"""A batch in parts: the gradient of the whole, each ECG encoded once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgclep_jax import config as c
from fgclep_jax import sharding
from fgclep_jax.compile import flops
from fgclep_jax.errors import InputError
from fgclep_jax.models import two_tower
from fgclep_jax.training import objective, steps
from tests.test_models import small

RECORDS, WIDTH, TEXTS = 48, 3, 16


def batch(seed=0, records=RECORDS, texts=TEXTS):
  """Records of 0 to 3 statements; the last three texts are padding."""
  rng, used = np.random.default_rng(seed), texts - 3
  place = rng.integers(0, used, (records, WIDTH))
  place[rng.random(place.shape) < 0.3] = -1
  counts = np.bincount(place[place >= 0], minlength=texts)
  return {
    "ecg": jnp.array(rng.integers(-999, 999, (records, 12, 100)), jnp.int16),
    "statement": jnp.array(place, jnp.int32),
    "tokens": jnp.array(rng.integers(1, 50, (texts, 7)), jnp.int32),
    "text_ids": jnp.where(jnp.arange(texts) < used, jnp.arange(texts), -1),
    "text_weights": jnp.array(counts, jnp.float32),
  }


def slopes(data, devices=1, **changes):
  base = {"data.seconds": "1", "model.ecg.depth": "1", "loss.bias": "-2"}
  changes = {name.replace("__", "."): value for name, value in changes.items()}
  config = small(**base, **changes)
  definition, params = two_tower.create(config, 50, 0)
  mesh = sharding.make_mesh(c.MeshConfig(), jax.devices()[:devices])
  semantics = None
  if config.loss.similarity == "frozen":
    rows = np.random.default_rng(1).normal(size=(13, 5))
    semantics = jnp.array(rows / np.linalg.norm(rows, axis=1, keepdims=True))
  function = functools.partial(
    objective.gradients,
    semantics=semantics,
    key=jax.random.key(3),
    definition=definition,
    config=config,
    mesh=mesh,
  )
  trainable, still = steps.split(params, frozenset({"ecg.embed.bias"}))
  return jax.jit(function), (trainable, still, data)


@pytest.mark.parametrize(
  ("parts", "devices", "changes"),
  [
    (3, 1, {}),
    (4, 4, {"loss__rule": "report"}),
    (2, 2, {"model__alignment": "transport", "loss__similarity": "frozen"}),
    (6, 1, {"loss__name": "fnm", "model__alignment": "attention"}),
  ],
)
def test_equals_the_whole_batch(parts, devices, changes):
  data = batch()
  step, arguments = slopes(data, **changes)
  (loss, _), wanted = step(*arguments)
  step, arguments = slopes(
    data, devices, optim__micro_batches=str(parts), **changes
  )
  (found, _), gradients = step(*arguments)
  np.testing.assert_allclose(found, loss, rtol=1e-5)
  check_equal(gradients, wanted)


def check_equal(gradients, wanted):
  assert gradients.keys() == wanted.keys()
  largest = max(float(np.abs(value).max()) for value in wanted.values())
  for name, value in wanted.items():
    # The attention's key bias has no gradient but rounding.
    scale = np.abs(value).max() + 1e-2 * largest
    np.testing.assert_allclose(
      gradients[name] / scale, value / scale, atol=1e-5, err_msg=name
    )


@pytest.mark.slow
def test_a_batch_of_32768_on_one_device():
  """In 32 parts, against 1,021 texts: some 69,000 pairs."""
  data = batch(records=32_768, texts=1_024)
  step, arguments = slopes(data)
  (loss, _), wanted = step(*arguments)
  step, arguments = slopes(data, optim__micro_batches="32")
  (found, _), gradients = step(*arguments)
  np.testing.assert_allclose(found, loss, rtol=1e-5)
  check_equal(gradients, wanted)
  largest = max(float(np.abs(x).max()) for x in wanted.values())
  print("differs by", max(
    float(np.abs(gradients[n] - x).max()) / largest for n, x in wanted.items()
  ))  # fmt: skip


def test_each_ecg_is_encoded_once():
  """Multiplications of matrices are those of the whole batch."""
  data = batch()
  counts = []
  for parts in ("1", "4"):
    step, arguments = slopes(data, optim__micro_batches=parts)
    counts.append(flops.count(jax.make_jaxpr(step)(*arguments))[0])
  assert counts[0] <= counts[1] < 1.02 * counts[0]


def test_less_memory():
  """Of a batch whose towers' activations are most of the memory."""
  data = batch(records=192)
  used = []
  for parts in ("1", "8"):
    step, arguments = slopes(data, optim__micro_batches=parts)
    analysis = step.lower(*arguments).compile().memory_analysis()
    used.append(analysis.temp_size_in_bytes)
  assert used[1] < used[0] / 3


def test_running_statistics_move_with_every_part():
  data = batch()
  moved = []
  for parts in ("1", "3"):
    step, arguments = slopes(
      data, model__ecg__name="resnet", optim__micro_batches=parts
    )
    (_, statistics), _ = step(*arguments)
    moved.append(statistics["ecg.stem.norm.mean"])
  still = arguments[1]["ecg.stem.norm.mean"]
  assert np.abs(moved[1] - still).max() > 1.5 * np.abs(moved[0] - still).max()


def test_a_part_without_statements_weighs_nothing():
  data = batch()
  data["statement"] = data["statement"].at[:16].set(-1)
  step, arguments = slopes(data)
  (loss, _), _ = step(*arguments)
  step, arguments = slopes(data, optim__micro_batches="3")
  (found, _), gradients = step(*arguments)
  np.testing.assert_allclose(found, loss, rtol=1e-5)
  assert all(np.isfinite(x).all() for x in gradients.values())


def test_bad_configs():
  with pytest.raises(InputError, match=r"with loss\.name='softmax'"):
    small(**{"loss.name": "softmax", "optim.micro_batches": "2"})
  config = small(**{"optim.micro_batches": "3", "data.batch_size": "32"})
  with pytest.raises(InputError, match="on 2 devices in 3 micro-batches"):
    c.check_divisible(config, 2)
