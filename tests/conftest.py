"""Shared fixtures. Real data lie outside the project and may be absent."""

import atexit
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import jax
import pytest

ROOT = pathlib.Path(__file__).parent.parent

# Programs compiled by one test serve the others, in other processes too: the
# workers of `pytest -n` take the folder of the process that started them.
if "PYTEST_XDIST_WORKER" in os.environ:
  CACHE = os.environ["JAX_COMPILATION_CACHE_DIR"]
else:
  CACHE = tempfile.mkdtemp()
  atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)

# Eight devices on any machine, before anything asks for the first.
jax.config.update("jax_num_cpu_devices", 8)


@pytest.fixture(scope="session")
def shared():
  """Folder of real records (`$FGCLEP_SHARED`, else `../shared/data`)."""
  path = pathlib.Path(
    os.environ.get("FGCLEP_SHARED", ROOT.parent / "shared" / "data")
  )
  if not path.is_dir():
    pytest.skip(f"no real data at {path}: set FGCLEP_SHARED")
  return path


def pytest_terminal_summary(terminalreporter):
  """Says how many tests were skipped for want of real data."""
  skipped = terminalreporter.stats.get("skipped", [])
  count = sum("no real data" in str(test.longrepr) for test in skipped)
  terminalreporter.write_line(f"real-data tests skipped: {count}")


@pytest.fixture(scope="session")
def root():
  """Folder of the project."""
  return ROOT


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
  """Folder of a small simulated dataset, made by the real `tfds build`."""
  out = tmp_path_factory.mktemp("datasets")
  environment = dict(os.environ)
  environment |= {
    "FGCLEP_SIMULATED_RECORDS": "300",
    "FGCLEP_SIMULATED_RATE": "100",
    "TF_CPP_MIN_LOG_LEVEL": "3",
  }
  command = pathlib.Path(sys.executable).with_name("tfds")
  run = subprocess.run(
    [
      command, "build", ROOT / "tfds_builders" / "simulated_ecg",
      "--config", "original", "--data_dir", out,
      "--file_format", "array_record",
    ],
    env=environment, capture_output=True, text=True,
  )  # fmt: skip
  assert run.returncode == 0, run.stdout + run.stderr
  return out
