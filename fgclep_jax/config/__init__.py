"""Configurations: frozen dataclasses, read from files, flags and JSON.

A file in `configs/` holds `get_config(arg="") -> TrainConfig`. Fields are
changed on the command line by dotted names: `--optim.learning-rate 3e-4`.
"""

import dataclasses
import difflib
import importlib.util
import json
import pathlib
import typing

from fgclep_jax.config.fields import convert, flatten
from fgclep_jax.config.rules import CHOICES as CHOICES
from fgclep_jax.config.rules import RESUMABLE, RETIRED, check
from fgclep_jax.config.rules import check_divisible as check_divisible
from fgclep_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """Which records are read, and how a batch is made of them."""

  dataset: str = "simulated_ecg"
  config: str = "original"
  train_split: str = "train"
  # A split's name, or "inner": a patient-disjoint part of the train split.
  validation: str = "validation"
  inner_fraction: float = 0.15
  rate: int = 500  # Hz, after resampling
  seconds: float = 10.0
  # What a longer record keeps of it: its "first" or "centre" seconds.
  window: str = "first"
  batch_size: int = 256
  # Statements of a record that enter a batch: 0 takes all of them, n draws n.
  statements_per_record: int = 0
  # "statements": each one is a text; "report": all of a record joined.
  text: str = "statements"
  # Simulated records that are gone through, so many times, before the real
  # ones: a start for small archives.
  simulated_records: int = 0
  simulated_epochs: float = 10.0
  # Where signals are kept once read: in the "host"'s memory where `cache_gib`
  # holds the split, or, all of them before the first step, on the "device".
  hold: str = "host"
  cache_gib: float = 8.0  # host memory for signals read before
  # Memory of a device for signals held there; 0 asks the device.
  device_gib: float = 0.0
  threads: int = 2
  # Share of the records to train on that may be unreadable; such a record's
  # place in a batch stays empty.
  max_skip_rate: float = 0.0


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
  """Random changes of the training signals, made on the device."""

  shift_seconds: float = 0.0  # circular shift, uniform in +- this
  scale: float = 0.0  # log-normal gain, standard deviation
  noise_mv: float = 0.0  # white noise, standard deviation, mV
  wander_mv: float = 0.0  # slow sine baseline, standard deviation, mV
  # Share of the records that keep only some leads: 1 to 11 of them, any.
  lead_masking: float = 0.0
  mask_seconds: float = 0.0  # one span of this length set to zero


@dataclasses.dataclass(frozen=True)
class EcgConfig:
  """The ECG encoder: `st_vit` or `resnet`, of the sizes below, or by name.

  `st_vit_tiny`, `_small`, `_middle`, `_base`, `resnet18` and `xresnet1d101`
  have the sizes that were published.
  """

  name: str = "st_vit"
  width: int = 192
  depth: int = 12
  heads: int = 3
  mlp: int = 768
  patch_seconds: float = 1.0  # st_vit: one lead times this
  stages: tuple[int, ...] = (2, 2, 2, 2)  # resnet: blocks a stage
  kernel: int = 3  # resnet: kernel of a block
  # Tokens -> one vector: "mean", or "mean_max" (both, side by side).
  pool: str = "mean"
  dropout: float = 0.0


@dataclasses.dataclass(frozen=True)
class TextConfig:
  """The text encoder: a BERT."""

  width: int = 256
  depth: int = 4
  heads: int = 4
  mlp: int = 1024
  max_tokens: int = 64
  # A Hugging Face BERT folder whose weights and vocabulary are the start; the
  # sizes here must be its own. "" draws the weights.
  pretrained: str = ""
  # A `vocab.txt`, or "" for a WordPiece vocabulary trained on the reports.
  vocabulary: str = ""
  vocabulary_size: int = 4096
  # "first": BERT's pooler; "mean": over the word pieces, which learns from
  # few texts.
  pool: str = "first"
  dropout: float = 0.0
  norm_epsilon: float = 1e-12  # of the layer norms
  lowercase: bool = True  # texts are lower-cased, accents stripped
  # Groups in which the texts of a batch are padded to a width of their own:
  # more pad less and compile longer. 0 pads all to the data set's longest.
  length_groups: int = 3
  # The frozen part of the tower, embeddings and first layers, is run once for
  # every text and not at every step: "auto" where that changes nothing, "on"
  # with dropout too (there is none in the frozen part then), or "off".
  cache: str = "auto"
  cache_gib: float = 2.0  # of every device, at most


