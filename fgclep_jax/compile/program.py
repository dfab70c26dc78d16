"""`fgclep compile`: the whole training step for a TPU that is not there."""

import collections
import dataclasses
import json
import pathlib

import jax

from fgclep_jax import config as config_lib
from fgclep_jax import sharding
from fgclep_jax.compile import aot, chips, flops
from fgclep_jax.errors import InputError
from fgclep_jax.training import abstract

GIB = 2**30
# Word pieces of BERT's uncased vocabulary, which MedCPT has too.
BERT_VOCABULARY = 30_522
# Statements of a record at most. Batches are as wide as the longest report.
PAIRS = 16


def run(config, topology, say=print, **given):
  """Compiles a config's step for a slice.

  Args:
    config: `config.TrainConfig`.
    topology: such as `v5e-8`, see `chips.find`.
    say: prints one line.
    **given: see `sizes_of`.

  Returns:
    A dict of everything found, ready for JSON; `fits` is the verdict.
  """
  place = chips.find(topology)
  mesh = sharding.make_mesh(config.mesh, aot.devices(place))
  sizes = sizes_of(config, **given)
  say(f"compiling for {topology} ({place.topology}): this takes minutes")
  step, arguments = abstract.training_step(config, sizes, mesh)
  found = aot.compile_step(step, arguments)
  operations = found.operations
  if config.model.remat != "none":  # what is computed twice is not work done
    plain = config_lib.override(config, {"model.remat": "none"})
    operations = _operations(plain, sizes, mesh)
  sent = None  # unknown
  if not (found.refused or found.unread):
    sent = sum(x.bytes * x.times for x in found.collectives)
  return {
    "topology": topology,
    "chips": place.chips,
    "mesh": dict(mesh.shape),
    "sizes": dataclasses.asdict(sizes) | {"records": config.data.batch_size},
    "parameters": sum(x.size for x in arguments[0].params.values()),
    **verdict(found, place),
    "flops": {"step": operations, "with_recomputation": found.operations},
    **time_of(found, operations, place),
    "collectives": table_of(found.collectives),
    "sent_bytes": sent,
    "unread": found.unread,
    "unknown_loops": found.unknown_loops,
    "seconds_here": found.seconds,
    "versions": aot.versions(),
    "config": config_lib.to_dict(config),
  }


def sizes_of(config, vocabulary=None, columns=None, pairs=None, tokens=None):
  """What only data know: `abstract.Sizes`, on the large side.

  Args:
    config: `config.TrainConfig`.
    vocabulary: word pieces; by default the config's, or BERT's where it
      starts from a pretrained tower.
    columns: U, distinct statements of a batch; by default one a record,
      rounded up to a size that training compiles.
    pairs: M, statements of the record that has the most; by default as many
      as the config draws of a record, else `PAIRS`.
    tokens: L, word pieces of the longest statement; by default the limit.
  """
  text = config.model.text
  if vocabulary is None:
    vocabulary = BERT_VOCABULARY if text.pretrained else text.vocabulary_size
  if columns is None:
    columns = 64
    while columns < config.data.batch_size:
      columns *= 4
  if pairs is None:
    pairs = 1 if config.data.text == "report" else PAIRS
    pairs = config.data.statements_per_record or pairs
  if tokens is None:
    tokens = text.max_tokens
  sizes = abstract.Sizes(vocabulary, pairs, columns, tokens)
  for name, value in dataclasses.asdict(sizes).items():
    if value < 1:
      flag = "statements" if name == "columns" else name
      raise InputError(f"--{flag} {value}: give a count above 0")
  return sizes


def verdict(found, place):
  """Whether it fits: the compiler accepts it and the total is on the chip."""
  capacity = place.chip.hbm * GIB
  total = found.hbm.get("total", 0)
  return {
    "fits": not found.refused and total <= capacity,
    "refused": found.refused,
    "hbm": found.hbm | {"capacity": capacity},
  }


def time_of(found, operations, place):
  """Cycles of a step, its time, the share of the peak; None if unknown."""
  seconds = found.cycles / place.chip.clock
  peak = place.chip.peak * place.chips
  return {
    "cycles": found.cycles or None,
    "seconds": seconds or None,
    "mfu": operations / (seconds * peak) if seconds else None,
    "kernels_without_estimate": found.kernels,
  }


def table_of(exchanges):
  """[{kind, devices, count, bytes}], the most bytes first."""
  count, size = collections.Counter(), collections.Counter()
  for each in exchanges:
    key = each.kind, each.devices
    count[key] += each.times
    size[key] += each.bytes * each.times
  return [
    {"kind": kind, "devices": group, "count": count[kind, group], "bytes": sent}
    for (kind, group), sent in size.most_common()
  ]


def lines(found):
  """The table, line by line."""
  mesh, sizes, hbm = found["mesh"], found["sizes"], found["hbm"]
  yield (
    f"{found['topology']}: {found['chips']} chips, {mesh['data']} x "
    f"{mesh['fsdp']}; {found['parameters'] / 1e6:.1f} M parameters"
  )
  yield (
    f"a step: {sizes['records']} records, {sizes['pairs']} statements each at "
    f"most, {sizes['columns']} distinct of {sizes['tokens']} word pieces"
  )
  yield "memory of a device, GiB"
  for name, size in hbm.items():
    yield f"  {name:30s}{size / GIB:12.3f}"
  step = found["flops"]
  yield "a step"
  yield f"  {'GFLOP':30s}{step['step'] / 1e9:12.1f}"
  if step["step"] != step["with_recomputation"]:
    again = step["with_recomputation"] / 1e9
    yield f"  {'GFLOP with recomputation':30s}{again:12.1f}"
  if found["mfu"] is not None:
    yield f"  {'estimated Mcycles':30s}{found['cycles'] / 1e6:12.2f}"
    yield f"  {'ms, exchanges not counted':30s}{found['seconds'] * 1e3:12.2f}"
    yield f"  {'share of the peak (MFU)':30s}{found['mfu']:12.1%}"
  if found["unread"]:
    yield (
      "note: exchanges and cycles are unknown, jaxlib cannot read what this "
      f"libtpu writes: {found['unread']}"
    )
  elif not found["refused"]:
    yield "sent by a device" + " " * 19 + "times        MiB"
    for each in found["collectives"]:
      name = f"{each['kind']} of {each['devices']}"
      yield f"  {name:30s}{each['count']:8d}{each['bytes'] / 2**20:11.3f}"
    yield f"  {'all':38s}{found['sent_bytes'] / 2**20:11.3f}"
  for name in ("kernels_without_estimate", "unknown_loops"):
    if found[name]:
      yield f"note: {name.replace('_', ' ')}: {found[name]}"


def last_line(found):
  """The verdict in one line."""
  hbm = found["hbm"]
  have = f"{hbm['capacity'] / GIB:g} GiB a device of {found['topology']}"
  if found["fits"]:
    return f"fits: {hbm['total'] / GIB:.2f} of {have}"
  need = f"{hbm['total'] / GIB:.2f} GiB of " if "total" in hbm else ""
  return (
    f"does not fit: {need}{have}: give a smaller --data.batch-size, "
    "--model.remat layers, more --mesh.fsdp or a larger slice"
  )


def write(found, path):
  text = json.dumps(found, indent=2) + "\n"
  pathlib.Path(path).write_text(text, encoding="utf-8")


def _operations(config, sizes, mesh):
  step, arguments = abstract.training_step(config, sizes, mesh)
  return flops.count(jax.make_jaxpr(step)(*arguments))[0]
