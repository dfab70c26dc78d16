"""One GPU: the rate of large products, the loss and the training step.

  python -m benchmarks.gpu [--parts ceiling,loss,step] [--batch 256]
    [--rounds 5] [--small]

Each is set beside PyTorch on the same device. Both sides live in processes of
their own (`benchmarks.gpu_jax`, `benchmarks.gpu_torch`), are there at the same
time and take turns: repeats that fill 0.2 s after one unmeasured, or one if it
takes longer, the device waited for after each. Inputs are on the device before.
Seconds are medians of the rounds, `times_first` is over those of `tiled_1024`
and of `ours`. What a side cannot do, for want of memory or because
`torch.compile` fails, is in `not_measured` with its reason, and the rest goes
on. JAX takes memory as it needs it, so that both sides have room.

`ceiling`: bfloat16 products of square matrices, 8 in a row, by JAX and by
PyTorch; the best of all is the ceiling that `of_ceiling` refers to. `of_peak`
refers to the data sheet. `gflop` counts the products: in the step ours in the
plain form, of PyTorch those that it runs; in the loss the least of each form.

`loss`: K = U = 32,768 pairs and texts of width 256 in bfloat16, value and
gradients by ECGs, texts and scale. `tiled_T` is the project's with tiles of
T x T (1,024 is the config's). PyTorch's logits stay bfloat16, which favours it
in time and in memory; ours are added up in float32.

`step`: st_vit base and BERT-base in bfloat16, transport, 9 frozen layers,
statements as in `benchmarks.reports` at Zipf 1.0; one step of the whole batch
with AdamW and clipping. `ours` is the step of `fgclep train`, `ours_unpacked`
the same without short texts side by side (`layers.pack`). PyTorch has its
towers under autocast, the rest in float32, a text for every pair: `torch_64`
pads to 64 word pieces, `torch_longest` to the longest of the batch,
`_compiled` compiles both towers, `_batched` has besides the transport of all
records of equal count at once, in place of record by record.

Memory: `held_mib` of inputs (parameters, moments, batch), `above_mib` of what
comes on top. Of JAX the compiler's own count, arguments and then temporaries
with outputs, since its allocator cannot forget a peak; of PyTorch the
allocator's peak, forgotten before each.

`profile`: the five kernels that take most of the device's time in one step of
`ours`. `--small`: tiny sizes on any device, to see that all of it runs.

All parts are written to `results/gpu.json`, some of them beside it. Shares of
the ceiling need both parts in one run.
"""

import argparse
import contextlib
import shutil
import subprocess
import sys

from benchmarks import common, gpu_sides

SIDES = ("benchmarks.gpu_jax", "benchmarks.gpu_torch")
PARTS = ("ceiling", "loss", "step")
FIRST = {"loss": "tiled_1024", "step": "ours"}  # what others are compared with
# How far values and norms of gradients may be apart: bfloat16, other orders.
APART = 0.02
PACKAGES = ("jax", "jaxlib", "flax", "torch", "triton", "transformers")
# bfloat16 TFLOP/s without sparsity, by words of the device's name; the first
# line whose words are all there. Source: NVIDIA's data sheets.
PEAKS = {
  "B200": 2250, "GH200": 989, "H200 NVL": 835, "H200": 989, "H100 NVL": 835,
  "H100 PCIe": 756, "H100": 989, "A100": 312, "L40S": 362, "L4": 121,
}  # fmt: skip


def peak(name):
  """TFLOP/s of the data sheet of a device, None if it is not known here."""
  words = set(name.replace("-", " ").split())
  known = (x for key, x in PEAKS.items() if words >= set(key.split()))
  return next(known, None)


def ask_both(part, options):
  """{side: first answer}, or its error."""
  found = {}
  for module in SIDES:
    with gpu_sides.start(module, part, options) as side:
      try:
        found[module] = side.ask()
      except RuntimeError as error:
        found[module] = {"error": str(error)}
  return found


def measure(part, options, rounds):
  """Races both sides in one part.

  Returns:
    {row: {column: number}}, {what was not measured: why}, profile or None.
  """
  rows, failed, where, profile = {}, {}, {}, None
  with contextlib.ExitStack() as stack:
    both = [
      stack.enter_context(gpu_sides.start(x, part, options)) for x in SIDES
    ]
    for side in both:  # one after the other: compilers try kernels by the clock
      try:
        facts = side.ask()["facts"]
      except RuntimeError as error:
        failed[side.name] = str(error)
        continue
      where |= dict.fromkeys(facts, side)
      failed |= {k: x["error"] for k, x in facts.items() if "error" in x}
      rows |= {k: x for k, x in facts.items() if "error" not in x}
    seconds = {name: [] for name in rows}
    for _ in range(rounds):
      for name in list(rows):
        try:
          seconds[name].append(where[name].ask(name)["seconds"])
        except RuntimeError as error:
          failed[name] = str(error)
          del rows[name]
    if part == "step" and FIRST[part] in rows:
      try:
        profile = where[FIRST[part]].ask("profile")["found"]
      except RuntimeError as error:
        failed["profile"] = str(error)
  for name, row in rows.items():
    row["seconds"] = common.median(seconds[name])
  return rows, failed, profile


