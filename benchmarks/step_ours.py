"""Our training step for `benchmarks.step`, with parts of it switched off."""

import dataclasses
import functools

import jax
import numpy as np

from benchmarks import reports
from fgclep_jax import config as c
from fgclep_jax import optim, sharding
from fgclep_jax.compile import flops
from fgclep_jax.data import batches
from fgclep_jax.models import two_tower
from fgclep_jax.training import objective, steps, text_cache

ECG = c.EcgConfig(name="st_vit_tiny")
TEXT = c.TextConfig(width=768, depth=12, heads=12, mlp=3072)
BATCHES = 16  # worth of reports are drawn, so that the groups are a run's


@dataclasses.dataclass(frozen=True)
class Sizes:
  """What is trained; see the module."""

  batch: int = 256
  part: int = 32
  statements: int | None = None
  ecg: c.EcgConfig = ECG
  text: c.TextConfig = TEXT
  frozen: int = 9
  embedding: int = 256
  seconds: float = 10.0
  micro: int = 8  # ECGs in parts stay in the cache of a CPU


SMALL = Sizes(
  batch=16,
  part=4,
  statements=200,
  ecg=c.EcgConfig(width=16, depth=1, heads=2, mlp=32),
  text=c.TextConfig(width=32, depth=3, heads=2, mlp=64),
  frozen=2,
  embedding=16,
  seconds=2.0,
  micro=2,
)


def configure(sizes, whole=False):
  """`config.TrainConfig` with the text tower frozen in part, or whole."""
  layers = "|".join(map(str, range(sizes.frozen)))
  part = rf"^text\.(embeddings|layers\.({layers}))\."
  return c.TrainConfig(
    data=c.DataConfig(batch_size=sizes.batch, rate=500, seconds=sizes.seconds),
    model=c.ModelConfig(
      ecg=sizes.ecg,
      text=sizes.text,
      embedding=sizes.embedding,
      alignment="transport",
      compute="float32",
    ),
    optim=c.OptimConfig(
      learning_rate=1e-9,
      freeze=(r"^text\." if whole else part,),
      micro_batches=sizes.micro,
    ),
  )


@dataclasses.dataclass(frozen=True)
class Way:
  """One way to take the step.

  Attributes:
    whole: the text tower is frozen whole.
    groups: of texts by length; 0 pads all to the longest of the data set.
    cached: whether the frozen part is run beforehand.
    distinct: whether a text is encoded once; else once for every pair.
  """

  whole: bool = False
  groups: int = 3
  cached: bool = True
  distinct: bool = True


WAYS = {
  "ours": Way(),
  "no_groups": Way(groups=0),
  "no_cache": Way(cached=False),
  "no_distinct": Way(distinct=False),
  "nothing": Way(groups=0, cached=False, distinct=False),
  "frozen": Way(whole=True),
}


