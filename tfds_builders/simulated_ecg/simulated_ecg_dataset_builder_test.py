"""TFDS's own checks of the builder, on a few records."""

import os
import pathlib
import unittest.mock
from typing import ClassVar

import pytest
import tensorflow_datasets as tfds

from . import simulated_ecg_dataset_builder as builder

RECORDS = 40


# TFDS 4.9 calls what newer protobuf releases deprecate.
@pytest.mark.filterwarnings("ignore:label\\(\\) is deprecated")
class SimulatedEcgTest(tfds.testing.DatasetBuilderTestCase):
  """Builds 40 records and compares splits, features and determinism."""

  DATASET_CLASS = builder.Builder
  BUILDER_CONFIG_NAMES_TO_TEST: ClassVar = ["original"]
  EXAMPLE_DIR = pathlib.Path(__file__).parent  # nothing is read from it
  SKIP_CHECKSUMS = True
  SPLITS: ClassVar = {"train": 32, "validation": 3, "test": 5}

  def setUp(self):
    given = {
      "FGCLEP_SIMULATED_RECORDS": str(RECORDS),
      "FGCLEP_SIMULATED_SEED": "0",
      "FGCLEP_SIMULATED_RATE": "100",
    }
    patch = unittest.mock.patch.dict(os.environ, given)
    patch.start()
    self.addCleanup(patch.stop)
    super().setUp()


if __name__ == "__main__":
  tfds.testing.test_main()
