"""The training program: evaluate, save, draw a batch, step, write."""

import contextlib
import signal
import threading
import time

import jax
import numpy as np

from fgclep_jax import sharding
from fgclep_jax.training import checkpoint, setup, validate
from fgclep_jax.training.writer import Writer


class Interrupted(Exception):
  """The run was asked to stop; its state is saved and can be continued."""


def train(config, workdir, data_dir, say=print, devices=None):
  """Trains, or goes on with, the run of `workdir`.

  Args:
    config: `config.TrainConfig`.
    workdir: gets `checkpoints/`, `metrics.jsonl` and `config.json`.
    data_dir: folder of built datasets.
    say: prints one line.
    devices: list of devices of the mesh; None takes all.

  Returns:
    {name: value} of the last validation.

  Raises:
    InputError: a config, dataset or checkpoint that does not fit.
    Interrupted: after SIGTERM or SIGINT, when all is saved.
  """
  setup.check_resumable(config, workdir)
  run = setup.prepare(config, workdir, data_dir, devices)
  _announce(run, say)
  with checkpoint.Checkpoints(workdir, config.keep) as saved, _Stop() as stop:
    if saved.latest is None:
      state = setup.initial_state(run)
    else:
      state = setup.restored_state(run, saved, saved.latest)
      say(f"resumed at step {saved.latest} of {run.total}")
    return _steps(run, state, workdir, saved, stop)


def _steps(run, state, workdir, saved, stop):
  """The loop itself; returns the last validation."""
  config = run.config
  first = int(state.step)
  writer = Writer(workdir, first, run.total, config.data.batch_size)
  stream = run.train.stream(first, run.total)
  clock, pending, found = _Clock(), [], {}
  try:
    for step in range(first, run.total + 1):
      last = step == run.total or stop.asked
      validated = step == run.total or _due(step, first, config.validate_every)
      if validated:
        found = validate.validate(run, state.params)
      if last or validated or _due(step, first, config.log_every):
        _write(writer, pending, found if validated else {}, clock)
      if step > first and (last or step % config.save_every == 0):
        writer.flush()
        saved.save(state, run.meta)
      if last:
        break
      with clock.waiting():
        batch = next(stream)
      batch.pop("records")
      state, metrics = run.step(
        state, sharding.put(run.mesh, batch), run.semantics
      )
      pending.append((step + 1, metrics))
    saved.wait()
  finally:
    writer.close()
  if int(state.step) < run.total:
    raise Interrupted(
      f"stopped at step {int(state.step)} of {run.total}, saved: run the "
      "same command to go on"
    )
  return found


def _due(step, first, every):
  return step > first and bool(every) and step % every == 0


def _write(writer, pending, found, clock):
  """Fetches and writes the steps since the last time, one line each."""
  if not pending:
    return
  rows = [
    {name: np.asarray(x).item() for name, x in metrics.items()}
    for _, metrics in jax.device_get(pending)
  ]
  rows[-1] |= found | clock.look(len(rows), writer.examples)
  for (step, _), values in zip(pending, rows, strict=True):
    writer.write(step, values)
  writer.progress(pending[-1][0], rows[-1])
  pending.clear()


def _announce(run, say):
  train, about = run.train, run.meta["trained_on"]
  say(
    f"{about['dataset']}/{about['config']} {about['split']}: "
    f"{about['records']} records to train on, {about['without_text']} "
    f"without text left out, {about['texts']} distinct texts "
    f"({about['texts_truncated']} cut at "
    f"{run.config.model.text.max_tokens} word pieces), "
    f"{len(run.valid[1])} records to validate on"
  )
  say(
    f"{run.mesh.size} devices ({run.mesh.shape['data']} x "
    f"{run.mesh.shape['fsdp']}), {run.total} steps of "
    f"{train.config.batch_size} records"
  )


class _Clock:
  """Examples per second, and the share of the time spent on data."""

  def __init__(self):
    self._start, self._waited = time.monotonic(), 0.0

  @contextlib.contextmanager
  def waiting(self):
    """Counts the time inside as waiting for data."""
    start = time.monotonic()
    yield
    self._waited += time.monotonic() - start

  def look(self, steps, examples):
    """Wall-clock metrics of the `steps` since the last look."""
    now = time.monotonic()
    taken = max(now - self._start, 1e-9)
    found = {
      "seconds_per_step": taken / steps,
      "examples_per_second": steps * examples / taken,
      "data_wait": self._waited / taken,
    }
    self._start, self._waited = now, 0.0
    return found


class _Stop:
  """Notes SIGTERM and SIGINT; a second signal ends the process at once."""

  def __init__(self):
    self.asked = False
    self._before = {}

  def __enter__(self):
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGTERM, signal.SIGINT):
        self._before[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *_):
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _note(self, number, _):
    if self.asked:
      signal.signal(number, signal.SIG_DFL)
      signal.raise_signal(number)
    self.asked = True
