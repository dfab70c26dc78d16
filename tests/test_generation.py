"""The account of a build, also of one that ends or stops early."""

import collections
import json
import shutil

import pytest
import tensorflow_datasets as tfds

from tests import mimic_tree, tfds_builds

# TFDS itself calls a method that protobuf has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:label:DeprecationWarning")

# Records of the dummy archive that may be in train.
TRAIN = ["A0001", "A0002", "A0003", "A0004", "A0005", "A0006", "A0008"]


@pytest.fixture
def builder(monkeypatch):
  return tfds_builds.module("cpsc2018", monkeypatch)


@pytest.fixture
def archive(tmp_path):
  """A copy of the dummy archive, to be damaged."""
  dummy = tfds_builds.BUILDERS / "cpsc2018" / "dummy_data"
  return shutil.copytree(dummy, tmp_path / "raw")


def build(builder, raw, out, limit):
  """Builds at most `limit` examples a split; as `tfds_builds.load`."""
  builder.Builder(data_dir=out, config="original").download_and_prepare(
    download_config=tfds.download.DownloadConfig(
      manual_dir=raw, max_examples_per_split=limit
    ),
    file_format="array_record",
  )
  return tfds_builds.load(builder.NAME, out)


def account(folder):
  lines = (folder / "skipped.jsonl").read_text().splitlines()
  counts = json.loads((folder / "build.json").read_text())
  return counts, [json.loads(line) for line in lines]


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 9])
def test_a_limited_build_leaves_its_account(
  limit, builder, archive, tmp_path, capsys
):
  first = min(
    key
    for key, split in builder.labels.own_splits().items()
    if split == "train" and key in TRAIN
  )
  path = archive / "TrainingSet" / f"{first}.mat"
  path.write_bytes(path.read_bytes()[:-20])
  # One record lost is above the rate of a whole build, at any limit.
  examples, metadata, folder = build(builder, archive, tmp_path / "out", limit)
  kept = {split: len(part) for split, part in examples.items()}
  sizes = {"train": 4, "validation": 2, "test": 1}
  assert kept == {split: min(n, limit) for split, n in sizes.items()}
  counts, skipped = account(folder)
  assert [row["record_id"] for row in skipped] == [first]
  assert counts["kept"] == sum(kept.values())
  assert counts["read"] == counts["kept"] + 1
  assert metadata["partial"] is True
  out = capsys.readouterr().out
  assert f"cpsc2018: at most {limit} examples of each split" in out
  assert f"read {counts['read']}, kept {counts['kept']}, dropped" in out


def test_a_limited_build_holds_the_examples_of_the_whole(
  builder, archive, tmp_path
):
  whole, _, _ = tfds_builds.build(builder, archive, tmp_path / "whole")
  some, _, _ = build(builder, archive, tmp_path / "some", 3)
  for split, part in some.items():
    assert list(part.keys() - whole[split].keys()) == []
    for key, example in part.items():
      assert (example["ecg"] == whole[split][key]["ecg"]).all()
    first = sorted(whole[split])[:3]
    assert sorted(part) == first


def test_a_stopped_build_leaves_its_account(monkeypatch, tmp_path, capsys):
  """TFDS removes what it has written; what was lost can still be read."""
  builder = tfds_builds.module("mimic_iv_ecg", monkeypatch)
  planted = mimic_tree.write(tmp_path / "raw", 60)
  out = tmp_path / "out"
  line = tfds_builds.refused(builder, capsys, tmp_path / "raw", out)
  folder = out / "mimic_iv_ecg" / "original" / "stopped"
  assert line.endswith(f"all are named in {folder}")
  counts, skipped = account(folder)
  assert counts["dropped"] == dict(sorted(planted.dropped.items()))
  reasons = collections.Counter(row["reason"] for row in skipped)
  assert reasons == planted.dropped
  for reason, count in planted.dropped.items():
    assert f"{reason} {count}" in line
