"""What a compiled program sends and how many cycles it is estimated at."""

import dataclasses
import math
import re

BYTES = {
  "pred": 1, "s4": 0.5, "u4": 0.5, "s8": 1, "u8": 1, "s16": 2, "u16": 2,
  "s32": 4, "u32": 4, "s64": 8, "u64": 8, "f8e4m3fn": 1, "f8e5m2": 1,
  "bf16": 2, "f16": 2, "f32": 4, "f64": 8, "c64": 8, "c128": 16, "token": 0,
}  # fmt: skip
ARRAY = re.compile(r"\b([a-z]+\d*[a-z\d]*)\[([\d,]*)\]")
KINDS = (
  "all-gather",
  "all-reduce",
  "reduce-scatter",
  "collective-permute",
  "all-to-all",
)
CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
CHAIN = re.compile(r'chain_id="(\d+)"')


@dataclasses.dataclass(frozen=True)
class Collective:
  """One exchange between devices.

  Attributes:
    kind: one of `KINDS`.
    devices: of a group.
    bytes: that one device sends each time.
    times: how often in one step.
  """

  kind: str
  devices: int
  bytes: float
  times: int


def collectives(program):
  """Every exchange of a `hlo.Program`.

  Sent bytes of an operand of x bytes on n devices, by the ring: all-gather
  (n - 1) x, reduce-scatter and all-to-all (n - 1) x / n, all-reduce twice
  that, permute x. An asynchronous one is counted where it starts. An
  all-reduce of which each device keeps its part is a reduce-scatter.
  """
  found = []
  for run in _started(program.runs):
    each = run.instruction
    kind = each.opcode.removesuffix("-start")
    if kind == "all-reduce" and _scatters(run.within):
      kind = "reduce-scatter"
    size = sum(size_of(run.computation[x].result) for x in each.operands)
    devices = _group(each.rest, program.devices)
    if kind == "collective-permute":
      sent = size if _moves(each.rest) else 0
    else:
      sent = size * {
        "all-gather": devices - 1,
        "all-reduce": 2 * (devices - 1) / devices,
      }.get(kind, (devices - 1) / devices)
    if sent:
      found.append(Collective(kind, devices, sent, run.times))
  return found


def cycles(program):
  """Estimated cycles of one step on one device, loops by their trips.

  The sum of what the compiler for TPU estimates for each fusion, as if one
  ran after the other. It estimates none for collectives and for kernels
  written by hand.

  Returns:
    (cycles, executed hand-written kernels without an estimate); cycles are
    0 where the compiler estimates none (CPU).
  """
  total, kernels = 0, 0
  for run in program.runs:
    if run.within is not None:
      continue
    if match := CYCLES.search(run.instruction.rest):
      total += int(match[1]) * run.times
    elif '"tpu_custom_call"' in run.instruction.rest:
      kernels += run.times
  return total, kernels


def size_of(result):
  """Bytes of a type of the text; a tuple's are added up."""
  return sum(
    BYTES[kind] * math.prod(int(n) for n in shape.split(",") if n)
    for kind, shape in ARRAY.findall(re.sub(r"\{[^}]*\}", "", result))
  )


def _started(runs):
  """The exchanges, of a chain of fusions that share one the first alone."""
  chains = {}
  for run in runs:
    if run.instruction.opcode.removesuffix("-start") not in KINDS:
      continue
    chain = CHAIN.search(run.instruction.rest)
    if run.within is None or not chain:
      yield run
    elif run.within.name.startswith("async-collective-start"):
      chains[chain[1]] = None
      yield run
    else:
      chains.setdefault(chain[1], run)
  yield from (run for run in chains.values() if run is not None)


def _scatters(fusion):
  return fusion is not None and "all-reduce-scatter" in fusion.rest


def _moves(rest):
  """Whether a permutation moves anything to another device."""
  pairs = re.search(r"source_target_pairs=\{(.*?)\}\}", rest)[1]
  return any(a != b for a, b in re.findall(r"(\d+),(\d+)", pairs))


def _group(rest, devices):
  """Devices of one group of `replica_groups`, in any of its spellings."""
  # mesh['a'=2,'b'=4] {'b'}, parts of an axis as 'b':(2)2
  if match := re.search(r"replica_groups=mesh\[(.*?)\]\s*\{(.*?)\}", rest):
    sizes = dict(re.findall(r"'([^']+)'=(\d+)", match[1]))
    used = re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", match[2])
    return math.prod(int(part or sizes[name]) for name, part in used)
  if match := re.search(r"replica_groups=\[\d+,(\d+)\]", rest):
    return int(match[1])
  if match := re.search(r"replica_groups=\{\{([\d,]+)\}", rest):
    return len(match[1].split(","))
  return devices
