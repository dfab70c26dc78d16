"""The training program: evaluate, save, draw a batch, step, write."""

import contextlib
import errno
import shutil

import jax
import numpy as np

from fgclep_jax import config as config_lib
from fgclep_jax import stopping
from fgclep_jax.errors import Interrupted, RunError
from fgclep_jax.training import (
  checkpoint,
  holding,
  processes,
  setup,
  validate,
)
from fgclep_jax.training.faults import Faults
from fgclep_jax.training.goodput import Clock, Goodput, Timer, Watchdog
from fgclep_jax.training.writer import Writer

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def train(config, workdir, data_dir, say=print, devices=None, stop=None):
  """Trains, or goes on with, the run of `workdir`.

  Args:
    config: `config.TrainConfig`.
    workdir: gets `checkpoints/`, `metrics.jsonl`, `config.json` and
      `goodput.json`; `nonfinite.jsonl` and `unreadable.jsonl` where there is
      something to tell, see `faults`.
    data_dir: folder of built datasets.
    say: prints one line.
    devices: list of devices of the mesh; None takes all.
    stop: `stopping.Stop` of the command; None watches here alone.

  Returns:
    {name: value} of the last validation.

  Raises:
    InputError: a config, dataset or checkpoint that does not fit.
    RunError: a step could not be saved, too many steps were not finite, or
      no space is left.
    Interrupted: after a signal, when all is saved. Where that can be long in
      coming the process ends itself, see `stopping`.
  """
  if not processes.first():
    say = _nothing
  processes.same(config=config_lib.to_dict(config))
  setup.check_resumable(config, workdir)
  with (
    _no_space_told(workdir),
    Goodput(workdir, Interrupted) as spent,
    Watchdog(config.stall_seconds, spent) as watchdog,
    contextlib.nullcontext(stop) if stop else stopping.Stop() as stop,
    stop.leaving(_leave_at_once(spent)),
  ):
    run = setup.prepare(config, workdir, data_dir, devices)
    _announce(run, say)
    with checkpoint.Checkpoints(workdir, config.keep) as saved:
      state = _first_state(run, saved, spent, say)
      with spent.inside("restore"):
        run = setup.with_cache(run, state.params, say)
      with spent.inside("data"):
        run = holding.hold(run, say)
      with stop.leaving(None):
        loop = _Loop(run, workdir, saved, stop, spent, watchdog, state)
        try:
          found = loop.go_on(state)
        finally:
          loop.close()
      if line := loop.faults.summary():
        say(line)
  return found


def _leave_at_once(spent):
  """What a signal does before the first step, see `stopping`.

  Several processes stop together: they learn of it when the first is done.
  """

  def leave():
    with contextlib.suppress(OSError):
      spent.write("interrupted")
    return stopping.nothing_unsaved()

  return leave if processes.alone() else None


def _first_state(run, saved, spent, say):
  with spent.inside("restore"):
    step = saved.latest
    processes.same(newest_step_in_its_workdir=step)
    if step is None:
      return setup.initial_state(run)
    state = setup.restored_state(run, saved, step)
  say(f"resumed at step {step} of {run.total}")
  return state


def _nothing(_):
  """Says nothing: another process speaks."""


@contextlib.contextmanager
def _no_space_told(workdir):
  """A full disk ends the run with one line."""
  try:
    yield
  except OSError as error:
    if error.errno not in NO_SPACE:
      raise
    free = shutil.disk_usage(workdir).free / 2**30
    raise RunError(
      f"{workdir} cannot be written, {free:.1f} GiB free: {error}; make room, "
      "the same command goes on from the last step saved"
    ) from error


