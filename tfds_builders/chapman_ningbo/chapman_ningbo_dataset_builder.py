"""TFDS builder of Chapman-Shaoxing-Ningbo (see README.md beside this file)."""

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
  quality,
  reader,
)

from . import archive, labels

NAME = "chapman_ningbo"
HOMEPAGE = "https://physionet.org/content/ecg-arrhythmia/1.0.0/"
RATE, SAMPLES = 500, 5000  # of every published record


class Builder(beam_generation.BeamByOption, tfds.core.GeneratorBasedBuilder):
  """Chapman-Shaoxing-Ningbo: 45,152 12-lead ECGs of 10 s with 55 codes."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: ClassVar = {"1.0.0": "First version, from release 1.0.0."}
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
    f"Unpack {HOMEPAGE} into the manual directory, which must then hold "
    f"{archive.TREE}."
  )

  def _info(self):
    extra = {
      "codes": tfds.features.Tensor(shape=(len(labels.CODES),), dtype=np.uint8),
      "dx": tfds.features.Sequence(tfds.features.Text()),
    }
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        contract.example_features(tfds.features, labels.TASKS, extra)
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
    generation.places(source.rows, archive.SPLITS),
    () if allow_missing else generation.HELD_OUT,
    compare=True,
  )


def _read(source, row):
  """Returns Record, Remarks and whether the header was repaired."""
  path = os.path.join(source.root, row.path)
  header, repaired = archive.read_header(path)
  record = reader.read_record(path, header=header)
  return record, challenge.read_comments(record.comments), repaired


def _row(tools, index):
  source, _ = tools
  return source.rows[index]


def _example(tools, row):
  """Returns the example of one record; raises RecordError."""
  source, added = tools
  record, remarks, repaired = _read(source, row)
  age, over_89 = contract.known_age(remarks.age)
  known = [code for code in remarks.codes if code in labels.CODES]
  odd = {
    "age_over_89": over_89,
    "header_repaired": repaired,
    "unknown_code": len(known) < len(remarks.codes),
    "no_label": not remarks.codes,
    "diagnose_differs": _differs(row, remarks.codes),
    "length_other": record.signal.shape[1] != SAMPLES,
  }
  flags = list(record.quality.flags)
  flags += [flag for flag, holds in odd.items() if holds]
  features = added.features_of(row.record_id) if added else []
  return {
    "record_id": row.record_id,
    "patient_id": "",
    "ecg": record.signal,
    "sampling_rate": round(record.rate),
    # No text is published; only `enhanced` says the labels in words.
    "statements": [labels.CODES[c][1] for c in known] if added else [],
    "features": features,
    "age": np.float32(age),
    "sex": remarks.sex,
    "quality": record.quality.example() | {"flags": flags},
    "codes": labels.all_codes(remarks.codes),
    "dx": list(remarks.codes),
  } | _labels(source, row, remarks.codes)


def _labels(source, row, codes):
  """Returns the entries `labels`, `labels_merl`, `labelled` of an example."""
  merl = labels.substring(labels.diagnose(codes))
  if row.published:
    merl = row.published.labels
  # The publishers left out records with a code they did not know.
  usable = bool(merl.any()) and all(code in labels.CODES for code in codes)
  member = bool(row.published) if source.published_splits else usable
  return {
    "labels": {labels.TASK: labels.exact(codes)},
    "labels_merl": {labels.TASK: merl},
    "labelled": {labels.TASK: member},
  }


def _differs(row, codes):
  """True where the published findings are not those of the header."""
  if row.published is None:
    return False
  return set(labels.codes_of(row.published.entry["diagnose"])) != set(codes)


def _fixed_metadata():
  """What holds for every build: classes, codes, protocols, limits."""
  classes = {labels.TASK: list(labels.CLASSES)}
  return {
    "class_names": classes,
    "class_names_merl": dict.fromkeys(archive.SPLITS, classes),
    "label_statements": {
      labels.TASK: [
        labels.CODES[labels.CODE_OF[name]][1] for name in labels.CLASSES
      ]
    },
    "codes": list(labels.CODES),
    "code_names": [acronym for acronym, _ in labels.CODES.values()],
    "code_statements": [words for _, words in labels.CODES.values()],
    "label_protocol": (
      "labels: header codes, compared whole; labels_merl: the values of the "
      "published file, for other records its rule, acronyms found anywhere "
      "in the joined text"
    ),
    # No patient is known: equal signals are looked for instead.
    "patient_disjoint": None,
    "quality_policy": dataclasses.asdict(quality.BENCHMARK),
  }


def _build_metadata(source, added):
  """What depends on the archive."""
  given = (
    "published files, by record id; unlabelled: records in none of them, no "
    "members of the task"
  )
  own = (
    "hash of the record id: 70 train, 10 validation, 20 test of 100; members "
    "of the task: all codes known, at least one class of labels_merl"
  )
  metadata = {
    "partial": source.partial or bool(source.missing),
    "sampling_rate": RATE,
    "split_protocol": given if source.published_splits else own,
  }
  return metadata | ({"enhanced": added.metadata} if added else {})
