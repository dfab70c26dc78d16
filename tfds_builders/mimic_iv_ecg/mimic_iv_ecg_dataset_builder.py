"""TFDS builder of MIMIC-IV-ECG 1.0 (see README.md beside this file)."""

import dataclasses
import functools
import os
import re
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from fgclep_jax.reports import enhanced
from fgclep_jax.signals import (
  beam_generation,
  contract,
  generation,
  quality,
  reader,
)

from . import archive, measurements, tables

NAME = "mimic_iv_ecg"
HOMEPAGE = "https://physionet.org/content/mimic-iv-ecg/1.0/"
RATE, SAMPLES = 500, 5000  # of every published record
MAX_SKIP_RATE = 0.02
# What others report of the whole release, printed beside our own counts.
REPORTED = {"reports of at least 4 words": 771_693, "records kept": 787_677}
_SUBJECT = re.compile(r"<?subject_id>?:\s*(\d+)", re.ASCII)


class Builder(beam_generation.BeamByOption, tfds.core.GeneratorBasedBuilder):
  """MIMIC-IV-ECG: 800,035 12-lead ECGs of 10 s with machine statements."""

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: ClassVar = {"1.0.0": "First version, from release 1.0."}
  BUILDER_CONFIGS: ClassVar = [
    tfds.core.BuilderConfig(
      name="original", description="Records and statements as published."
    ),
    tfds.core.BuilderConfig(
      name="enhanced", description="With verified waveform features."
    ),
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    f"Unpack {HOMEPAGE} into the manual directory, which must then hold "
    f"{tables.TREE}."
  )

  def _info(self):
    extra = {"measurements": dict.fromkeys(measurements.NAMES, np.float32)}
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        contract.example_features(tfds.features, {}, extra)
      ),
      homepage=HOMEPAGE,
      metadata=tfds.core.MetadataDict(_fixed_metadata()),
    )

  def _split_generators(self, dl_manager):
    with contract.exit_on_bad_input(NAME):
      root = contract.manual_dir(dl_manager, tables.TREE)
      log = contract.BuildLog.from_environment(MAX_SKIP_RATE)
      remake = functools.partial(
        open_recipe,
        root=root,
        features=enhanced.path_of(self.builder_config.name, root),
        max_unjudged=log.max_skip_rate,
      )
      recipe = remake()
    source, added = recipe.tools
    for study, path, reason in source.dropped:
      log.drop(study, path, reason)
    _print_counts(source)
    self.info.metadata.update(
      partial=source.partial,
      join=source.counts,
      people="unknown" if source.people is None else "patients.csv",
      **({"enhanced": added.metadata} if added else {}),
    )
    report = functools.partial(_print_reported, source, log)
    job = generation.Job(NAME, recipe, log, report, remake)
    return self._generate_splits_of(job, tfds.core.lazy_imports)


def open_recipe(root, features, max_unjudged):
  """Opens the archive; the Recipe of a build, its places and tools.

  Args:
    root: the raw archive.
    features: path of the enhanced tables, or None.
    max_unjudged: as `enhanced.read` takes it.

  Raises:
    InputError: as `archive.open_archive` and `enhanced.read`.
  """
  source = archive.open_archive(root)
  ids = source.record_ids() if features else ()
  added = enhanced.tables(features, ids, max_unjudged, dataset=NAME)
  return generation.Recipe(_row, _example, (source, added), source.places())


def _print_counts(source):
  """Prints what is there and what the join of the tables found."""
  listed = source.counts["records_listed"]
  if source.partial or listed != archive.RECORDS:
    partial = ", partial" if source.partial else ""
    print(f"{NAME}: {len(source)} of {archive.RECORDS} records{partial}")
  parts = (f"{k.replace('_', ' ')} {n}" for k, n in source.counts.items())
  print(f"{NAME}: {', '.join(parts)}")


def _print_reported(source, log):
  """Compares a whole release with figures that others have published."""
  if source.partial:
    return
  found = source.counts["reports_of_4_words"], log.kept
  for (what, number), own in zip(REPORTED.items(), found, strict=True):
    print(f"{NAME}: {what} {own}, elsewhere reported {number}")


def _read(source, row):
  """Returns the Record of a row; raises RecordError."""
  record = reader.read_record(
    os.path.join(source.root, row.path), quality.TRAINING
  )
  for comment in record.comments:
    match = _SUBJECT.search(comment)
    if match and int(match[1]) != row.subject:
      raise reader.RecordError(
        "subject_differs", f"header of {row.path} names {match[1]}"
      )
  return record


def _row(tools, index):
  source, _ = tools
  return source.row(index)


def _example(tools, row):
  """Returns the example of one record; raises RecordError."""
  source, added = tools
  record = _read(source, row)
  remarks = {
    "age_over_89": row.over_89,
    "no_statements": not row.statements,
    "no_measurements": not row.measured,
    "length_other": (record.rate, record.signal.shape[1]) != (RATE, SAMPLES),
  }
  flags = list(record.quality.flags)
  flags += [flag for flag, holds in remarks.items() if holds]
  features = added.features_of(row.record_id) if added else []
  return {
    "record_id": row.record_id,
    "patient_id": str(row.subject),
    "ecg": record.signal,
    "sampling_rate": round(record.rate),
    "statements": row.statements,
    "features": features,
    "age": np.float32(row.age),
    "sex": row.sex,
    "quality": record.quality.example(row.lines) | {"flags": flags},
    "measurements": measurements.example(row.values),
  }


def _fixed_metadata():
  """What holds for every build: protocols, units, limits."""
  return {
    "sampling_rate": RATE,
    "measurement_units": measurements.UNITS,
    "measurement_limits": {
      "ms": [0, measurements.MAX_TIME],
      "degrees": [-measurements.MAX_AXIS, measurements.MAX_AXIS],
    },
    "statement_protocol": (
      "report_0 to report_17 in order, blank ones skipped; technical lines "
      "in quality/lines; decoration dropped"
    ),
    "split_protocol": (
      "sha256 of `mimic_iv_ecg/<subject_id>`: 90 train, 5 validation, 5 test "
      "of 100 subjects"
    ),
    "patient_disjoint": True,
    "licence": "Open Data Commons Open Database License v1.0",
    "quality_policy": dataclasses.asdict(quality.TRAINING),
  }
