"""TPUs: what a chip can do, and the slices of them that one can rent."""

import dataclasses

from fgclep_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Chip:
  """One chip, one device of JAX.

  Attributes:
    hbm: GB (2^30 bytes) of memory.
    peak: bfloat16 operations a second.
    clock: Hz of the matrix units. Peak and clock fit the units: 8 of
      128 x 128 (v4, v5p), 4 of them (v5e), 4 of 256 x 256 (v6e).
    mode: name of the chip's configuration, one device a chip.
    shapes: {chips: topology of the slice}.
  """

  hbm: float
  peak: float
  clock: float
  mode: str
  shapes: dict


FLAT = {
  1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8",
  128: "8x16", 256: "16x16",
}  # fmt: skip
SOLID = {
  4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4", 64: "4x4x4",
  128: "4x4x8", 256: "4x8x8", 512: "8x8x8", 1024: "8x8x16", 2048: "8x16x16",
}  # fmt: skip
# Source: cloud.google.com/tpu/docs, "system architecture" of each.
CHIPS = {
  "v4": Chip(32, 275e12, 1.05e9, "megacore", SOLID),
  "v5e": Chip(16, 197e12, 1.5e9, "default", FLAT),
  "v5p": Chip(95, 459e12, 1.75e9, "default", SOLID),
  "v6e": Chip(32, 918e12, 1.75e9, "default", FLAT),
}
# These are named after their cores, two a chip.
CORES = {"v4": 2, "v5p": 2}


@dataclasses.dataclass(frozen=True)
class Slice:
  """`v5e-8` and what it means.

  Attributes:
    name: as given.
    chip: `Chip`.
    chips: how many.
    topology: as libtpu names it, such as `v5e:2x4`.
    host: chips of a host along each axis.
  """

  name: str
  chip: Chip
  chips: int
  topology: str
  host: tuple[int, int, int]


def find(name):
  """`v5e-8`, `v5p-64` (cores, so 32 chips), ... -> `Slice`."""
  kind, _, size = name.partition("-")
  if kind not in CHIPS:
    raise InputError(
      f"--topology {name}: give one of {', '.join(CHIPS)} and a size, such "
      "as v5e-8"
    )
  chip, cores = CHIPS[kind], CORES.get(kind, 1)
  sizes = {str(cores * chips): chips for chips in chip.shapes}
  if size not in sizes:
    raise InputError(
      f"--topology {name}: sizes of {kind} are {', '.join(sizes)}"
    )
  chips = sizes[size]
  host = (1, 1, 1) if chips == 1 else (2, 2, 1)
  return Slice(name, chip, chips, f"{kind}:{chip.shapes[chips]}", host)
