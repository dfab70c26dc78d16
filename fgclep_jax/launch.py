"""Settings of a process from its environment, before any device is used."""

import os
import pathlib
import sys
import time

from fgclep_jax.errors import InputError

# Of `fgclep compile`, before JAX is imported: the compiler for TPU is loaded,
# no TPU is looked for. The last two keep it from asking what machine this is.
NO_TPU = {
  "JAX_PLATFORMS": "cpu",
  "TPU_SKIP_MDS_QUERY": "1",
  "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
  "TPU_ACCELERATOR_TYPE": "v5litepod-8",
  "TPU_WORKER_HOSTNAMES": "localhost",
}
COORDINATOR = "FGCLEP_COORDINATOR"
COUNT, NUMBER = "FGCLEP_PROCESSES", "FGCLEP_PROCESS"
AUTO = "auto"
LAST = 3.0  # seconds
CACHE = "JAX_COMPILATION_CACHE_DIR"  # JAX's own name


def prepare(command):
  """Sets what all commands share; raises InputError for what cannot be."""
  if command == "compile":
    os.environ.update(NO_TPU)
  # TensorFlow's own messages, where a builder imports it.
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
  if count := os.environ.get("FGCLEP_CPU_DEVICES"):
    import jax

    if not count.isdigit() or count == "0":
      raise InputError(f"FGCLEP_CPU_DEVICES={count!r}: give a count above 0")
    jax.config.update("jax_num_cpu_devices", int(count))


def join():
  """Joins the other processes of a run, where the environment names them.

  FGCLEP_COORDINATOR=host:port of process 0, FGCLEP_PROCESSES and
  FGCLEP_PROCESS; or FGCLEP_COORDINATOR=auto where JAX finds them out itself:
  TPU pods, SLURM, Open MPI.
  """
  options = _others()
  if options is None:
    return
  import jax

  # The loop has its own way to stop on SIGTERM, see `training.processes`.
  jax.config.update("jax_enable_preemption_service", False)
  try:
    jax.distributed.initialize(**options)
  except (ValueError, RuntimeError) as error:
    raise InputError(
      f"{COORDINATOR}={os.environ[COORDINATOR]}: the processes did not meet "
      f"({str(error)[:200]}): see that all are started, and reach that address"
    ) from error


def joined():
  """Whether this process is one of several."""
  if "jax" not in sys.modules:
    return False
  import jax

  return jax.distributed.is_initialized() and jax.process_count() > 1


def leave(code):
  """Ends one of several processes at once, when the run has failed in it.

  The usual end waits for the others, and they for this one's part of a step.
  Process 0, at whose address all meet, lets those go first that fail alike.
  """
  if joined():
    import jax

    sys.stderr.flush()
    sys.stdout.flush()
    if jax.process_index() == 0:
      time.sleep(LAST)
    os._exit(code)


def keep_compiled(workdir):
  """Programs compiled once are kept in `workdir/compiled`.

  A run that goes on, there or on another machine of the same kind, takes
  them from there. $JAX_COMPILATION_CACHE_DIR names another folder;
  JAX_ENABLE_COMPILATION_CACHE=0 keeps nothing.
  """
  if CACHE in os.environ:
    return
  import jax

  folder = (pathlib.Path(workdir) / "compiled").absolute()
  jax.config.update("jax_compilation_cache_dir", str(folder))


def _others():
  """Arguments of `jax.distributed.initialize`, or None for one process."""
  given = {
    name: os.environ[name]
    for name in (COORDINATOR, COUNT, NUMBER)
    if os.environ.get(name)
  }
  if not given:
    return None
  if given == {COORDINATOR: AUTO}:
    return {}
  address = given.get(COORDINATOR, "")
  host, _, port = address.rpartition(":")
  count, number = given.get(COUNT, ""), given.get(NUMBER, "")
  if not (
    host and port.isdigit() and count.isdigit() and number.isdigit()
  ) or int(number) >= int(count):
    raise InputError(
      f"{COORDINATOR}={address!r} {COUNT}={count!r} {NUMBER}={number!r}: give "
      f"host:port of process 0, how many processes there are, and which this "
      f"one is, from 0; or {COORDINATOR}={AUTO} alone"
    )
  return {
    "coordinator_address": address,
    "num_processes": int(count),
    "process_id": int(number),
  }
