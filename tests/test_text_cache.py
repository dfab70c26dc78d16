"""Frozen texts run once, texts in groups by length: the same training."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from fgclep_jax import config as c
from fgclep_jax import optim, sharding
from fgclep_jax.compile import flops
from fgclep_jax.data import widths
from fgclep_jax.errors import InputError
from fgclep_jax.models import two_tower
from fgclep_jax.training import checkpoint, objective, steps, text_cache
from tests import text_fakes, tiny_runs
from tests.test_micro_batches import check_equal
from tests.test_models import small

LOWER = r"^text\.(embeddings|layers\.0)\."
LAYERS = r"^text\.(embeddings|layers)"
WHOLE = r"^text\."


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
  monkeypatch.setattr(widths, "LEAST", 2)
  monkeypatch.setattr(text_cache, "CHUNK", 8)  # several


def config_of(*freeze, **changes):
  base = {"data.seconds": "1", "model.ecg.depth": "1", "model.text.depth": "2"}
  changes = {name.replace("__", "."): value for name, value in changes.items()}
  config = small(**base, **changes)
  options = dataclasses.replace(config.optim, freeze=freeze)
  return dataclasses.replace(config, optim=options)


def created(config):
  return _created(dataclasses.replace(config, optim=c.OptimConfig()))


@functools.cache
def _created(config):
  return two_tower.create(config, text_fakes.VOCABULARY, 0)


def prepared(config, devices=1, cached=True, length_groups=3, seed=0):
  """A batch on the mesh, (trainable, still) parameters, and the cache."""
  mesh = sharding.make_mesh(c.MeshConfig(), jax.devices()[:devices])
  definition, params = created(config)
  frozen = optim.frozen_names(config.optim, params)
  found = text_fakes.texts(seed=seed)
  data = text_fakes.make(found, 16, devices, length_groups)
  batch = sharding.put(mesh, text_fakes.arrays(data[0]))
  cache = None
  if cached:
    count = text_cache.frozen_layers(config.model.text, frozen, params)
    assert count != 0
    cache = text_cache.fill(definition, params, found, mesh, count)
  return definition, mesh, batch, steps.split(params, frozen), cache


def slopes(config, **options):
  definition, mesh, batch, (trainable, still), cache = prepared(
    config, **options
  )
  function = functools.partial(
    objective.gradients,
    semantics=None,
    key=jax.random.key(3),
    definition=definition,
    config=config,
    mesh=mesh,
  )
  return jax.jit(function), (trainable, still, batch), {"cache": cache}


def check_same(config, wanted, **options):
  step, arguments, cache = slopes(config, **options)
  (loss, _), gradients = step(*arguments, **cache)
  np.testing.assert_allclose(loss, wanted[0][0], rtol=1e-5)
  check_equal(gradients, wanted[1])


@pytest.mark.parametrize(
  ("freeze", "changes"),
  [
    (LOWER, {}),
    (LOWER, {"model__text__pool": "mean", "loss__rule": "hard"}),
    (WHOLE, {}),
  ],
)
def test_loss_and_gradients_are_those_without(freeze, changes):
  """With a cache and groups, on several devices and in micro-batches."""
  config = config_of(freeze, **changes)
  step, arguments, _ = slopes(config, cached=False, length_groups=0)
  wanted = step(*arguments)
  assert float(wanted[0][0]) > 0
  check_same(config, wanted, devices=2 if changes else 1)
  if freeze == LOWER and not changes:
    parts = c.override(config, {"optim.micro_batches": "2"})
    check_same(parts, wanted, devices=8)


def test_groups_alone_with_every_part_trained():
  config = config_of(model__alignment="transport")
  step, arguments, _ = slopes(config, cached=False, length_groups=0)
  wanted = step(*arguments)
  check_same(config, wanted, cached=False, devices=4)


def test_frozen_layers_are_not_in_the_step():
  """Counted multiplications; those of the frozen part are known."""
  counts = {}
  for freeze in (LOWER, WHOLE):
    for cached in (True, False):
      step, arguments, cache = slopes(
        config_of(freeze), cached=cached, length_groups=0
      )
      jaxpr = jax.make_jaxpr(step)(*arguments, **cache)
      counts[freeze, cached] = flops.count(jaxpr)[0]
  text = config_of().model.text
  rows = arguments[2]["tokens"].size
  layer = 2 * rows * (4 * text.width**2 + 2 * text.width * text.mlp)
  assert counts[LOWER, False] - counts[LOWER, True] >= layer
  last = 2 * rows * 2 * text.width**2  # keys and values of all places
  assert counts[WHOLE, False] - counts[WHOLE, True] >= layer + last
  # The first layer, and a last one that has every place, would be more.
  whole = counts[WHOLE, False] - counts[WHOLE, True]
  assert whole < 2 * layer


def test_padding_of_texts_has_no_influence():
  step, (trainable, still, batch), cache = slopes(config_of(LOWER))
  (loss, _), gradients = step(trainable, still, batch, **cache)
  table = cache["cache"]
  spoilt = dataclasses.replace(table, rows=table.rows.at[-1].set(1e3))
  last = int(np.argmax(table.starts))
  assert last not in np.asarray(batch["text_ids"])  # else another seed
  (found, _), other = step(trainable, still, batch, cache=spoilt)
  np.testing.assert_allclose(found, loss, rtol=1e-6)
  check_equal(other, gradients)


def test_what_counts_as_frozen_from_below():
  text = config_of().model.text
  names = created(config_of())[1].keys()

  def found(*rules):
    options = dataclasses.replace(c.OptimConfig(), freeze=rules)
    frozen = optim.frozen_names(options, names)
    return text_cache.frozen_layers(text, frozen, names)

  assert found() == found(r"^text\.layers") == found(r"\.bias$") == 0
  assert found(r"^text\.embeddings") == 0
  assert found(LOWER) == 1
  assert found(LOWER, r"^text\.layers\.1\.mlp") == 1
  assert found(LAYERS) == 2
  assert found(WHOLE) is None


@pytest.mark.parametrize(
  ("changes", "count", "line"),
  [
    ({}, 1, "frozen 1 layers run once for 60 texts"),
    ({"cache": "off"}, 0, ""),
    ({"dropout": "0.1"}, 0, "dropout=0.1 drops in the frozen part too"),
    ({"dropout": "0.1", "cache": "on"}, 1, "frozen 1 layers run once"),
    ({"cache_gib": "1e-6"}, 0, "GiB are more than model.text.cache_gib=1e-06"),
    ({"cache_gib": "1e-6", "cache": "on"}, None, "model.text.cache='on'"),
    ({"freeze": r"layers\.0"}, 0, "text.embeddings and the first layers are"),
    ({"freeze": r"^ecg"}, 0, ""),
    ({"freeze": r"^ecg", "cache": "on"}, None, "are not all frozen"),
  ],
)
def test_decision(changes, count, line):
  freeze = changes.pop("freeze", LOWER)
  changes = {f"model__text__{name}": x for name, x in changes.items()}
  config = config_of(freeze, **changes)
  names = created(config)[1].keys()
  frozen = optim.frozen_names(config.optim, names)
  arguments = config, frozen, names, text_fakes.texts()
  if count is None:
    with pytest.raises(InputError, match=line):
      text_cache.decide(*arguments)
    return
  found = text_cache.decide(*arguments)
  assert found[0] == count
  assert line in found[1]
  assert bool(line) == bool(found[1])


def test_dropout_is_not_in_the_frozen_part():
  """Cached, with dropout: only the layers above draw."""
  config = config_of(LAYERS, model__text__dropout="0.5")
  quiet = c.override(config, {"model.text.dropout": "0"})
  found = [loss(config), loss(quiet)]
  assert found[0] == found[1]
  assert abs(loss(config, cached=False) - found[0]) > 1e-4


def loss(config, **options):
  definition, mesh, batch, params, cache = prepared(config, **options)
  function = functools.partial(
    objective.batch_loss,
    definition=definition,
    config=config,
    mesh=mesh,
    train=True,
    cache=cache,
  )
  key = jax.random.key(3)
  return float(jax.jit(function)(params[0] | params[1], batch, None, key)[0])


def trained(workdir, data, said, **changes):
  """Parameters after a few steps of the whole program."""
  base = {"model.text.depth": "2", "optim.steps": "3"}
  tiny_runs.train(workdir, data, said.append, **base, **changes)
  return checkpoint.restore_params(workdir)[0]


def test_runs_end_with_the_same_parameters(simulated, tmp_path):
  """Of the whole program, cached or not."""
  freeze = {"optim.freeze": '["^text\\\\.(embeddings|layers\\\\.0)"]'}
  wanted = trained(tmp_path / "off", simulated, [], **freeze, **{
    "model.text.cache": "off"
  })  # fmt: skip
  said = []
  workdir = tmp_path / "auto"
  found = trained(workdir, simulated, said, **freeze)
  assert any("frozen 1 layers run once for" in line for line in said)
  assert found.keys() == wanted.keys()
  for name, value in wanted.items():
    np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)
  assert tiny_runs.lines(workdir / "metrics.jsonl")[-1]["compiled_shapes"] == 1
