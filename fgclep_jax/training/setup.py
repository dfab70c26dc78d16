"""What a run needs before its first step: texts, batches, step, state."""

import dataclasses
import hashlib
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from fgclep_jax import atomic, sharding, tree
from fgclep_jax import config as config_lib
from fgclep_jax.data import batches, mixture, sources
from fgclep_jax.data.split import inner_validation
from fgclep_jax.errors import InputError
from fgclep_jax.models import pretrained, two_tower
from fgclep_jax.reports import tokenizer as tokenizer_lib
from fgclep_jax.signals import simulate
from fgclep_jax.training import (
  checkpoint,
  holding,
  processes,
  steps,
  text_cache,
)


@dataclasses.dataclass(frozen=True)
class Run:
  """Everything fixed during a run.

  Attributes:
    config: `config.TrainConfig`.
    tokenizer: of the reports.
    train: `data.batches.Batches`.
    valid: (split, positions) of the validation records.
    mesh, definition, optimizer: see `steps`.
    semantics: (n, Q) on the mesh, or None.
    total: steps of the whole run.
    step: the compiled training step, see `steps.make_step`.
    meta: what every checkpoint says of itself.
    held: the signals on the devices, see `holding.hold`.
    cache: what the frozen part of the text tower gives, see `with_cache`.
  """

  config: config_lib.TrainConfig
  tokenizer: tokenizer_lib.Tokenizer
  train: batches.Batches
  valid: tuple
  mesh: jax.sharding.Mesh
  definition: object
  optimizer: object
  frozen: frozenset
  semantics: jax.Array | None
  total: int
  step: object
  meta: dict
  cache: text_cache.TextCache | None = None
  held: holding.Held | None = None


def prepare(config, workdir, data_dir, devices=None):
  """Opens the data, builds the model's definition, compiles nothing yet."""
  mesh = sharding.make_mesh(config.mesh, devices)
  config_lib.check_divisible(config, mesh.size)
  split = sources.open_split(
    data_dir, config.data.dataset, config.data.config, config.data.train_split
  )
  records, valid = _parts(config.data, data_dir, split)
  before = ()
  if config.data.simulated_records:
    before = len(split) + np.arange(config.data.simulated_records)
    split = mixture.Mixture(
      split, len(before), config.seed, config.data.rate, config.data.seconds
    )
  earlier, resumed = _earlier(config, workdir)
  vocabulary = _vocabulary(config, earlier, split, np.append(records, before))
  tokenizer = tokenizer_lib.Tokenizer(
    vocabulary, config.model.text.max_tokens, config.model.text.lowercase
  )
  texts = batches.texts(split, config.data.text, tokenizer)
  train = batches.Batches(
    split, texts, records, config.data, config.seed, mesh.size, before,
    config.data.simulated_epochs,
    sharding.held_rows(mesh, config.data.batch_size),
    config.model.text.length_groups,
  )  # fmt: skip
  definition, abstract = two_tower.abstract(config, len(vocabulary))
  processes.same(dataset=split.digest, vocabulary=list(vocabulary))
  total = config.optim.steps or train.steps(config.optim.epochs)
  step, optimizer, frozen = steps.make_step(
    config, definition, abstract, mesh, total
  )
  return Run(
    config=config,
    tokenizer=tokenizer,
    train=train,
    valid=valid,
    mesh=mesh,
    definition=definition,
    optimizer=optimizer,
    frozen=frozen,
    semantics=_semantics(config, texts, mesh),
    total=total,
    step=jax.jit(step, donate_argnums=0),
    meta=checkpoint.make_meta(
      config,
      vocabulary,
      {"trained_on": _trained_on(config, train, _stages(earlier, resumed))},
    ),
  )


def initial_state(run):
  """Takes parameters from `config.init_from`, or draws them.

  Where a pretrained folder is named, its weights replace those drawn for the
  text encoder.
  """
  config, size = run.config, len(run.tokenizer.vocabulary)
  if config.init_from:
    params, _ = checkpoint.restore_params(config.init_from)
    _, wanted = two_tower.abstract(config, size)
    if lines := tree.mismatches(params, wanted):
      raise InputError(
        f"init_from={config.init_from} does not fit: {'; '.join(lines)}"
      )
  else:
    _, params = two_tower.create(config, size, config.seed)
    if config.model.text.pretrained:
      read = pretrained.read_for(config.model.text)
      params |= {f"text.{name}": x for name, x in read.params.items()}
  state = steps.first_state(params, run.optimizer, run.frozen)
  return sharding.place(state, sharding.parameters(run.mesh, state))


def restored_state(run, saved, step):
  """Reads the state of a step onto this run's mesh."""
  _, params = two_tower.abstract(run.config, len(run.tokenizer.vocabulary))
  shapes = jax.eval_shape(
    lambda params: steps.first_state(params, run.optimizer, run.frozen), params
  )
  places = sharding.parameters(run.mesh, shapes)
  abstract = jax.tree.map(
    lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
    shapes,
    places,
  )
  params, opt_state = saved.restore(step, abstract.params, abstract.opt_state)
  number = sharding.place(jnp.int32(step), sharding.replicated(run.mesh))
  return steps.TrainState(number, params, opt_state)


