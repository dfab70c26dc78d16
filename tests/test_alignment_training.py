"""Training with an ECG representation for each statement."""

import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgclep_jax import config as c
from fgclep_jax.errors import InputError
from fgclep_jax.models import alignment, two_tower
from fgclep_jax.training import objective
from tests.test_training import hash_of, losses, quiet, small

TRANSPORT = small(
  model__alignment="transport",
  model__ecg__depth="1",
  model__text__dropout="0",
  augment__shift_seconds="0",
  loss__rule="pair",
)


@pytest.fixture(scope="module")
def trained(simulated, tmp_path_factory):
  """Workdir of ten steps with `transport` on one device."""
  workdir = tmp_path_factory.mktemp("transport")
  quiet(TRANSPORT, workdir, simulated)
  return workdir


def test_transport_lowers_the_loss(trained):
  values = losses(trained)
  assert np.isfinite(values).all()
  assert values[-3:].mean() < values[:3].mean() - 0.01


@pytest.mark.slow
def test_transport_has_the_same_losses_on_2_devices(
  simulated, trained, tmp_path
):
  quiet(TRANSPORT, tmp_path, simulated, 2)
  np.testing.assert_allclose(
    losses(tmp_path), losses(trained), atol=1e-5, rtol=0
  )


def test_transport_resumes_bit_for_bit(simulated, trained, tmp_path):
  workdir = tmp_path / "broken"
  shutil.copytree(trained, workdir)
  shutil.rmtree(workdir / "checkpoints" / "10")
  quiet(TRANSPORT, workdir, simulated)
  assert hash_of(workdir) == hash_of(trained)
  np.testing.assert_array_equal(losses(workdir), losses(trained))


@pytest.fixture(scope="module")
def towers():
  """A model, and what its towers make of a random batch."""
  definition, params = two_tower.create(SHORT, 40, 0)
  model = two_tower.merge(definition, params)
  rng = np.random.default_rng(0)
  encoded = model.encode_ecg(
    jnp.asarray(rng.normal(size=(4, 12, 200)), jnp.float32)
  )
  text = model.embed_text(jnp.asarray(rng.integers(1, 40, (6, 5))))
  return model, encoded, text


SHORT = small(data__seconds="2", model__ecg__depth="1")
PLACE = jnp.array([[0, 3, 5], [2, -1, -1], [4, 1, -1], [-1, -1, -1]])


def aligned(towers, **changes):
  model, *arrays = towers
  changes = {f"model.{name}": value for name, value in changes.items()}
  config = c.override(SHORT, changes).model
  align = functools.partial(objective.align, model, config=config)
  return jax.jit(align)(*arrays, PLACE)


def softmax_mixture(statement, tokens, temperature):
  wanted = jnp.exp(statement @ tokens.T / temperature) @ tokens
  return wanted / jnp.linalg.norm(wanted)


def test_every_statement_meets_its_own_mixture_of_its_own_record(towers):
  model, (tokens, _, _), text = towers
  options = {"transport.eps": "0.02", "transport.tau": "0.3"}
  rows = aligned(towers, alignment="transport", **options)
  assert rows.shape == (4, 3, 32)
  tokens = model.project_ecg(tokens)
  wanted = alignment.transport(text[PLACE[0]], tokens[0], eps=0.02, tau=0.3)
  np.testing.assert_allclose(rows[0], wanted, atol=1e-5)
  alone = softmax_mixture(text[2], tokens[1], 0.32)
  np.testing.assert_allclose(rows[1, 0], alone, atol=1e-5)
  np.testing.assert_array_equal(rows[PLACE < 0], 0)


def test_attention_is_wired_with_its_temperature(towers):
  model, (tokens, _, _), text = towers
  rows = aligned(towers, alignment="attention", attention_temperature="0.05")
  tokens = model.project_ecg(tokens)
  wanted = softmax_mixture(text[3], tokens[0], 0.05)
  np.testing.assert_allclose(rows[0, 1], wanted, atol=1e-5)
  np.testing.assert_array_equal(rows[PLACE < 0], 0)


def test_pooled_is_one_row_a_record(towers):
  model, (tokens, pooled, _), _ = towers
  rows = aligned(towers)
  np.testing.assert_allclose(rows, model.project_ecg(pooled), atol=1e-6)
  same = alignment.pooled(model.ecg_projection(tokens))
  np.testing.assert_allclose(rows, same, atol=1e-5)


def test_loss_pairs_each_statement_with_its_own_row(towers):
  model, *_, text = towers
  batch = {
    "statement": PLACE,
    "text_ids": jnp.arange(6),
    "text_weights": jnp.ones(6),
  }
  rows = jax.random.normal(jax.random.key(0), (4, 3, 32))
  found = objective.pair_arguments(model, rows, text, batch, None, SHORT.loss)
  np.testing.assert_array_equal(found["ecg"][4], rows[1, 1])
  assert found["ecg_ids"][6].tolist() == [4, 1, -1]
  wanted = [1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0]
  assert found["pair_weights"].tolist() == wanted


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"model.alignment": "transprt"}, "did you mean transport?"),
    ({"model.transport.eps": "0"}, "give a number above 0"),
    ({"model.transport.iterations": "0"}, "give a number above 0"),
    ({"model.transport.tau": "NaN"}, "tau=nan: give a number"),
    ({"model.attention-temperature": "-1"}, "give a number above 0"),
    (
      {"model.alignment": "attention", "model.ecg.pool": "mean_max"},
      "each token is projected, give pool mean",
    ),
  ],
)
def test_bad_input(changes, message):
  with pytest.raises(InputError) as error:
    c.override(c.TrainConfig(), changes)
  assert message in str(error.value)
  assert "\n" not in str(error.value)
