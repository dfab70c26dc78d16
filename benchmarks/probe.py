"""The linear-probe table of a task, against a loop that encodes every epoch.

  python -m benchmarks.probe --workdir RUN --data-dir DATA

One task, three shares, five subsets each below the whole: eleven fits. `ours`
is what `fgclep evaluate --probe 0.01,0.1,1.0` does after the first compile:
every record read and encoded once, all fits with their choice of C, zero-shot,
1,000 resamples for all intervals. `loop` is the usual program in PyTorch: the
same encoder with the same parameters, frozen, run again on every batch of 16
in every one of 100 epochs, a linear head, Adam; its signals lie in memory.

One epoch on a tenth of the records is measured, and encoding alone at batch
256; the loop's time is extrapolated from records passed through: 100 epochs of
every fit, validation and test once a fit (`loop`), or after every epoch as in
MERL's code (`loop_as_published`). The fit at 1 % is run in full, beside what
the extrapolation says of it. Rounds are interleaved, medians stand; seconds of
the processors, too, which other programs on the machine disturb less.

`bootstrap`: 1,000 resamples of 38 classes x 4,620 records (AUROC, average
precision, F1; macro values and every class), on one core.
"""

import argparse
import functools
import time

import jax
import numpy as np
import threadpoolctl
import torch
from torch.nn import functional

from benchmarks import common
from fgclep_jax import inference, metrics
from fgclep_jax.data import sources
from fgclep_jax.evaluation import standard, table, work
from fgclep_jax.evaluation.options import Options
from fgclep_jax.evaluation.parts import make_parts
from fgclep_jax.reports.prompts import class_prompts

TASK, DATASET = "simulated", "simulated_ecg"
SHARES, EPOCHS, BATCH, EVALUATION_BATCH = (0.01, 0.1, 1.0), 100, 16, 256
CLASSES, RECORDS, RESAMPLES = 38, 4620, 1000


@threadpoolctl.threadpool_limits.wrap(limits=1, user_api="blas")
def our_table(model, splits, options):
  """All that the command does for the task: {share: macro AUROC}.

  As in `evaluation.run.evaluate`, fits run side by side and their matrix
  products on one thread each.
  """
  parts, _ = make_parts(splits, "test")
  encoders = {"trained": model}
  found = work.read(
    parts, encoders, {}, ("choice", "test"), options, True, lambda _: None
  )
  names = splits["test"].class_names[TASK]
  prompts = {TASK: class_prompts(TASK, names)}
  done = work.Work(parts, encoders, encoders, *found, prompts, {}, options)
  tables = standard.evaluate(done, TASK)
  return {
    share: tables["trained", "linear_probe", str(share)].summary["macro_auroc"]
    for share in SHARES
  }


class Encoder:
  """The frozen residual network in torch, on our parameters."""

  def __init__(self, model):
    ecg = model.config.model.ecg
    self.stages, self.pool = ecg.stages, ecg.pool
    self.params = {
      name.removeprefix("ecg."): torch.tensor(np.asarray(value))
      for name, value in model.params.items()
      if name.startswith("ecg.")
    }
    for name, value in self.params.items():
      if name.endswith("conv.kernel"):
        self.params[name] = value.permute(2, 1, 0).contiguous()

  @torch.no_grad()
  def __call__(self, signals):
    """(B, 12, T) int16 microvolts -> pooled features (B, W)."""
    x = torch.as_tensor(signals).float() * 1e-3
    x = functional.relu(self._conv_norm("stem", x, 2, 3))
    block = 0
    for stage, count in enumerate(self.stages):
      for place in range(count):
        stride = 2 if stage and not place else 1
        x = self._block(f"blocks.{block}", x, stride)
        block += 1
    mean = x.mean(-1)
    if self.pool == "mean":
      return mean
    return torch.cat([mean, x.amax(-1)], 1)

  def _block(self, name, x, stride):
    y = functional.relu(self._conv_norm(f"{name}.first", x, stride, 1))
    y = self._conv_norm(f"{name}.second", y, 1, 1)
    if f"{name}.shortcut.conv.kernel" in self.params:
      x = self._conv_norm(f"{name}.shortcut", x, stride, 0)
    return functional.relu(x + y)

  def _conv_norm(self, name, x, stride, padding):
    kernel = self.params[f"{name}.conv.kernel"]
    x = functional.conv1d(x, kernel, stride=stride, padding=padding)
    norm = [
      self.params[f"{name}.norm.{k}"] for k in ("mean", "var", "scale", "bias")
    ]
    return functional.batch_norm(x, *norm, training=False, eps=1e-5)


def loop_epochs(encoder, signals, labels, epochs, head=None):
  """Trains a head for some epochs; returns it."""
  width = encoder(signals[:1]).shape[1]
  head = head or torch.nn.Linear(width, labels.shape[1])
  optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
  labels = torch.as_tensor(labels, dtype=torch.float32)
  for _ in range(epochs):
    order = torch.randperm(len(signals)).numpy()
    for start in range(0, len(order), BATCH):
      rows = order[start : start + BATCH]
      logits = head(encoder(signals[rows]))
      loss = functional.binary_cross_entropy_with_logits(logits, labels[rows])
      optimizer.zero_grad()
      loss.backward()
      optimizer.step()
  return head


def loop_scores(encoder, head, signals):
  """(n, C) logits, in large batches."""
  parts = []
  for start in range(0, len(signals), EVALUATION_BATCH):
    features = encoder(signals[start : start + EVALUATION_BATCH])
    parts.append(head(features).detach().numpy())
  return np.concatenate(parts)


