"""PyTorch's side of `benchmarks.gpu`, in a process of its own."""

import functools
import gc
import json
import sys
import types

import jax
import torch
from torch.utils import flop_counter

from benchmarks import gpu_jax, gpu_sides, loss, step, transport
from fgclep_jax import config as c
from fgclep_jax import sharding

functional = torch.nn.functional
# What compiles: the CPU's own compiler takes a minute, `--small` is to be fast.
COMPILERS = {"cuda": "inductor", "cpu": "aot_eager"}
CHUNKS = 32  # of the loss: 1,024 rows each
FORMS = (
  "torch_siglip", "torch_siglip_compiled", "torch_siglip_chunked",
  "torch_soft", "torch_soft_compiled", "torch_soft_chunked",
)  # fmt: skip
STEPS = (
  "torch_64", "torch_longest", "torch_longest_compiled",
  "torch_longest_batched",
)  # fmt: skip


def device():
  return "cuda" if torch.cuda.is_available() else "cpu"


def about(options):
  """The device, and what PyTorch says it runs on."""
  if device() == "cpu":
    return {"platform": "cpu", "device": "cpu", "runtime": torch.__version__}
  runtime = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
  name = torch.cuda.get_device_name()
  return {"platform": "gpu", "device": name, "runtime": runtime}


def wait():
  if device() == "cuda":
    torch.cuda.synchronize()


def compiled(function):
  """Compiled for every shape anew: no kernels for shapes that vary."""
  return torch.compile(function, backend=COMPILERS[device()], dynamic=False)


def measured(run, **facts):
  """Runs it twice; (run, facts with what it returns, and memory in MiB)."""
  run()  # compiles, makes the optimizer's moments
  if device() == "cpu":
    return run, facts | run()
  gc.collect()
  torch.cuda.empty_cache()
  torch.cuda.reset_peak_memory_stats()
  held = torch.cuda.memory_allocated()
  facts |= run()
  above = torch.cuda.max_memory_allocated() - held
  memory = {"held_mib": held / gpu_jax.MIB, "above_mib": above / gpu_jax.MIB}
  return run, facts | memory


def ceiling(options):
  """{name: maker} of products of square matrices."""

  def make(size):
    torch.manual_seed(0)
    a, b = torch.randn(2, size, size, device=device()).bfloat16()
    b = b / size**0.5

    def run():
      x = a
      for _ in range(gpu_jax.CHAIN):
        x = x @ b
      wait()
      return {}

    run()
    return run, {"gflop": gpu_jax.CHAIN * 2 * size**3 / 1e9}

  small = options["small"]
  chosen = gpu_jax.SMALL_PRODUCTS if small else gpu_jax.PRODUCTS
  return {f"torch_{size}": lambda s=size: make(s) for size in chosen}


def siglip(rows, columns, log_scale, semantics, start, stop):
  """The sum of SigLIP's loss over the rows from `start` to `stop`."""
  logits = log_scale.exp() * rows[start:stop] @ columns.T
  labels = -torch.ones_like(logits)
  labels.diagonal(start).fill_(1.0)
  return -functional.logsigmoid(labels * logits).sum(dtype=torch.float32)


def soft(rows, columns, log_scale, semantics, start, stop):
  """The same with soft labels, by the fused binary cross entropy."""
  logits = log_scale.exp() * rows[start:stop] @ columns.T
  with torch.no_grad():
    labels = (semantics[start:stop] @ semantics.T).add_(1).div_(2)
  return functional.binary_cross_entropy_with_logits(
    logits, labels, reduction="sum"
  )


def loss_forms(options):
  """{name: maker} of the losses of `FORMS`."""
  pairs = gpu_jax.SMALL_PAIRS if options["small"] else gpu_jax.PAIRS
  ecg, text, owner = loss.draw(pairs)
  ecg, text = (
    torch.tensor(x, device=device()).bfloat16() for x in (ecg, text[owner])
  )
  scale = torch.tensor(loss.SCALE, device=device())
  learned = [x.clone().requires_grad_() for x in (ecg, text, scale)]

  def make(name):
    of_rows = siglip if "siglip" in name else soft
    if name.endswith("compiled"):
      of_rows = compiled(of_rows)
    chunk = pairs // CHUNKS if name.endswith("chunked") else pairs

    def run():
      value = 0.0
      for start in range(0, pairs, chunk):
        part = of_rows(*learned, text, start, start + chunk) / pairs**2
        part.backward()
        value += part.detach().float()
      norm = learned[0].grad.float().norm()
      wait()
      for x in learned:
        x.grad = None
      # SigLIP's labels are hard: another value, which none is compared with.
      if "siglip" in name:
        return {}
      return {"value": float(value), "norm": float(norm)}

    count = loss.PRODUCTS[name.removesuffix("_compiled")]
    return measured(run, gflop=count * 2 * pairs**2 * loss.WIDTH / 1e9)

  return {name: lambda n=name: make(n) for name in FORMS}


