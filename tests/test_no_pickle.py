"""Nothing from outside runs as code: no pickle, no eval, in any file."""

import ast

import pytest

pytestmark = pytest.mark.core

MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
CALLS = {
  *("torch.load", "joblib.load", "joblib.dump", "yaml.load", "eval", "exec"),
  *("pandas.read_pickle", "pd.read_pickle", "builtins.eval", "builtins.exec"),
}
# Keyword -> the only value it may have.
KEYWORDS = {"allow_pickle": False, "trust_remote_code": False}
# Nothing that is shipped unpacks an archive: members could name any place.
UNPACKS = {
  *("tarfile.open", "zipfile.ZipFile", "shutil.unpack_archive"),
  *("dl_manager.extract", "dl_manager.download_and_extract"),
}
FOLDERS = ("fgclep_jax", "tfds_builders", "benchmarks", "tests")


def findings(source):
  """Lines of a file's text that could unpickle or run what they read."""
  found = []
  for node in ast.walk(ast.parse(source)):
    names = set()
    if isinstance(node, ast.Import):
      names = {alias.name.split(".")[0] for alias in node.names} & MODULES
    elif isinstance(node, ast.ImportFrom):
      names = {(node.module or "").split(".")[0]} & MODULES
    elif isinstance(node, ast.Call):
      names = {ast.unparse(node.func)} & CALLS
      names |= {
        key.arg
        for key in node.keywords
        if key.arg in KEYWORDS
        and getattr(key.value, "value", None) is not KEYWORDS[key.arg]
      }
    found += [f"line {node.lineno}: {name}" for name in sorted(names)]
  return found


def test_no_file_unpickles_or_evaluates(root):
  files = [p for folder in FOLDERS for p in (root / folder).rglob("*.py")]
  assert len(files) > 50
  found = {
    path.relative_to(root).as_posix(): findings(path.read_text("utf-8"))
    for path in files
  }
  assert {path: lines for path, lines in found.items() if lines} == {}


def test_no_archive_is_unpacked(root):
  for folder in ("fgclep_jax", "tfds_builders"):
    for path in (root / folder).rglob("*.py"):
      for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
          name = ast.unparse(node.func)
          assert name not in UNPACKS, f"{path}: {name}"
          assert not name.endswith((".extractall", ".extract")), path


@pytest.mark.parametrize(
  ("source", "expected"),
  [
    ("import os, pickle", "pickle"),
    ("from dill import loads", "dill"),
    ("def f():\n  import shelve", "shelve"),
    ("torch.load(path, weights_only=True)", "torch.load"),
    ("np.load(path, allow_pickle=True)", "allow_pickle"),
    ("np.load(path, allow_pickle=flag)", "allow_pickle"),
    ("Model.load(name, trust_remote_code=True)", "trust_remote_code"),
    ("eval(text)", "eval"),
    ("exec(text)", "exec"),
  ],
)
def test_what_is_refused(source, expected):
  assert [line.split(": ")[1] for line in findings(source)] == [expected]


def test_what_is_no_danger():
  assert not findings(
    "import ast\nmodel.eval()\nnp.load(f, allow_pickle=False)\n"
    "ast.literal_eval(text)\njax.eval_shape(f)\n"
  )
