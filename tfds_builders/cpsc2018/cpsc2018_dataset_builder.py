"""TFDS builder of CPSC2018 (see README.md beside this file)."""

import dataclasses
import functools
import os
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from fgclep_jax.reports import enhanced
from fgclep_jax.signals import (
  beam_generation,
  challenge,
  contract,
  generation,
  published,
  quality,
  reader,
)

from . import archive, labels, mat_struct

NAME = "cpsc2018"
HOMEPAGE = "http://2018.icbeb.org/Challenge.html"
SECONDS = (6, 60)  # of the published records


class Builder(beam_generation.BeamByOption, tfds.core.GeneratorBasedBuilder):
  """CPSC2018: 6,877 12-lead ECGs of 6 to 60 s with nine classes."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: ClassVar = {"1.0.0": "First version."}
  BUILDER_CONFIGS: ClassVar = [
    tfds.core.BuilderConfig(
      name="original", description="Records and labels as published."
    ),
    tfds.core.BuilderConfig(
      name="enhanced",
      description="With label names as statements and verified features.",
    ),
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    f"Unpack the training set of {HOMEPAGE} or the folder `cpsc_2018` of "
    "https://physionet.org/content/challenge-2021/1.0.3/ into the manual "
    f"directory, which must then hold {archive.TREE}."
  )

  def _info(self):
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        contract.example_features(tfds.features, labels.TASKS)
      ),
      homepage=HOMEPAGE,
      metadata=tfds.core.MetadataDict(_fixed_metadata()),
    )

  def _split_generators(self, dl_manager):
    with contract.exit_on_bad_input(NAME):
      root = contract.manual_dir(dl_manager, archive.TREE)
      log = contract.BuildLog.from_environment()
      remake = functools.partial(
        open_recipe,
        root=root,
        allow_missing=contract.allow_missing(),
        features=enhanced.path_of(self.builder_config.name, root),
        max_unjudged=log.max_skip_rate,
      )
      recipe = remake()
    source, added = recipe.tools
    source.account(NAME, labels.RECORDS, log)
    self.info.metadata.update(_build_metadata(source, added))
    job = generation.Job(NAME, recipe, log, remake=remake)
    return self._generate_splits_of(job, tfds.core.lazy_imports)


def open_recipe(root, allow_missing, features, max_unjudged):
  """Opens the archive; the Recipe of a build, its places and tools.

  Args:
    root: the raw archive.
    allow_missing: accept validation and test with records missing.
    features: path of the enhanced tables, or None.
    max_unjudged: as `enhanced.read` takes it.

  Raises:
    InputError: as `archive.open_archive` and `enhanced.read`.
  """
  source = archive.open_archive(root, allow_missing)
  ids = [row.record_id for row in source.rows]
  added = enhanced.tables(features, ids, max_unjudged, dataset=NAME)
  return generation.Recipe(
    _row,
    _example,
    (source, added),
    generation.places(source.rows, published.SPLITS),
    () if allow_missing else generation.HELD_OUT,
    compare=True,
  )


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
  """A record of either form."""

  signal: np.ndarray  # (12, T) int16 microvolts
  rate: float
  quality: quality.Quality
  age: float
  sex: int
  codes: tuple[str, ...]  # of the header; empty in the original form


def _read(source, row):
  """Returns the Reading of a record; raises RecordError."""
  path = os.path.join(source.root, row.path)
  if row.wfdb:
    record = reader.read_record(path)
    remarks = challenge.read_comments(record.comments)
    return Reading(
      record.signal,
      record.rate,
      record.quality,
      remarks.age,
      remarks.sex,
      remarks.codes,
    )
  struct = mat_struct.read_struct(path + ".mat")
  return Reading(
    struct.signal,
    mat_struct.RATE,
    struct.quality,
    struct.age,
    struct.sex,
    (),
  )


def _row(tools, index):
  source, _ = tools
  return source.rows[index]


def _example(tools, row):
  """Returns the example of one record; raises RecordError."""
  source, added = tools
  found = _read(source, row)
  classes = row.classes
  if classes is None:
    classes = {labels.CODES[c] for c in found.codes if c in labels.CODES}
  features = added.features_of(row.record_id) if added else []
  age, over_89 = contract.known_age(found.age)
  seconds = found.signal.shape[1] / found.rate
  remarks = {
    "age_over_89": over_89,
    "unknown_code": any(code not in labels.CODES for code in found.codes),
    "no_label": not classes,
    "length_other": not SECONDS[0] <= seconds <= SECONDS[1],
  }
  flags = list(found.quality.flags)
  flags += [flag for flag, holds in remarks.items() if holds]
  exact = labels.multi_hot(classes)
  names = [labels.NAMES[c] for c in labels.CLASSES if c in classes]
  return {
    "record_id": row.record_id,
    "patient_id": "",
    "ecg": found.signal,
    "sampling_rate": round(found.rate),
    # No text is published; only `enhanced` says the labels in words.
    "statements": names if added else [],
    "features": features,
    "age": np.float32(age),
    "sex": found.sex,
    "quality": found.quality.example() | {"flags": flags},
    "labels": {labels.TASK: exact},
    "labels_merl": {labels.TASK: exact if row.merl is None else row.merl},
    "labelled": {labels.TASK: bool(classes)},
  }


def _fixed_metadata():
  """What holds for every build: classes, protocols, limits."""
  classes = {labels.TASK: list(labels.CLASSES)}
  return {
    "class_names": classes,
    "class_names_merl": dict.fromkeys(published.SPLITS, classes),
    "label_statements": {
      labels.TASK: [labels.NAMES[name] for name in labels.CLASSES]
    },
    "label_protocol": (
      "all classes of a record as a set, from REFERENCE.csv, without it from "
      "the header codes; labels_merl: the values of the published file"
    ),
    # No patient is known: equal signals are looked for instead.
    "patient_disjoint": None,
    "quality_policy": dataclasses.asdict(quality.BENCHMARK),
  }


def _build_metadata(source, added):
  """What depends on the archive."""
  given = "published files, by record id"
  own = "80/20, then 90/10, seed 42, over the sorted ids of the release"
  metadata = {
    "partial": source.partial or bool(source.missing),
    "sampling_rate": mat_struct.RATE,
    "split_protocol": given if source.published_splits else own,
  }
  return metadata | ({"enhanced": added.metadata} if added else {})
