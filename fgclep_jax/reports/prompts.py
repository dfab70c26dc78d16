"""The words a class is asked for in zero-shot classification.

The reviewed prompts lie in `prompts.json` beside this file: task -> class
-> list of phrases in the wording of ECG reports. They were written from
the definitions of the classes, never tuned on test results.
"""

import functools
import hashlib
import importlib.resources
import json
import pathlib

from fgclep_jax.errors import InputError
from fgclep_jax.reports import knowledge

# Classes of these tasks are named in plain words and may go unlisted.
_PLAIN_NAMES = ("simulated", "features")
SOURCES = ("reviewed", "knowledge")


def class_prompts(task, class_names, prompt_file=None, source="reviewed"):
  """Returns the prompts of every class, in the order of `class_names`.

  Args:
    task: super, sub, form, rhythm, cpsc, csn, simulated or features.
    class_names: names as the dataset lists them.
    prompt_file: path of a JSON object {class: string or list of strings}
      instead of the reviewed prompts; further keys are ignored.
    source: "reviewed", or "knowledge" for phrases and must-have features
      of the knowledge table; of no account where a file is given.

  Returns:
    dict class -> tuple of distinct prompts, at least one each.

  Raises:
    InputError: unreadable or malformed file, unknown source, or a class
      without prompts.
  """
  if source not in SOURCES:
    raise InputError(f"prompt source {source!r}: give one of {SOURCES}")
  if prompt_file is None and source == "knowledge":
    plain = {n: n.replace("_", " ") for n in class_names}
    if task == "features":  # a feature has no other name
      return {n: (p,) for n, p in plain.items()}
    return {n: knowledge.prompts_of(f"{task}:{p}") for n, p in plain.items()}
  if prompt_file is None:
    table, origin = reviewed_prompts().get(task, {}), "the reviewed prompts"
  else:
    table, origin = read_prompts(prompt_file), str(prompt_file)
  if prompt_file is None and task in _PLAIN_NAMES:
    plain = {n: (n.replace("_", " "),) for n in class_names}
    table = plain | table
  missing = [name for name in class_names if name not in table]
  if missing:
    raise InputError(
      f"no prompt in {origin} for {len(missing)} of {len(class_names)} "
      f"classes of task {task!r}: {', '.join(map(repr, missing[:5]))}; "
      "give --prompts FILE.json with {class: string or list}"
    )
  return {name: table[name] for name in class_names}


@functools.cache
def reviewed_prompts():
  """Returns the reviewed prompts: task -> class -> tuple of prompts."""
  text = (
    importlib.resources.files("fgclep_jax.reports")
    .joinpath("prompts.json")
    .read_text(encoding="utf-8")
  )
  tables = json.loads(text)
  return {t: _checked(table, "prompts.json") for t, table in tables.items()}


def read_prompts(path):
  """Reads {class: string or list} from a JSON file: class -> tuple."""
  try:
    text = pathlib.Path(path).read_text(encoding="utf-8")
  except (OSError, UnicodeDecodeError) as error:
    raise InputError(f"cannot read prompt file {path}: {error}") from None
  try:
    table = json.loads(text, object_pairs_hook=_distinct_keys)
  except (ValueError, RecursionError) as error:
    raise InputError(f"prompt file {path} is no JSON: {error}") from None
  return _checked(table, path)


def _distinct_keys(pairs):
  keys = [key for key, _ in pairs]
  repeated = {key for key in keys if keys.count(key) > 1}
  if repeated:
    raise ValueError(f"class {sorted(repeated)[0]!r} stands there twice")
  return dict(pairs)


def _checked(table, source):
  if not isinstance(table, dict):
    raise InputError(
      f"prompt file {source} holds a {type(table).__name__}: give an "
      "object {class: string or list of strings}"
    )
  checked = {}
  for name, given in table.items():
    prompts = [given] if isinstance(given, str) else given
    good = isinstance(prompts, list) and prompts
    if not good or not all(isinstance(p, str) and p.strip() for p in prompts):
      raise InputError(
        f"prompt file {source}, class {name!r}: give a non-empty string or "
        "a list of them"
      )
    checked[name] = tuple(dict.fromkeys(" ".join(p.split()) for p in prompts))
  return checked


def prompt_set_hash(prompts):
  """sha256 (hex) of a dict class -> prompts, order of classes ignored."""
  canonical = json.dumps(
    {name: list(value) for name, value in prompts.items()},
    sort_keys=True,
    ensure_ascii=True,
  )
  return hashlib.sha256(canonical.encode()).hexdigest()
