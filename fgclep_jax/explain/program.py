"""The command `fgclep explain`."""

import math
import os
import pathlib

import numpy as np

from fgclep_jax import inference
from fgclep_jax.errors import InputError
from fgclep_jax.explain import maps
from fgclep_jax.signals import leads, plot

LIMIT = 0.2
"""Mean |rho| above which a map does not show what was learned."""
UNTRAINED = 5
_WIDEST = 120  # letters of a statement that are shown
_METHODS = {
  "occlusion": "occlusion, fall of the cosine where one lead is flat for one "
  "second",
  "attention": "attention, weights of the statement over tokens",
  "transport": "transport, plan of the statement over tokens",
}


def run(
  workdir, record, statement, out, method=None, seed=0, step=None, say=print
):
  """Draws a record with a statement's leads and seconds shaded.

  Args:
    workdir: of `fgclep train`, or an export.
    record: path of a WFDB record, with or without `.hea`.
    statement: the text.
    out: the picture to write.
    method: see `maps.explain`.
    seed: first of the untrained weights.
    step: checkpoint; None takes the newest.
    say: prints one line.

  Returns:
    maps.Map, and (UNTRAINED,) rho of the weight-randomisation check.

  Raises:
    InputError: a file, the statement or the method is not as needed.
  """
  _check(statement, out)
  name, found, absent = plot.read(record)
  model = inference.load(workdir, step)

  def explain(model):
    return maps.explain(model, found.signal, found.rate, statement, method)

  drawn = explain(model)
  others = maps.untrained(model, seed, UNTRAINED)
  rho = maps.randomised(drawn, [explain(other) for other in others])
  lines = describe(drawn, rho)
  for line in lines:
    say(line)
  shading = plot.Shading(drawn.shading, drawn.edges, _legend_name(drawn), lines)
  plot.write(found.signal, found.rate, name, out, absent, shading=shading)
  say(f"drawn: {out}")
  return drawn, rho


def describe(drawn, rho):
  """Lines on what is shaded, and on what the check says of it."""
  lines = [
    f'statement "{drawn.statement[:_WIDEST]}": cosine {drawn.cosine:.2f}',
    f"shaded: {_METHODS[drawn.method]}; {_most(drawn)}",
    *check_lines(rho, int(np.isfinite(drawn.values).sum())),
  ]
  return tuple(lines)


def check_lines(rho, places):
  """Two lines: the rank correlations, and what they mean.

  Args:
    rho: (n,) of `maps.randomised`.
    places: of the map; two unrelated maps have a mean |rho| of about
      sqrt(2 / (pi (places - 1))).
  """
  mean = np.abs(rho).mean()
  chance = math.sqrt(2 / (math.pi * max(places - 1, 1)))
  values = " ".join(f"{value:.2f}" for value in rho)
  verdict = (
    f"above {LIMIT:g}: untrained weights draw much the same map, which so does "
    "not show what was learned; do not read it"
    if mean > LIMIT
    else f"not above {LIMIT:g}: not a map that untrained weights draw, as must "
    "be where it shows what was learned; no proof that it does"
  )
  return (
    f"weight randomisation: Spearman's rho with {len(rho)} untrained models "
    f"{values}; mean |rho| {mean:.2f}, unrelated maps {chance:.2f}",
    verdict,
  )


def _most(drawn):
  """Words on the largest share of the shading."""
  shares = drawn.lead_shares
  if not shares.any():
    return "nothing: no place that is left out lowers the cosine"
  if len(shares) == 1:
    return "by seconds alone, as the tokens of this encoder cover all leads"
  best = int(shares.argmax())
  return (
    f"most on {leads.LEADS[best]}, {100 * shares[best]:.0f} % of the shading"
  )


def _legend_name(drawn):
  return "fall of the cosine" if drawn.method == "occlusion" else "weight"


def _check(statement, out):
  """Everything that can be known before the model is read."""
  plot.check_picture(out)
  folder = pathlib.Path(out).parent
  if not os.path.isdir(folder):
    raise InputError(f"{out}: no folder {folder}; make it first")
  if not statement.strip():
    raise InputError("--statement is empty: give a text")