class Problem:
  """Texts and the batch that all see, for some records and a mesh.

  Args of the constructor:
    sizes: `Sizes`. exponent: of the statements' Zipf law.
    mesh: of `sharding.make_mesh`.
    held: statements of every report, see `reports.draw`.
    longest: width to which all texts are padded; None for their own.
  """

  def __init__(self, sizes, exponent, mesh, held=None, longest=None):
    self.sizes, self.mesh = sizes, mesh
    tokens, self.rows = reports.read(sizes.statements)
    if longest:
      tokens = np.pad(tokens, [(0, 0), (0, longest - tokens.shape[1])])
    self.records = np.arange(BATCHES * sizes.batch)
    self.texts = reports.draw(tokens, len(self.records), exponent, held)
    self.batch = self._batch(self.texts, self.records, Way())
    self.places = [self.texts.of(record) for record in self.batch["records"]]
    self.held = np.concatenate(self.places)

  def _batch(self, texts, records, way):
    data = batches.Batches(
      reports.Split(), texts, records, configure(self.sizes).data, 0,
      self.mesh.size, length_groups=way.groups,
    )  # fmt: skip
    return data[0]

  def texts_of(self, way):
    """The batch, `Texts`, and which statement each of them is."""
    texts, ids = self.texts, np.arange(len(self.texts.table))
    if way.distinct and way.groups == Way().groups:
      return self.batch, texts, ids
    records = self.records
    if not way.distinct:
      records = self.batch["records"]
      texts, ids = reports.every_pair(texts, records)
    return self._batch(texts, records, way), texts, ids

  def operations(self, way):
    """Multiplications and additions of the step, in GFLOP; nothing runs."""
    config = configure(self.sizes, way.whole)
    definition, params = two_tower.abstract(config, self.rows)
    frozen = optim.frozen_names(config.optim, params)
    batch, texts, _ = self.texts_of(way)
    batch = {name: x for name, x in batch.items() if name != "records"}
    cache = None
    if way.cached:
      count = text_cache.frozen_layers(config.model.text, frozen, params)
      rows = (texts.lengths.sum(), config.model.text.width)
      cache = text_cache.TextCache(
        jax.ShapeDtypeStruct(rows, np.float32),
        jax.ShapeDtypeStruct((len(texts.table),), np.int32),
        count,
      )
    slopes = functools.partial(
      objective.gradients, definition=definition, config=config, mesh=self.mesh
    )
    key = jax.random.key(0)
    traced = jax.make_jaxpr(slopes)(
      *steps.split(params, frozen), batch, None, key, cache=cache
    )
    return flops.count(traced)[0] / 1e9

  def make(self, way):
    """Builds `Ours`."""
    config = configure(self.sizes, way.whole)
    definition, params = two_tower.create(config, self.rows, 0)
    step, optimizer, frozen = steps.make_step(
      config, definition, params, self.mesh, 1000
    )
    state = steps.first_state(params, optimizer, frozen)
    places = sharding.parameters(self.mesh, state)
    state = sharding.place(state, places)
    batch, texts, ids = self.texts_of(way)
    batch = {name: x for name, x in batch.items() if name != "records"}
    cache = None
    if way.cached:
      count = text_cache.frozen_layers(config.model.text, frozen, params)
      cache = _cache(
        definition, state.params, texts, self.mesh, count, ids, batch
      )
    slopes = functools.partial(
      objective.gradients, definition=definition, config=config, mesh=self.mesh
    )
    batch = sharding.put(self.mesh, batch)
    compiled = jax.jit(step, donate_argnums=0, out_shardings=(places, None))
    return Ours(
      {"state": state},
      batch,
      cache,
      frozen,
      compiled.lower(state, batch, None, cache).compile(),
      jax.jit(slopes),
    )


@dataclasses.dataclass(frozen=True)
class Ours:
  """A step that can be run.

  Attributes:
    held: {"state": `steps.TrainState`}, the one after the last run.
    batch, cache: on the mesh. frozen: names.
    step: compiled. slopes: compiled when first called.
  """

  held: dict
  batch: dict
  cache: text_cache.TextCache | None
  frozen: frozenset
  step: object
  slopes: object

  def run(self):
    state, metrics = self.step(
      self.held["state"], self.batch, None, self.cache
    )
    self.held["state"] = jax.block_until_ready(state)
    return float(metrics["loss"])

  def gradients(self):
    """Loss, {name: gradient}."""
    parts = steps.split(self.held["state"].params, self.frozen)
    key = jax.random.key(0)
    (loss, _), found = self.slopes(
      *parts, self.batch, None, key, cache=self.cache
    )
    return float(loss), jax.device_get(found)


def _cache(definition, params, texts, mesh, count, ids, batch):
  """Of the statements of the batch alone, each once."""
  used = batch["text_ids"][batch["text_ids"] >= 0]
  numbers, first = np.unique(ids[used], return_index=True)
  once = dataclasses.replace(
    texts, table=tuple(numbers), tokens=texts.tokens[used[first]]
  )
  cache = text_cache.fill(definition, params, once, mesh, count)
  place = np.minimum(np.searchsorted(numbers, ids), len(numbers) - 1)
  return dataclasses.replace(cache, starts=np.asarray(cache.starts)[place])
