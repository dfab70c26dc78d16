"""A config so small that a training run takes seconds, in any process."""

import json
import subprocess
import sys

import jax

from benchmarks import children
from fgclep_jax import config as c
from fgclep_jax.training import loop

CHANGES = children.TINY | {
  "optim.steps": "8",
  "save-every": "4",
  "log-every": "2",
}


def config(**changes):
  changes = {name.replace("__", "."): v for name, v in changes.items()}
  return c.override(c.TrainConfig(), CHANGES | changes)


def train(workdir, data, say=lambda _: None, **changes):
  """Trains in this process, on one device."""
  return loop.train(config(**changes), workdir, data, say, jax.devices()[:1])


def process(workdir, data, *flags, before=""):
  """Trains in a process of its own, after the lines of `before`."""
  code = (
    "import sys\n"
    "from fgclep_jax import cli, config\n"
    f"{before}\n"
    "from tests import tiny_runs\n"
    "config.load = lambda _: tiny_runs.config()\n"
    "cli.main(sys.argv[1:])\n"
  )
  command = [
    sys.executable, "-c", code, "train", "--config", "tiny",
    "--workdir", str(workdir), "--data-dir", str(data), *flags,
  ]  # fmt: skip
  return subprocess.run(command, capture_output=True, text=True, timeout=300)


def lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]
