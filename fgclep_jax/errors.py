"""The one error type that every program turns into a single line."""


class InputError(ValueError):
  """Bad input: says what was given and what to do about it.

  Programs print the message without a traceback and exit with code 2.
  """
