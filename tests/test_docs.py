"""README and docs: commands parse, links lead somewhere, code runs."""

import ast
import re
import runpy
import shlex

import numpy as np
import pytest

import fgclep_jax
from fgclep_jax import cli, flags
from fgclep_jax import config as c
from fgclep_jax.models.embedder import Model
from tests import test_models, wfdb_files
from tests.conftest import ROOT
from tests.test_imports import FLOORS

PAGES = sorted(
  path.relative_to(ROOT).as_posix()
  for pattern in ("*.md", "docs/*.md", "tfds_builders/*/README.md")
  for path in ROOT.glob(pattern)
  if path.name != "CHANGELOG.md"  # it names what is gone
)
CONFIGS = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("configs/*"))
ENDS = {"|", ">", "<", "&", "&&", ";", "2>&1"}  # of a command, in a shell


def text_of(name):
  text = (ROOT / name).read_text(encoding="utf-8")
  return ast.get_docstring(ast.parse(text)) if name.endswith(".py") else text


def commands(name):
  """Words of every `fgclep` command line of a page, as a shell hands them.

  Command lines are indented or in a fence. One with `...` among its words is
  part of a longer one, and left out.
  """
  text, fenced = re.sub(r"\\\n\s*", " ", text_of(name)), False
  for line in text.splitlines():
    fenced ^= line.startswith("```")
    found = re.match(r"(?:.*?\s)?(?:\.venv/bin/)?fgclep (\w.*)", line)
    if not found or not (fenced or line.startswith("  ")) or "`" in line:
      continue
    try:
      words = shlex.split(found[1], comments=True)
    except ValueError:  # it ends with the quotation it stands in
      words = shlex.split(found[1].rstrip().removesuffix('"'))
    end = next((i for i, word in enumerate(words) if word in ENDS), None)
    if "..." not in words:
      yield words[:end]


def parse(words):
  """Parses as `fgclep` does; raises what it would say."""
  known, rest = cli._parser().parse_known_args(words)
  if known.command not in ("train", "compile", "doctor"):
    assert not rest, rest
    return known
  path = (known.config or "").partition(":")[0]
  there = path and (ROOT / path).is_file()
  config = c.load(ROOT / known.config) if there else c.TrainConfig()
  c.override(config, flags.changes(rest))
  assert there or path in ("", "configs/X.py"), f"no config {path}"
  return known


@pytest.mark.parametrize("name", [*PAGES, *CONFIGS])
def test_commands_parse(name, monkeypatch):
  encoders = (*c.CHOICES["model.ecg.name"], "seconds")  # of the recipe
  monkeypatch.setitem(c.CHOICES, "model.ecg.name", encoders)
  for words in commands(name):
    parse(words)


def test_commands_are_found():
  found = [words[0] for name in PAGES for words in commands(name)]
  assert len(found) > 25
  for command in (
    *("train", "enhance", "evaluate", "compare", "embed", "explain"),
    *("export", "compile", "doctor", "plot", "data"),
  ):
    assert command in found
  assert all(list(commands(name)) for name in CONFIGS)
  inside = [w for w in commands("README.md") if "/shared/runs/v1" in w]
  assert inside[0][:3] == ["train", "--config", "configs/fgclep_v1.py"]


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
  page = ROOT / name
  for target in re.findall(r"\]\(([^)\s]+)\)", text_of(name)):
    if not re.match(r"https?://", target):
      assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("name", [*PAGES, *CONFIGS])
def test_what_is_named_is_there(name):
  """Files, modules, tests, builders and targets of make."""
  text = text_of(name)
  toy = r"my_hospital|seconds\.py|nearest\.py"  # of the recipes
  kinds = r"\.(?:py|json|md|svg|ipynb|csv|txt)"
  folders = "fgclep_jax|configs|tests|benchmarks|docs|tfds_builders"
  for path in re.findall(
    rf"(?<![\w/])(?:{folders})/[\w/]*\w(?:{kinds})?(?!\w|\*)", text
  ):
    if not re.search(toy, path) and not path.startswith("configs/X"):
      assert (ROOT / path).exists(), path
  for file, test in re.findall(r"`(?:tests/)?(test_\w+\.py)(?:::(\w+))?", text):
    assert test in (ROOT / "tests" / file).read_text("utf-8"), f"{file}::{test}"
  for module in re.findall(r"python -m (benchmarks\.[\w.]+)", text):
    assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), module
  targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
  assert set(re.findall(r"^    make ([a-z-]+)", text, re.M)) <= set(targets)


def test_settings_of_the_environment_exist():
  """Every FGCLEP_* that a page names is read by the code."""
  code = "\n".join(
    path.read_text("utf-8")
    for folder in ("fgclep_jax", "tfds_builders", "tests")
    for path in (ROOT / folder).rglob("*.py")
  )
  text = "\n".join(map(text_of, PAGES))
  named = set(re.findall(r"FGCLEP_[A-Z_]*[A-Z]", text))
  assert len(named) > 10
  assert {name for name in named if f'"{name}"' not in code} == set()


def test_table_of_rooms_is_that_of_the_imports():
  """README: a row is a floor of `test_imports`, no room is left out."""
  table = re.search(r"\| rooms of .*?\n\n", text_of("README.md"), re.S)[0]
  rows = [line.split("|")[1] for line in table.strip().splitlines()[2:]]
  named = [set(re.findall(r"`(\w+)", row)) for row in rows]
  assert named == [set(rooms) for rooms in FLOORS]


def code_of(page, folder):
  """Writes the first Python of a page to a file of its own; its path."""
  path = folder / "code.py"
  path.write_text(re.search(r"```python\n(.*?)```", text_of(page), re.S)[1])
  return path


def test_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  sizes = {"model.ecg.depth": "0", "model.text.depth": "0"}
  model = Model(
    test_models.small(**sizes), ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
  )
  monkeypatch.setattr(fgclep_jax, "load", lambda _: model)
  adc = wfdb_files.random_adc(np.random.default_rng(0))
  wfdb_files.write_record(tmp_path / "RAW/records100/00000", "00001_lr", adc)
  found = runpy.run_path(str(code_of("README.md", tmp_path)))
  assert found["embedding"].shape == (8,)
  assert capsys.readouterr().out.count("atrial fibrillation") == 2
