"""Hugging Face BERT folders: read into the parameters of `bert.Bert`, written.

A folder holds `config.json`, a vocabulary (`vocab.txt` or `tokenizer.json`)
and `model.safetensors`, whole or in parts with an index. Names stand with the
prefix `bert.` (a pre-training model: Bio_ClinicalBERT, PubMedBERT) or without
(the encoder alone: MedCPT). A tensor is read in full or the folder is refused.
"""

import dataclasses
import json
import pathlib

import jax
import numpy as np

from fgclep_jax.config import TextConfig
from fgclep_jax.errors import InputError
from fgclep_jax.models import bert, bert_table, layers, two_tower, weights
from fgclep_jax.reports import tokenizer

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
class Pretrained:
  """What a folder holds.

  Attributes:
    text: `TextConfig` of its sizes.
    vocabulary: word pieces, one for every row of the word table.
    params: {name of a parameter of `bert.Bert`: float32 array}.
  """

  text: TextConfig
  vocabulary: tuple[str, ...]
  params: dict[str, np.ndarray]


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
  text = read_config(folder, pool)
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
  return Pretrained(text, vocabulary, params)


def read_for(text):
  """Reads the folder that a `TextConfig` names; its sizes must be the same."""
  _check_sizes(text)
  return read(text.pretrained, text.max_tokens, text.pool)


def vocabulary_for(text):
  """Word pieces of the folder that a `TextConfig` names, as in `read_for`."""
  return read_vocabulary(text.pretrained, _check_sizes(text).vocabulary_size)


def semantics(text, ids, batch=256):
  """What the untouched encoder makes of texts: the similarity of labels.

  Args:
    text: `TextConfig` that names a folder.
    ids: (n, L) int32 word pieces of its vocabulary.
    batch: texts that are encoded at once.

  Returns:
    (n, W) float32 unit rows.
  """
  read = read_for(text)
  definition = bert.abstract(read.text, len(read.vocabulary))

  @jax.jit
  def encode(params, ids):
    return layers.unit(two_tower.merge(definition, params)(ids))

  params = jax.device_put(read.params)
  rows = np.pad(ids, [(0, -len(ids) % batch), (0, 0)])
  found = [
    np.asarray(encode(params, rows[start : start + batch]))
    for start in range(0, len(rows), batch)
  ]
  return np.concatenate(found)[: len(ids)]


def read_config(folder, pool="first"):
  """Returns `TextConfig` of a folder.

  Raises:
    InputError: if config.json is not that of a BERT like ours.
  """
  folder = pathlib.Path(folder)
  path = folder / "config.json"
  values = weights.read_json(path)
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
  return TextConfig(
    **fields,
    pool=pool,
    norm_epsilon=float(epsilon),
    vocabulary=str(vocabulary) if vocabulary.is_file() else "",
    lowercase=_lowercase(folder / "tokenizer_config.json"),
  )


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
  rows = bert_table.table(text)
  found = {name: tuple(np.shape(value)) for name, value in params.items()}
  wanted = {
    row.inside: row.shape[::-1] if row.transposed else row.shape for row in rows
  }
  if problems := _misfits(found, wanted):
    raise InputError(f"parameters do not fit the config: {'; '.join(problems)}")
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  tensors = {}
  for row in rows:
    value = np.asarray(params[row.inside], np.float32)
    value = value.T if row.transposed else value
    tensors[row.outside] = np.ascontiguousarray(value)
  weights.write(folder / "model.safetensors", tensors, {"format": "pt"})
  sizes = {key: getattr(text, field) for key, (field, _) in SIZES.items()}
  values = {"architectures": ["BertModel"], **FIXED, **sizes}
  values["layer_norm_eps"] = text.norm_epsilon
  _write_json(folder / "config.json", values)
  if vocabulary is not None:
    lines = "".join(f"{piece}\n" for piece in vocabulary)
    (folder / "vocab.txt").write_text(lines, encoding="utf-8")
    values = {
      "tokenizer_class": "BertTokenizer",
      "do_lower_case": text.lowercase,
      "model_max_length": text.max_tokens,
    }
    _write_json(folder / "tokenizer_config.json", values)


def _check_sizes(text):
  """The folder's `TextConfig`, after it was compared with the given one."""
  found = read_config(text.pretrained, text.pool)
  same = ("width", "depth", "heads", "mlp", "norm_epsilon", "lowercase")
  changes = [
    f"--model.text.{name.replace('_', '-')} {json.dumps(getattr(found, name))}"
    for name in same
    if getattr(text, name) != getattr(found, name)
  ]
  if changes:
    raise InputError(
      f"model.text is not of the sizes of {text.pretrained}: "
      f"give {' '.join(changes)}"
    )
  return found


def _read_params(folder, text):
  """{our name: float32 array}; every misfit is named in one InputError."""
  rows = {row.outside: row for row in bert_table.table(text)}
  found, problems, params = {}, [], {}
  for path in weights.files(folder):
    with weights.open_file(path) as file:
      for stored in file.keys():  # noqa: SIM118  not a dict
        name = bert_table.plain(stored)
        if bert_table.is_known_surplus(name, text):
          continue
        if name in found:
          problems.append(f"twice {name}")
        part = file.get_slice(stored)
        found[name] = tuple(part.get_shape())
        if part.get_dtype() not in weights.TYPES:
          problems.append(f"type {name}: {part.get_dtype()}")
        elif name in rows and found[name] == rows[name].shape:
          row = rows[name]
          value = weights.float32(file.get_tensor(stored))
          if not np.isfinite(value).all():
            problems.append(f"not finite {name}")
          params[row.inside] = value.T.copy() if row.transposed else value
  wanted = {row.outside: row.shape for row in rows.values()}
  problems += _misfits(found, wanted)
  if problems:
    raise InputError(
      f"the weights in {folder} do not fit its config.json, fetch both again: "
      f"{'; '.join(problems)}"
    )
  return params


def _misfits(found, wanted):
  """Lines for {name: shape} that differ in presence or shape."""
  lines = [f"missing {name}" for name in wanted if name not in found]
  lines += [f"surplus {name}" for name in found if name not in wanted]
  lines += [
    f"shape {name}: found {list(found[name])}, expected {list(shape)}"
    for name, shape in wanted.items()
    if found.get(name, shape) != shape
  ]
  return lines


def _pieces(path):
  """Word pieces of a `tokenizer.json`, by their number."""
  model = weights.read_json(path).get("model")
  table = model.get("vocab") if isinstance(model, dict) else None
  if not isinstance(table, dict) or model.get("type") != "WordPiece":
    raise InputError(f"{path} is no WordPiece tokenizer: give a BERT folder")
  numbers = {n for n in table.values() if type(n) is int}
  if numbers != set(range(len(table))) or table.get("[PAD]") != 0:
    raise InputError(f"{path}: pieces must be numbered from 0, which is [PAD]")
  return sorted(table, key=table.get)


def _lowercase(path):
  """Whether texts are lower-cased, as they are where nothing is said."""
  values = weights.read_json(path) if path.is_file() else {}
  return values.get("do_lower_case") is not False


def _write_json(path, values):
  path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