def complete(rows, first, ceiling, sheet):
  """Adds what follows from seconds; TFLOP/s of `ceiling`, `sheet` or None."""
  for row in rows.values():
    if "gflop" in row:
      rate = row["tflop_per_s"] = row["gflop"] / 1e3 / row["seconds"]
      row |= {"of_ceiling": rate / ceiling} if ceiling else {}
      row |= {"of_peak": rate / sheet} if sheet else {}
    if "pairs" in row:
      row["pairs_per_s"] = row["pairs"] / row["seconds"]
    if first in rows:
      row["times_first"] = row["seconds"] / rows[first]["seconds"]


def disagreements(rows, apart=APART):
  """Lines on rows whose value or norm of gradients is not the first's."""
  found = []
  for column in ("value", "norm"):
    given = {name: row[column] for name, row in rows.items() if column in row}
    wanted = next(iter(given.values()), None)
    found += [
      f"{name}: {column} {x:.6g} instead of {wanted:.6g}"
      for name, x in given.items()
      if not abs(x - wanted) <= apart * abs(wanted)
    ]
  return found


def driver():
  """What nvidia-smi says of its devices, None without it."""
  if not shutil.which("nvidia-smi"):
    return None
  query = "--query-gpu=name,driver_version,memory.total"
  line = ["nvidia-smi", query, "--format=csv,noheader"]
  return subprocess.run(line, capture_output=True, text=True).stdout.strip()


def parts_of(text):
  """`loss,step` -> the parts in the order in which they are run."""
  given = text.split(",")
  if unknown := set(given) - set(PARTS):
    raise argparse.ArgumentTypeError(
      f"{', '.join(sorted(unknown))}: give some of {','.join(PARTS)}"
    )
  return [part for part in PARTS if part in given]


def run(parts, options, rounds, about, file):
  """Measures parts and writes what there is after each of them.

  Args:
    parts: some of `PARTS`. options: what sides are told, see `main`.
    rounds: of every part. about: of `ask_both`.
    file: name of the JSON.

  Returns:
    What is in the JSON.
  """
  content = {
    "rounds": rounds, "options": options, "devices": about,
    "driver": driver(), "packages": common.versions(PACKAGES),
    "not_measured": {}, "disagree": [], "table": {},
  }  # fmt: skip
  sheet, ceiling = peak(about[SIDES[0]].get("device", "")), None
  for part in parts:
    rows, failed, profile = measure(part, options, rounds)
    complete(rows, FIRST.get(part), ceiling, sheet)
    if part == "ceiling" and rows:
      ceiling = max(row["tflop_per_s"] for row in rows.values())
      content["ceiling_tflop_per_s"] = ceiling
    content["disagree"] += disagreements(rows)
    content["not_measured"] |= {f"{part} {k}": x for k, x in failed.items()}
    content["table"] |= {f"{part} {k}": row for k, row in rows.items()}
    if profile:
      content["profile"] = profile
    # What is there stays there if a later part is cut off.
    common.write(file, content)
  return content


def main(arguments=None):
  parser = argparse.ArgumentParser()
  parser.add_argument("--parts", type=parts_of, default=list(PARTS))
  parser.add_argument("--batch", type=int, default=None)
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--small", action="store_true")
  given = parser.parse_args(arguments)
  options = {"small": given.small, "batch": given.batch}
  about = ask_both("about", options)
  ours = about[SIDES[0]]
  if not given.small and ours.get("platform") != "gpu":
    found = ours.get("platform", ours.get("error"))
    message = f"JAX found {found}: this needs an NVIDIA GPU and jax[cuda13]"
    print(f"benchmarks.gpu: {message}, or --small", file=sys.stderr)
    raise SystemExit(2)
  file = "gpu_small" if given.small else "gpu"
  if given.parts != list(PARTS):
    file = "_".join([file, *given.parts])
  content = run(given.parts, options, given.rounds, about, file)
  for name, reason in content["not_measured"].items():
    print(f"not measured: {name}: {reason}")
  if content["disagree"]:
    sys.exit("\n".join(content["disagree"]))


if __name__ == "__main__":
  main()
