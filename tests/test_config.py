"""Configurations: overrides, files, refusals."""

import dataclasses

import pytest

from fgclep_jax import config as c
from fgclep_jax.errors import InputError


def test_round_trip():
  config = c.override(
    c.TrainConfig(),
    {
      "optim.learning-rate": "3e-4",
      "loss.bias": "-10",
      "optim.freeze": '["^text"]',
      "optim.rates": '[["scale", 0.1]]',
      "data.validation": "inner",
      "model.ecg.stages": "[1, 2]",
    },
  )
  assert config.optim.learning_rate == 3e-4
  assert config.loss.bias == -10.0
  assert config.optim.rates == (("scale", 0.1),)
  assert config.model.ecg.stages == (1, 2)
  assert c.from_dict(c.to_dict(config)) == config
  assert c.override(config, {"loss.bias": "none"}).loss.bias is None


@pytest.mark.parametrize(
  ("name", "value", "message"),
  [
    ("optim.learning-rat", "1", "did you mean optim.learning_rate?"),
    ("learning_rate", "1", "did you mean optim.learning_rate?"),
    ("optim", "1", "unknown config field optim"),
    ("optim.steps.more", "1", "unknown config field optim.steps.more"),
    ("optim.steps", "many", "give a value of type int"),
    ("optim.steps", "1.5", "give a value of type int"),
    ("optim.rates", "[1]", "optim.rates"),
    ("loss.rule", "pairs", "did you mean pair?"),
    ("data.batch_size", "0", "give a number above 0"),
  ],
)
def test_bad_overrides(name, value, message):
  with pytest.raises(InputError) as error:
    c.override(c.TrainConfig(), {name: value})
  assert message in str(error.value)
  assert "\n" not in str(error.value)


def test_from_dict_refuses_unknown_names():
  with pytest.raises(InputError, match=r"data\.bach_size.*data\.batch_size"):
    c.from_dict({"data": {"bach_size": 3}})


def test_load(tmp_path):
  file = tmp_path / "mine.py"
  file.write_text(
    "from fgclep_jax import config as c\n"
    "def get_config(arg=''):\n"
    "  return c.TrainConfig(seed=int(arg or 0))\n"
  )
  assert c.load(file).seed == 0
  assert c.load(f"{file}:7").seed == 7
  with pytest.raises(InputError, match="no config file"):
    c.load(tmp_path / "none.py")
  file.write_text("x = 1\n")
  with pytest.raises(InputError, match="no function get_config"):
    c.load(file)
  file.write_text("def (\n")
  with pytest.raises(InputError, match="cannot be read"):
    c.load(file)


def test_difference_ignores_what_may_change():
  old = c.TrainConfig()
  new = dataclasses.replace(old, save_every=7, seed=3)
  assert c.difference(old, new) == ["seed: 0 -> 3"]


def test_all_shipped_configs_load(root):
  files = sorted((root / "configs").glob("*.py"))
  assert files
  for file in files:
    config = c.load(file)
    assert c.from_dict(c.to_dict(config)) == config


def test_a_retired_field_is_passed_over_where_it_did_nothing():
  """Checkpoints of earlier versions are read, unless they used the field."""
  values = c.to_dict(c.TrainConfig())
  values["augment"]["lead_dropout"] = 0.0
  assert c.from_dict(values) == c.TrainConfig()
  values["augment"]["lead_dropout"] = 0.5
  with pytest.raises(InputError, match="unknown config field augment"):
    c.from_dict(values)
