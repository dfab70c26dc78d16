"""Batched transport against the same transport record by record.

  python -m benchmarks.transport

128 records of 1 to 8 statements, 120 tokens, width 256. `batched` is the
project's: one compiled call over padded statements and their mask, on one
device; `batched_devices` the same on one device a core, as a CPU wants it
(XLA runs the iterations of one device on one thread). The others go record by
record. `padded_loop` calls the same function on one record. The
rest see each record without padding, so about half the statements:
`compiled_loop` calls the same function, every size compiled before; `loop`
does each operation on its own (the shape of the published code, which is in
PyTorch: `loop_torch`, where torch is installed). Medians of interleaved
rounds; values, and for the compiled ones values with gradients.
"""

import importlib.util
import math
import os

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import common
from fgclep_jax import sharding
from fgclep_jax.config import MeshConfig
from fgclep_jax.models import alignment

RECORDS, STATEMENTS, TOKENS, WIDTH = 128, 8, 120, 256
EPS, TAU, ITERATIONS = 0.1, 1.0, 30
ROUNDS, SLOW_ROUNDS = 15, 3
SLOW = ("loop", "loop_torch")


def draw(seed=0):
  """Unit rows (B, M, E), (B, N, E) and the mask (B, M) of statements."""
  rng = np.random.default_rng(seed)
  z = rng.normal(size=(RECORDS, STATEMENTS, WIDTH)).astype(np.float32)
  h = rng.normal(size=(RECORDS, TOKENS, WIDTH)).astype(np.float32)
  for x in (z, h):
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
  count = rng.integers(1, STATEMENTS + 1, RECORDS)
  return z, h, np.arange(STATEMENTS) < count[:, None]


def plain(z, h, xp, logsumexp):
  """One record, as written on paper, with NumPy-like functions."""
  m, n = len(z), len(h)
  log_kernel = (z @ h.T - 1) / EPS
  log_v = xp.zeros(n)
  for _ in range(ITERATIONS):
    log_u = -math.log(m) - logsumexp(log_kernel + log_v[None], 1)
    reached = logsumexp(log_kernel + log_u[:, None], 0)
    log_v = TAU / (TAU + EPS) * (-math.log(n) - reached)
  plan = xp.exp(log_u[:, None] + log_kernel + log_v[None])
  mixed = (m * plan) @ h
  return mixed / xp.sqrt((mixed * mixed).sum(-1))[:, None]


def in_jax(z, h):
  return plain(z, h, jnp, jax.nn.logsumexp)


def with_gradients(function):
  """The gradients of the sum of the first column, and its value."""
  return jax.value_and_grad(
    lambda z, h, *mask: function(z, h, *mask)[..., 0].sum(), (0, 1)
  )


def torch_loop(records):
  import torch

  parts = [tuple(map(torch.tensor, map(np.asarray, part))) for part in records]
  return lambda: [plain(z, h, torch, torch.logsumexp).numpy() for z, h in parts]


def contestants(gradients):
  """{name: function of nothing} that do the same work."""
  z, h, mask = draw()
  batch = tuple(map(jnp.asarray, (z, h, mask)))
  records = [
    (jnp.asarray(rows[there]), jnp.asarray(tokens))
    for rows, tokens, there in zip(z, h, mask, strict=True)
  ]
  mesh = sharding.make_mesh(MeshConfig())
  spread = jax.device_put(batch, sharding.batch(mesh))
  padded = list(zip(*batch, strict=True))
  function = alignment.transport
  function = jax.jit(with_gradients(function) if gradients else function)
  ready = jax.block_until_ready
  functions = {
    "batched": lambda: ready(function(*batch)),
    "batched_devices": lambda: ready(function(*spread)),
    "padded_loop": lambda: ready([function(*record) for record in padded]),
    "compiled_loop": lambda: ready([function(*record) for record in records]),
  }
  if not gradients:
    functions["loop"] = lambda: ready([in_jax(*record) for record in records])
    if importlib.util.find_spec("torch"):
      functions["loop_torch"] = torch_loop(records)
  return functions, mask


def check():
  """All give the same rows, or the comparison is worth nothing."""
  functions, mask = contestants(gradients=False)
  found = {name: function() for name, function in functions.items()}
  rows = np.asarray(found.pop("batched"))[mask]
  found["batched_devices"] = np.asarray(found["batched_devices"])[mask][None]
  padded = np.stack(found.pop("padded_loop"))[mask]
  np.testing.assert_allclose(padded, rows, atol=1e-5)
  for name, other in found.items():
    np.testing.assert_allclose(
      np.concatenate(other), rows, atol=1e-5, err_msg=name
    )


def main():
  jax.config.update("jax_num_cpu_devices", os.cpu_count())
  check()
  table = {}
  for gradients in (False, True):
    functions, _ = contestants(gradients)
    for function in functions.values():
      function()  # compiles
    slow = {name: functions.pop(name) for name in SLOW if name in functions}
    seconds = common.interleaved(functions, ROUNDS)
    seconds |= common.interleaved(slow, SLOW_ROUNDS)
    middle = {name: common.median(x) for name, x in seconds.items()}
    row = {f"{name}_ms": 1e3 * x for name, x in middle.items()}
    row |= {
      f"{name}_over_{one}": x / middle[one]
      for one in ("batched", "batched_devices")
      for name, x in middle.items()
      if not name.startswith("batched")
    }
    table["gradients" if gradients else "value"] = row
  sizes = [RECORDS, STATEMENTS, TOKENS, WIDTH]
  device = jax.devices()[0].device_kind
  common.write(
    "transport",
    {"rounds": ROUNDS, "sizes": sizes, "device": device, "table": table},
  )


if __name__ == "__main__":
  main()