@dataclasses.dataclass(frozen=True)
class TransportConfig:
  """Alignment `transport`, see `models.alignment.transport_plan`."""

  eps: float = 0.1  # small is sharp
  tau: float = 1.0  # large gives every token the same share
  iterations: int = 30


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Two towers and their alignment."""

  ecg: EcgConfig = EcgConfig()
  text: TextConfig = TextConfig()
  embedding: int = 256
  # What a statement is compared with in training: the "pooled" ECG, or a
  # mixture of its tokens by "attention" or "transport".
  alignment: str = "pooled"
  attention_temperature: float = 0.1
  transport: TransportConfig = TransportConfig()
  compute: str = "bfloat16"  # parameters stay float32
  # What is kept for the gradient: everything ("none" is computed again), the
  # matrix "products", or the input of each of the "layers".
  remat: str = "none"
  scan_layers: bool = False  # one compiled transformer layer, run in turn


@dataclasses.dataclass(frozen=True)
class LossConfig:
  """The loss over pairs x distinct statements.

  `sigmoid` is the method's. For comparison: `fnm`, version 2's, and `softmax`,
  CLIP's, which knows no labels: `rule`, `similarity` and `bias` are not used.
  """

  name: str = "sigmoid"
  similarity: str = "projected"  # or "frozen"
  rule: str = "pair"  # or "report", "hard"
  scale: float = 10.0  # start of exp(log_scale)
  bias: float | None = None  # start of the bias; None leaves it out
  # A distinct statement that n pairs of the batch hold weighs n ** this among
  # the columns: 1 is the papers' sum over pairs, 0 counts each once.
  multiplicity: float = 1.0
  # How statements meet pairs over devices, see `losses.exchanges`.
  exchange: str = "auto"
  tile: int = 1024  # rows and columns of a tile of logits


@dataclasses.dataclass(frozen=True)
class OptimConfig:
  """AdamW with linear warm-up and cosine decay to zero."""

  epochs: float = 10.0
  steps: int = 0  # when above 0 it replaces `epochs`
  learning_rate: float = 2e-5
  weight_decay: float = 1e-4
  b1: float = 0.9
  b2: float = 0.999
  warmup: float = 0.1  # share of all steps
  clip_norm: float = 1.0  # 0 leaves gradients as they are
  # Parts in which the ECGs of a batch are gone through, against all of its
  # texts: the same gradient in less memory.
  micro_batches: int = 1
  # Regular expressions on parameter names, the first that matches decides.
  freeze: tuple[str, ...] = ()
  rates: tuple[tuple[str, float], ...] = ()  # (expression, factor)


@dataclasses.dataclass(frozen=True)
class MeshConfig:
  """Devices as data x fsdp; -1 takes all that are left."""

  data: int = -1
  fsdp: int = 1
  # Groups of devices that a slower network connects; 0 asks the devices. The
  # data axis runs over them outermost.
  slices: int = 0


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """Everything that decides a training run."""

  seed: int = 0
  data: DataConfig = DataConfig()
  augment: AugmentConfig = AugmentConfig()
  model: ModelConfig = ModelConfig()
  loss: LossConfig = LossConfig()
  optim: OptimConfig = OptimConfig()
  mesh: MeshConfig = MeshConfig()
  init_from: str = ""  # a workdir whose parameters are the start
  save_every: int = 500  # steps
  save_every_minutes: float = 0.0  # as well, since the last save; 0 is off
  keep: int = 3  # newest checkpoints that stay
  validate_every: int = 0  # steps; 0 only at the end
  log_every: int = 10
  # Steps in a row whose loss or gradient is not finite before the run stops,
  # seen when metrics are written; 0 never stops.
  max_skipped_in_a_row: int = 10
  stall_seconds: float = 600.0  # without a step, then a report; 0 is off


def to_dict(config):
  """Returns nested plain dicts and lists, ready for JSON."""
  return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(values, cls=TrainConfig, prefix=""):
  """Builds a config from nested dicts; unknown names are refused."""
  if not isinstance(values, dict):
    where = prefix.removesuffix(".") or "the config"
    raise InputError(f"{where}={str(values)[:60]!r}: give an object of fields")
  hints = typing.get_type_hints(cls)
  values = {
    name: value
    for name, value in values.items()
    if (prefix + name, value) not in RETIRED.items()
  }
  for name in values:
    if name not in hints:
      raise InputError(_unknown(prefix + name, cls, prefix))
  fields = {}
  for name, value in values.items():
    hint = hints[name]
    if dataclasses.is_dataclass(hint):
      fields[name] = from_dict(value, hint, f"{prefix}{name}.")
    else:
      fields[name] = convert(value, hint, prefix + name)
  return cls(**fields)


def override(config, changes):
  """Returns a config with `{"optim.learning-rate": "3e-4", ...}` applied."""
  for dotted, text in changes.items():
    config = _replace(config, dotted.replace("-", "_").split("."), text, "")
  return check(config)


def load(path):
  """Reads `configs/name.py` or `configs/name.py:argument`."""
  file, _, argument = str(path).partition(":")
  file = pathlib.Path(file)
  if not file.is_file():
    raise InputError(f"no config file {file}: give a file of configs/")
  spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file)
  if spec is None:
    raise InputError(f"{file} is not a Python file: give one of configs/")
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except (SyntaxError, ImportError, TypeError, NameError) as error:
    raise InputError(f"config {file} cannot be read: {error}") from error
  if not hasattr(module, "get_config"):
    raise InputError(f"config {file} has no function get_config(arg='')")
  try:
    config = module.get_config(argument)
  except ValueError as error:
    raise InputError(str(error)) from error
  return check(config)


def difference(old, new):
  """Returns lines `name: old -> new` for leaves that forbid resuming."""
  old, new = flatten(old), flatten(new)
  return [
    f"{name}: {old.get(name)!r} -> {new.get(name)!r}"
    for name in new
    if name not in RESUMABLE and old.get(name) != new[name]
  ]


def _replace(config, names, text, prefix):
  name, *rest = names
  hints = typing.get_type_hints(type(config))
  if name not in hints or dataclasses.is_dataclass(hints[name]) != bool(rest):
    raise InputError(_unknown(prefix + ".".join(names), TrainConfig, ""))
  if rest:
    value = _replace(getattr(config, name), rest, text, f"{prefix}{name}.")
  else:
    value = convert(text, hints[name], prefix + name)
  return dataclasses.replace(config, **{name: value})


def _unknown(name, cls, prefix):
  known = [prefix + leaf for leaf in flatten(cls())]
  near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
  if not near:  # a right last name in the wrong place is the common slip
    last = name.rpartition(".")[2]
    near = [leaf for leaf in known if leaf.rpartition(".")[2] == last][:1]
  hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
  return f"unknown config field {name}: {hint}"