def with_cache(run, params, say):
  """Runs the frozen part of the text tower for all texts, where it pays.

  Args:
    run: `Run`. params: of the state it starts or goes on with; what is frozen
      stays.
    say: prints one line.

  Returns:
    `Run`.
  """
  count, line = text_cache.decide(
    run.config, run.frozen, params, run.train.texts
  )
  if line:
    say(line)
  if count == 0:
    return run
  cache = text_cache.fill(
    run.definition, params, run.train.texts, run.mesh, count
  )
  return dataclasses.replace(run, cache=cache)


def check_resumable(config, workdir):
  """Compares with the config the workdir was started with, then keeps it."""
  path = pathlib.Path(workdir) / "config.json"
  if processes.first():
    atomic.sweep(path.parent)
  if path.is_file():
    try:
      values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
      raise InputError(f"{path} is not JSON ({error}): remove it") from error
    before = config_lib.from_dict(values)
    if lines := config_lib.difference(before, config):
      raise InputError(
        f"{workdir} was started with another config ({'; '.join(lines)}): "
        "give the same one, or another workdir"
      )
    return
  if not processes.first():
    return
  path.parent.mkdir(parents=True, exist_ok=True)
  text = json.dumps(config_lib.to_dict(config), indent=2) + "\n"
  atomic.write_text(path, text)


def _parts(data, data_dir, split):
  """Positions to train on, and (split, positions) to validate on."""
  everything = np.arange(len(split))
  if data.validation == "inner":
    inner = inner_validation(
      split.patient_ids, split.record_ids, data.inner_fraction
    )
    return everything[~inner], (split, everything[inner])
  other = sources.open_split(
    data_dir, data.dataset, data.config, data.validation
  )
  own = set(split.patient_ids.tolist())
  shared = own & set(other.patient_ids.tolist()) - {""}
  if shared:
    raise InputError(
      f"{len(shared)} patients are in both {split.name} and {other.name}: "
      "build the dataset again"
    )
  return everything, (other, np.arange(len(other)))


def _earlier(config, workdir):
  """What the workdir's checkpoint says of itself, or that of `init_from`.

  Returns:
    The meta, None where the run starts from nothing; whether it goes on.
  """
  if checkpoint.exists(workdir):
    return checkpoint.read_meta(workdir)[1], True
  if config.init_from:
    return checkpoint.read_meta(config.init_from)[1], False
  return None, False


def _stages(earlier, resumed):
  """What is known of the data of the stages before this one, in order."""
  if earlier is None:
    return []
  last = earlier["trained_on"]
  before = last.get("before", [])
  return before if resumed else [*before, last | {"before": []}]


def _vocabulary(config, earlier, split, records):
  """That of an earlier checkpoint, a folder's, a file's, or a new one."""
  if earlier is not None:
    return earlier["vocabulary"]
  if config.model.text.pretrained:
    return list(pretrained.vocabulary_for(config.model.text))
  if config.model.text.vocabulary:
    return tokenizer_lib.read_vocabulary(config.model.text.vocabulary)
  # Each distinct statement once, as often as these records hold it.
  chosen = np.zeros(len(split), bool)
  chosen[records.astype(int)] = True
  held = np.repeat(chosen, np.diff(split.statement_offsets))
  counts = np.bincount(split.statement_ids[held], minlength=len(split.table))
  used = np.flatnonzero(counts).tolist()
  return tokenizer_lib.train_vocabulary(
    [split.table[i] for i in used],
    config.model.text.vocabulary_size,
    counts[used].tolist(),
  )


def _semantics(config, texts, mesh):
  """(n, Q) rows of similarity `frozen` on the mesh; else None."""
  if config.loss.similarity != "frozen":
    return None
  if config.model.text.pretrained:
    rows = pretrained.semantics(config.model.text, texts.tokens)
  else:
    rows = texts.semantics
  return sharding.place(rows, sharding.replicated(mesh))


def _trained_on(config, train, before):
  """What is known of the data, of the stages before this one too."""
  split = train.split
  return {
    "before": before,
    "pretrained": pathlib.Path(config.model.text.pretrained).name,
    "dataset": split.dataset,
    "config": split.config,
    "split": split.name,
    "digest": split.digest,
    "records": len(train.records),
    "simulated_records": train.config.simulated_records,
    "simulator_version": simulate.VERSION,
    "without_text": train.without_text,
    "texts": len(train.texts.table),
    "texts_truncated": train.texts.truncated,
    "record_ids_sha256": _ids_hash(split.record_ids[train.records]),
  }


def _ids_hash(ids):
  text = "\n".join(np.sort(ids).tolist())
  return hashlib.sha256(text.encode()).hexdigest()