def spent(function):
  """Seconds on the clock and of the processors (2,), and the result."""
  start = np.array([time.perf_counter(), time.process_time()])
  result = function()
  return [time.perf_counter(), time.process_time()] - start, result


def clocks(functions, rounds):
  """{name: medians of `spent` over interleaved rounds}."""
  found = {name: [] for name in functions}
  for _ in range(rounds):
    for name, function in functions.items():
      found[name].append(spent(function)[0])
  return {name: np.median(values, axis=0) for name, values in found.items()}


def compare(model, splits, options, rounds):
  """Rows of the table, and what they rest on."""
  parts, _ = make_parts(splits, "test")
  x, y = {}, {}
  for role, part in parts.items():
    rows = part.rows_of(TASK)
    x[role] = part.split.signals(rows, model.rate, model.samples)
    y[role] = part.labels(TASK)
  encoder = Encoder(model)
  subsets = {s: standard.drawn_subsets(parts["fit"], TASK, s) for s in SHARES}
  some, tenth = x["choice"][:EVALUATION_BATCH], subsets[0.1][0]
  functions = {
    "ours": functools.partial(our_table, model, splits, options),
    "epoch": lambda: loop_epochs(encoder, x["fit"][tenth], y["fit"][tenth], 1),
    "encode": lambda: encoder(some),
  }
  figures = functions["ours"]()  # compiles
  functions["epoch"]()
  taken = clocks(functions, rounds)
  gap = encoder(some).numpy() - model.encode_ecg(some)[1]
  rows, about = extrapolate(taken, subsets, x, len(some))
  drawn = subsets[0.01][0]
  given = encoder, x["fit"][drawn], y["fit"][drawn]
  full, head = spent(lambda: loop_epochs(*given, EPOCHS))
  guess = EPOCHS * drawn.sum() * taken["epoch"] / tenth.sum()
  rows["loop, one fit at 1 %"] = {
    "seconds": full[0],
    "extrapolated": guess[0],
    "processor_seconds": full[1],
    "processor_extrapolated": guess[1],
  }
  area = metrics.auroc(loop_scores(encoder, head, x["test"]), y["test"])
  return rows, about | {
    "features_differ_at_most": float(np.abs(gap).max()),
    "macro_auroc_ours": {str(k): v for k, v in figures.items()},
    "macro_auroc_loop_one_fit_at_1_percent": metrics.macro(area),
    "rounds": rounds,
  }


def extrapolate(taken, subsets, x, encoded):
  """The loop's time from that of one epoch and of `encoded` records."""
  one = taken["epoch"] / subsets[0.1][0].sum()
  aside = taken["encode"] / encoded
  passed = sum(int(drawn.sum()) for each in subsets.values() for drawn in each)
  fits = sum(map(len, subsets.values()))
  judged = fits * (len(x["choice"]) + len(x["test"])) * aside
  ours = taken["ours"]
  rows = {"ours": {"seconds": ours[0], "processor_seconds": ours[1]}}
  for name, value in (
    ("loop", EPOCHS * passed * one + judged),
    ("loop_as_published", EPOCHS * (passed * one + judged)),
  ):
    rows[name] = {
      "seconds": value[0],
      "times_ours": value[0] / ours[0],
      "processor_seconds": value[1],
      "processor_times_ours": value[1] / ours[1],
    }
  return rows, {
    "fits": fits,
    "records": {role: len(signals) for role, signals in x.items()},
    "loop_records_an_epoch": passed,
    "loop_seconds_an_epoch_at_10_percent": taken["epoch"][0],
    "loop_milliseconds_a_record_encoded": 1000 * aside[0],
    "extrapolated": "loop and loop_as_published, from records passed through",
  }


@threadpoolctl.threadpool_limits.wrap(limits=1)
def bootstrap():
  """Seconds on the clock and of the processor for all intervals."""
  rng = np.random.default_rng(0)
  labels = rng.random((RECORDS, CLASSES)) < rng.uniform(0.01, 0.3, CLASSES)
  scores = rng.normal(size=labels.shape).astype(np.float32) + labels
  ids = np.arange(RECORDS).astype(str)

  def run():
    cohort = table.make_cohort(
      range(CLASSES), labels, ids, [""] * RECORDS, RESAMPLES, 0
    )
    thresholds = [np.zeros(CLASSES)]
    chosen_on = np.full(CLASSES, 100)
    return table.make_table(cohort, [scores], thresholds, chosen_on)

  taken, judged = spent(run)
  assert len(judged.resampled) == RESAMPLES
  return {"seconds": taken[0], "processor_seconds": taken[1]}


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--workdir", required=True, help="of a resnet")
  parser.add_argument("--data-dir", required=True)
  parser.add_argument("--rounds", type=int, default=3)
  flags = parser.parse_args()
  model = inference.load(flags.workdir).on(jax.local_devices())
  if model.config.model.ecg.name != "resnet":
    parser.error("the loop knows the encoder resnet only")
  splits = {
    name: sources.open_split(flags.data_dir, DATASET, split=name)
    for name in ("train", "validation", "test")
  }
  options = Options(probe_fractions=SHARES, baselines=())
  rows, about = compare(model, splits, options, flags.rounds)
  ecg = model.config.model.ecg
  rows[f"bootstrap, {CLASSES} x {RECORDS}"] = bootstrap()
  about["encoder"] = {
    "width": ecg.width, "stages": ecg.stages, "rate_hz": model.rate,
    "torch": torch.__version__,
  }  # fmt: skip
  common.write("probe", about | {"table": rows})


if __name__ == "__main__":
  main()
