"""From a workdir, or an exported folder, to a model in use."""

import hashlib
import json
import pathlib

import jax
import numpy as np

from fgclep_jax import atomic, tree
from fgclep_jax import config as config_lib
from fgclep_jax.errors import InputError
from fgclep_jax.models import two_tower, weights
from fgclep_jax.models.embedder import Model
from fgclep_jax.reports import tokenizer
from fgclep_jax.training import checkpoint

FORMAT, FORMAT_VERSION = "fgclep_jax export", 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
PREPROCESSOR, VOCABULARY = "preprocessor.json", "vocab.txt"
TOKENIZER = "tokenizer_config.json"
HASHED = (PREPROCESSOR, VOCABULARY, TOKENIZER)
TWO_TOWER, ECG_ENCODER = "two_tower", "ecg_encoder"
AGAIN = "fetch it again, or write it again by `fgclep export`"


def load(workdir, step=None):
  """Restores a trained model.

  Args:
    workdir: folder written by `fgclep train`, or by `fgclep export`.
    step: training step; None takes the newest, or the exported one.

  Returns:
    A `models.embedder.Model`.

  Raises:
    InputError: there is no such step, or an exported folder is damaged: a
      file is missing, changed or cut short, or tensors do not fit.
  """
  folder = pathlib.Path(workdir)
  if is_export(folder):
    return _load_export(folder, step)
  step, meta = checkpoint.read_meta(workdir, step)
  params = checkpoint.read_params(workdir, step)
  try:
    config = config_lib.check(config_lib.from_dict(meta["config"]))
    vocabulary = meta["vocabulary"]
    origin = {
      "step": step,
      "hash": parameter_hash(params),
      "dataset": meta["trained_on"]["dataset"],
      "trained_on": meta["trained_on"],
      "versions": meta["versions"],
    }
  except KeyError as error:
    raise InputError(
      f"step {step} of {workdir} does not say its {error}: give a workdir of "
      "`fgclep train`"
    ) from error
  _, wanted = two_tower.abstract(config, len(vocabulary))
  if lines := tree.mismatches(params, wanted):
    raise InputError(
      f"step {step} of {workdir} does not fit its own config: "
      f"{'; '.join(lines)}"
    )
  return Model(config, vocabulary, params, origin)


def parameter_hash(params):
  """sha256 over the names and bytes of all parameters."""
  digest = hashlib.sha256()
  for name in sorted(params):
    digest.update(name.encode())
    digest.update(np.ascontiguousarray(params[name]).tobytes())
  return digest.hexdigest()


def is_export(folder):
  """Whether a folder is an export, whole or damaged, and no workdir."""
  if (folder / checkpoint.FOLDER).is_dir():
    return False
  return any((folder / name).is_file() for name in (WEIGHTS, PREPROCESSOR))


def content_hash(about):
  """sha256 of what config.json says, but for this hash itself."""
  rest = {name: value for name, value in about.items() if name != "sha256"}
  text = json.dumps(rest, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def read_about(folder):
  """Reads config.json of an export, with `config` as a `TrainConfig`.

  Raises:
    InputError: it is of another format or version, or was changed.
  """
  path = folder / CONFIG
  about = weights.read_json(path, AGAIN)
  if about.get("format") != FORMAT:
    raise InputError(
      f"{path} is not of an export: give a workdir of `fgclep train` or a "
      "folder of `fgclep export`"
    )
  if about.get("format_version") != FORMAT_VERSION:
    raise InputError(
      f"{folder} is an export of format version "
      f"{about.get('format_version')!r}, this program reads "
      f"{FORMAT_VERSION}: use the version of fgclep_jax that wrote it"
    )
  if about.get("sha256") != content_hash(about):
    raise InputError(f"{path} was changed after the export: {AGAIN}")
  try:
    strange = [n for n in about["files"] if n not in HASHED]
    if strange or about["kind"] not in (TWO_TOWER, ECG_ENCODER):
      raise ValueError(f"kind {about['kind']!r}, files {strange}")
    about["checkpoint"]["step"], about["checkpoint"]["hash"]
    about["parameters"]["hash"]
    config = config_lib.check(config_lib.from_dict(about["config"]))
  except InputError as error:
    raise InputError(
      f"{path} does not suit this version of fgclep_jax: {error}"
    ) from error
  except (LookupError, TypeError, AttributeError, ValueError) as error:
    raise InputError(
      f"{path} is not what an export writes ({error}): {AGAIN}"
    ) from error
  return about | {"config": config}


def check_files(folder, hashes):
  """Raises InputError for files that are missing or were changed."""
  absent = [
    name for name in (WEIGHTS, *hashes) if not (folder / name).is_file()
  ]
  if absent:
    raise InputError(f"{folder} lacks {', '.join(absent)}: {AGAIN}")
  changed = [
    name
    for name, found in hashes.items()
    if atomic.file_hash(folder / name) != found
  ]
  if changed:
    raise InputError(
      f"{', '.join(changed)} in {folder} changed after the export: {AGAIN}"
    )


def _load_export(folder, step):
  about = read_about(folder)
  check_files(folder, about["files"])
  config, origin = about["config"], about["checkpoint"]
  if step is not None and step != origin["step"]:
    raise InputError(
      f"no step {step} in {folder}: it is an export of step {origin['step']}"
    )
  vocabulary = None
  if about["kind"] == TWO_TOWER:
    vocabulary = tokenizer.read_vocabulary(folder / VOCABULARY)
  _, wanted = two_tower.abstract(config, vocabulary and len(vocabulary))
  params = weights.read(folder / WEIGHTS, wanted)
  found = parameter_hash(params)
  if found != about["parameters"]["hash"]:
    raise InputError(
      f"parameters in {folder / WEIGHTS} have the hash {found[:12]}, not "
      f"{about['parameters']['hash'][:12]} as exported: {AGAIN}"
    )
  if about["kind"] == ECG_ENCODER:
    origin = origin | {"hash": found, "two_tower_hash": origin["hash"]}
  params = jax.device_put(params, jax.local_devices()[0])
  return Model(config, vocabulary, params, origin)
