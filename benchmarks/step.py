"""The training step beside the same step in PyTorch.

  python -m benchmarks.step [--rounds 3] [--exponents 0.8 1.0 1.2] [--small]
  python -m benchmarks.step --count

A batch of 256 records, every statement of a report a pair, statements as in
`benchmarks.reports`; BERT-base with embeddings and 9 layers frozen, st_vit
tiny, transport, float32, on all cores; parameters are random, which changes no
operation. `ours` is the step that `fgclep train` takes, one device a core.
Switched off, one at a time: `no_groups` pads every text to the longest of the
data set, `no_cache` runs the frozen layers at every step, `no_distinct` encodes
a text for every pair; `nothing`, all three, is only counted. `frozen`: the text
tower frozen whole, its projection trained.

`torch_64` and `torch_longest` (`benchmarks.step_torch`) pad the text of every
pair to 64 word pieces, and to the longest of the whole batch. A batch in one
piece would take them minutes a round and more memory than there is: a round
runs forward and backward of a part of the records, the K x K loss of all pairs
and the optimizer's update, each once, and the step is counted as parts x part +
loss + update. `linear`: time a pair of a part twice as large over that of the
part; it is the check that a part tells of the whole. Ours takes the ECGs of a
batch in 8 parts too (`optim.micro_batches`, the same gradient).

`--count` runs nothing: it counts the operations of each way.

Medians of interleaved rounds, the variants one at a time beside `ours` in half
as many. Checked: loss and gradients of `ours` and of `nothing` are equal, for
16 records at full size; at `--small` those of every variant, and of torch.
"""

import argparse
import dataclasses
import os

import jax
import numpy as np

from benchmarks import common, reports, step_ours
from fgclep_jax import config as c
from fgclep_jax import optim, sharding
from fgclep_jax.models import st_vit, two_tower


class Race:
  """A problem, our steps made for it, and its batch for PyTorch."""

  def __init__(self, sizes, exponent, mesh):
    self.problem = step_ours.Problem(sizes, exponent, mesh)
    self.sizes = sizes
    self.pairs = len(self.problem.held)
    self._made = {}

  def ours(self, name="ours"):
    """The project's step, by its name in the table; made once."""
    if name not in self._made:
      self._made[name] = self.problem.make(step_ours.WAYS[name])
    return self._made[name]

  def forget(self, name):
    """Gives back what `ours` made: a step holds a gigabyte and more."""
    del self._made[name]

  def torch(self, width=None, whole=False):
    """The PyTorch step, and its batch padded to a width."""
    from benchmarks import step_torch

    config = step_ours.configure(self.sizes, whole)
    _, params = two_tower.create(config, self.problem.rows, 0)
    frozen = optim.frozen_names(config.optim, params)
    ecg = config.model.ecg
    heads = ecg.heads
    if ecg.name != "st_vit":
      heads = st_vit.SIZES[ecg.name.removeprefix("st_vit_")][2]
    params = jax.device_get(params)
    step = step_torch.Step(config, self.problem.rows, params, heads, frozen)
    return step, self.padded(width)

  def padded(self, width=None):
    """(K, L) tokens of all pairs; by default to the longest of the batch."""
    tokens = self.problem.texts.tokens[self.problem.held]
    longest = int((tokens > 0).sum(1).max())
    width = width or longest
    found = np.zeros((len(tokens), width), np.int32)
    kept = min(width, tokens.shape[1])
    found[:, :kept] = tokens[:, :kept]
    return found

  def part(self, tokens, records):
    """Arguments of `step_torch.Step.backward` for the first records."""
    counts = [len(x) for x in self.problem.places[:records]]
    ecg = self.problem.batch["ecg"][:records]
    return ecg, tokens[: sum(counts)], counts


def check(race, names, torch=False):
  """Loss and gradients of all variants are equal; the largest difference."""
  loss, wanted = race.ours().gradients()
  largest = max(float(np.abs(x).max()) for x in wanted.values())
  worst = {}
  for name in names:
    value, found = race.ours(name).gradients()
    np.testing.assert_allclose(value, loss, rtol=1e-5, err_msg=name)
    worst[name] = max(
      float(np.abs(found[n] - x).max()) / largest for n, x in wanted.items()
    )
    assert worst[name] < 1e-5, (name, worst)
  if torch:
    step, tokens = race.torch()
    value = step.backward(*race.part(tokens, race.sizes.batch))
    np.testing.assert_allclose(value, loss, rtol=1e-4, err_msg="torch")
    found = step.ecg_projection.weight.grad.numpy().T
    exact = wanted["ecg_projection.kernel"]
    np.testing.assert_allclose(found, exact, atol=1e-4 * np.abs(exact).max())
  return worst


def torch_functions(race, whole=False):
  """{name: function} of the parts of the PyTorch step."""
  step, longest = race.torch(whole=whole)
  sizes = race.sizes
  wide = race.padded(sizes.text.max_tokens)
  short = race.part(longest, sizes.part)
  functions = {"torch_longest": lambda: step.backward(*short)}
  padded = race.part(wide, sizes.part)
  functions["torch_64"] = lambda: step.backward(*padded)
  functions["loss"] = lambda: step.dense_loss(race.pairs, sizes.embedding)
  functions["update"] = step.update
  more = race.part(longest, 2 * sizes.part)
  return functions, lambda: step.backward(*more), longest.shape[1]


