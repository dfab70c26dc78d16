"""The claims table: what is compared with what, and the means over seeds."""

import json

import jax
import numpy as np
import pytest
from pyarrow import parquet

from benchmarks.science import cells, claims, features, forest
from fgclep_jax.data import sources
from fgclep_jax.evaluation import pairing
from fgclep_jax.reports import enhanced


def test_cells_differ_in_what_they_say():
  names = [cell.name for cell in cells.CELLS]
  assert len(set(names)) == len(names)
  assert all(cell.against in names for cell in cells.CELLS if cell.against)
  ways = {(c.changes, c.features, c.planted) for c in cells.CELLS}
  assert len(ways) == len(names)


def test_what_a_cell_rests_on_is_run_too():
  names = [cell.name for cell in cells.find(["verification"])]
  assert names[0] == cells.DEFAULT
  assert cells.REPORTED in names
  assert "all candidates, 20% planted" in names
  assert "CLIP softmax" not in names
  with pytest.raises(ValueError, match="no cell or factor softmaxx"):
    cells.find(["softmaxx"])


@pytest.fixture(scope="module")
def done(simulated, tmp_path_factory):
  """One comparison with one seed, of a few steps."""
  out = tmp_path_factory.mktemp("claims")
  first = jax.devices()[:1]  # each program is compiled in less time
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax, "devices", lambda: first)
    patch.setattr(jax, "local_devices", lambda: first)
    for cell in cells.find(["CLIP softmax"]):
      claims.run_cell(cell, 0, simulated, out, 0.3)
  return out


def test_table_of_real_runs(done, simulated):
  chosen = cells.find(["CLIP softmax"])
  rows = claims.table(chosen, [0], done)
  assert list(rows) == [cells.DEFAULT, "CLIP softmax"]
  values = [rows[n]["simulated, zero_shot"][0] for n in rows]
  found = rows["CLIP softmax"]["difference"]["simulated, zero_shot"]
  np.testing.assert_allclose(
    found["difference"], values[1] - values[0], atol=1e-6
  )
  # Sixty test records hold a single case of some of the 41 diagnoses.
  assert found["ci95"] is None
  lines = list(claims.lines(rows))
  assert len(lines) == 2 + 2 + 1 + 2 + 1
  assert "(no interval)" in lines[-1]
  forest.draw(rows, claims.SHOWN, done / "claims.svg")
  drawn = (done / "claims.svg").read_text(encoding="utf-8")
  assert "CLIP softmax" in drawn
  # What is done is not done again.
  before = (done / "seed0/default/results.json").stat().st_mtime_ns
  claims.run_cell(chosen[0], 0, simulated, done, 0.3)
  assert (done / "seed0/default/results.json").stat().st_mtime_ns == before


def test_means_over_seeds(done):
  """Drawn labels, common enough for intervals: the difference of means."""
  stored = pairing.read(done / "seed0/default")
  rng = np.random.default_rng(0)
  labels = {
    f"{task}/labels": (rng.random(own.shape) < 0.3).astype(own.dtype)
    for task in claims.TASKS
    for own in [stored.arrays[f"{task}/labels"]]
  }
  first, *runs = (_drawn(stored, labels, rng) for _ in range(4))
  differences = claims._differences(runs, [first] * 3)
  assert {f"{task}, zero_shot" for task in claims.TASKS} <= set(differences)
  found = differences["features, zero_shot"]
  own = [r.content["tasks"]["features"]["zero_shot"] for r in runs]
  mean = np.mean([block["macro_auroc"] for block in own])
  other = first.content["tasks"]["features"]["zero_shot"]["macro_auroc"]
  np.testing.assert_allclose(found["difference"], mean - other, atol=1e-6)
  np.testing.assert_allclose(
    np.mean(found["of_seeds"]), found["difference"], atol=1e-6
  )
  for row in differences.values():
    assert row["ci95"][0] <= row["difference"] <= row["ci95"][1]


def test_recall_difference_against_resampled_records(done):
  """Records repeated as often as drawn, and the seeds one by one."""
  run = pairing.read(done / "seed0/default")
  rng = np.random.default_rng(1)
  units = run.arrays["simulated/units"]
  hits = rng.random((3, len(units))) < [[0.5], [0.6], [0.9]]
  others = rng.random((3, len(units))) < 0.4
  found = claims.recall_difference(hits, others, run)
  both = [a.mean() - b.mean() for a, b in zip(hits, others, strict=True)]
  np.testing.assert_allclose(found["of_seeds"], both, atol=1e-12)
  np.testing.assert_allclose(found["difference"], np.mean(both), atol=1e-12)
  stored = run.content["tasks"]["simulated"]["bootstrap"]["sha256"]
  stream, drawn = pairing.StoredStream(stored, units), []
  for weight in stream.weights(0, 1000):
    rows = np.repeat(np.arange(len(units)), weight)
    drawn.append(hits[:, rows].mean() - others[:, rows].mean())
  np.testing.assert_allclose(
    found["ci95"], np.percentile(drawn, [2.5, 97.5]), atol=1e-9
  )


def _drawn(run, labels, rng):
  """The run with these labels and scores drawn at random."""
  arrays = run.arrays | labels
  content = json.loads(json.dumps(run.content))
  for task in claims.TASKS:
    scores = rng.normal(size=arrays[f"{task}/labels"].shape)
    arrays[f"{task}/zero_shot"] = scores.astype(np.float32)
    content["tasks"][task]["zero_shot"]["macro_auroc"] = _macro(
      scores, arrays[f"{task}/labels"]
    )
  return pairing.Run("drawn", content, arrays)


def _macro(scores, labels):
  """Mean AUROC by counting pairs, classes without both left out."""
  found = []
  for score, label in zip(scores.T, labels.T.astype(bool), strict=True):
    if label.any() and not label.all():
      minus = score[label][:, None] - score[~label]
      found.append((minus > 0).mean() + (minus == 0).mean() / 2)
  return float(np.mean(found))


def test_tables_of_features(done, simulated):
  """`true` holds the truth, `all` every candidate, `verified` some."""
  coarse, tables = done / "seed0/default/run", {}
  for kind in ("true", "all", "verified"):
    cell = cells.Cell(kind, "", "", features=kind, planted=0.2)
    path = features.table_of(cell, 0, coarse, simulated, done)
    tables[kind] = parquet.read_table(path)
    assert path.name == enhanced.FILE
    assert (path.parent / enhanced.RECORDS_FILE).is_file()
  kept = {k: t["kept"].to_numpy().sum() for k, t in tables.items()}
  assert kept["all"] == len(tables["verified"])
  assert kept["verified"] < kept["all"]
  truth = sum(
    sources.open_split(simulated, "simulated_ecg", split=name).truth.sum()
    for name in ("train", "validation", "test")
  )
  assert kept["true"] == truth
  assert all(t.schema == tables["all"].schema for t in tables.values())
