"""Long calls into a compiler that signals can end."""

import signal
import threading


class Interrupted(Exception):
  """SIGTERM or SIGINT came; the call still runs, the process must end."""


def call(function):
  """Returns `function()`, run in a thread.

  Python notices a signal only between its own instructions, and a compiler
  runs for minutes between two of them: so the main thread only waits.
  """
  outcome = {}

  def run():
    try:
      outcome["value"] = function()
    except BaseException as error:
      outcome["error"] = error

  before = {
    number: signal.signal(number, _raise)
    for number in (signal.SIGTERM, signal.SIGINT)
  }
  thread = threading.Thread(target=run, daemon=True)
  try:
    thread.start()
    while thread.is_alive():
      thread.join(0.2)
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
  if "error" in outcome:
    raise outcome["error"]
  return outcome["value"]


def _raise(number, _):
  raise Interrupted(f"stopped by {signal.Signals(number).name}")