def of_whole(race, seconds):
  """Seconds of a PyTorch step from those of its parts."""
  pairs = sum(len(x) for x in race.problem.places[: race.sizes.part])
  whole = {
    name: x * race.pairs / pairs
    for name, x in seconds.items()
    if name.startswith("torch")
  }
  rest = seconds["loss"] + seconds["update"]
  return {name: x + rest for name, x in whole.items()}


def row_of(race, names, rounds, whole=False, linear=False):
  """Times one row of the table."""
  theirs, more, width = torch_functions(race, whole)
  mine = {name: race.ours(name) for name in names}
  functions = {name: each.run for name, each in mine.items()} | theirs
  theirs["torch_longest"]()
  theirs["update"]()  # makes the moments
  timed = common.interleaved(functions, rounds)
  seconds = {name: common.median(x) for name, x in timed.items()}
  found = {name: seconds[name] for name in names} | of_whole(race, seconds)
  row = {"pairs": race.pairs, "distinct": len(set(race.problem.held.tolist()))}
  row |= {"longest": width}
  row |= {f"{name}_s": x for name, x in found.items()}
  row |= {f"{name}_pairs_s": race.pairs / x for name, x in found.items()}
  first = names[0]
  row |= {
    f"{name}_over_{first}": x / found[first]
    for name, x in found.items()
    if name != first
  }
  if linear:
    [longer] = common.interleaved({"more": more}, 1)["more"]
    count = [len(x) for x in race.problem.places[: 2 * race.sizes.part]]
    pairs = sum(count[: race.sizes.part]), sum(count)
    row["linear"] = longer / pairs[1] / (seconds["torch_longest"] / pairs[0])
  return row


VARIED = 1.0  # the exponent at which changes are switched off
VARIANTS = ("ours", "no_groups", "no_cache", "no_distinct", "nothing")


def measure(sizes, exponents, rounds, small=False):
  """The table, and how far gradients of the variants are apart."""
  mesh = sharding.make_mesh(c.MeshConfig())
  table = {}
  for exponent in exponents:
    race = Race(sizes, exponent, mesh)
    table[f"zipf {exponent:g}"] = row_of(
      race, ("ours",), rounds, linear=exponent == VARIED
    )
    if exponent == VARIED:
      table["frozen text"] = row_of(race, ("frozen",), rounds, whole=True)
      race.forget("frozen")
      table["variants"] = variants(race, (rounds + 1) // 2)
  if not small:
    race = Race(dataclasses.replace(sizes, batch=16), exponents[0], mesh)
  return table, check(race, VARIANTS[1:] if small else ("nothing",), small)


def variants(race, rounds):
  """What each change gives: time without it over time with all."""
  found = {"rounds": rounds}
  for name in VARIANTS[1:-1]:
    functions = {x: race.ours(x).run for x in ("ours", name)}
    timed = common.interleaved(functions, rounds)
    seconds = {x: common.median(times) for x, times in timed.items()}
    found[f"{name}_over_ours"] = seconds[name] / seconds["ours"]
    race.forget(name)
  return found


def operations(sizes, exponents):
  """GFLOP of a step by way, counted without running any.

  `nothing` does the products of `torch_longest`, to the width of the data
  set; `padded_64` those of `torch_64`.
  """
  mesh = sharding.make_mesh(c.MeshConfig(), jax.devices()[:1])
  table = {}
  for exponent in exponents:
    problem = step_ours.Problem(sizes, exponent, mesh)
    row = {
      name: problem.operations(way) for name, way in step_ours.WAYS.items()
    }
    wide = step_ours.Problem(
      sizes, exponent, mesh, longest=sizes.text.max_tokens
    )
    row["padded_64"] = wide.operations(step_ours.WAYS["nothing"])
    whole = dataclasses.replace(step_ours.WAYS["nothing"], whole=True)
    row["frozen_nothing"] = problem.operations(whole)
    table[f"zipf {exponent:g}"] = row
  return table


def main(arguments=None):
  parser = argparse.ArgumentParser()
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--small", action="store_true")
  parser.add_argument("--count", action="store_true")
  parser.add_argument(
    "--exponents", type=float, nargs="+", default=[0.8, 1.0, 1.2]
  )
  given = parser.parse_args(arguments)
  jax.config.update("jax_num_cpu_devices", os.cpu_count())
  sizes = step_ours.SMALL if given.small else step_ours.Sizes()
  if given.count:
    table = operations(sizes, given.exponents)
    common.write("step_operations", {"unit": "GFLOP", "table": table})
    return
  table, apart = measure(sizes, given.exponents, given.rounds, given.small)
  content = {
    "rounds": given.rounds,
    "sizes": dataclasses.asdict(sizes),
    "statements_of_a_report": reports.HELD,
    "gradients_differ_by": apart,
    "table": table,
  }
  common.write("step_small" if given.small else "step", content)


if __name__ == "__main__":
  main()
