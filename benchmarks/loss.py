"""The loss of one device: dense, in tiles, and written in PyTorch.

  python -m benchmarks.loss

K = 16,384 pairs, width 256, float32, value with gradients by ECGs, texts and
scale. `tiled` is the project's, with soft labels; `distinct` is the same over
U = K / 16 distinct statements with their multiplicities, in place of K
repeated ones. `dense` is the formula in JAX. In PyTorch, written for this
benchmark as its users write it: `torch_siglip` (labels 1 and -1, logsigmoid),
`torch_siglip_chunked` (1,024 rows at a time, each with its own backward pass,
so that no chunk outlives the next), `torch_soft` (soft labels, the fused
binary cross entropy), `torch_soft_chunked`.

Time: medians of interleaved rounds in one process. Peak memory: each in a
process of its own, `peak_mib` of the whole process, `above_mib` of what the
loss adds to a process that has its inputs and its compiled program.
`temporaries_mib` is XLA's own count. `floor_s`: the products' operations at
the rate of one large product measured in the same rounds.
"""

import ctypes
import functools
import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import common
from fgclep_jax import losses

PAIRS, WIDTH, DISTINCT, CHUNK, ROUNDS = 16_384, 256, 1_024, 1_024, 5
SCALE = 2.302585
# Products of K x K x E: logits, two gradients; S where it is counted whole.
PRODUCTS = {
  "dense": 4,
  "tiled": 3,
  "distinct": 3,
  "torch_siglip": 3,
  "torch_siglip_chunked": 3,
  "torch_soft": 4,
  "torch_soft_chunked": 4,
}


def draw(pairs):
  """Unit rows (K, E) of ECGs, (U, E) of texts, and who holds which text."""
  rng = np.random.default_rng(0)
  distinct = pairs * DISTINCT // PAIRS
  owner = np.concatenate(
    [np.arange(distinct), rng.integers(0, distinct, pairs - distinct)]
  )
  arrays = []
  for count in (pairs, distinct):
    x = rng.normal(size=(count, WIDTH)).astype(np.float32)
    arrays.append(x / np.linalg.norm(x, axis=-1, keepdims=True))
  return *arrays, owner


def in_jax(name, pairs):
  """A compiled function of nothing."""
  ecg, text, owner = draw(pairs)
  weights = np.bincount(owner).astype(np.float32)
  rows = text[owner]
  columns = text if name == "distinct" else rows
  if name != "distinct":
    weights = np.ones(pairs, np.float32)
  function = losses.soft_sigmoid_loss
  if name != "dense":
    function = losses.tiled_soft_sigmoid_loss

  def loss(ecg, text, log_scale, rows, columns, weights):
    return function(
      ecg, text, rows, columns, log_scale=log_scale, text_weights=weights
    )

  given = ecg, columns, np.float32(SCALE), rows, columns, weights
  given = tuple(map(jnp.asarray, given))
  gradients = jax.value_and_grad(loss, argnums=(0, 1, 2))
  compiled = jax.jit(gradients).lower(*given).compile()
  return lambda: jax.block_until_ready(compiled(*given)), compiled


def in_torch(name, pairs):
  import torch
  from torch.nn import functional

  ecg, text, owner = draw(pairs)
  ecg, text = torch.tensor(ecg), torch.tensor(text[owner])
  learned = [ecg.clone(), text.clone(), torch.tensor(SCALE)]
  chunk = CHUNK if name.endswith("chunked") else pairs

  def siglip(logits, start):
    labels = -torch.ones_like(logits)
    labels.diagonal(start).fill_(1.0)
    return -functional.logsigmoid(labels * logits).sum()

  def soft(logits, start):
    with torch.no_grad():
      labels = (text[start : start + chunk] @ text.T).add_(1).div_(2)
    return functional.binary_cross_entropy_with_logits(
      logits, labels, reduction="sum"
    )

  of_logits = siglip if "siglip" in name else soft

  def run():
    for x in learned:
      x.requires_grad_(True).grad = None
    value = 0.0
    rows, columns, log_scale = learned
    for start in range(0, pairs, chunk):
      logits = log_scale.exp() * rows[start : start + chunk] @ columns.T
      part = of_logits(logits, start) / pairs**2
      part.backward()
      value += float(part.detach())
    return value, [x.grad.numpy() for x in learned]

  return run


