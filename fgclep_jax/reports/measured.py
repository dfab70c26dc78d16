"""Waveform features that a statement gives as a number ("PR 240 ms")."""

import re

from fgclep_jax.reports import features

# Quantity -> wave and unit of the features that set it a limit.
_QUANTITIES = {
  "atrial rate": ("P", "bpm"),
  "rate": ("rate", "bpm"),
  "p(?:[- ]wave)? duration": ("P", "ms"),
  "pr(?: interval)?": ("PR", "ms"),
  "qrs(?: duration)?": ("QRS", "ms"),
  "qtc(?: interval)?": ("QT", "ms"),
  "r-?r(?: interval)?": ("rhythm", "ms"),
}
_SIGNS = {
  ">": r">|above|over|(?:more|greater) than",
  "<": r"<|below|under|less than",
}
_MEASURED = re.compile(
  r"(?<![\w-])(?:"
  + "|".join(f"({name})" for name in _QUANTITIES)
  + r")(?:\s*(?:is|of|at|=|\())*\s*"
  + "(?:"
  + "|".join(rf"(?:({words}))\s*" for words in _SIGNS.values())
  + r")?(\d+(?:\.\d+)?)\s*(ms|s)?"
)
_SECONDS_BELOW = 10
"""A time without unit is in seconds below this, else in milliseconds."""


def measured(text):
  """Returns the set of features that numbers in a text bring about.

  Of features with the same bound and several limits the one nearest to the
  number is given: a PR interval of 320 ms is "PR interval > 300 ms".

  Args:
    text: lower case.
  """
  names = set()
  for found in _MEASURED.finditer(text):
    *quantities, above, below, number, unit = found.groups()
    index = next(i for i, words in enumerate(quantities) if words)
    wave, kind = tuple(_QUANTITIES.values())[index]
    value = float(number)
    if kind == "ms" and (unit == "s" or (not unit and value < _SECONDS_BELOW)):
      value *= 1000
    if not below:
      names |= _beyond(wave, kind, ">", value, strict=not above)
    if not above:
      names |= _beyond(wave, kind, "<", value, strict=not below)
  return names


def _beyond(wave, unit, sign, value, strict):
  """The feature whose limit a value passes and comes nearest to."""
  direction = 1 if sign == ">" else -1
  passed = [
    (direction * feature.limit[1], feature.name)
    for feature in features.VOCABULARY
    if feature.wave == wave
    and not feature.leads
    and feature.limit
    and feature.limit[0] == sign
    and feature.limit[2] == unit
    and (
      direction * value > direction * feature.limit[1]
      or (value == feature.limit[1] and not strict)
    )
  ]
  return {max(passed)[1]} if passed else set()
