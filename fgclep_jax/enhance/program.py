"""The command `fgclep enhance`: from reports to verified features."""

import json
import pathlib
import time

import jax

from fgclep_jax import inference
from fgclep_jax.data import sources
from fgclep_jax.enhance import (
  asked,
  candidates,
  embeddings,
  examples,
  fit,
  plan,
  report,
  tally,
  truth,
  write,
)
from fgclep_jax.enhance import corrections as corrections_lib
from fgclep_jax.errors import Interrupted
from fgclep_jax.evaluation import results
from fgclep_jax.evaluation.zero_shot import class_embeddings
from fgclep_jax.reports import features


def open_splits(data_dir, dataset, config="original"):
  """Split name -> split, all of a dataset."""
  return {
    name: sources.open_split(data_dir, dataset, config, name)
    for name in sources.split_names(data_dir, dataset, config)
  }


def enhance(
  workdir, splits, out, backend, cache, *, options=None, corrections=None,
  sheet=None, step=None, say=print,
):  # fmt: skip
  """Asks, verifies and writes.

  Args:
    workdir: of the coarse model.
    splits: of `open_splits`.
    out: enhanced.parquet; enhanced_records.parquet, enhance.json and
      report.html go beside it.
    backend, cache, corrections: see `candidates.propose`.
    options: `fit.Options`.
    sheet: CSV to write for a reviewer, or None.
    step: checkpoint; None takes the newest.
    say: prints one line.

  Returns:
    The content of enhance.json.
  """
  options = options or fit.Options()
  write.targets(out)  # raises before a night of asking, not after it
  model = inference.load(workdir, step).on(jax.local_devices())
  clock = _Clock()
  first = next(iter(splits.values()))
  found = candidates.propose(first.table, backend, cache, say, corrections)
  _check_answers(found, options.max_reject_rate)
  if sheet:
    counts = plan.records_of(splits.values()).tolist()
    corrections_lib.write_sheet(
      sheet, found, dict(zip(first.table, counts, strict=True))
    )
  planted = None
  if options.plant:
    known = first.feature_names or [f.name for f in features.VOCABULARY]
    planted = asked.plant(found, options.plant, known, options.seed)
  questions = asked.lay_out(first.table, found, planted)
  clock.stop("candidates")
  folder = pathlib.Path(out).parent / "encoded"
  stores = {
    name: embeddings.encode(model, split, folder, say)
    for name, split in splits.items()
  }
  clock.stop("encoding")
  classes = class_embeddings(model, fit.wordings(first.table))
  verifier = fit.make_verifier(splits, stores, classes, questions, options)
  clock.stop("calibration")
  content = _describe(splits, model, found, planted, verifier, options)
  content |= _judge_all(
    splits, stores, classes, questions, verifier, options, out, content, say
  )
  clock.stop("verification")
  content["seconds"] = clock.seconds
  content["run"] = results.describe_run()
  name = fit.HELD_OUT if fit.HELD_OUT in splits else next(iter(splits))
  drawn = examples.draw(
    splits[name], stores[name], classes, questions, verifier, model,
    options.seed,
  )  # fmt: skip
  _finish(out, content, drawn)
  for line in summary_lines(content):
    say(line)
  return content


def _check_answers(found, limit):
  """Raises Interrupted when too few findings were answered."""
  failed, total = found.counts["failed"], found.counts["findings"]
  if failed > limit * total:
    raise Interrupted(
      f"{failed} of {total} findings have no usable answer, more than "
      f"--max-reject-rate {limit}"
    )


