"""The tables of features that a second stage of the claims learns from."""

import shutil

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from fgclep_jax import demo
from fgclep_jax.enhance import fit, program
from fgclep_jax.enhance.backends.rules import Rules
from fgclep_jax.enhance.cache import Cache
from fgclep_jax.reports import enhanced


def table_of(cell, seed, coarse, data_dir, out):
  """Path of the enhanced.parquet that a cell learns from, made if need be.

  Args:
    cell: `cells.Cell`, with `features` other than `stated`.
    seed: of what is planted, and of the coarse model.
    coarse: workdir of the model that verifies.
    data_dir: folder with the built cohort.
    out: folder of this seed's tables.
  """
  judged = out / f"judged-{cell.planted:g}" / enhanced.FILE
  if not (judged.parent / "enhance.json").is_file():
    with Cache(judged.parent / "answers.jsonl") as cache:
      program.enhance(
        coarse,
        program.open_splits(data_dir, demo.DATASET),
        judged,
        Rules(),
        cache,
        options=fit.Options(plant=cell.planted, seed=seed),
        say=lambda _: None,
      )
  if cell.features == "verified":
    return judged
  made = out / f"{cell.features}-{cell.planted:g}" / enhanced.FILE
  if not made.is_file():
    made.parent.mkdir(parents=True, exist_ok=True)
    pairs = parquet.read_table(judged)
    if cell.features == "all":
      kept = pa.array(np.ones(len(pairs), bool))
      pairs = pairs.set_column(
        pairs.column_names.index("kept"), pairs.schema.field("kept"), kept
      )
    else:
      pairs = true_pairs(data_dir, pairs.schema)
    shutil.copy(judged.parent / enhanced.RECORDS_FILE, made.parent)
    parquet.write_table(pairs, made)
  return made


def true_pairs(data_dir, schema):
  """Every (record, feature) that the simulator says is there."""
  ids, names = [], []
  for split in program.open_splits(data_dir, demo.DATASET).values():
    rows, columns = np.nonzero(split.truth)
    ids += [split.record_ids[row] for row in rows]
    names += [split.feature_names[column] for column in columns]
  constant = {
    "score": 1.0, "threshold": 0.0, "kept": True, "cosine": 1.0,
    "source": "truth", "model_hash": "", "prompt_hash": "",
  }  # fmt: skip
  columns = {"record_id": ids, "feature": names}
  columns |= {name: [value] * len(ids) for name, value in constant.items()}
  return pa.table(
    [pa.array(columns[f.name], f.type) for f in schema], schema=schema
  )
