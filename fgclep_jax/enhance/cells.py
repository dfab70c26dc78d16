"""What stands in the cells and sentences of the report, as HTML."""

from fgclep_jax.evaluation.page import text


def at(block, *keys):
  """The value under nested keys, None where any is missing."""
  for key in keys:
    if not isinstance(block, dict):
      return None
    block = block.get(key)
  return block


def count(number):
  """`12,345`; None is a dash."""
  return text(f"{number:,}" if isinstance(number, int) else number)


def total(numbers):
  """Sum of the known values of a dict, None where there are none."""
  known = [n for n in (numbers or {}).values() if n is not None]
  return sum(known) if known else None


def share(value):
  """`61.2 %`; None is a dash."""
  return "&ndash;" if value is None else f"{100 * value:.1f} %"


def score(value):
  """A score or any other value, floats to three digits."""
  return text(f"{value:.3g}" if isinstance(value, float) else value)


def row(cells, kind=""):
  """A table row of HTML cells; `kind` is its CSS class."""
  kind = f" class='{kind}'" if kind else ""
  return f"<tr{kind}><td>{'</td><td>'.join(cells)}</td></tr>"


def bar(value):
  """A share drawn as a bar, with its number."""
  if value is None:
    return "&ndash;"
  return (
    f"<span class='bar'><i style='width:{100 * value:.0f}%'></i></span>"
    f"{100 * value:.1f}"
  )


def unit(verification):
  """What a score is under the verification in use."""
  method = (verification or {}).get("method")
  return "probability of presence" if method == "calibrated" else "cosine"
