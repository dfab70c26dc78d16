"""TFDS builder of the simulated cohort (see README.md beside this file)."""

import dataclasses
import functools
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from fgclep_jax.reports import enhanced
from fgclep_jax.reports import features as vocabulary
from fgclep_jax.signals import (
  beam_generation,
  contract,
  generation,
  leads,
  quality,
  simulate,
)

from .cohort import SPLITS, Cohort

NAME = "simulated_ecg"
TASK = "simulated"
TASKS = {TASK: simulate.DIAGNOSES}


class Builder(beam_generation.BeamByOption, tfds.core.GeneratorBasedBuilder):
  """Simulated ECGs of 10 s with diagnoses, waveform features and reports."""

  VERSION = tfds.core.Version(f"{simulate.VERSION}.0.0")
  RELEASE_NOTES: ClassVar = {
    "2.0.0": "41 diagnoses, 85 features; frequencies after published ones.",
    "1.0.0": "The frozen simulator: 20 diagnoses, 51 features.",
  }
  BUILDER_CONFIGS: ClassVar = [
    tfds.core.BuilderConfig(
      name="original", description="Reports as the simulator writes them."
    ),
    tfds.core.BuilderConfig(
      name="enhanced", description="With verified waveform features."
    ),
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    "Nothing for the config `original`. `enhanced` needs enhanced.parquet and "
    "enhanced_records.parquet there, or the former named in FGCLEP_ENHANCED."
  )

  def _info(self):
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        contract.example_features(tfds.features, TASKS, _extra())
      ),
      metadata=tfds.core.MetadataDict(_fixed_metadata()),
    )

  def _split_generators(self, dl_manager):
    with contract.exit_on_bad_input(NAME):
      cohort = Cohort.from_environment()
      log = contract.BuildLog.from_environment()
      tree = (
        f"{enhanced.FILE} and {enhanced.RECORDS_FILE}, or name the former in "
        "FGCLEP_ENHANCED"
      )
      remake = functools.partial(
        open_recipe,
        cohort=dataclasses.asdict(cohort),
        features=enhanced.path_of(
          self.builder_config.name,
          lambda: contract.manual_dir(dl_manager, tree),
        ),
      )
      recipe = remake()
    _, added = recipe.tools
    self.info.metadata.update(
      seed=cohort.seed,
      records=cohort.records,
      sampling_rate=cohort.rate,
      **({"enhanced": added.metadata} if added else {}),
    )
    job = generation.Job(NAME, recipe, log, remake=remake)
    return self._generate_splits_of(job, tfds.core.lazy_imports)


def open_recipe(cohort, features):
  """Returns the Recipe of a build, its places and tools.

  Args:
    cohort: fields of a Cohort.
    features: path of the enhanced tables, or None.

  Raises:
    InputError: as `enhanced.read`.
  """
  cohort = Cohort(**cohort)
  ids = [f"S{index:08d}" for index in range(cohort.records)]
  added = enhanced.tables(features, ids, 0, dataset=NAME, seed=cohort.seed)
  return generation.Recipe(
    _record, _example, (cohort, added), cohort.places(), complete=SPLITS
  )


def _extra():
  """What only simulated records can have: the truth."""
  return {
    "truth": tfds.features.Tensor(
      shape=(len(simulate.FEATURES),), dtype=np.uint8
    ),
    "measurements": dict.fromkeys(simulate.MEASUREMENTS, np.float32),
  }


def _record(tools, index):
  cohort, _ = tools
  return simulate.simulate(index, cohort.seed, cohort.rate)


def _example(tools, record):
  _, added = tools
  signal, found = quality.assemble(record.signal, leads.LEADS, record.rate)
  labels = {TASK: _multi_hot(record.diagnoses, simulate.DIAGNOSES)}
  return {
    "record_id": record.record_id,
    "patient_id": record.patient_id,
    "ecg": signal,
    "sampling_rate": record.rate,
    "statements": list(record.statements),
    "features": added.features_of(record.record_id) if added else [],
    "age": np.float32(record.age),
    "sex": record.sex,
    "quality": found.example(),
    "labels": labels,
    "labels_merl": labels,
    "labelled": {TASK: True},
    "truth": _multi_hot(record.features, simulate.FEATURES),
    "measurements": {
      name: np.float32(value) for name, value in record.measurements.items()
    },
  }


def _multi_hot(present, names):
  return np.array([name in present for name in names], np.uint8)


def _fixed_metadata():
  """What holds for every build: classes, features, protocols."""
  known = vocabulary.lookup(simulate.FEATURES)
  return {
    "class_names": {TASK: list(simulate.DIAGNOSES)},
    "feature_names": [feature.name for feature in known],
    "measurement_names": list(simulate.MEASUREMENTS),
    "partial": False,
    "simulator_version": simulate.VERSION,
    "label_protocol": "diagnoses the record was made with, all of them",
    "truth_protocol": "features measured on the record without noise",
    "split_protocol": "by patient number, modulo 10: 0-6 train, 7 "
    "validation, 8-9 test",
    "patient_disjoint": True,
    "quality_policy": dataclasses.asdict(quality.BENCHMARK),
  }
