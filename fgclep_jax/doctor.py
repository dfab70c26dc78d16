"""What stands in the way of a run: packages, devices, disk, workdir."""

import dataclasses
import importlib.metadata
import importlib.util
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile

from packaging.requirements import Requirement

from fgclep_jax.errors import InputError

EXTRAS = {
  "build": "`tfds build` does not start",
  "llm": "`fgclep enhance --backend transformers` does not start",
}
# Files that only pickle reads, which this project never does.
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
BERT_PIECES = 30_522
SEES_GPU = (
  "import tensorflow as tf\n"
  "print(len(tf.config.list_physical_devices('GPU')))\n"
)


@dataclasses.dataclass(frozen=True)
class Finding:
  """One thing that is not as it should be.

  Attributes:
    text: what was found, one line.
    mend: what to do about it, one line.
    broken: whether a run cannot work with it; else it is a note.
  """

  text: str
  mend: str
  broken: bool = True


def run(config=None, workdir=None, say=print, devices=None):
  """Looks at everything and prints each finding with its mending.

  Args:
    config: `config.TrainConfig` of the run, or None.
    workdir: folder of the run, which need not exist, or None.
    say: prints one line.
    devices: list of devices; None takes all.

  Returns:
    Exit code: 1 where something is broken, else 0.
  """
  found = [*packages(), *extras()]
  try:
    if devices is None:
      import jax

      devices = jax.devices()
    say(f"{len(devices)} devices: {devices[0].device_kind}")
    found += [*mesh(config, devices), *tensorflow(devices)]
  except (ImportError, RuntimeError) as error:
    found.append(_no_devices(error))
  if workdir is not None:
    found += [*writable(workdir), *disk(config, workdir), *pickled(workdir)]
  if config is not None and config.model.text.pretrained:
    found += pretrained(config.model.text.pretrained)
  for finding in found:
    say(f"{'broken' if finding.broken else 'note'}: {finding.text}")
    say(f"  mend: {finding.mend}")
  broken = sum(finding.broken for finding in found)
  say(f"{broken} broken, {len(found) - broken} notes")
  return int(broken > 0)


def packages(requires=None, version=importlib.metadata.version):
  """Installed versions against the floors this package was installed with.

  Args:
    requires: lines of requirements; None takes those of the package.
    version: name -> version, raises `PackageNotFoundError`.
  """
  for need in _requirements(requires):
    always = need.marker is None or need.marker.evaluate({"extra": ""})
    if always and (wrong := _wrong(need, version)):
      mend = f"pip install '{need.name}{need.specifier}'"
      yield Finding(f"{need.name} {wrong}", mend)


def extras(requires=None, version=importlib.metadata.version):
  """Packages of the extras that some commands need; arguments as above."""
  needs = [n for n in _requirements(requires) if n.marker is not None]
  for extra, without in EXTRAS.items():
    absent = [
      need.name
      for need in needs
      if need.marker.evaluate({"extra": extra})
      and not need.marker.evaluate({"extra": ""})
      and _wrong(need, version)
    ]
    if absent:
      yield Finding(
        f"extra {extra}: {', '.join(absent)} missing or too old, {without}",
        f"pip install 'fgclep_jax[{extra}]'",
        broken=False,
      )


def mesh(config, devices):
  """Whether the config's mesh and batch fit the devices."""
  from fgclep_jax import sharding  # imports JAX, which may be missing

  if config is None:
    return
  count = len(devices)
  try:
    sharding.make_mesh(config.mesh, devices)
  except InputError as error:
    yield Finding(str(error), f"--mesh.data {count} --mesh.fsdp 1")
  size = config.data.batch_size
  if size % count:
    yield Finding(
      f"data.batch_size={size} is not divisible by {count} devices",
      f"--data.batch-size {math.ceil(size / count) * count}",
    )


