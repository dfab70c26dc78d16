"""Which rows the published code draws, by golden sums and scikit-learn."""

import csv

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import merl_subset

# n: (rows, sum of their indices) at 1 % and at 10 %.
GOLDEN = {
  17084: ((170, 1356623), (1708, 14473953)),
  7197: ((71, 248206), (719, 2652211)),
  16832: ((168, 1337388), (1683, 14004216)),
  4950: ((49, 112271), (495, 1261402)),
  16546: ((165, 1332126), (1654, 13339762)),
}
FILES = {
  "super": ("ptbxl/super_class/ptbxl_super_class", 6),
  "sub": ("ptbxl/sub_class/ptbxl_sub_class", 6),
  "form": ("ptbxl/form/ptbxl_form", 6),
  "rhythm": ("ptbxl/rhythm/ptbxl_rhythm", 6),
  "cpsc": ("icbeb/icbeb", 7),
  "csn": ("chapman/chapman", 3),
}
# Classes without a positive in the 1 % subset.
ABSENT = {
  "super": "",
  "sub": "PMI",
  "form": "HVOLT TAB PRC(S) STE",
  "rhythm": "TRIGU SVTAC PSVT AFLT",
  "cpsc": "STE",
  "csn": "UW WPW PRIE VEB MI PWC RVH",
}


@pytest.mark.parametrize("count", GOLDEN)
def test_golden_sums(count):
  for fraction, (size, total) in zip((0.01, 0.1), GOLDEN[count], strict=True):
    rows = merl_subset.subset(count, fraction)
    assert (len(rows), rows.sum()) == (size, total)
    theirs, _ = train_test_split(
      np.arange(count), train_size=fraction, random_state=42
    )
    np.testing.assert_array_equal(rows, theirs)
  np.testing.assert_array_equal(merl_subset.subset(count, 1), np.arange(count))


def _published(shared, task, split):
  """Columns, record keys and label values of a published file."""
  name, first = FILES[task]
  path = shared / "merl" / "data_split" / f"{name}_{split}.csv"
  with open(path, encoding="utf-8", newline="") as file:
    lines = list(csv.reader(file))
  values = np.array([line[first:] for line in lines[1:]], np.uint8)
  return lines[0], lines[1:], values, lines[0][first:]


def _ids(header, lines, task):
  if task == "cpsc":
    return [line[header.index("filename")] for line in lines]
  if task == "csn":
    return [line[0].split("/")[-1].removesuffix(".mat") for line in lines]
  return [f"{int(line[0]):05d}" for line in lines]


@pytest.mark.parametrize("task", FILES)
def test_published_rows_and_their_classes(task, shared):
  header, lines, values, names = _published(shared, task, "train")
  ids = np.array(_ids(header, lines, task))
  assert len(ids) in GOLDEN
  # However a dataset is shuffled, the published order comes back.
  shuffled = ids[np.random.default_rng(0).permutation(len(ids))]
  folder = shared / "merl" / "data_split"
  order, words = merl_subset.row_order(shuffled, task, folder)
  np.testing.assert_array_equal(shuffled[order], ids)
  assert words == "as published"
  rows = merl_subset.subset(len(ids), 0.01)
  absent = {names[c] for c in np.flatnonzero(values[rows].sum(0) == 0)}
  assert absent == set(ABSENT[task].split())
  rows = merl_subset.subset(len(ids), 0.1)
  absent = {names[c] for c in np.flatnonzero(values[rows].sum(0) == 0)}
  assert absent == ({"PRC(S)"} if task == "form" else set())
  # Without the files: right for PTB-XL, and said to be wrong elsewhere.
  order, words = merl_subset.row_order(shuffled, task)
  right = np.array_equal(shuffled[order], ids)
  assert right == ("not" not in words) == (task not in ("cpsc", "csn"))


@pytest.mark.parametrize("task", FILES)
def test_only_sub_has_its_columns_permuted(task, shared):
  orders = [
    _published(shared, task, split)[3] for split in ("train", "val", "test")
  ]
  assert orders[1] == orders[2]
  differ = [
    i for i, (a, b) in enumerate(zip(*orders[:2], strict=True)) if a != b
  ]
  assert differ == ([10, 11, 12] if task == "sub" else [])
  if task == "sub":
    assert orders[0][10:13] == ["AVB", "RAO/RAE", "ISC"]
    assert orders[1][10:13] == ["ISC", "AVB", "RAO/RAE"]


def test_refusals(tmp_path):
  with pytest.raises(InputError, match="above 0, at most 1"):
    merl_subset.subset(10, 0.0)
  with pytest.raises(InputError, match=r"cannot read .*icbeb_train.csv"):
    merl_subset.row_order(["A0001"], "cpsc", tmp_path)
  (tmp_path / "icbeb").mkdir()
  path = tmp_path / "icbeb" / "icbeb_train.csv"
  path.write_text("filename,AFIB\nA0002,1\n")
  with pytest.raises(InputError, match=r"1 records .* the first is A0001"):
    merl_subset.row_order(["A0001", "A0002"], "cpsc", tmp_path)
  path.write_text("name,AFIB\nA0002,1\n")
  with pytest.raises(InputError, match="KeyError"):
    merl_subset.row_order(["A0002"], "cpsc", tmp_path)
