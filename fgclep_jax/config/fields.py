"""Fields of nested dataclasses: by dotted name, values of declared type."""

import dataclasses
import json
import types
import typing

from fgclep_jax.errors import InputError


def flatten(config, prefix=""):
  """Returns {dotted name: value} of all leaves, in declared order."""
  leaves = {}
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if dataclasses.is_dataclass(value):
      leaves |= flatten(value, f"{prefix}{field.name}.")
    else:
      leaves[prefix + field.name] = value
  return leaves


def convert(value, hint, name):
  """Turns a JSON value or command-line text into the declared type.

  Args:
    value: what was given.
    hint: type of the field, as `typing.get_type_hints` has it.
    name: dotted, for the message.

  Raises:
    InputError: it is no such value.
  """
  if isinstance(hint, types.UnionType):  # X | None
    if value is None or value in ("none", "None", "null"):
      return None
    hint = next(arg for arg in hint.__args__ if arg is not type(None))
  try:
    if hint is str and isinstance(value, str):
      return value
    if isinstance(value, str):
      value = json.loads(value.lower() if hint is bool else value)
    if hint is bool and isinstance(value, bool):
      return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
      return value
    if (
      hint is float
      and isinstance(value, (int, float))
      and not isinstance(value, bool)
      and value == value  # no NaN: it would not equal itself at a restart
    ):
      return float(value)
    if typing.get_origin(hint) is tuple and isinstance(value, (list, tuple)):
      inner = typing.get_args(hint)
      if inner[-1] is Ellipsis:
        return tuple(convert(item, inner[0], name) for item in value)
      if len(inner) == len(value):
        pairs = zip(value, inner, strict=True)
        return tuple(convert(item, kind, name) for item, kind in pairs)
  except (ValueError, OverflowError, RecursionError) as error:
    if isinstance(error, InputError):  # of a value within
      raise
  if hint is float:
    raise InputError(f"{name}={value!r}: give a number")
  kind = getattr(hint, "__name__", str(hint))
  raise InputError(f"{name}={value!r}: give a value of type {kind}")
