"""PTB-XL's four tasks on the published tables alone: all records, no signals.

The waveforms and SCP codes of most records are not part of these tables; the
list of findings beside the label columns stands in for the codes.
"""

import ast
import csv

import numpy as np
import pytest

from tests import tfds_builds

FOLDERS = {"super": "super_class", "sub": "sub_class"}
FILES = {"train": "train", "validation": "val", "test": "test"}
MEMBERS = {
  "super": (17084, 2146, 2158),
  "sub": (17084, 2146, 2158),
  "form": (7197, 901, 880),
  "rhythm": (16832, 2100, 2098),
}
# Positives of train, validation, test.
POSITIVES = {
  "form": """PAC 318/40/40 DIG 145/18/18 HVOLT 49/7/6 STD 807/101/101
    LPR 272/34/34 QWAVE 438/55/55 VCLVH 701/87/87 NDT 1461/182/182 TAB 28/4/3
    LOWT 350/44/44 ABQRS 2683/322/322 LNGQT 94/12/11 PRC(S) 8/1/1 NT 340/41/42
    STE 22/3/3 NST 615/75/77 PVC 915/114/114 INVT 235/30/29
    LVOLT 145/19/18""",
  "rhythm": """SVARR 128/15/14 BIGU 66/8/8 STACH 661/83/82 SARRH 618/77/77
    SBRAD 509/64/64 TRIGU 16/2/2 AFIB 1211/151/152 SR 13404/1670/1674
    SVTAC 21/3/3 PSVT 19/3/2 AFLT 59/7/7 PACE 237/29/28""",
}
RARE_SUB = {"PMI": 2, "SEHYP": 2, "WPW": 8, "ILBBB": 8}  # of test


@pytest.fixture
def labels(monkeypatch):
  return tfds_builds.module("ptb_xl", monkeypatch).labels


@pytest.fixture
def code_table(labels, shared):
  path = shared / "ptbxl" / "scp_statements.csv"
  with open(path, encoding="utf-8", newline="") as file:
    return labels.code_table(csv.DictReader(file))


def published(shared, task, split):
  """Returns the label columns, and (findings, values by position) rows."""
  name = FOLDERS.get(task, task)
  path = shared / "merl" / "data_split" / "ptbxl" / name
  with open(
    path / f"ptbxl_{name}_{FILES[split]}.csv", encoding="utf-8", newline=""
  ) as file:
    lines = csv.reader(file)
    columns = next(lines)
    rows = [
      (ast.literal_eval(line[5]), np.array(line[6:], np.uint8))
      for line in lines
    ]
  return columns[6:], rows


@pytest.mark.parametrize("task", MEMBERS)
def test_every_published_label(task, labels, code_table, shared):
  """`merl` is each file by position, `exact` each file by column name."""
  code_of = {found[task]: c for c, found in code_table.items() if task in found}
  merl, exact, sizes = {}, {}, []
  for split in FILES:
    columns, rows = published(shared, task, split)
    merl[split] = np.zeros(len(columns), int)
    exact[split] = np.zeros(len(columns), int)
    place = [columns.index(name) for name in labels.TASKS[task]]
    for findings, values in rows:
      codes = [code_of[name.strip("_")] for name in findings]
      found = labels.example_labels(codes, code_table, split)
      np.testing.assert_array_equal(found["labels_merl"][task], values)
      np.testing.assert_array_equal(found["labels"][task], values[place])
      assert found["labelled"][task]
      merl[split] += found["labels_merl"][task]
      exact[split] += found["labels"][task]
    sizes.append(len(rows))
  assert tuple(sizes) == MEMBERS[task] == labels.TASK_SIZES[task]
  check_counts(labels, task, merl, exact)


def check_counts(labels, task, merl, exact):
  names = labels.TASKS[task]
  if task in POSITIVES:
    words = POSITIVES[task].split()
    assert dict(zip(words[::2], words[1::2], strict=True)) == {
      name: "/".join(str(exact[split][i]) for split in FILES)
      for i, name in enumerate(names)
    }
  if task == "super":
    assert exact["test"].min() == exact["test"][names.index("HYP")] == 262
  if task == "sub":
    rare = np.flatnonzero(exact["test"] < 10)
    assert {names[i]: exact["test"][i] for i in rare} == RARE_SUB
  for split in FILES:
    differ = {names[i] for i in np.flatnonzero(merl[split] != exact[split])}
    permuted = task == "sub" and split != "train"
    assert differ == ({"AVB", "RAO/RAE", "ISC"} if permuted else set())
