"""What a config may hold: choices, limits, and what goes with what."""

import difflib

from fgclep_jax.config.fields import flatten
from fgclep_jax.errors import InputError

# Fields that may differ when a run is continued: they change what is
# written and when, not what is learned.
RESUMABLE = frozenset(
  {
    "save_every",
    "save_every_minutes",
    "keep",
    "validate_every",
    "log_every",
    "max_skipped_in_a_row",
    "stall_seconds",
    "mesh.data",
    "mesh.fsdp",
    "mesh.slices",
    "loss.exchange",
    "loss.tile",
    "data.hold",
    "data.cache_gib",
    "data.device_gib",
    "model.text.cache_gib",
    "data.threads",
    "data.max_skip_rate",
  }
)

# Fields of earlier versions, with the value at which they did nothing: a
# config that holds it is read as if it did not name the field.
RETIRED = {"augment.lead_dropout": 0.0}

CHOICES = {
  "data.window": ("first", "centre"),
  "data.hold": ("host", "device"),
  "data.text": ("statements", "report"),
  "model.ecg.name": (
    "st_vit",
    *(f"st_vit_{size}" for size in ("tiny", "small", "middle", "base")),
    "resnet",
    "resnet18",
    "xresnet1d101",
  ),
  "model.ecg.pool": ("mean", "mean_max"),
  "model.text.pool": ("first", "mean"),
  "model.text.cache": ("auto", "on", "off"),
  "model.alignment": ("pooled", "attention", "transport"),
  "model.compute": ("bfloat16", "float32"),
  "model.remat": ("none", "products", "layers"),
  "loss.name": ("sigmoid", "softmax", "fnm"),
  "loss.similarity": ("projected", "frozen"),
  "loss.rule": ("pair", "report", "hard"),
  "loss.exchange": ("auto", "gather", "ring", "grid"),
}

POSITIVE = (
  "optim.micro_batches",
  "loss.tile",
  "data.batch_size",
  "data.rate",
  "data.seconds",
  "save_every",
  "model.attention_temperature",
  "model.transport.eps",
  "model.transport.tau",
  "model.transport.iterations",
)

NOT_NEGATIVE = (
  "save_every_minutes",
  "data.max_skip_rate",
  "data.device_gib",
  "max_skipped_in_a_row",
  "stall_seconds",
  "mesh.slices",
  "model.text.length_groups",
  "model.text.cache_gib",
)


def check(config):
  """Raises InputError when a field holds a value outside its choices."""
  leaves = flatten(config)
  for name, choices in CHOICES.items():
    if leaves[name] not in choices:
      near = difflib.get_close_matches(str(leaves[name]), choices, 1)
      hint = f" (did you mean {near[0]}?)" if near else ""
      raise InputError(
        f"{name}={leaves[name]!r}: choose one of {', '.join(choices)}{hint}"
      )
  for name in POSITIVE:
    if not leaves[name] > 0:
      raise InputError(f"{name}={leaves[name]}: give a number above 0")
  for name in NOT_NEGATIVE:
    if not leaves[name] >= 0:
      raise InputError(f"{name}={leaves[name]}: give 0 or a number above")
  if config.loss.name == "softmax" and config.optim.micro_batches > 1:
    raise InputError(
      f"optim.micro_batches={config.optim.micro_batches} with loss.name="
      "'softmax': its sums go over all pairs, give 1"
    )
  if config.loss.name == "fnm" and config.loss.rule == "hard":
    raise InputError(
      "loss.name='fnm' with loss.rule='hard': it compares similarities, give "
      "pair or report"
    )
  model = config.model
  if model.alignment != "pooled" and model.ecg.pool != "mean":
    raise InputError(
      f"model.alignment={model.alignment!r} with model.ecg.pool="
      f"{model.ecg.pool!r}: each token is projected, give pool mean"
    )
  return config


def check_divisible(config, devices):
  """Raises InputError when a batch cannot be split over the devices."""
  parts = config.optim.micro_batches
  if config.data.batch_size % (devices * parts):
    cut = f" in {parts} micro-batches" if parts > 1 else ""
    raise InputError(
      f"data.batch_size={config.data.batch_size} on {devices} devices{cut}: "
      "it must be divisible by the number of devices"
      + " times that of micro-batches"
      * (parts > 1)
    )
