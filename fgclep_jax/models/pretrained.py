"""Hugging Face BERT folders: read into the parameters of `bert.Bert`, written.

A folder holds `config.json`, a vocabulary (`vocab.txt` or `tokenizer.json`)
and `model.safetensors`, whole or in parts with an index. Names stand with the
prefix `bert.` (a pre-training model: Bio_ClinicalBERT, PubMedBERT) or without
(the encoder alone: MedCPT). A tensor is read in full or the folder is refused.
"""

import dataclasses
import json
import pathlib
import shlex

import ml_dtypes  # noqa: F401  numpy learns the name bfloat16
import numpy as np
import safetensors
import safetensors.numpy

from fgclep_jax.config import TextConfig
from fgclep_jax.errors import InputError
from fgclep_jax.reports import tokenizer

PREFIX = "bert."
# What a folder may hold beyond the encoder: the pre-training heads, and the
# numbers 0, 1, 2 ... that old versions stored.
SURPLUS = ("cls.", "embeddings.position_ids")
TYPES = ("F16", "BF16", "F32", "F64")
# Key of config.json -> field of TextConfig, largest value believed.
SIZES = {
  "hidden_size": ("width", 1 << 16),
  "num_hidden_layers": ("depth", 1 << 10),
  "num_attention_heads": ("heads", 1 << 10),
  "intermediate_size": ("mlp", 1 << 18),
  "vocab_size": ("vocabulary_size", 1 << 22),
  "max_position_embeddings": ("max_tokens", 1 << 16),
}
# Anything else is another network than ours.
FIXED = {
  "model_type": "bert",
  "hidden_act": "gelu",
  "position_embedding_type": "absolute",
  "pad_token_id": 0,
  "type_vocab_size": 2,
  "is_decoder": False,
  "add_cross_attention": False,
}


@dataclasses.dataclass(frozen=True)
class Row:
  """A tensor in both worlds.

  Attributes:
    outside: its name in the folder, without prefix.
    inside: its name among the parameters of `bert.Bert`.
    shape: in the folder; a dense kernel is (outputs, inputs) there.
    transposed: whether ours is the transpose.
  """

  outside: str
  inside: str
  shape: tuple[int, ...]
  transposed: bool = False


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """What a folder holds.

  Attributes:
    text: `TextConfig` of its sizes.
    vocabulary: word pieces, one for every row of the word table.
    lowercase: whether its tokenizer lower-cases and strips accents.
    params: {name of a parameter of `bert.Bert`: float32 array}.
  """

  text: TextConfig
  vocabulary: tuple[str, ...]
  lowercase: bool
  params: dict[str, np.ndarray]


def table(text):
  """Every tensor of a BERT of these sizes, as a tuple of `Row`."""
  width, mlp = text.width, text.mlp
  rows = [
    Row(f"embeddings.{name}_embeddings.weight", f"embeddings.{inside}.embedding", (count, width))
    for name, inside, count in (
      ("word", "word", text.vocabulary_size),
      ("position", "position", text.max_tokens),
      ("token_type", "type", 2),
    )
  ]  # fmt: skip
  rows += _norm("embeddings.LayerNorm", "embeddings.norm", width)
  for i in range(text.depth):
    out, own = f"encoder.layer.{i}", f"layers.{i}"
    for name in ("query", "key", "value"):
      rows += _dense(
        f"{out}.attention.self.{name}", f"{own}.attention.{name}", width, width
      )
    rows += _dense(
      f"{out}.attention.output.dense", f"{own}.attention.out", width, width
    )
    rows += _norm(f"{out}.attention.output.LayerNorm", f"{own}.norm1", width)
    rows += _dense(
      f"{out}.intermediate.dense", f"{own}.mlp.first", width, mlp
    )
    rows += _dense(f"{out}.output.dense", f"{own}.mlp.second", mlp, width)
    rows += _norm(f"{out}.output.LayerNorm", f"{own}.norm2", width)
  if text.pool == "first":
    rows += _dense("pooler.dense", "pooler", width, width)
  return tuple(rows)


def read(folder, max_tokens=64, pool="first"):
  """Reads a folder.

  Args:
    folder: of a BERT, on this machine.
    max_tokens: places that are kept, the first ones; no text is longer.
    pool: "first" reads the pooler too, "mean" passes over it.

  Returns:
    `Pretrained`.

  Raises:
    InputError: if the folder is no BERT of ours, or any tensor is missing,
      unknown, twice there, of another shape, no floating-point number or not
      finite: all of them in one line.
  """
  folder = pathlib.Path(folder)
  text, lowercase = read_config(folder, pool)
  if not 1 <= max_tokens <= text.max_tokens:
    raise InputError(
      f"max_tokens={max_tokens}: {folder} has {text.max_tokens} places, give "
      "at least 1 and no more than these"
    )
  vocabulary = read_vocabulary(folder, text.vocabulary_size)
  params = _read_params(folder, text)
  places = "embeddings.position.embedding"
  params[places] = params[places][:max_tokens].copy()
  text = dataclasses.replace(text, max_tokens=max_tokens)
  return Pretrained(text, vocabulary, lowercase, params)


