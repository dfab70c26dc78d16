"""SIGTERM, SIGINT and SIGUSR1: save what is unsaved, then exit code 75.

Python calls a handler between two of its own instructions, and a compiler
works for minutes inside one of them. So the number of the signal goes through
a pipe to a thread that waits for it, and it is threads that save and leave.
"""

import contextlib
import os
import signal
import sys
import threading

from fgclep_jax.errors import InputError, RunError

RESUMABLE = 75  # exit code: interrupted, the same command goes on
# SLURM announces the end of a job with SIGUSR1, where it is asked to.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
AGAIN = "run the same command to go on"


class Stop:
  """Watches for signals, as a context manager around a whole command.

  Where the command is inside `leaving`, the first signal ends the process
  there; elsewhere it is noted in `asked`, and the command looks at that where
  it can stop. A second SIGTERM or SIGINT ends the process at once.

  Only the main thread of a program can watch; in another one nothing is done.
  """

  def __init__(self):
    self.asked = False
    self._leave, self._lock = None, threading.RLock()
    self._before = {}

  def __enter__(self):
    if threading.current_thread() is threading.main_thread():
      read, self._write = os.pipe()
      os.set_blocking(self._write, False)
      for number in SIGNALS:
        self._before[number] = signal.signal(number, _nothing)
      self._fd = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
      threading.Thread(
        target=self._watch, args=(read,), name="signals", daemon=True
      ).start()
    return self

  def __exit__(self, *_):
    if self._before:
      signal.set_wakeup_fd(self._fd)
      for number, handler in self._before.items():
        signal.signal(number, handler or signal.SIG_DFL)
      os.close(self._write)

  @contextlib.contextmanager
  def leaving(self, leave):
    """What a signal does inside, or has done just before.

    Args:
      leave: called by another thread while the block goes on, at whose end
        the block waits for it; returns the line to print before the process
        ends. None: the signal is noted, no more.
    """
    with self._lock:
      around, self._leave = self._leave, leave
      self._go()
    try:
      yield
    finally:
      with self._lock:
        self._leave = around

  def _watch(self, read):
    while number := os.read(read, 1):
      if number[0] not in SIGNALS:
        continue
      if not self.asked:
        self.asked = True
        threading.Thread(target=self._noted, daemon=True).start()
      elif number[0] != signal.SIGUSR1:
        os._exit(RESUMABLE)
    os.close(read)

  def _noted(self):
    with self._lock:
      self._go()

  def _go(self):
    """Ends the process, where it was asked to and may leave."""
    if not self.asked or self._leave is None:
      return
    code = RESUMABLE
    try:
      line = self._leave()
    except (InputError, RunError) as error:
      line, code = " ".join(str(error).split()), 1
    except BaseException:
      sys.excepthook(*sys.exc_info())
      line, code = "it could not be saved", 1
    print(f"fgclep: {line}", file=sys.stderr, flush=True)
    with contextlib.suppress(OSError, ValueError):
      sys.stdout.flush()
    os._exit(code)


def nothing_unsaved():
  """Of commands that keep what they have on the disk; see `Stop.leaving`."""
  return f"stopped, nothing is lost: {AGAIN}"


def _nothing(number, frame):
  """A handler, for without one the signal would end the process."""
