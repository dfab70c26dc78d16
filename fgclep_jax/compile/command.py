"""`fgclep compile`: what it prints, and its exit codes."""

import functools
import os
import sys

from fgclep_jax import config as config_lib
from fgclep_jax.compile import program
from fgclep_jax.errors import InputError


def run(arguments):
  """Compiles, prints the table, writes --out; returns the exit code."""
  if arguments.out and not os.path.isdir(os.path.dirname(arguments.out) or "."):
    raise InputError(f"--out {arguments.out}: there is no such folder")
  config = config_lib.load(arguments.config)
  config = config_lib.override(config, arguments.changes)
  found = program.run(
    config,
    arguments.topology,
    say=functools.partial(print, flush=True),
    vocabulary=arguments.vocabulary,
    columns=arguments.statements,
    pairs=arguments.pairs,
    tokens=arguments.tokens,
  )
  print("\n".join(program.lines(found)))
  if arguments.out:
    program.write(found | {"file": arguments.config}, arguments.out)
  line = program.last_line(found)
  if found["fits"]:
    print(line)
    return 0
  print(f"fgclep: {line}", file=sys.stderr)
  return 1
