"""The device mesh, and where arrays live on it."""

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from fgclep_jax.errors import InputError

AXES = ("data", "fsdp")
# Smaller parameters are kept whole on every device.
FSDP_LEAST = 2**14


def make_mesh(config, devices=None):
  """Makes the data x fsdp mesh.

  Args:
    config: `config.MeshConfig`; one axis may be -1, "what is left".
    devices: list of devices, by default all.

  Returns:
    A `jax.sharding.Mesh` over exactly these devices.
  """
  devices = jax.devices() if devices is None else list(devices)
  data, fsdp = config.data, config.fsdp
  if data == -1 and fsdp > 0:
    data = len(devices) // fsdp
  elif fsdp == -1 and data > 0:
    fsdp = len(devices) // data
  if data * fsdp != len(devices) or data < 1 or fsdp < 1:
    raise InputError(
      f"mesh {config.data} x {config.fsdp} on {len(devices)} devices: "
      "mesh.data times mesh.fsdp must be the number of devices"
    )
  if (slices := _slices(config.slices, devices)) > 1:
    return jax.sharding.Mesh(
      hybrid(devices, data, fsdp, slices),
      AXES,
      axis_types=(AxisType.Auto,) * 2,
    )
  return jax.make_mesh(
    (data, fsdp), AXES, axis_types=(AxisType.Auto,) * 2, devices=devices
  )


def _slices(wanted, devices):
  """How many groups of devices a slower network connects."""
  found = len({getattr(device, "slice_index", 0) for device in devices})
  processes = len({device.process_index for device in devices})
  if wanted in (0, found):
    return found
  if found > 1 or wanted not in (1, processes):
    raise InputError(
      f"mesh.slices={wanted} on {found} slices of {processes} processes: give "
      "0, which finds them, or the number of processes where these are what "
      "the slower network connects"
    )
  return wanted


def hybrid(devices, data, fsdp, slices):
  """Arranges the devices of several slices.

  The data axis runs over the slices outermost: between them go the gradients
  once a step, and `fsdp` stays within a slice. Slices are those the devices
  name, else the processes.

  Returns:
    (data, fsdp) array of devices.
  """
  if data % slices:
    raise InputError(
      f"mesh.data={data} over {slices} slices: mesh.data must be divisible by "
      "them, mesh.fsdp stays within a slice"
    )
  named = len({getattr(device, "slice_index", 0) for device in devices})
  return mesh_utils.create_hybrid_device_mesh(
    (data // slices, fsdp),
    (slices, 1),
    devices,
    process_is_granule=named == 1,
  )


def batch(mesh):
  """Sharding of arrays whose first axis is records, pairs or texts."""
  return NamedSharding(mesh, P(AXES))


def parts(mesh):
  """Sharding of arrays of parts, whose second axis is records."""
  return NamedSharding(mesh, P(None, AXES))


def replicated(mesh):
  """Sharding of arrays that are whole on every device."""
  return NamedSharding(mesh, P())


def parameters(mesh, tree):
  """Shardings of parameters or optimizer state: big leaves over `fsdp`.

  The longest axis that `fsdp` divides is split; every other leaf is whole
  on every device.
  """
  parts = mesh.shape["fsdp"]

  def place(leaf):
    size = 1
    for n in leaf.shape:
      size *= n
    axes = [i for i, n in enumerate(leaf.shape) if n % parts == 0]
    if parts == 1 or size < FSDP_LEAST or not axes:
      return replicated(mesh)
    longest = max(axes, key=lambda i: leaf.shape[i])
    return NamedSharding(mesh, P(*[None] * longest, "fsdp"))

  return jax.tree.map(place, tree)


def held_rows(mesh, count, devices=None):
  """Which of `count` rows of a batch some devices of the mesh hold.

  Args:
    devices: by default those of this process.

  Returns:
    (b,) int64, ascending.
  """
  devices = set(mesh.local_devices if devices is None else devices)
  marks = np.zeros(count, bool)
  for device, (rows,) in batch(mesh).devices_indices_map((count,)).items():
    if device in devices:
      marks[rows] = True
  return np.flatnonzero(marks)


def put(mesh, arrays):
  """Puts a batch on the mesh, split over all devices.

  Args:
    arrays: {name: (n, ...)}, the same on every process.
  """
  return {
    name: put_rows(mesh, x, np.arange(len(x)), len(x))
    for name, x in arrays.items()
  }


def put_rows(mesh, x, rows, count):
  """Puts an array on the mesh of which each process has its own rows.

  Args:
    x: (b, ...) numpy.
    rows: (b,) what `held_rows` gives, or more.
    count: rows of all processes.

  Returns:
    (count, ...) on the mesh.
  """

  def part(index):
    start, stop, _ = index[0].indices(count)
    first = np.searchsorted(rows, start)
    return x[first : first + stop - start]

  shape = (count, *x.shape[1:])
  return jax.make_array_from_callback(shape, batch(mesh), part)


def place(tree, shardings):
  """Puts arrays that every process has whole where `shardings` say."""

  def put_one(x, sharding):
    if sharding.is_fully_addressable:
      return jax.device_put(x, sharding)
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, sharding, lambda i: x[i])

  return jax.tree.map(put_one, tree, shardings)
