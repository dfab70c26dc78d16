"""What the frozen part of the text tower gives: once for every distinct text.

The embeddings and the first layers, where they are frozen, make the same of a
text at every step. They are run once when a run starts or goes on, and only
the layers above are run in the step; a tower that is frozen whole is not run at
all. Kept are the word pieces of all distinct texts without their padding,
float32, whole on every device: 140 MiB for 2,900 statements of MIMIC-IV-ECG at
a width of 768.

With dropout in the text tower this is another training than without: nothing
is dropped in the frozen part. It is then done only where the config says `on`.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from fgclep_jax import sharding
from fgclep_jax.errors import InputError
from fgclep_jax.models import two_tower

CHUNK = 256  # texts that are encoded at once, on each device
STEP = 16  # they are padded to a multiple of this


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=("rows", "starts"),
  meta_fields=("layers",),
)
@dataclasses.dataclass(frozen=True)
class TextCache:
  """What the frozen part gives for every text.

  Attributes:
    rows: (T, W) float32, of each word piece of each text; of a tower that is
      frozen whole (n, W), its pooled output.
    starts: (n,) int32, the first row of each text.
    layers: how many layers were run, None for the whole tower.
  """

  rows: jax.Array
  starts: jax.Array
  layers: int | None


def embed(model, batch, cache, key, devices):
  """The texts of a batch, group by group of their width.

  Args:
    model: the two towers.
    batch: see `data.batches.Batches`.
    cache: `TextCache`, or None to run the whole tower.
    key: of dropout, or None for none.
    devices: by which the columns are arranged.

  Returns:
    (U, E) unit rows, in the order of `text_ids`.
  """
  if cache is not None and cache.layers is None:
    ids = jnp.maximum(batch["text_ids"], 0)
    return model.project_text(cache.rows[cache.starts[ids]])
  tokens = [x for name, x in batch.items() if name.startswith("tokens")]
  tokens.sort(key=lambda x: x.shape[1])
  ids = batch["text_ids"].reshape(devices, -1)
  found, start = [], 0
  for i, pieces in enumerate(tokens):
    own = key if key is None or i == 0 else jax.random.fold_in(key, i)
    stop = start + len(pieces) // devices
    if cache is None:
      rows = model.embed_text(pieces, key=own)
    else:
      below = _look_up(cache, ids[:, start:stop].reshape(-1), pieces.shape[1])
      pooled = model.text.upper(below, pieces, cache.layers, own)
      rows = model.project_text(pooled)
    found.append(rows.reshape(devices, -1, rows.shape[-1]))
    start = stop
  return jnp.concatenate(found, axis=1).reshape(-1, found[0].shape[-1])


def _look_up(cache, ids, width):
  """(U,) numbers -> (U, L, W); what is no word piece of a text is any row."""
  places = cache.starts[jnp.maximum(ids, 0)][:, None] + jnp.arange(width)
  return cache.rows[jnp.minimum(places, len(cache.rows) - 1)]


def frozen_layers(text, frozen, names):
  """How much of the text tower is frozen from below.

  Args:
    text: `config.TextConfig`.
    frozen: names of the parameters held still.
    names: of all parameters.

  Returns:
    The number of layers, None for the whole tower, 0 for nothing.
  """
  trained = [n for n in names if n.startswith("text.") and n not in frozen]
  if not trained:
    return None
  if any(n.startswith("text.embeddings.") for n in trained):
    return 0
  held = 0
  while held < text.depth and not any(
    n.startswith(f"text.layers.{held}.") for n in trained
  ):
    held += 1
  return held


def decide(config, frozen, names, texts):
  """Whether and how much to cache.

  Args:
    config: `config.TrainConfig`.
    frozen, names: see `frozen_layers`.
    texts: `data.batches.Texts`.

  Returns:
    The number of layers, None for the whole tower, 0 for no cache; a line
    that says why, "" where there is nothing to tell.

  Raises:
    InputError: if the config asks for a cache that cannot be.
  """
  text = config.model.text
  count = frozen_layers(text, frozen, names)
  if text.cache == "off" or (text.cache == "auto" and not _any(text, frozen)):
    return 0, ""
  rows = len(texts.table) if count is None else int(texts.lengths.sum())
  size = rows * text.width * 4 / 2**30
  reason = ""
  if count == 0:
    reason = "text.embeddings and the first layers are not all frozen"
  elif size > text.cache_gib:
    reason = f"{size:.2f} GiB are more than model.text.cache_gib"
    reason += f"={text.cache_gib:g}"
  if reason and text.cache == "on":
    raise InputError(
      f"model.text.cache='on': {reason}; change that, or give auto"
    )
  if not reason and text.cache == "auto" and text.dropout:
    reason = (
      f"model.text.dropout={text.dropout:g} drops in the frozen part too; "
      "model.text.cache='on' would not, or give 0"
    )
  if reason:
    return 0, f"frozen part of the text tower is run at every step: {reason}"
  part = "text tower" if count is None else f"{count} layers"
  return count, (
    f"frozen {part} run once for {len(texts.table)} texts, "
    f"{size * 1024:.1f} MiB on every device"
  )


def _any(text, frozen):
  """Whether a config meant to freeze from below: its first layer."""
  name = "text.layers.0." if text.depth else "text.embeddings."
  return any(n.startswith(name) for n in frozen)


def fill(definition, params, texts, mesh, count):
  """Runs the frozen part for all texts.

  Args:
    definition, params: of `two_tower.create`, on the mesh.
    texts: `data.batches.Texts`.
    mesh: whose devices share the work.
    count: layers, None for the whole tower.

  Returns:
    `TextCache` on the mesh.
  """

  @functools.partial(jax.jit, out_shardings=sharding.replicated(mesh))
  def encode(params, tokens):
    model = two_tower.merge(definition, params).text
    return model(tokens) if count is None else model.lower(tokens, count)

  lengths = texts.lengths
  order, size = np.argsort(lengths, kind="stable"), CHUNK * mesh.size
  found = []
  for start in range(0, len(order), size):
    chosen = order[start : start + size]
    width = -(-int(lengths[chosen[-1]]) // STEP) * STEP
    width = min(max(width, 1), texts.tokens.shape[1])
    tokens = np.zeros((size, width), np.int32)
    tokens[: len(chosen)] = texts.tokens[chosen, :width]
    placed = sharding.put(mesh, {"tokens": tokens})["tokens"]
    rows = np.asarray(encode(params, placed))[: len(chosen)]
    if count is not None:
      rows = rows[np.arange(width) < lengths[chosen][:, None]]
    found.append(rows)
  held = np.ones_like(lengths) if count is None else lengths
  starts = np.empty(len(order), np.int32)
  starts[order] = np.cumsum(held[order]) - held[order]
  whole = sharding.replicated(mesh)
  rows = sharding.place(np.concatenate(found), whole)
  return TextCache(rows, sharding.place(starts, whole), count)
