"""Our side of `benchmarks.gpu`, in a process of its own."""

import collections
import dataclasses
import json
import pathlib
import sys
import tempfile
from unittest import mock

import jax
import jax.numpy as jnp

from benchmarks import gpu_sides, loss, step_ours
from fgclep_jax import config as c
from fgclep_jax import losses, sharding
from fgclep_jax.models import layers

CHAIN = 8  # products in a row
PRODUCTS = 4096, 8192, 16_384
PAIRS = 32_768
TILES = 1024, 2048, 4096, 8192
SMALL_PRODUCTS, SMALL_PAIRS, SMALL_TILES = (64, 128), 256, (1024, 64)
MIB = 2**20


def sizes(options):
  """`step_ours.Sizes` of the step."""
  if options["small"]:
    return step_ours.SMALL
  ecg = c.EcgConfig(name="st_vit_base")
  return step_ours.Sizes(batch=options["batch"] or 256, ecg=ecg, micro=1)


def about(options):
  """The device, and what JAX says it runs on."""
  device = jax.devices()[0]
  return {
    "platform": device.platform,
    "device": device.device_kind,
    "runtime": " ".join(device.client.platform_version.split()),
  }


def memory(compiled):
  """MiB that a compiled program holds, and what it takes besides."""
  found = compiled.memory_analysis()
  above = found.temp_size_in_bytes + found.output_size_in_bytes
  return {
    "held_mib": found.argument_size_in_bytes / MIB,
    "above_mib": (above - found.alias_size_in_bytes) / MIB,
  }


def ceiling(options):
  """{name: maker} of products of square matrices."""

  def make(size):
    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(key, (size, size), jnp.bfloat16) for key in keys)
    b = b / size**0.5  # the numbers keep their size

    @jax.jit
    def chain(a, b):
      return jax.lax.fori_loop(0, CHAIN, lambda _, x: x @ b, a)

    chain(a, b)  # compiles
    facts = {"gflop": CHAIN * 2 * size**3 / 1e9}
    return lambda: chain(a, b).block_until_ready(), facts

  chosen = SMALL_PRODUCTS if options["small"] else PRODUCTS
  return {f"jax_{size}": lambda s=size: make(s) for size in chosen}


def loss_forms(options):
  """{name: maker} of the tiled loss."""
  pairs = SMALL_PAIRS if options["small"] else PAIRS
  ecg, text, owner = loss.draw(pairs)
  ecg, text = (jnp.asarray(x, jnp.bfloat16) for x in (ecg, text[owner]))
  given = ecg, text, jnp.float32(loss.SCALE)

  def make(tile):
    def value(ecg, columns, log_scale):
      return losses.tiled_soft_sigmoid_loss(
        ecg, columns, text, text, log_scale=log_scale, tile=tile
      )

    both = jax.jit(jax.value_and_grad(value, argnums=(0, 1, 2)))
    compiled = both.lower(*given).compile()
    found, (slope, *_) = compiled(*given)
    facts = memory(compiled) | {
      "value": float(found),
      "norm": float(jnp.linalg.norm(slope.astype(jnp.float32))),
      "gflop": loss.PRODUCTS["tiled"] * 2 * pairs**2 * loss.WIDTH / 1e9,
    }
    return lambda: jax.block_until_ready(compiled(*given)), facts

  tiles = SMALL_TILES if options["small"] else TILES
  return {f"tiled_{tile}": lambda t=tile: make(t) for tile in tiles}


def in_bfloat16(sizes, whole=False, configure=step_ours.configure):
  """`step_ours.configure` for towers in bfloat16."""
  config = configure(sizes, whole)
  model = dataclasses.replace(config.model, compute="bfloat16")
  return dataclasses.replace(config, model=model)


def make_step(problem, lanes):
  """`step_ours.Ours` in bfloat16; texts share a row up to `lanes` tokens."""
  with (
    mock.patch.object(step_ours, "configure", in_bfloat16),
    mock.patch.object(layers, "LANES", lanes),
  ):
    return problem.make(step_ours.WAYS["ours"])


def steps(options):
  """{name: maker} of the step, {"profile": its five largest kernels}."""
  mesh = sharding.make_mesh(c.MeshConfig(), jax.devices()[:1])
  problem = step_ours.Problem(sizes(options), 1.0, mesh)
  # In float32, where no texts share a row: the plain form's.
  gflop = problem.operations(step_ours.WAYS["ours"])
  made = {}

  def make(name, lanes):
    ours = made[name] = make_step(problem, lanes)

    def run():
      state, metrics = ours.step(
        ours.held["state"], ours.batch, None, ours.cache
      )
      ours.held["state"] = jax.block_until_ready(state)
      return metrics

    metrics = run()
    facts = memory(ours.step) | {
      "value": float(metrics["loss"]),
      "norm": float(metrics["grad_norm"]),
      "gflop": gflop,
      "pairs": len(problem.held),
    }
    return run, facts

  makers = {
    "ours": lambda: make("ours", layers.LANES),
    "ours_unpacked": lambda: make("ours_unpacked", 1),
  }
  return makers, {"profile": lambda: profile(made["ours"].run)}


def profile(run):
  """`kernels` of one run."""
  options = jax.profiler.ProfileOptions()
  options.python_tracer_level = 0
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder, profiler_options=options):
      run()
    [path] = pathlib.Path(folder).rglob("*.xplane.pb")
    return kernels(jax.profiler.ProfileData.from_file(str(path)))


def kernels(data, most=5):
  """The kernels of a trace that take most of the device's time.

  Those of all streams, which XLA's tracer names `Stream #...`; copies between
  host and device are among them.

  Args:
    data: `jax.profiler.ProfileData`.
    most: how many.

  Returns:
    List of {"kernel", "ms", "share" of all kernels, "count"}.
  """
  lasted, count = collections.Counter(), collections.Counter()
  seen = []
  for plane in data.planes:
    for line in plane.lines:
      seen.append(f"{plane.name} {line.name}")
      streams = line.name.startswith("Stream #")
      if not plane.name.startswith("/device:GPU:") or not streams:
        continue
      for event in line.events:
        lasted[event.name] += event.duration_ns
        count[event.name] += 1
  if not lasted:
    raise RuntimeError(f"no kernels of a GPU in the trace, but {seen}")
  whole = lasted.total()
  return [
    {"kernel": name, "ms": x / 1e6, "share": x / whole, "count": count[name]}
    for name, x in lasted.most_common(most)
  ]


def main(part, options):
  if part == "about":
    sys.stdin.readline()
    print(json.dumps(about(options)))
    return
  fill = 0 if options["small"] else gpu_sides.FILL
  if part == "step":
    gpu_sides.serve(*steps(options), fill=fill)
  else:
    makers = {"ceiling": ceiling, "loss": loss_forms}[part](options)
    gpu_sides.serve(makers, fill=fill)


if __name__ == "__main__":
  main(sys.argv[1], json.loads(sys.argv[2]))