def _judge_all(
  splits, stores, classes, questions, verifier, options, out, content, say
):
  """Writes the tables; returns what was counted."""
  low = 0.0 if verifier.method == "calibrated" else -1.0
  counted = tally.Tally(questions.features, low)
  trial = _trial(splits, questions.features)
  provenance = content["backend"]
  about = {
    key: content[key] for key in ("dataset", "data", "coarse", "backend")
  }
  origins = [name or provenance["source"] for name in asked.ORIGINS]
  with write.Writer(
    out, questions.features, origins, provenance, about
  ) as writer:
    for name, split in splits.items():
      for part, pairs in fit.judged_chunks(
        split, stores[name], classes, questions, verifier, options.chunk
      ):
        counted.add(part, pairs["feature"], pairs["score"], pairs["kept"])
        ids = split.record_ids[part.start : part.stop]
        writer.write(name, ids, pairs)
        if trial and trial.split == name:
          trial.add(part.start, pairs)
  found = {"pairs": counted.pairs(), "features": counted.features()}
  if trial:
    sweep = _thresholds(verifier, options)
    found |= trial.result(sweep, options.resamples, options.seed)
  return found


def _trial(splits, names):
  """Where the truth is known, on records that nothing was fitted on."""
  name = fit.HELD_OUT if fit.HELD_OUT in splits else next(iter(splits))
  vocabulary = features.lookup(names)
  known = truth.of_split(splits[name], vocabulary)
  if known is None:
    return None
  return tally.Trial(splits[name], known, fit.units_of(splits[name]), names)


def _thresholds(verifier, options):
  """Label -> threshold, three for the sensitivity."""
  if verifier.method != "calibrated":
    base = verifier.about["threshold"]
    return {f"cosine {t:.2f}": t for t in (base - 0.1, base, base + 0.1)}
  return {
    f"target precision {target:.2f}": threshold
    for target, threshold in verifier.about["thresholds"].items()
  }


def _describe(splits, model, found, planted, verifier, options):
  """What the whole rests on."""
  first = next(iter(splits.values()))
  return {
    "schema": 1,
    "notice": "Research software. Not a medical device.",
    "dataset": first.dataset,
    "config": first.config,
    "data": {
      "digest": first.digest,
      "seed": first.metadata.get("seed"),
      "records": sum(map(len, splits.values())),
    },
    "splits": {name: len(split) for name, split in splits.items()},
    "coarse": {key: model.checkpoint[key] for key in ("step", "hash")},
    "backend": found.provenance,
    "planted": options.plant or None,
    "statements": {
      "distinct": len(first.table),
      "by_class": plan.by_class(first.table, plan.records_of(splits.values())),
      "counts": dict(found.counts),
      "planted": sum(map(len, planted.values())) if planted else 0,
    },
    "refused": {
      key.removeprefix("refused: "): count
      for key, count in found.counts.items()
      if key.startswith("refused: ")
    },
    "verification": {"method": verifier.method, "seed": options.seed}
    | verifier.about,
  }


def _finish(out, content, drawn):
  """Writes enhance.json and the report."""
  folder = pathlib.Path(out).parent
  text = json.dumps(content, indent=2) + "\n"
  (folder / "enhance.json").write_text(text, encoding="utf-8")
  report.write(folder / "report.html", content, drawn)


def summary_lines(content):
  """What the command prints at the end."""
  pairs = content["pairs"]
  yield (
    f"{content['statements']['distinct']:,} distinct statements, "
    f"{pairs['candidates']:,} candidate features of "
    f"{content['data']['records']:,} records: {pairs['kept']:,} kept "
    f"({pairs['keep_rate'] or 0:.1%})"
  )
  if "truth" in content:
    found = content["truth"]["summary"]
    for key in ("precision_before", "precision", "recall_of_candidates"):
      if found[key]["value"] is not None:
        low, high = found[key]["ci95"]
        yield (
          f"{key.replace('_', ' ')}: {found[key]['value']:.3f} "
          f"({low:.3f}-{high:.3f})"
        )


class _Clock:
  """Seconds of each stage."""

  def __init__(self):
    self.seconds, self._last = {}, time.monotonic()

  def stop(self, stage):
    now = time.monotonic()
    self.seconds[stage] = round(now - self._last, 1)
    self._last = now