class _Loop:
  """Steps, and what is done between them; see `train` for the parts."""

  def __init__(self, run, workdir, saved, stop, spent, watchdog, state):
    self._run, self._saved, self._stop = run, saved, stop
    self._spent, self._watchdog = spent, watchdog
    self._first = spent.first_step = spent.step = int(state.step)
    size = run.config.data.batch_size
    self._writer = Writer(workdir, self._first, run.total, size)
    most = run.config.max_skipped_in_a_row
    self.faults = Faults(workdir, self._first, most, run.train)
    self._clock = Clock(spent)
    self._timer = Timer(run.config.save_every_minutes)
    self._pending, self._shapes, self._newest = [], set(), self._first

  def go_on(self, state):
    """Trains to the end, or until asked to stop; the last validation."""
    run, config, found = self._run, self._run.config, {}
    stream = run.train.stream(self._first, run.total)
    for step in range(self._first, run.total + 1):
      over = step == run.total
      validated = over or self._due(step, config.validate_every)
      validated = validated or self._unvalidated(step)
      logged = validated or self._due(step, config.log_every)
      saved = self._due(step, config.save_every)
      asked, late = self._asked(logged or saved)
      saved = saved or (late and step > self._first)
      last = asked or over
      if validated:
        with self._spent.inside("evaluate"), self._leaving(state):
          found = validate.validate(run, state.params)
      if last or logged or saved:  # a saved step has its line
        self._write(found if validated else {})
      self._saved.check()
      if saved or last:
        self._save(state)
      if last:
        break
      state = self._step(state, stream)
    with self._spent.inside("save"):
      self._saved.wait()
    if int(state.step) < run.total:
      raise Interrupted(self._stopped(state))
    return found

  def close(self):
    self._writer.close()
    self.faults.close()

  def _stopped(self, state):
    step, total = int(state.step), self._run.total
    return f"stopped at step {step} of {total}, saved: {stopping.AGAIN}"

  def _leaving(self, state):
    """A signal inside saves `state` and ends the process, see `stopping`.

    Several processes stop together, where they meet anyway.
    """

    def leave():
      self._write({})
      self._save(state)
      self._saved.wait()
      self.close()
      self._spent.write("interrupted")
      return self._stopped(state)

    return self._stop.leaving(leave if processes.alone() else None)

  def _due(self, step, every):
    return step > self._first and bool(every) and step % every == 0

  def _unvalidated(self, step):
    """Whether the step gone on from was left before it was validated."""
    every = self._run.config.validate_every
    due = step == self._first > 0 and bool(every) and step % every == 0
    return due and not self._writer.validated

  def _asked(self, waited_for):
    """Whether to stop here, and whether it is time to save.

    One process decides for all, where they wait for each other anyway. What
    a host could not read is told to the others on this occasion.
    """
    asked, late = self._stop.asked, self._timer.late
    if processes.alone():
      return asked, late
    if not waited_for:
      return False, False
    with self._spent.inside("step"):
      asked, late, unreadable = processes.agree(
        asked, late, self._run.train.unreadable
      )
    self._run.train.learn(unreadable)
    return asked, late

  def _step(self, state, stream):
    """Draws a batch and starts one step; its metrics are fetched later."""
    with self._spent.inside("data"), self._leaving(state):
      batch = next(stream)
    records = batch.pop("records")
    run, shapes = self._run, tuple(x.shape for x in batch.values())
    new = shapes not in self._shapes
    self._shapes.add(shapes)
    with self._spent.inside("compile" if new else "step"):
      batch = holding.put(run, batch, records)
      given = state, batch, run.semantics, run.cache
      if new:  # the call below finds what is compiled here
        with self._leaving(state):
          run.step.lower(*given).compile()
      state, metrics = run.step(*given)
    self._spent.step += 1
    self._pending.append((self._spent.step, metrics, records))
    self._watchdog.beat()
    return state

  def _save(self, state):
    """Starts to save a step, unless it is the newest on the disk."""
    if self._spent.step == self._newest:
      return
    self._newest = self._spent.step
    self._writer.flush()
    with self._spent.inside("save"):
      self._saved.save(state, self._run.meta)
    self._timer.start()
    self._spent.write()

  def _write(self, found):
    """Fetches and writes the steps since the last time, one line each."""
    if not self._pending:
      self._writer.add(found)
      return
    steps, waiting, records = zip(*self._pending, strict=True)
    self._pending = []
    with self._spent.inside("step"):
      fetched = jax.device_get(waiting)
    rows = [
      {name: np.asarray(x).item() for name, x in metrics.items()}
      for metrics in fetched
    ]
    rows[-1] |= found | self._clock.look(len(rows), self._writer.examples)
    rows[-1]["compiled_shapes"] = len(self._shapes)
    for step, values, held in zip(steps, rows, records, strict=True):
      more = self.faults.note(step, values, held)
      self._writer.write(step, values | more)
    self._writer.progress(steps[-1], rows[-1])
    self.faults.check(steps[-1])


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
  count = jax.process_count()
  among = f" of {count} processes" if count > 1 else ""
  say(
    f"{run.mesh.size} devices ({run.mesh.shape['data']} x "
    f"{run.mesh.shape['fsdp']}){among}, {run.total} steps of "
    f"{train.config.batch_size} records"
  )