def tensorflow(devices):
  """Whether TensorFlow would take memory of the GPU that JAX needs."""
  if not any(device.platform in ("gpu", "cuda", "rocm") for device in devices):
    return
  if importlib.util.find_spec("tensorflow") is None:
    return
  done = subprocess.run(
    [sys.executable, "-c", SEES_GPU], capture_output=True, text=True
  )
  if done.stdout.strip() not in ("", "0"):
    yield Finding(
      "TensorFlow sees the GPU and would take its memory in the same process",
      "pip uninstall tensorflow, then pip install tensorflow-cpu",
      broken=False,
    )


def writable(workdir):
  """Whether a file can be made in the workdir, or in what will hold it."""
  folder = _existing(workdir)
  try:
    with tempfile.TemporaryFile(dir=folder):
      return
  except OSError as error:
    yield Finding(
      f"{folder} cannot be written ({error.strerror})",
      "give another --workdir, or change its owner or permissions",
    )


def disk(config, workdir):
  """Whether the checkpoints that stay, and one more, fit on the disk."""
  if config is None:
    return
  try:
    size = checkpoint_bytes(config)
  except (ImportError, InputError) as error:
    yield Finding(f"no model can be made: {error}", "change what it names")
    return
  need = (config.keep + 1) * size
  free = shutil.disk_usage(_existing(workdir)).free
  if free < need:
    yield Finding(
      f"{free / 2**30:.2f} GiB free for {workdir}, {config.keep} checkpoints "
      f"and the next one take {need / 2**30:.2f} GiB",
      "make room, lower --keep, or give a --workdir on another disk",
    )


def checkpoint_bytes(config):
  """Bytes of a step: parameters, and two moments of those that learn."""
  from fgclep_jax import optim
  from fgclep_jax.models import two_tower

  text = config.model.text
  pieces = BERT_PIECES if text.pretrained else text.vocabulary_size
  _, params = two_tower.abstract(config, pieces)
  names = [n for n in params if not two_tower.is_statistic(n)]
  still = optim.frozen_names(config.optim, names)
  return sum(
    math.prod(x.shape) * x.dtype.itemsize * (1 if name in still else 3)
    for name, x in params.items()
  )


def pickled(folder):
  """Files in a workdir that only pickle opens."""
  found = [p for p in _existing(folder).glob("*") if p.suffix in PICKLED]
  if found and pathlib.Path(folder).is_dir():
    yield Finding(
      f"{len(found)} files that only pickle reads, {found[0].name} first",
      "remove them: nothing of this project writes or reads such files",
      broken=False,
    )


def pretrained(folder):
  """Whether the weights of the text encoder are there as safetensors."""
  folder = pathlib.Path(folder)
  if not list(folder.glob("*.safetensors")):
    pickles = [p.name for p in folder.glob("*") if p.suffix in PICKLED]
    held = f", only {pickles[0]}, which is pickle" if pickles else ""
    yield Finding(
      f"no *.safetensors in model.text.pretrained={folder}{held}",
      "download the revision of the model that holds model.safetensors",
    )


def _no_devices(error):
  return Finding(
    f"JAX finds no device: {' '.join(str(error).split())[:200]}",
    "set JAX_PLATFORMS=cpu, or pip install 'fgclep_jax[gpu]' (or [tpu])",
  )


def _requirements(lines):
  if lines is None:
    lines = importlib.metadata.requires("fgclep_jax") or ()
  return [Requirement(line) for line in lines]


def _wrong(need, version):
  """Words on a requirement that is not met, or None."""
  try:
    have = version(need.name)
  except importlib.metadata.PackageNotFoundError:
    return "is missing"
  if need.specifier.contains(have, prereleases=True):
    return None
  return f"{have} does not fit {need.specifier}"


def _existing(path):
  """The folder itself, or the nearest one above it that exists."""
  path = pathlib.Path(path).absolute()
  return next(p for p in (path, *path.parents) if p.is_dir())
