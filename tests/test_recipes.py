"""The recipes of docs/: their code, as it stands there, does what they say."""

import importlib
import pathlib
import re
import runpy

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from fgclep_jax import config as c
from fgclep_jax.data import sources
from fgclep_jax.evaluation import run
from fgclep_jax.models import two_tower
from fgclep_jax.signals import dummy, leads
from tests import test_few_leads, test_imports, tfds_builds, wfdb_files
from tests.evaluation_fakes import FakeModel, FakeSplit
from tests.test_models import build, random_signal, small

CLASSES = ("normal", "left bundle branch block")


def code(root, page):
  """The Python blocks of a page."""
  text = (root / "docs" / page).read_text("utf-8")
  return re.findall(r"```python\n(.*?)```", text, re.S)


def module(root, page, folder):
  """Runs the first block; a namespace of what it defines."""
  path = folder / "module.py"
  path.write_text(code(root, page)[0])
  return runpy.run_path(str(path))


@pytest.fixture
def hospital(root, tmp_path, monkeypatch):
  """The builder of the recipe, imported, and its archive of 60 records."""
  package = tmp_path / "builders" / "my_hospital"
  package.mkdir(parents=True)
  (package / "__init__.py").write_text('"""My hospital."""\n')
  (package / "README.md").write_text("ECGs of my hospital.\n")
  name = "my_hospital_dataset_builder"
  (package / f"{name}.py").write_text(code(root, "ADD_A_DATASET.md")[0])
  monkeypatch.syspath_prepend(package.parent)
  raw, rows = tmp_path / "raw", []
  for i in range(60):
    adc = dummy.signal(i, 300, 100)
    wfdb_files.write_record(raw / "wfdb", f"H{i:02d}", adc)
    held = "sinus rhythm", CLASSES[i % 2]
    rows.append(
      (f"H{i:02d}", f"P{i}", f"wfdb/H{i:02d}", 40 + i, "female",
       ". ".join(held), held[1])
    )  # fmt: skip
  builder = importlib.import_module(f"my_hospital.{name}")
  dummy.write_table(raw / "records.csv", builder.COLUMNS, rows)
  return builder, raw


def test_a_dataset(hospital, tmp_path):
  builder, raw = hospital
  found, metadata, folder = tfds_builds.build(builder, raw, tmp_path / "data")
  assert sum(map(len, found.values())) == 60
  assert "ECGs of my hospital" in (folder / "dataset_info.json").read_text()
  assert metadata["class_names"] == {"clinic": list(CLASSES)}
  seen = {
    split: {e["patient_id"] for e in examples.values()}
    for split, examples in found.items()
  }
  assert not seen["train"] & (seen["validation"] | seen["test"])
  split = sources.open_split(tmp_path / "data", builder.NAME)
  signals = split.signals(np.arange(len(split)), 100, 300)
  for i, name in enumerate(split.record_ids):
    number = int(name[1:])
    np.testing.assert_array_equal(signals[i], dummy.signal(number, 300, 100))
    assert split.labels["clinic"][i].argmax() == number % 2
    assert split.statements[i] == ("sinus rhythm", CLASSES[number % 2])
    assert split.age[i] == min(40 + number, 90)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_dataset_stops_where_records_are_lost(
  hospital, tmp_path, capsys, split
):
  builder, raw = hospital
  names = [f"P{i}" for i in range(60)]
  lost = next(n for n in names if builder._split(n) == split)
  (raw / "wfdb" / f"H{int(lost[1:]):02d}.dat").unlink()
  line = tfds_builds.refused(builder, capsys, raw, tmp_path / "data")
  assert ("1 of 60 records dropped" in line) == (split == "train")
  assert ("cannot be read" in line) == (split == "test")


def test_a_dataset_imports_what_builders_may(hospital):
  names = test_imports.imports(pathlib.Path(hospital[0].__file__))
  rooms = {test_imports.room_of(name) for name in names} - {None}
  assert rooms <= {"signals", "reports", "errors"}


@pytest.fixture
def seconds(root, tmp_path, monkeypatch):
  """The encoder of the recipe under its name."""
  made = module(root, "ADD_AN_ENCODER.md", tmp_path)["Seconds"]
  monkeypatch.setitem(two_tower.ENCODERS, "seconds", made)
  names = (*c.CHOICES["model.ecg.name"], "seconds")
  monkeypatch.setitem(c.CHOICES, "model.ecg.name", names)
  return made


def test_an_encoder(seconds):
  model, params = build(small(**{"model.ecg.name": "seconds"}))
  tokens, pooled, mask = model.encode_ecg(random_signal())
  assert tokens.shape == (3, 3, 16)  # 2.5 s
  assert pooled.shape == (3, 16)
  assert mask.all()
  samples = jnp.array([250, 101, 99])
  mask = model.encode_ecg(random_signal(), samples=samples)[2]
  assert mask.sum(axis=1).tolist() == [3, 2, 1]
  assert all(params[n].dtype == jnp.float32 for n in params)
  shapes = {p.shape for n, p in params.items() if n.startswith("ecg.mlp")}
  assert (leads.COUNT * 100, 32) in shapes


def test_an_encoder_and_what_is_absent(seconds):
  test_few_leads.test_what_is_absent_has_no_influence("seconds", "mean")


@pytest.fixture
def nearest(root, tmp_path, monkeypatch):
  """The evaluator of the recipe, called where it says."""
  made = module(root, "ADD_AN_EVALUATOR.md", tmp_path)
  monkeypatch.setattr(
    run.supervised,
    "evaluate",
    lambda work, task, cohort, _: made["evaluate"](work, task, cohort),
  )
  return made


def test_an_evaluator(nearest, tmp_path):
  names = ("one", "two", "three")
  splits = {
    name: FakeSplit(name, n, names, seed=n, noise=40.0)
    for name, n in {"train": 160, "validation": 60, "test": 80}.items()
  }
  options = run.Options(resamples=50, baselines=())
  found = run.evaluate(
    FakeModel(names), FakeModel(names, trained=False), splits,
    ("simulated",), tmp_path, options,
  )  # fmt: skip
  summary = found["tasks"]["simulated"]["nearest"]["1.0"]
  assert summary["macro_auroc"] > 0.8
  assert summary["ci95"][0] < summary["macro_auroc"] < summary["ci95"][1]
  assert "simulated,nearest,1.0" in (tmp_path / "per_class.csv").read_text()


def test_an_evaluator_is_shown(root, tmp_path):
  """The lines for `results.methods_of`."""
  path = tmp_path / "lines.py"
  lines = code(root, "ADD_AN_EVALUATOR.md")[1]
  path.write_text(f"def methods_of(block):\n{lines}")
  methods_of = runpy.run_path(str(path))["methods_of"]
  assert list(methods_of({"nearest": {"1.0": 5}})) == [("nearest 100%", 5)]


def test_nearest_neighbours_against_scikit_learn(nearest):
  rng = np.random.default_rng(0)
  asked, known = (rng.normal(size=(n, 6)) for n in (20, 90))
  asked, known = (
    x / np.linalg.norm(x, axis=1)[:, None] for x in (asked, known)
  )
  labels = rng.random((90, 3)) < 0.4
  found = nearest["scores"](asked, known, labels)
  for column in range(3):
    other = KNeighborsClassifier(nearest["NEIGHBOURS"], metric="cosine")
    other.fit(known, labels[:, column])
    np.testing.assert_allclose(
      found[:, column], other.predict_proba(asked)[:, 1], atol=1e-6
    )
