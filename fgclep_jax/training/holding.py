"""Signals on their way to the step, or all of them there beforehand.

With `data.hold=device` the signals of all records to train on lie on the
devices as int16, split among them by record: nothing but record numbers goes
there at a step. Each device adds to a batch what it holds of it and sends
(D - 1) / D of the batch's bytes to the D - 1 others.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from fgclep_jax import sharding
from fgclep_jax.errors import InputError
from fgclep_jax.signals import leads
from fgclep_jax.training import processes

CHUNK = 1024  # records that are read and sent at once
SHARE = 0.9  # of the memory that is free; the rest is the step's


@dataclasses.dataclass(frozen=True)
class Held:
  """The signals of a training set on a mesh.

  Attributes:
    signals: (N, 12, T) int16 microvolts, split over all devices; rows of
      zeros make N divisible by them.
    positions: (n,) int64 of the split, ascending, which row i holds.
  """

  signals: jax.Array
  positions: np.ndarray

  def places(self, records):
    """(B,) int32 rows of positions of the split."""
    return np.searchsorted(self.positions, records).astype(np.int32)


def hold(run, say):
  """Puts the signals on the devices where `data.hold` says so.

  Each process reads what its devices hold. What cannot be read is known to
  all of them before the first step.

  Args:
    run: `setup.Run`. say: prints one line.

  Returns:
    `setup.Run`, whose step then takes batches as `put` makes them.

  Raises:
    InputError: it does not fit; or too many records cannot be read.
  """
  train, mesh = run.train, run.mesh
  if run.config.data.hold != "device":
    return run
  positions = np.union1d(train.records, train.before)
  count = -(-len(positions) // mesh.size) * mesh.size
  shape = (count, leads.COUNT, train.samples)
  size = int(np.prod(shape, dtype=np.int64)) * 2 // mesh.size
  _check_room(size, len(positions), shape, mesh, run.config.data.device_gib)
  where = sharding.batch(mesh)
  parts = [
    _filled(train, device, positions, rows[0].indices(count), shape)
    for device, rows in where.addressable_devices_indices_map(shape).items()
  ]
  signals = jax.make_array_from_single_device_arrays(shape, where, parts)
  train.learn(processes.agree(False, False, train.unreadable)[-1])
  train.reads = False
  say(
    f"{len(positions)} records held on {mesh.size} devices, "
    f"{size / 2**30:.2f} GiB each"
  )
  held = Held(signals, positions)
  return dataclasses.replace(run, held=held, step=_gathering(run.step, mesh))


def put(run, batch, records):
  """Puts a batch of `data.batches.Batches` on the mesh.

  Args:
    run: `setup.Run`, after `hold`.
    batch: {name: array}, without `records`.
    records: (B,) positions in the split.

  Returns:
    {name: array}, what `run.step` takes.
  """
  if run.held is None:
    ecg = batch.pop("ecg")
    ecg = sharding.put_rows(run.mesh, ecg, run.train.rows, len(records))
    return sharding.put(run.mesh, batch) | {"ecg": ecg}
  places = run.held.places(records)
  return sharding.put(run.mesh, batch) | {
    "held": run.held.signals,
    "places": sharding.place(places, sharding.replicated(run.mesh)),
  }


def gather(mesh, signals, places):
  """(B, 12, T) int16 of rows (B,) of (N, 12, T), both split over the mesh."""

  def part(own, places):
    places = places - jax.lax.axis_index(sharding.AXES) * len(own)
    here = (places >= 0) & (places < len(own))
    found = own[jnp.where(here, places, 0)]
    found = jnp.where(here[:, None, None], found, 0)
    return jax.lax.psum_scatter(found, sharding.AXES, tiled=True)

  if mesh.size == 1:
    return signals[places]
  rows = P(sharding.AXES)
  return jax.shard_map(part, mesh=mesh, in_specs=(rows, P()), out_specs=rows)(
    signals, places
  )


def _gathering(step, mesh):
  """A step whose batches name places among the signals that are held."""

  def gathered(state, batch, *more):
    batch = dict(batch)
    ecg = gather(mesh, batch.pop("held"), batch.pop("places"))
    return step(state, batch | {"ecg": ecg}, *more)

  return jax.jit(gathered, donate_argnums=0)


def _filled(train, device, positions, rows, shape):
  """The rows of one device, a chunk at a time: no copy of all on the host."""
  start, stop, _ = rows
  out = jnp.zeros((stop - start, *shape[1:]), jnp.int16, device=device)
  first = 0
  for chunk in train.signals(positions[start:stop], CHUNK):
    out = _write(out, jax.device_put(chunk, device), first)
    first += len(chunk)
  return out


@jax.jit(donate_argnums=0)
def _write(out, chunk, first):
  return jax.lax.dynamic_update_slice(out, chunk, (first, 0, 0))


def _check_room(size, count, shape, mesh, given):
  """Raises InputError when `size` bytes do not fit on a device."""
  found = [device.memory_stats() or {} for device in mesh.local_devices]
  what = f"data.hold=device: {count} records of 12 x {shape[2]} int16"
  if given:
    room = given * 2**30
  elif all("bytes_limit" in stats for stats in found):
    free = (x["bytes_limit"] - x.get("bytes_in_use", 0) for x in found)
    room = SHARE * min(free)
  else:
    raise InputError(
      f"{what}, {size / 2**30:.3g} GiB a device, on devices that do not say "
      "how much they have: give data.device-gib"
    )
  if size > room:
    raise InputError(
      f"{what} take {size / 2**30:.3g} GiB on each of {mesh.size} devices, "
      f"more than the {room / 2**30:.3g} GiB there: take more devices, a lower "
      "data.rate, or data.hold=host"
    )
