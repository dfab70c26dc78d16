"""Flags of `fgclep enhance` -> plan, or enhancement."""

import contextlib
import json
import pathlib

from fgclep_jax.enhance import corrections, fit, plan, program
from fgclep_jax.enhance.backends.openai import OpenAI
from fgclep_jax.enhance.backends.rules import Rules
from fgclep_jax.enhance.backends.transformers import Transformers
from fgclep_jax.enhance.cache import Cache
from fgclep_jax.errors import InputError, Interrupted


def run(flags, say=print):
  """Runs the command; returns the exit code.

  Args:
    flags: parsed, see `cli`.
    say: prints one line.
  """
  if flags.plan:
    _plan(flags, say)
    return 0
  _require(flags, "workdir", "dataset", "data_dir", "out")
  backend = make_backend(flags, say)
  splits = program.open_splits(flags.data_dir, flags.dataset)
  given = corrections.read(flags.corrections) if flags.corrections else None
  options = fit.Options(
    method=flags.threshold, target=flags.target, value=flags.cosine,
    share=flags.share, plant=flags.plant, resamples=flags.bootstrap,
    seed=flags.seed, max_reject_rate=flags.max_reject_rate,
  )  # fmt: skip
  try:
    with Cache(_cache_path(flags)) as cache:
      program.enhance(
        flags.workdir, splits, flags.out, backend, cache, options=options,
        corrections=given, sheet=flags.sheet, step=flags.step,
        say=say,
      )  # fmt: skip
  except Interrupted as stopped:
    raise Interrupted(
      f"{stopped}; the answers so far are kept in {cache.path}, the same "
      "command goes on from there"
    ) from stopped
  say(f"features: {flags.out}")
  say(f"report: {pathlib.Path(flags.out).parent.absolute() / 'report.html'}")
  return 0


def make_backend(flags, say=print):
  """The backend that the flags name."""
  if flags.backend == "openai":
    return OpenAI(
      flags.server, flags.model, flags.allow_remote,
      concurrency=flags.concurrency, timeout=flags.timeout,
      extra=_fields(flags.request), say=say,
    )  # fmt: skip
  if flags.backend == "transformers":
    if not flags.model:
      raise InputError(
        "--backend transformers needs --model FOLDER of a causal language model"
      )
    return Transformers(flags.model, say=say)
  return Rules()


def _fields(text):
  """'{"a": 1}' -> {"a": 1}."""
  try:
    found = json.loads(text or "{}")
  except ValueError:
    found = None
  if not isinstance(found, dict):
    raise InputError(f"--request {text}: give a JSON object")
  return found


def _require(flags, *names):
  for name in names:
    if not getattr(flags, name):
      flag = name.replace("_", "-")
      raise InputError(f"--{flag} is missing: see `fgclep enhance --help`")


def _plan(flags, say):
  if flags.statements:
    splits = [plan.Lines(flags.statements)]
  else:
    _require(flags, "dataset", "data_dir")
    splits = program.open_splits(flags.data_dir, flags.dataset).values()
  path = _cache_path(flags)
  known = path and pathlib.Path(path).is_file()
  key = None
  if flags.backend == "rules":
    rules = Rules()
    key = rules.model_hash, rules.prompt_hash
  with Cache(path) if known else contextlib.nullcontext() as cache:
    found = plan.plan(splits, flags.backend, key, cache)
  for line in plan.lines(found):
    say(line)
  if flags.classes:
    plan.write_classes(flags.classes, splits)
    say(f"class of every statement: {flags.classes}")


def _cache_path(flags):
  if flags.cache:
    return flags.cache
  return flags.out and pathlib.Path(flags.out).parent / "answers.jsonl"
