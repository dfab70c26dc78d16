"""The device mesh, and where arrays live on it."""

import jax
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
  return jax.make_mesh(
    (data, fsdp), AXES, axis_types=(AxisType.Auto,) * 2, devices=devices
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


def put(mesh, arrays):
  """Puts one host's part of a batch on the mesh, split over all devices."""
  sharding = batch(mesh)
  return {
    name: jax.make_array_from_process_local_data(sharding, x)
    for name, x in arrays.items()
  }
