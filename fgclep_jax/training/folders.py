"""Folders of steps: which are there, and how one comes and goes whole.

A step has its number as name as long as it is whole; while it is written or
deleted it has another.
"""

import functools
import os
import pathlib
import shutil
import sys

UNFINISHED, DELETED = ".unfinished", ".deleted"


def steps_of(folder):
  """Numbers of the committed steps in `checkpoints/`, good or not."""
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    return []
  return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())


def sweep(folder, step="*"):
  """Deletes what a killed process, or a failed save, has left half done."""
  for mark in (UNFINISHED, DELETED, ".orbax-checkpoint-tmp"):
    for path in folder.glob(f"{step}{mark}*"):
      shutil.rmtree(path, ignore_errors=True)


def remove(folder):
  """Takes a step back in one move, then deletes it; a failure is told."""
  gone = folder.with_name(folder.name + DELETED)
  try:
    os.rename(folder, gone)
    shutil.rmtree(gone)
  except OSError as error:
    warn(f"{folder} could not be deleted: {error}")


@functools.cache
def warn(text):
  """One line on stderr, each text once."""
  print(f"fgclep: warning: {text}", file=sys.stderr)
