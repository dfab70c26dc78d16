"""A compiled program's HLO text: which instruction runs, and how often.

Pure text, nothing of JAX. The text is `compiled.as_text()`, of XLA for CPU
or TPU (libtpu 0.0.52), which is not a stable format: what is not understood
raises or is counted in `Program.unknown_loops`, it is never left out quietly.
"""

import dataclasses
import functools
import re

# name = type opcode(operands), attributes; the type is read by `_type`.
INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = ")
OPCODE = re.compile(r"\s*([\w\-]+)\(")
NAME = re.compile(r"%([\w.\-]+)")
# The computations that an instruction runs (not those it reduces with).
RUNS = {
  "fusion": re.compile(r"calls=%?([\w.\-]+)"),
  "async-start": re.compile(r"calls=%?([\w.\-]+)"),
  "call": re.compile(r"to_apply=%?([\w.\-]+)"),
  "conditional": re.compile(
    r"(?:true_computation=|false_computation=|branch_computations=\{)"
    r"((?:%?[\w.\-]+(?:, )?)+)"
  ),
}
WHILE = re.compile(r"condition=%?([\w.\-]+), body=%?([\w.\-]+)")
TRIPS = re.compile(r'known_trip_count"?:\{"?n"?:"?(\d+)')
INTEGER = re.compile(r"^[su]\d+\[\]")
# What hands a number on unchanged.
SAME = {"copy", "bitcast", "convert", "reshape", "copy-done", "copy-start"}


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of the text.

  Attributes:
    name: without the percent sign.
    result: its type, such as `f32[8,128]{1,0}`.
    opcode: such as `all-gather`.
    operands: names.
    rest: the text from the operands on.
    root: whether it is what its computation returns.
  """

  name: str
  result: str
  opcode: str
  operands: tuple[str, ...]
  rest: str
  root: bool


@dataclasses.dataclass(frozen=True)
class Run:
  """An instruction that is executed.

  Attributes:
    instruction: see `Instruction`.
    times: how often it runs in one step; of a condition every branch.
    computation: {name: Instruction} it stands in.
    within: the fusion it is a part of, or None.
  """

  instruction: Instruction
  times: int
  computation: dict
  within: Instruction | None


@dataclasses.dataclass(frozen=True)
class Program:
  """What one device executes.

  Attributes:
    devices: the program is compiled for.
    runs: every executed instruction, in no order that matters.
    unknown_loops: names of loops whose trip count the text does not show;
      they are counted as if they ran once.
  """

  devices: int
  runs: tuple[Run, ...]
  unknown_loops: tuple[str, ...]


def read(text):
  """`compiled.as_text()` -> `Program`."""
  computations, entry = _computations(text)
  runs, unknown = [], []

  def walk(name, times, within):
    here = computations[name]
    for each in here.values():
      runs.append(Run(each, times, here, within))
      if each.opcode == "while":
        condition, body = WHILE.search(each.rest).groups()
        trips = _trips(each, here, computations, condition)
        if trips is None:
          unknown.append(each.name)
        walk(condition, times * (1 if trips is None else trips + 1), within)
        walk(body, times * (1 if trips is None else trips), within)
      elif each.opcode in RUNS:
        inside = each if each.opcode == "fusion" else within
        for called in RUNS[each.opcode].findall(each.rest):
          for part in called.split(", "):
            walk(part.lstrip("%"), times, inside)

  walk(entry, 1, None)
  parts = re.search(r"num_partitions=(\d+)", text.partition("\n")[0])
  return Program(int(parts[1]) if parts else 1, tuple(runs), tuple(unknown))


def _computations(text):
  """({name: {instruction name: Instruction}}, name of the entry)."""
  found, here, entry = {}, None, None
  for line in text.splitlines():
    if line.endswith("{") and "->" in line and not line.startswith(" "):
      first, _, rest = line.partition(" ")
      name = (rest if first == "ENTRY" else line).split("(")[0].strip("% ")
      here = found.setdefault(name, {})
      if first == "ENTRY":
        entry = name
    elif here is not None and (match := INSTRUCTION.match(line)):
      each = _instruction(line, match)
      here[each.name] = each
  if entry is None:
    raise ValueError("no ENTRY computation: this is not the text of a program")
  return found, entry


def _instruction(line, match):
  end = _type_end(line, match.end())
  opcode = OPCODE.match(line, end)
  close = _closing(line, opcode.end() - 1)
  return Instruction(
    name=match[2],
    result=line[match.end() : end],
    opcode=opcode[1],
    operands=tuple(NAME.findall(line[opcode.end() : close])),
    rest=line[opcode.end() - 1 :],
    root=bool(match[1]),
  )


def _type_end(line, start):
  """The end of a type: a tuple in parentheses, or a word."""
  if line[start] == "(":
    return _closing(line, start) + 1
  return line.index(" ", start)


def _closing(line, start):
  """Position of the parenthesis that closes the one at `start`."""
  depth = 0
  for i in range(start, len(line)):
    depth += (line[i] == "(") - (line[i] == ")")
    if not depth:
      return i
  raise ValueError(f"no closing parenthesis in {line[:100]!r}")


def _trips(loop, here, computations, condition):
  """How often a loop runs, or None.

  Where the compiler does not say, the condition is read: JAX counts from a
  start to a bound by ones.
  """
  if match := TRIPS.search(loop.rest):
    return int(match[1])
  start = here.get(loop.operands[0])
  if start is None or start.opcode != "tuple":
    return None
  carried = functools.partial(_element, start, here)
  return _bound(computations, condition, carried)


def _element(start, here, index):
  return _integer(start.operands[index], here, None)


def _bound(computations, condition, carried):
  """Bound less start of the comparison that a condition returns, or None."""
  here = computations[condition]
  [root] = [x for x in here.values() if x.root]
  operands = root.operands
  if root.opcode == "fusion":  # of the comparison alone
    inner = computations[RUNS["fusion"].search(root.rest)[1]]
    order = {
      x.name: int(x.rest[1:].partition(")")[0])
      for x in inner.values()
      if x.opcode == "parameter"
    }
    [root] = [x for x in inner.values() if x.root]
    if not set(root.operands) <= set(order):
      return None
    operands = [operands[order[name]] for name in root.operands]
  if root.opcode != "compare" or "direction=LT" not in root.rest:
    return None
  first, last = (_integer(name, here, carried) for name in operands)
  if first is None or last is None:
    return None
  return max(0, last - first)


def _integer(name, here, carried):
  """The value of a scalar where it is constant, or carried into a loop."""
  each = here.get(name)
  while each is not None and each.opcode in SAME:
    each = here.get(each.operands[0])
  if each is None:
    return None
  if each.opcode == "constant" and INTEGER.match(each.result):
    return int(each.rest[1:].partition(")")[0])
  if each.opcode == "get-tuple-element" and carried is not None:
    return carried(int(re.search(r"index=(\d+)", each.rest)[1]))
  return None
