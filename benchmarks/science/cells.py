"""The runs of the claims table: one factor at a time from the default."""

import dataclasses

DEFAULT = "default"
REPORTED = "reports as stated"
PLANTED = (0.0, 0.2, 0.4)  # shares of wrong candidates added on purpose


@dataclasses.dataclass(frozen=True)
class Cell:
  """One way of training, run once for every seed.

  Attributes:
    name: of the cell, and with "-" for spaces of its folder.
    factor: what it varies.
    against: cell it is compared with, "" for a control.
    changes: {field: value} of `config.override`, from
      `configs/simulated.py:coarse`, or from `:fine` where `features` is given.
    features: "" for a first stage; else what the second stage learns from:
      `stated`, `all`, `verified` or `true` features.
    planted: share of wrong candidates.
  """

  name: str
  factor: str
  against: str
  changes: tuple = ()
  features: str = ""
  planted: float = 0.0

  @property
  def folder(self):
    return self.name.replace(" ", "-")


def _first_stage():
  """Cells of one training each."""
  yield Cell(DEFAULT, "", "")
  for name, changes in (
    ("soft labels, rule pair", {"loss.rule": "pair"}),
    ("soft labels, rule report", {"loss.rule": "report"}),
    ("CLIP softmax", {"loss.name": "softmax"}),
  ):
    yield Cell(name, "labels", DEFAULT, tuple(changes.items()))
  for rule in ("pair", "report"):
    yield Cell(
      f"rule {rule}, frozen similarity",
      "similarity",
      f"soft labels, rule {rule}",
      (("loss.rule", rule), ("loss.similarity", "frozen")),
    )
  yield Cell("without bias", "bias", DEFAULT, (("loss.bias", "None"),))
  yield Cell(
    "soft labels without bias, as published",
    "bias",
    "soft labels, rule pair",
    (("loss.bias", "None"), ("loss.rule", "pair")),
  )
  yield Cell(
    "sum over pairs", "multiplicity", DEFAULT, (("loss.multiplicity", "1.0"),)
  )
  mean = ("model.ecg.pool", "mean")
  pooled = "pooled by the mean alone"
  yield Cell(pooled, "alignment", DEFAULT, (mean,))
  yield Cell(
    "attention", "alignment", pooled, (mean, ("model.alignment", "attention"))
  )
  for eps, tau in ((0.1, 1.0), (0.1, 0.1), (0.05, 0.2), (0.02, 0.02)):
    yield Cell(
      f"transport, eps {eps:g}, tau {tau:g}",
      "alignment",
      pooled,
      (
        mean,
        ("model.alignment", "transport"),
        ("model.transport.eps", str(eps)),
        ("model.transport.tau", str(tau)),
      ),
    )


def _second_stage():
  """Cells that go on from the default of the same seed."""
  yield Cell(REPORTED, "second stage", DEFAULT, features="stated")
  yield Cell("true features", "features", REPORTED, features="true")
  for share in PLANTED:
    wrong = f"{share:.0%} planted"
    everything = f"all candidates, {wrong}"
    yield Cell(
      everything, "features", REPORTED, features="all", planted=share
    )
    yield Cell(
      f"verified, {wrong}", "verification", everything,
      features="verified", planted=share,
    )  # fmt: skip


CELLS = (*_first_stage(), *_second_stage())


def find(names):
  """Cells by name or factor, what they go on from included; all for none."""
  if not names:
    return CELLS
  known = {cell.name for cell in CELLS} | {cell.factor for cell in CELLS}
  if unknown := sorted(set(names) - known):
    raise ValueError(f"no cell or factor {', '.join(unknown)}")
  wanted = {c.name for c in CELLS if {c.name, c.factor} & set(names)}
  while True:
    more = {c.against for c in CELLS if c.name in wanted and c.against}
    if any(c.features for c in CELLS if c.name in wanted):
      more.add(DEFAULT)
    if more <= wanted:
      return tuple(cell for cell in CELLS if cell.name in wanted)
    wanted |= more
