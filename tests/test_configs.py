"""The shipped configs: read, of the right method, shapes without weights."""

import jax
import pytest

from fgclep_jax import config as c
from fgclep_jax import optim, sharding
from fgclep_jax.errors import InputError
from fgclep_jax.models import two_tower
from fgclep_jax.training import abstract

VERSIONS = ("fgclep_v1", "fgclep_v2", "focal_v3", "merl_like")


def load(root, name):
  return c.load(root / "configs" / name)


@pytest.mark.parametrize("name", [*VERSIONS, "simulated", "ptbxl_sample"])
def test_both_stages(root, name):
  coarse, fine = (load(root, f"{name}.py:{arg}") for arg in ("coarse", "fine"))
  assert coarse == load(root, f"{name}.py")
  assert (coarse.data.config, fine.data.config) == ("original", "enhanced")
  assert not coarse.init_from
  assert fine.init_from
  assert coarse.model == fine.model
  with pytest.raises(InputError, match="give coarse"):
    load(root, f"{name}.py:x")


def test_what_tells_the_versions_apart(root):
  found = {
    name: (
      x.model.alignment,
      x.loss.name,
      x.loss.similarity,
      x.data.text,
      x.data.statements_per_record,
      x.model.ecg.name,
    )
    for name in VERSIONS
    for x in [load(root, f"{name}.py")]
  }
  tiny = "st_vit_tiny"
  assert found == {
    "fgclep_v1": ("pooled", "sigmoid", "projected", "statements", 0, tiny),
    "fgclep_v2": ("attention", "fnm", "frozen", "statements", 1, tiny),
    "focal_v3": ("transport", "sigmoid", "projected", "statements", 0, tiny),
    "merl_like": ("pooled", "softmax", "projected", "report", 0, "resnet18"),
  }


@pytest.mark.parametrize(
  ("name", "changes", "least"),
  [
    ("fgclep_v1", {"model.text.depth": "2"}, 40e6),
    ("fgclep_v2", {"model.text.depth": "2"}, 40e6),
    ("merl_like", {}, 110e6),
    (
      "focal_v3",
      {"model.ecg.name": "st_vit_base", "model.remat": "layers"},
      190e6,
    ),
  ],
)
def test_a_training_step_without_weights(root, name, changes, least):
  """Loss, gradients and update are traced; nothing is allocated."""
  changes = changes | {"model.scan_layers": "true"}  # is traced sooner
  config = c.override(load(root, f"{name}.py"), changes)
  sizes, mesh = abstract.Sizes(), sharding.make_mesh(config.mesh)
  step, (state, *rest) = abstract.training_step(config, sizes, mesh)
  after, metrics = jax.eval_shape(step, state, *rest)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
    lambda x: (x.shape, x.dtype), state
  )
  assert metrics["loss"].shape == ()
  assert sum(x.size for x in state.params.values()) > least


def test_frozen_layers_by_rule(root):
  """Nine layers of the text tower stand still; its embeddings do not."""
  config = load(root, "focal_v3.py")
  _, params = two_tower.abstract(config, 100)
  frozen = optim.frozen_names(config.optim, list(params))
  layers = {name.split(".")[2] for name in frozen}
  assert layers == set("012345678")
  assert all(name.startswith("text.layers.") for name in frozen)
  each = [n for n in params if n.startswith("text.layers.0.")]
  assert len(frozen) == 9 * len(each)
