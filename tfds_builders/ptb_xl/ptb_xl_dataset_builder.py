"""TFDS builder of PTB-XL 1.0.3 (see README.md beside this file)."""

import dataclasses
import functools
import os
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from fgclep_jax.errors import InputError
from fgclep_jax.reports import enhanced, statements
from fgclep_jax.signals import (
  beam_generation,
  contract,
  generation,
  quality,
  reader,
)

from . import archive, labels

NAME = "ptb_xl"
SECONDS = 10  # length of every published record


class Builder(beam_generation.BeamByOption, tfds.core.GeneratorBasedBuilder):
  """PTB-XL: 21,799 clinical 12-lead ECGs of 10 s from 18,869 patients."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: ClassVar = {"1.0.0": "First version, from PTB-XL 1.0.3."}
  BUILDER_CONFIGS: ClassVar = [
    tfds.core.BuilderConfig(
      name="original", description="Records, reports and labels as published."
    ),
    tfds.core.BuilderConfig(
      name="enhanced", description="With verified waveform features."
    ),
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    "Unpack https://physionet.org/content/ptb-xl/1.0.3/ into the manual "
    f"directory, which must then hold {archive.TREE}."
  )

  def _info(self):
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        contract.example_features(tfds.features, labels.TASKS)
      ),
      homepage="https://physionet.org/content/ptb-xl/1.0.3/",
      metadata=tfds.core.MetadataDict(_fixed_metadata()),
    )

  def _split_generators(self, dl_manager):
    with contract.exit_on_bad_input(NAME):
      root = contract.manual_dir(dl_manager, archive.TREE)
      log = contract.BuildLog.from_environment()
      remake = functools.partial(
        open_recipe,
        root=root,
        rate=archive.choose_rate(root),
        allow_missing=contract.allow_missing(),
        features=enhanced.path_of(self.builder_config.name, root),
        max_unjudged=log.max_skip_rate,
      )
      recipe = remake()
    source, added = recipe.tools
    if source.partial:
      print(f"{NAME}: {len(source.rows)} of {archive.RECORDS} records, partial")
    self.info.metadata.update(
      partial=source.partial,
      sampling_rate=source.rate,
      reports="ptbxl_database.csv"
      if source.english is None
      else "reports_en.csv, else ptbxl_database.csv",
      **({"enhanced": added.metadata} if added else {}),
    )
    job = generation.Job(NAME, recipe, log, remake=remake)
    return self._generate_splits_of(job, tfds.core.lazy_imports)


@dataclasses.dataclass(frozen=True)
class Source:
  """An opened archive: everything but the waveforms."""

  root: str
  rate: int
  rows: list[archive.Row]
  english: dict[str, str] | None  # record id -> report
  code_table: dict[str, dict[str, str]]
  partial: bool


def open_recipe(root, rate, allow_missing, features, max_unjudged):
  """Opens the archive; the Recipe of a build, its places and tools.

  Args:
    root: the raw archive.
    rate: 100 or 500.
    allow_missing: accept validation and test with records missing.
    features: path of the enhanced tables, or None.
    max_unjudged: as `enhanced.read` takes it.

  Raises:
    InputError: the archive or a table is damaged or incomplete.
  """
  source = _open_archive(root, rate, allow_missing)
  ids = [row.record_id for row in source.rows]
  added = enhanced.tables(features, ids, max_unjudged, dataset=NAME)
  return generation.Recipe(
    _row,
    _example,
    (source, added),
    generation.places(source.rows, archive.SPLITS),
    () if allow_missing else generation.HELD_OUT,
  )


def _open_archive(root, rate, allow_missing):
  """Reads the tables and checks what can be checked before the waveforms."""
  codes = contract.read_table(
    os.path.join(root, "scp_statements.csv"), labels.CODE_COLUMNS, archive.TREE
  )
  code_table = labels.code_table(entry for _, entry in codes)
  rows = archive.read_database(root, rate, code_table)
  missing = archive.files_missing(root, rows)
  held_out = [row for row in missing if row.split != "train"]
  if held_out and not allow_missing:
    raise InputError(
      f"{len(held_out)} records of validation and test have no files, first "
      f"{held_out[0].path}.hea or .dat in {root}: complete the archive, or "
      "set FGCLEP_ALLOW_MISSING=1 to build without them"
    )
  if archive.is_complete(rows):
    _check_sizes(rows, code_table)
  return Source(
    root,
    rate,
    rows,
    archive.read_english_reports(root),
    code_table,
    partial=bool(missing) or not archive.is_complete(rows),
  )


def _check_sizes(rows, code_table):
  """Raises InputError when the release's record count hides other sizes."""
  found = {"records": [row.split for row in rows]}
  for task in labels.TASKS:
    found[task] = [
      row.split for row in rows if labels.members(row.codes, code_table)[task]
    ]
  expected = {"records": archive.SPLIT_SIZES} | labels.TASK_SIZES
  for name, members in found.items():
    sizes = tuple(members.count(split) for split in archive.SPLITS)
    if sizes != expected[name]:
      raise InputError(
        f"{name}: {sizes} in train, validation, test, but release 1.0.3 has "
        f"{expected[name]}: use its tables unchanged"
      )


def _row(tools, index):
  source, _ = tools
  return source.rows[index]


def _example(tools, row):
  """Returns the example of one record; raises RecordError."""
  source, added = tools
  record = reader.read_record(os.path.join(source.root, row.path))
  english = (source.english or {}).get(row.record_id)
  report = row.report if english is None else english
  found = statements.split_report(report)
  remarks = {
    "age_over_89": row.over_89,
    "no_statements": not found,
    # Not English: reports_en.csv is absent or lacks this record.
    "report_original": english is None and bool(found),
    "length_other": record.signal.shape[1] != SECONDS * source.rate,
  }
  flags = list(record.quality.flags)
  flags += [flag for flag, holds in remarks.items() if holds]
  features = added.features_of(row.record_id) if added else []
  return {
    "record_id": row.record_id,
    "patient_id": row.patient_id,
    "ecg": record.signal,
    "sampling_rate": round(record.rate),
    "statements": found,
    "features": features,
    "age": np.float32(row.age),
    "sex": row.sex,
    "quality": record.quality.example() | {"flags": flags},
  } | labels.example_labels(row.codes, source.code_table, row.split)


def _fixed_metadata():
  """What holds for every build: classes, protocols, limits."""
  return {
    "class_names": {task: list(names) for task, names in labels.TASKS.items()},
    "class_names_merl": {
      split: {
        task: list(labels.merl_order(task, split)) for task in labels.TASKS
      }
      for split in archive.SPLITS
    },
    "label_protocol": (
      "every code in scp_codes counts, whatever its likelihood; labels: one "
      "class order for all splits; labels_merl: the column order of each "
      "split's published file"
    ),
    "split_protocol": "strat_fold 1-8 train, 9 validation, 10 test",
    "patient_disjoint": True,
    "quality_policy": dataclasses.asdict(quality.BENCHMARK),
  }
