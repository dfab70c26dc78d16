"""Names of a BERT's tensors: those of Hugging Face beside ours.

Source of the names: the public folders of Bio_ClinicalBERT, PubMedBERT and
MedCPT. The first two carry the prefix `bert.` and pre-training heads; folders
that were once converted from TensorFlow call a norm's weight and bias gamma
and beta.
"""

import dataclasses

PREFIX = "bert."
# What a folder may hold beyond the encoder: the pre-training heads, and the
# numbers 0, 1, 2 ... that old versions stored.
SURPLUS = ("cls.", "embeddings.position_ids")


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


def table(text):
  """Every tensor of a BERT.

  Args:
    text: `config.TextConfig`; `vocabulary_size` and `max_tokens` are the rows
      of the word and position tables.

  Returns:
    A tuple of `Row`, without the pooler where `text.pool` is "mean".
  """
  width, mlp = text.width, text.mlp
  rows = [
    _embedding("word", "word", text.vocabulary_size, width),
    _embedding("position", "position", text.max_tokens, width),
    _embedding("token_type", "type", 2, width),
  ]
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
    rows += _dense(f"{out}.intermediate.dense", f"{own}.mlp.first", width, mlp)
    rows += _dense(f"{out}.output.dense", f"{own}.mlp.second", mlp, width)
    rows += _norm(f"{out}.output.LayerNorm", f"{own}.norm2", width)
  if text.pool == "first":
    rows += _dense("pooler.dense", "pooler", width, width)
  return tuple(rows)


def plain(stored):
  """The name in the table of a tensor's stored name."""
  name = stored.removeprefix(PREFIX)
  for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
    if name.endswith(f"LayerNorm{old}"):
      name = name.removesuffix(old) + new
  return name


def is_known_surplus(name, text):
  """Whether a plain name is of a part that `text` has no use for."""
  heads = SURPLUS if text.pool == "first" else (*SURPLUS, "pooler.")
  return name.startswith(heads)


def _embedding(outside, inside, rows, width):
  names = (
    f"embeddings.{outside}_embeddings.weight",
    f"embeddings.{inside}.embedding",
  )
  return Row(*names, (rows, width))


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
