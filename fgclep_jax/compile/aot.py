"""Compiles for TPUs that are not there (libtpu, no device), and measures."""

import dataclasses
import importlib.metadata
import importlib.util
import re
import time

import jax
from jax.experimental import topologies

from fgclep_jax.compile import costs, flops, hlo
from fgclep_jax.errors import InputError

# "(36.00G) exceeds available HBM (15.75G)", "Used 20.1G of 15.75G hbm".
NEEDED = re.compile(
  r"\(([\d.]+)([MGT])\) exceeds available HBM|"
  r"Used ([\d.]+)([MGT]) of [\d.]+\w hbm"
)
UNITS = {"M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Compiled:
  """What is known of a step on one device of a slice.

  Attributes:
    hbm: {what: bytes} of arguments, outputs, temporaries, aliased (outputs
      that take the place of arguments), code and total; of a step that the
      compiler refuses for want of memory the total alone, where it says it.
    refused: the compiler's own line, or "".
    operations: of matrix products and convolutions, all devices.
    collectives: of `costs.collectives`.
    cycles: estimated, of one device.
    kernels: hand-written ones, run without an estimate.
    unknown_loops: counted as if they ran once.
    seconds: {"trace and lower", "compile"} on this machine.
    unread: why the compiled program has no text, or "": then exchanges and
      cycles are unknown.
  """

  hbm: dict
  refused: str
  operations: int
  collectives: list
  cycles: int
  kernels: int
  unknown_loops: int
  seconds: dict
  unread: str = ""


def devices(place):
  """The devices of a `chips.Slice`, to compile for and not to run on."""
  if importlib.util.find_spec("libtpu") is None:
    raise InputError(
      "libtpu, the compiler for TPU, is not installed: pip install "
      "'fgclep_jax[aot]' (Linux x86_64, 0.4 GB), best in an environment of "
      "its own"
    )
  return topologies.get_topology_desc(
    platform="tpu",
    topology_name=place.topology,
    chip_config_name=place.chip.mode,
    chips_per_host_bounds=place.host,
    num_slices=1,
  ).devices


def compile_step(step, arguments):
  """Compiles a step for the devices its arguments are placed on.

  Args:
    step: of `training.abstract.training_step`.
    arguments: likewise, shapes with places.

  Returns:
    `Compiled`.
  """
  start = time.monotonic()
  traced = jax.jit(step, donate_argnums=0).trace(*arguments)
  operations, unknown = flops.count(traced.jaxpr)
  lowered = traced.lower()
  middle = time.monotonic()
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    line = str(error).strip().splitlines()[0]
    return Compiled(
      _refused(line), line, operations, [], 0, 0, unknown,
      {"trace and lower": middle - start},
    )  # fmt: skip
  seconds = {
    "trace and lower": middle - start,
    "compile": time.monotonic() - middle,
  }
  text, unread = _text(compiled)
  program = hlo.read(text) if text else hlo.Program(0, (), ())
  cycles, kernels = costs.cycles(program)
  return Compiled(
    hbm=_memory(compiled.memory_analysis()),
    refused="",
    operations=operations,
    collectives=costs.collectives(program),
    cycles=cycles,
    kernels=kernels,
    unknown_loops=unknown + len(program.unknown_loops),
    seconds=seconds,
    unread=unread,
  )


def versions():
  return {name: importlib.metadata.version(name) for name in ("jax", "libtpu")}


def _text(compiled):
  """(text, why there is none): jaxlib and libtpu may differ too much."""
  try:
    return compiled.as_text(), ""
  except jax.errors.JaxRuntimeError as error:
    return "", str(error).strip().splitlines()[0]


def _memory(found):
  hbm = {
    "arguments": found.argument_size_in_bytes,
    "outputs": found.output_size_in_bytes,
    "aliased": -found.alias_size_in_bytes,
    "temporaries": found.temp_size_in_bytes,
    "code": found.generated_code_size_in_bytes,
  }
  return hbm | {"total": sum(hbm.values())}


def _refused(line):
  if match := NEEDED.search(line):
    size, unit = [x for x in match.groups() if x]
    return {"total": float(size) * UNITS[unit]}
  return {}
