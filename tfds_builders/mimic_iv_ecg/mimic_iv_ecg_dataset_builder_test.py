"""TFDS's own checks of the builder, on dummy_data/."""

from typing import ClassVar

import pytest
import tensorflow_datasets as tfds

from . import mimic_iv_ecg_dataset_builder

# TFDS itself calls a method that protobuf has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:label:DeprecationWarning")


class MimicIvEcgTest(tfds.testing.DatasetBuilderTestCase):
  """Builds, reads back, and compares splits and features."""

  DATASET_CLASS = mimic_iv_ecg_dataset_builder.Builder
  BUILDER_CONFIG_NAMES_TO_TEST: ClassVar = ["original"]
  SPLITS: ClassVar = {"train": 7, "validation": 2, "test": 2}


if __name__ == "__main__":
  tfds.testing.test_main()
