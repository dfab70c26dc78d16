"""docs/tour.ipynb: it runs from top to bottom, and is kept without outputs."""

import ast
import builtins
import importlib
import re

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


@pytest.fixture
def notebook(root):
  found = nbformat.read(root / "docs" / "tour.ipynb", as_version=4)
  nbformat.validate(found)
  return found


def cells(notebook):
  return [cell for cell in notebook.cells if cell.cell_type == "code"]


def code(cell):
  """A cell's Python, without the line that speaks to the notebook."""
  return re.sub(r"\A%%\w+\n", "", cell.source)


def test_no_outputs_and_no_places_of_this_machine(notebook):
  for cell in cells(notebook):
    assert cell.outputs == []
    assert cell.execution_count is None
  text = nbformat.writes(notebook)
  assert not re.search(r"/(home|Users|root|tmp|work|mnt|opt)\b", text)


def test_every_name_exists(notebook):
  """Cells are Python, and name only what is there before them."""
  known, modules = set(dir(builtins)), {}
  for cell in cells(notebook):
    tree = ast.parse(code(cell))
    for node in ast.walk(tree):
      if isinstance(node, ast.Import | ast.ImportFrom):
        modules |= imported(node)
    known |= modules.keys()
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name)]
    known |= {n.id for n in names if isinstance(n.ctx, ast.Store)}
    assert {n.id for n in names} <= known
    for node in ast.walk(tree):
      if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        module = modules.get(node.value.id)
        assert module is None or hasattr(module, node.attr), ast.unparse(node)


def imported(node):
  """{name: module or object} that an import statement gives."""
  if isinstance(node, ast.Import):
    return {
      alias.asname or alias.name.split(".")[0]: importlib.import_module(
        alias.name
      )
      for alias in node.names
    }
  found = {}
  for alias in node.names:
    module = importlib.import_module(node.module)
    if not hasattr(module, alias.name):  # a module that nothing imported yet
      importlib.import_module(f"{node.module}.{alias.name}")
    found[alias.asname or alias.name] = getattr(module, alias.name)
  return found


def run(notebook, folder):
  client = NotebookClient(
    notebook, timeout=300, resources={"metadata": {"path": str(folder)}}
  )
  return client.execute()


@pytest.mark.slow
def test_it_runs(notebook, simulated, tmp_path):
  """Every cell, in a kernel of its own, on the dataset of the tests."""
  data = tmp_path / "runs" / "tour" / "data"
  data.parent.mkdir(parents=True)
  data.symlink_to(simulated)
  done = run(notebook, tmp_path)
  kinds = [kind for cell in cells(done) for kind in displayed(cell)]
  assert kinds.count("image/png") == 1
  said = "".join(
    output.text
    for cell in cells(done)
    for output in cell.outputs
    if output.output_type == "stream" and output.name == "stdout"
  )
  assert "step 60 of simulated_ecg" in said
  mean = float(re.search(r"([\d.]+)  mean of \d+ diagnoses", said)[1])
  assert mean > 0.55  # it has learned something
  assert int(re.search(r"(\d+) of \d+, where", said)[1]) > 1


def displayed(cell):
  for output in cell.outputs:
    yield from output.get("data", {})


def test_a_cell_that_fails_fails_the_test(tmp_path):
  broken = nbformat.v4.new_notebook(
    cells=[nbformat.v4.new_code_cell("import fgclep_jax.nothing")]
  )
  with pytest.raises(CellExecutionError, match=r"fgclep_jax\.nothing"):
    run(broken, tmp_path)