def read_config(folder, pool="first"):
  """Returns `TextConfig` of a folder, and whether its text is lower-cased.

  Raises:
    InputError: if config.json is not that of a BERT like ours.
  """
  folder = pathlib.Path(folder)
  path = folder / "config.json"
  values = _json(path)
  problems = [
    f"{key}={values[key]!r} (only {wanted!r})"
    for key, wanted in FIXED.items()
    if values.get(key, wanted) != wanted
  ]
  fields = {}
  for key, (field, limit) in SIZES.items():
    value = values.get(key)
    if type(value) is int and 1 <= value <= limit:
      fields[field] = value
    else:
      problems.append(f"{key}={value!r} (a whole number from 1 to {limit})")
  epsilon = values.get("layer_norm_eps", TextConfig.norm_epsilon)
  if type(epsilon) not in (int, float) or not 0 < epsilon < 1:
    problems.append(f"layer_norm_eps={epsilon!r} (a number between 0 and 1)")
  if not problems and fields["width"] % fields["heads"]:
    problems.append("hidden_size is no multiple of num_attention_heads")
  if problems:
    raise InputError(
      f"{path} describes no BERT that can be read: {'; '.join(problems)}"
    )
  vocabulary = folder / "vocab.txt"
  text = TextConfig(
    **fields,
    pool=pool,
    norm_epsilon=float(epsilon),
    vocabulary=str(vocabulary) if vocabulary.is_file() else "",
  )
  tokens = folder / "tokenizer_config.json"
  lower = _json(tokens).get("do_lower_case") if tokens.is_file() else None
  return text, lower is not False


def read_vocabulary(folder, rows):
  """Word pieces of `vocab.txt`, or of `tokenizer.json`, in order.

  Args:
    folder: of a BERT.
    rows: of its word table; where these are more than the word pieces, names
      that no text can hold stand for the rest.

  Returns:
    A tuple of `rows` str, [PAD] first.
  """
  folder = pathlib.Path(folder)
  path = folder / "vocab.txt"
  if path.is_file():
    pieces = tokenizer.read_vocabulary(path)
  else:
    path = folder / "tokenizer.json"
    if not path.is_file():
      raise InputError(f"{folder} holds neither vocab.txt nor tokenizer.json")
    pieces = _pieces(path)
  if len(pieces) > rows:
    raise InputError(
      f"{path} has {len(pieces)} word pieces, the word table {rows} rows: "
      "vocabulary and weights are of different models"
    )
  return (*pieces, *(f"[row {i}]" for i in range(len(pieces), rows)))


def write(folder, params, text, vocabulary=None):
  """Writes a folder that `read` and transformers' `BertModel` load.

  Args:
    folder: is made where it is absent; files of these names are replaced.
    params: {name of a parameter of `bert.Bert`: array}, all of them.
    text: their `TextConfig`; its `vocabulary_size` and `max_tokens` are the
      rows of the tables.
    vocabulary: word pieces, [PAD] first, or None to write no tokenizer.
  """
  rows = table(text)
  found = {name: tuple(np.shape(value)) for name, value in params.items()}
  wanted = {
    row.inside: row.shape[::-1] if row.transposed else row.shape for row in rows
  }
  if problems := _misfits(found, wanted):
    raise InputError(f"parameters do not fit the config: {problems}")
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  tensors = {}
  for row in rows:
    value = np.asarray(params[row.inside], np.float32)
    value = value.T if row.transposed else value
    tensors[row.outside] = np.ascontiguousarray(value)
  safetensors.numpy.save_file(
    tensors, folder / "model.safetensors", metadata={"format": "pt"}
  )
  sizes = {key: getattr(text, field) for key, (field, _) in SIZES.items()}
  values = {"architectures": ["BertModel"], **FIXED, **sizes}
  values["layer_norm_eps"] = text.norm_epsilon
  _write_json(folder / "config.json", values)
  if vocabulary is not None:
    lines = "".join(f"{piece}\n" for piece in vocabulary)
    (folder / "vocab.txt").write_text(lines, encoding="utf-8")
    values = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    values["model_max_length"] = text.max_tokens
    _write_json(folder / "tokenizer_config.json", values)


def _dense(outside, inside, inputs, outputs):
  return [
    Row(f"{outside}.weight", f"{inside}.kernel", (outputs, inputs), True),
    Row(f"{outside}.bias", f"{inside}.bias", (outputs,)),
  ]


def _norm(outside, inside, width):
  return [
    Row(f"{outside}.weight", f"{inside}.scale", (width,)),
    Row(f"{outside}.bias", f"{inside}.bias", (width,)),
  ]