def one_by_one(z, h, counts, mix):
  """The transport record by record: (K, E)."""
  parts = zip(z.split(counts), h, strict=True)
  return torch.cat([mix(a, b) for a, b in parts])


def by_count(z, h, counts, mix):
  """The same, all records of equal count at once."""
  parts, found = z.split(counts), [None] * len(counts)
  for count in sorted(set(counts)):
    which = [i for i, n in enumerate(counts) if n == count]
    texts = torch.stack([parts[i] for i in which])
    rows = torch.func.vmap(mix)(texts, h[which])
    for i, row in zip(which, rows, strict=True):
      found[i] = row
  return torch.cat(found)


class Race:
  """The step of `benchmarks.step_torch` and its batch, on the device."""

  def __init__(self, options):
    mesh = sharding.make_mesh(c.MeshConfig(), jax.devices()[:1])
    race = step.Race(gpu_jax.sizes(options), 1.0, mesh)
    made, longest = race.torch()
    self.step = made.to(device())
    self.pairs = race.pairs
    self.trained = [x for x in made.parameters() if x.requires_grad]
    wide = race.padded(race.sizes.text.max_tokens)
    self.ecg = torch.tensor(race.problem.batch["ecg"], device=device())
    self.tokens = {
      name: torch.tensor(x, device=device()).long()
      for name, x in (("64", wide), ("longest", longest))
    }
    self.counts = [len(x) for x in race.problem.places]
    self.eager = made.ecg, made.text
    self.compiled = tuple(map(compiled, self.eager))
    xp = types.SimpleNamespace(
      zeros=functools.partial(torch.zeros, device=device()),
      exp=torch.exp,
      sqrt=torch.sqrt,
    )
    self.mix = lambda a, b: transport.plain(a, b, xp, torch.logsumexp)

  def loss(self, width, towers, transported):
    """Towers under autocast; projections, transport and loss in float32."""
    ecg, text = towers
    ids = self.tokens[width]
    with torch.autocast(device(), torch.bfloat16):
      h = ecg(self.ecg.float() * 1e-3)
      pooled = text(ids, attention_mask=(ids > 0).long()).pooler_output
    h = self.step.ecg_projection(h.float())
    z = self.step.text_projection(pooled.float())
    h, z = (functional.normalize(x, dim=-1) for x in (h, z))
    return self.step.loss(transported(z, h, self.counts, self.mix), z)

  def take(self, *form):
    """One step; loss and norm of the gradient."""
    value = self.loss(*form)
    value.backward()
    norm = torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
    self.step.update()
    wait()
    return {"value": float(value.detach()), "norm": float(norm)}

  def gflop(self, width):
    """Of the products that PyTorch runs in a step."""
    with flop_counter.FlopCounterMode(display=False) as counter:
      self.take(width, self.eager, by_count)
    return counter.get_total_flops() / 1e9


def steps(options):
  """{name: maker} of the steps of `STEPS`."""
  race = functools.cache(lambda: Race(options))

  def make(name):
    width = name.split("_")[1]
    fast = name.endswith(("compiled", "batched"))
    towers = race().compiled if fast else race().eager
    transported = by_count if name.endswith("batched") else one_by_one
    return measured(
      lambda: race().take(width, towers, transported),
      gflop=race().gflop(width),
      pairs=race().pairs,
    )

  return {name: lambda n=name: make(n) for name in STEPS}


def main(part, options):
  torch.set_float32_matmul_precision("high")  # as in JAX's default
  if part == "about":
    sys.stdin.readline()
    print(json.dumps(about(options)))
    return
  if device() == "cpu" and not options["small"]:
    sys.exit(f"torch {torch.__version__} sees no GPU: install it with CUDA")
  makers = {"ceiling": ceiling, "loss": loss_forms, "step": steps}[part]
  fill = 0 if options["small"] else gpu_sides.FILL
  gpu_sides.serve(makers(options), fill=fill)


if __name__ == "__main__":
  main(sys.argv[1], json.loads(sys.argv[2]))
