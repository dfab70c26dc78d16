"""The house: who may import whom, and who owns which foreign library."""

import ast
import subprocess
import sys

FLOORS = [
  ("errors", "atomic", "stopping"),
  ("signals", "reports", "losses", "metrics", "config", "tree"),
  ("models", "data", "sharding", "optim", "archives"),
  ("training", "evaluation", "inference", "enhance", "explain"),
  ("cli", "demo", "flags", "launch", "export", "compile", "doctor"),
]
# Who may import a library; every other file of the package may not.
OWNERS = {
  "orbax": ("training/checkpoint.py",),
  "tensorflow_datasets": ("data/sources.py", "data/records.py"),
  "tensorflow": (),
  "torch": ("enhance/backends/transformers.py",),
  "wfdb": ("signals/reader.py",),
  "matplotlib": ("signals/plot.py", "evaluation/", "enhance/figures.py"),
  "pyarrow": ("reports/enhanced.py", "enhance/write.py", "signals/dummy.py"),
  "tokenizers": ("reports/tokenizer.py",),
  "transformers": (
    "reports/tokenizer.py",
    "enhance/backends/transformers.py",
  ),
  "grain": ("data/batches.py",),
  "optax": ("optim.py", "training/"),
  "flax": ("models/",),
  "safetensors": ("models/weights.py",),
}


def imports(path):
  """Dotted names of the modules a file imports, at any depth."""
  names = set()
  for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      start = "." * node.level + (f"{node.module}." if node.module else "")
      names |= {start + alias.name for alias in node.names}
  return names


def room_of(name):
  parts = name.split(".")
  return parts[1] if parts[0] == "fgclep_jax" and len(parts) > 1 else None


def floor(room):
  return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


def package_files(root):
  package = root / "fgclep_jax"
  for path in sorted(package.rglob("*.py")):
    yield path.relative_to(package).as_posix(), path


def test_imports_run_downward(root):
  for name, path in package_files(root):
    if name == "__init__.py":
      continue
    own = name.split("/")[0].removesuffix(".py")
    for imported in imports(path):
      assert not imported.startswith("."), f"{name}: relative import"
      room = room_of(imported)
      if room is None or room == own:
        continue
      assert floor(room) <= floor(own), f"{name} imports {imported}"
      if own in ("signals", "reports", "config", "tree"):
        assert room == "errors", f"{name} imports {imported}"


def test_one_owner_for_each_library(root):
  for name, path in package_files(root):
    for imported in imports(path):
      library = imported.split(".")[0]
      if library in OWNERS:
        allowed = any(name.startswith(own) for own in OWNERS[library])
        assert allowed, f"{name} imports {imported}"


def test_configs_and_builders(root):
  for path in (root / "configs").glob("*.py"):
    assert {n for n in imports(path) if room_of(n)} == {"fgclep_jax.config"}
  for path in (root / "tfds_builders").rglob("*_dataset_builder.py"):
    rooms = {room_of(n) for n in imports(path)} - {None}
    assert rooms <= {"signals", "reports", "errors"}, path


def test_package_import_is_light():
  """Neither TensorFlow nor torch, nor anything slow, at import."""
  code = (
    "import sys, fgclep_jax, fgclep_jax.cli;"
    "print([m for m in ('tensorflow', 'torch', 'jax', 'orbax', 'wfdb',"
    " 'tensorflow_datasets') if m in sys.modules])"
  )
  out = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert out.stdout.strip() == "[]"
