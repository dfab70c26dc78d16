"""The towers against PyTorch on a CPU, float32.

  python -m benchmarks.towers [TOWER ...]

Records are of 10 s at 500 Hz, texts of 64 word pieces, some of them shorter.
ResNet-18, xresnet1d101 and st_vit of size tiny are whole, BERT is of base
size with 2 of its 12 layers, pooled by mean (with BERT's pooler ours would
leave out most of the last layer). `forward` is evaluation, without gradients;
`both` is training: the batch's statistics in batch norms, gradients by all
parameters. The PyTorch side (`benchmarks/towers_torch.py`) has the same
parameters, and its values and gradients are compared with ours before a
clock starts. Both sides use all cores; rounds are interleaved, medians.
"""

import dataclasses
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks import common
from fgclep_jax import config as config_lib
from fgclep_jax.models import bert, two_tower

THREADS = 2
ROUNDS = 9
RATE, SECONDS, LEADS = 500, 10, 12
VOCABULARY, TOKENS = 3000, 64
BATCH = {"resnet18": 8, "xresnet1d101": 8, "st_vit_tiny": 8, "bert": 16}
# Least of PyTorch's time over ours that is promised.
PROMISED = {
  "resnet18": 1.0,
  "xresnet1d101": 0.9,
  "st_vit_tiny": 0.9,
  "bert": 0.9,
}
TEXT = config_lib.TextConfig(
  width=768, depth=2, heads=12, mlp=3072, max_tokens=TOKENS, pool="mean"
)


@dataclasses.dataclass(frozen=True)
class Tower:
  """One tower and what it is given.

  Attributes:
    definition: of the module.
    learned, still: {dotted name: array}, parameters and running statistics.
    given: (B, 12, T) float32 or (U, L) int32.
  """

  definition: nnx.GraphDef
  learned: dict
  still: dict
  given: np.ndarray

  def run(self, learned, still, given, train):
    """Outputs, and the running statistics left behind."""
    model = two_tower.merge(self.definition, learned | still)
    if given.ndim == 2:
      return model(given), {}
    leads = jnp.ones((len(given), LEADS), bool)
    samples = jnp.full(len(given), given.shape[2])
    tokens, _ = model(given, leads, samples, train=train)
    return tokens, two_tower.statistics(model)

  def value(self, learned, still, given, weight):
    outputs, statistics = self.run(learned, still, given, True)
    return (outputs * weight).sum(), statistics


def make(name, seed=0):
  """A `Tower` whose every parameter is off the start of training."""
  rng = np.random.default_rng(seed)
  rngs = nnx.Rngs(params=jax.random.key(seed))
  if name == "bert":
    model = bert.Bert(TEXT, VOCABULARY, dtype=jnp.float32, rngs=rngs)
    given = rng.integers(1, VOCABULARY, (BATCH[name], TOKENS)).astype(np.int32)
    length = rng.integers(TOKENS // 4, TOKENS + 1, (BATCH[name], 1))
    given *= np.arange(TOKENS) < length
  else:
    model = two_tower.ENCODERS[name](
      config_lib.EcgConfig(name=name),
      samples=RATE * SECONDS,
      rate=RATE,
      dtype=jnp.float32,
      rngs=rngs,
    )
    shape = (BATCH[name], LEADS, RATE * SECONDS)
    given = rng.normal(size=shape).astype(np.float32)
  definition, state = nnx.split(model)
  still, learned = {}, {}
  for path, variable in nnx.to_flat_state(state):
    each = ".".join(map(str, path))
    value = np.asarray(variable.get_value())
    if two_tower.is_statistic(each):
      still[each] = value
    else:
      noise = 0.1 * rng.normal(size=value.shape).astype(np.float32)
      moved = each.endswith(("scale", "bias"))
      learned[each] = value + noise if moved else value
  return Tower(definition, learned, still, given)


def in_jax(tower, weight):
  """{name: function without arguments} that give arrays of NumPy's kind."""
  arrays = jax.device_put((tower.learned, tower.still, tower.given))
  weight = jnp.asarray(weight)
  forward = jax.jit(lambda *given: tower.run(*given, False)[0])
  both = jax.jit(jax.value_and_grad(tower.value, has_aux=True))
  return {
    "forward": lambda: jax.block_until_ready(forward(*arrays)),
    "both": lambda: jax.block_until_ready(both(*arrays, weight))[1],
  }


def in_torch(name, tower, weight):
  """The same in PyTorch."""
  import torch

  from benchmarks import towers_torch

  torch.set_num_threads(THREADS)
  run = getattr(towers_torch, name.removesuffix("_tiny"))
  if name in ("st_vit_tiny", "bert"):
    heads = {"heads": 3, "patch": RATE} if name != "bert" else {"heads": 12}
    run = functools.partial(run, **heads)
  params = towers_torch.tensors(tower.learned | tower.still)
  given = torch.tensor(tower.given)
  weight = torch.tensor(weight)

  def forward():
    with torch.no_grad():
      return run(params, given, False)

  def both():
    for x in params.values():
      x.grad = None
    (run(params, given, True) * weight).sum().backward()
    return {n: x.grad for n, x in params.items() if x.grad is not None}

  return {"forward": forward, "both": both}


def check(ours, theirs):
  """Outputs to 1e-4, the norm of each gradient to 1 % of the other side's.

  Float32 and rectifiers at their kinks allow no more; the tests compare in
  float64. A gradient that is 0 on paper is compared with the largest.
  """
  found = np.asarray(ours["forward"]())
  expected = theirs["forward"]().numpy()
  error = np.abs(found - expected).max() / np.abs(expected).max()
  assert error < 1e-4, error
  found, expected = ours["both"](), theirs["both"]()
  assert expected.keys() == found.keys()
  # Norms are the same in any layout.
  found = {n: np.linalg.norm(np.asarray(x)) for n, x in found.items()}
  expected = {n: np.linalg.norm(x.numpy()) for n, x in expected.items()}
  largest = max(expected.values())
  for name, other in expected.items():
    allowed = 1e-2 * other + 1e-5 * largest
    assert abs(found[name] - other) < allowed, (name, found[name], other)
  return float(error)


def contest(name):
  """{"forward", "both"}: a row of the table each."""
  tower = make(name)
  shape = jax.eval_shape(
    lambda *given: tower.run(*given, False)[0],
    *(tower.learned, tower.still, tower.given),
  ).shape
  weight = np.random.default_rng(1).normal(size=shape).astype(np.float32)
  ours, theirs = in_jax(tower, weight), in_torch(name, tower, weight)
  error = check(ours, theirs)
  rows = {}
  for part in ("forward", "both"):
    both = {"ours": ours[part], "torch": theirs[part]}
    seconds = common.interleaved(both, ROUNDS)
    middle = {k: common.median(x) for k, x in seconds.items()}
    ratio = middle["torch"] / middle["ours"]
    rows[part] = {**middle, "ratio": ratio, "error": error}
    print(f"{name:14s} {part:8s} {rows[part]}", flush=True)
  return rows


def main(names):
  table = {}
  for name in names or BATCH:
    for part, row in contest(name).items():
      table[f"{name} {part}"] = row
  common.write(
    "towers",
    {
      "rounds": ROUNDS,
      "threads": THREADS,
      "records": BATCH,
      "promised": PROMISED,
      "table": table,
    },
  )


if __name__ == "__main__":
  main(sys.argv[1:])