def contestant(name, pairs):
  if name.startswith("torch"):
    return in_torch(name, pairs)
  return in_jax(name, pairs)[0]


def check(pairs=2_048):
  """All that have soft labels agree, and both SigLIP forms do."""
  found = {name: contestant(name, pairs)() for name in PRODUCTS}
  for name, of in [
    ("tiled", "dense"),
    ("torch_soft", "dense"),
    ("torch_soft_chunked", "dense"),
    ("torch_siglip_chunked", "torch_siglip"),
  ]:
    value, (ecg, text, scale) = found[name]
    want, (want_ecg, want_text, want_scale) = found[of]
    np.testing.assert_allclose(value, want, rtol=1e-5, err_msg=name)
    for a, b in ((ecg, want_ecg), (text, want_text), (scale, want_scale)):
      size = np.abs(b).max()
      np.testing.assert_allclose(a, b, atol=1e-4 * size, err_msg=name)
  value, (ecg, *_) = found["distinct"]
  want, (want_ecg, *_) = found["dense"]
  np.testing.assert_allclose(value, want, rtol=1e-5)
  np.testing.assert_allclose(ecg, want_ecg, atol=1e-4 * np.abs(want_ecg).max())


def resident():
  """Resident MiB now, unused memory given back, and the peak forgotten."""
  ctypes.CDLL(None).malloc_trim(0)
  pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
  return common.peak_mib()


def alone(name):
  """Peak memory of one contestant; prints JSON, in a process of its own."""
  run = contestant(name, PAIRS)
  before = resident()
  run()
  peak = common.peak_mib()
  print(json.dumps({"peak_mib": peak, "above_mib": peak - before}))


def memory(name):
  line = [sys.executable, "-m", "benchmarks.loss", name]
  child = subprocess.run(line, capture_output=True, text=True, check=True)
  return json.loads(child.stdout.splitlines()[-1])


def product():
  """One large product, the rate of which is the floor's."""
  a = jnp.asarray(draw(PAIRS)[0])
  multiply = jax.jit(functools.partial(jnp.matmul, precision="highest"))
  b = a[:4096].T.copy()
  multiply(a, b).block_until_ready()
  return lambda: multiply(a, b).block_until_ready()


def times():
  """{name: median seconds}, and operations a second of `product`."""
  functions = {name: contestant(name, PAIRS) for name in PRODUCTS}
  functions["product"] = product()
  for function in functions.values():
    function()
  seconds = common.interleaved(functions, ROUNDS)
  middle = {name: common.median(x) for name, x in seconds.items()}
  return middle, 2 * PAIRS * 4096 * WIDTH / middle.pop("product")


def main():
  check()
  table = {name: memory(name) for name in PRODUCTS}
  for name in ("dense", "tiled", "distinct"):
    counted = in_jax(name, PAIRS)[1].memory_analysis().temp_size_in_bytes
    table[name]["temporaries_mib"] = counted / 2**20
  seconds, rate = times()
  for name, row in table.items():
    texts = DISTINCT if name == "distinct" else PAIRS
    operations = PRODUCTS[name] * 2 * PAIRS * texts * WIDTH
    row["seconds"] = seconds[name]
    row["floor_s"] = operations / rate
  common.write(
    "loss",
    {
      "rounds": ROUNDS,
      "sizes": [PAIRS, WIDTH, DISTINCT],
      "gflop_per_s": rate / 1e9,
      "ratios": ratios(table),
      "table": table,
    },
  )
  for name, x in ratios(table).items():
    print(f"{name:40s} {x:.3g}")


def ratios(table):
  """What is promised, each as a factor by which `tiled` is better."""

  def factor(of, what, by="tiled"):
    return table[of][what] / table[by][what]

  return {
    "temporaries_dense": factor("dense", "temporaries_mib"),
    "memory_torch_siglip": factor("torch_siglip", "above_mib"),
    "memory_torch_siglip_chunked": factor("torch_siglip_chunked", "above_mib"),
    "time_torch_soft": factor("torch_soft", "seconds"),
    "time_torch_soft_chunked": factor("torch_soft_chunked", "seconds"),
    "time_distinct": factor("tiled", "seconds", by="distinct"),
  }


if __name__ == "__main__":
  if len(sys.argv) > 1:
    alone(sys.argv[1])
  else:
    main()
