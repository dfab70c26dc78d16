"""The command `fgclep export`."""

import json
import os
import pathlib
import shutil

from fgclep_jax import atomic, inference
from fgclep_jax.errors import InputError
from fgclep_jax.export import card, files
from fgclep_jax.models import weights

CARD = "README.md"
NAMES = {inference.CONFIG, inference.WEIGHTS, *inference.HASHED, CARD}
OF_THE_ENCODER = ("ecg.", "ecg_projection.")


def run(workdir, out, step=None, encoder_only=False, results=None, say=print):
  """Writes a checkpoint as a folder that `fgclep_jax.load` reads.

  Args:
    workdir: of `fgclep train`, or an earlier export.
    out: folder to write: absent, empty, or an export, which is replaced.
    step: checkpoint; None takes the newest.
    encoder_only: whether the text tower is left out.
    results: results.json of `fgclep evaluate` on this checkpoint, or None.
    say: prints one line.

  Raises:
    InputError: there is no such checkpoint, `out` holds something else, or
      `results` are of another checkpoint.
  """
  folder = pathlib.Path(out).resolve()
  if folder == pathlib.Path(workdir).resolve():
    raise InputError(f"--out {out} is --workdir: give another folder")
  check_replaceable(folder)
  model = inference.load(workdir, step)
  if model.tokenizer is None and not encoder_only:
    raise InputError(
      f"{workdir} is an export without a text tower: give --encoder-only, or "
      "the workdir it was made from"
    )
  evaluation = None
  if results:
    evaluation = read_results(results, model.checkpoint, encoder_only)
  try:
    _write_beside(folder, model, encoder_only, evaluation)
  except OSError as error:
    raise InputError(
      f"--out {out} cannot be written: {error.strerror or error}"
    ) from error
  size = (folder / inference.WEIGHTS).stat().st_size
  what = "ECG encoder" if encoder_only else "both towers"
  say(f"step {model.checkpoint['step']}, {what}, {size / 1e6:.1f} MB: {out}")
  if evaluation is None:
    say("no --results: the model card says that no evaluation was given")


def check_replaceable(folder):
  """Refuses a folder that holds anything an export has not written."""
  if not folder.exists():
    return
  if not folder.is_dir():
    raise InputError(f"--out {folder} is a file: give a folder")
  there = {path.name for path in folder.iterdir()}
  if not there:
    return
  try:
    kept = weights.read_json(folder / inference.CONFIG)
  except InputError:
    kept = {}
  others = sorted(there - NAMES)
  if others or kept.get("format") != inference.FORMAT:
    named = ", ".join(others[:5] or sorted(there)[:5])
    raise InputError(
      f"--out {folder} holds what is not of an export ({named}): give a folder "
      "that is new, empty, or an earlier export"
    )


def read_results(path, checkpoint, encoder_only):
  """Lines for the model card from a results.json of the same checkpoint."""
  wanted = "give the results.json that `fgclep evaluate` wrote"
  try:
    content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    found = content["model"]["checkpoint"]["hash"]
    lines = card.evaluation_lines(content, encoder_only)
  except OSError as error:
    raise InputError(f"--results {path}: {error.strerror}: {wanted}") from error
  except (ValueError, LookupError, TypeError, AttributeError) as error:
    raise InputError(f"--results {path} is no evaluation: {wanted}") from error
  expected = checkpoint.get("two_tower_hash", checkpoint["hash"])
  if found != expected:
    raise InputError(
      f"--results {path} is of the checkpoint {str(found)[:12]}, not of the "
      f"exported {expected[:12]}: evaluate step {checkpoint['step']}, and give "
      "its results"
    )
  return lines


def _write_beside(folder, model, encoder_only, evaluation):
  """Writes into a folder beside, tries it, then puts it in place."""
  folder.parent.mkdir(parents=True, exist_ok=True)
  new, old = (
    folder.with_name(f".{folder.name}.{os.getpid()}.{word}")
    for word in ("new", "old")
  )
  shutil.rmtree(new, ignore_errors=True)
  new.mkdir()
  try:
    _write(new, model, encoder_only, evaluation)
    again = inference.load(new)
    if model.tokenizer and again.tokenizer:
      _check_words(model.tokenizer, again.tokenizer)
    _sync(new)
    if folder.exists():
      folder.rename(old)
    try:
      new.rename(folder)
    except OSError:
      if old.exists():
        old.rename(folder)
      raise
    _sync(folder.parent)
  finally:
    shutil.rmtree(new, ignore_errors=True)
  shutil.rmtree(old, ignore_errors=True)


def _write(folder, model, encoder_only, evaluation):
  """Writes all files of an export into an empty folder."""
  kind = inference.ECG_ENCODER if encoder_only else inference.TWO_TOWER
  params = {
    name: value
    for name, value in model.params.items()
    if not encoder_only or name.startswith(OF_THE_ENCODER)
  }
  weights.write(folder / inference.WEIGHTS, params)
  input_form = files.preprocessor(model)
  weights.write_json(folder / inference.PREPROCESSOR, input_form)
  names = [inference.PREPROCESSOR]
  if not encoder_only:
    words = "".join(f"{piece}\n" for piece in model.tokenizer.vocabulary)
    weights.write_bytes(folder / inference.VOCABULARY, words.encode())
    settings = files.tokenizer_settings(model.config.model.text)
    weights.write_json(folder / inference.TOKENIZER, settings)
    names += [inference.VOCABULARY, inference.TOKENIZER]
  hashes = {name: atomic.file_hash(folder / name) for name in names}
  about = files.about(model, kind, params, hashes)
  weights.write_json(folder / inference.CONFIG, about)
  page = card.page(about, input_form, evaluation)
  weights.write_bytes(folder / CARD, page.encode())


def _check_words(ours, again):
  """No word piece may change by being a line of a file."""
  if ours.vocabulary != again.vocabulary:
    raise InputError(
      "the vocabulary holds a word piece that is no line of text: it cannot "
      "be written as vocab.txt"
    )


def _sync(folder):
  """Waits until the names in a folder are on the disk."""
  handle = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(handle)
  finally:
    os.close(handle)
