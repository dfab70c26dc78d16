"""Names of parameters, and rules that pick parameters by name.

Parameters are flat dicts {dotted name: array}; optimizer states are trees.
"""

import re

import jax


def flat(tree):
  """Returns {dotted name: leaf} of any tree, in tree order."""
  leaves, _ = jax.tree.flatten_with_path(tree)
  return {_name(path): leaf for path, leaf in leaves}


def first_match(name, rules, default):
  """Value of the first (expression, value) whose expression is in `name`."""
  for expression, value in rules:
    if re.search(expression, name):
      return value
  return default


def mismatches(found, expected):
  """Lists every leaf that differs in presence, shape or dtype.

  Args:
    found: {name: leaf with .shape and .dtype}.
    expected: likewise.

  Returns:
    Lines `name: found ..., expected ...`, sorted by name.
  """
  lines = []
  for name in sorted(found.keys() | expected.keys()):
    have, want = _spec(found.get(name)), _spec(expected.get(name))
    if have != want:
      lines.append(f"{name}: found {have}, expected {want}")
  return lines


def _spec(leaf):
  if leaf is None:
    return "nothing"
  return f"{leaf.dtype}{list(leaf.shape)}"


def _name(path):
  return ".".join(
    str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key))))
    for key in path
  )
