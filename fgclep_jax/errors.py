"""The error types that every program turns into a single line."""


class InputError(ValueError):
  """Bad input: says what was given and what to do about it.

  Programs print the message without a traceback and exit with code 2.
  """


class Interrupted(Exception):
  """A command was asked to stop, or has to; what it has is saved.

  Programs print the message without a traceback and exit with code 75: the
  same command goes on.
  """


class RunError(RuntimeError):
  """A run cannot go on, though what it was given was right.

  Programs print the message without a traceback and exit with code 1.
  """
