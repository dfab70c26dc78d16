"""Reports are cut into statements without tearing them."""

import collections
import csv
import re

import pytest

from fgclep_jax.reports import statements

CASES = [
  ("", []),
  ("   ", []),
  ("trace only requested.", []),
  ("Trace nur angefordert.", []),
  ("sinus rhythm", ["sinus rhythm"]),
  ("sinus rhythm. normal ecg.", ["sinus rhythm", "normal ecg"]),
  (
    "sinus rhythm. q waves in ii, iii, avf consistent with old inferior"
    "    myocardial infarction. t waves are low.",
    [
      "sinus rhythm",
      "q waves in ii, iii, avf consistent with old inferior myocardial "
      "infarction",
      "t waves are low",
    ],
  ),
  (
    "st segments are depressed in i, ii, avl, v4,5,6. t waves are flat in ii,"
    "  v2-6.",
    [
      "st segments are depressed in i, ii, avl, v4,5,6",
      "t waves are flat in ii, v2-6",
    ],
  ),
  (
    "pr interval 0.24 sec. left axis deviation",
    ["pr interval 0.24 sec", "left axis deviation"],
  ),
  ("av- block 1. grades", ["av- block 1. grades"]),
  (
    "linkslagetyp intraventr. leitungsstoerung",
    ["linkslagetyp intraventr. leitungsstoerung"],
  ),
  (
    "sinus rhythm. Edit: NORM 100, (NORM 100). more",
    ["sinus rhythm"],
  ),
  ("normales EKG. Bearbeiten: LVH 100, ISC", ["normales EKG"]),
  ("sinus rhythm\r\nnormal ecg\n", ["sinus rhythm", "normal ecg"]),
  (
    "steiltyp" + 30 * " " + "wandernder schrittmacher" + 20 * " ",
    ["steiltyp", "wandernder schrittmacher"],
  ),
  (
    "compared with tracing of 9:9:91. axis has changed",
    ["compared with tracing of 9:9:91", "axis has changed"],
  ),
]


@pytest.mark.parametrize(("report", "expected"), CASES)
def test_split(report, expected):
  assert statements.split_report(report) == expected


def test_clean():
  text = "sinus  rhythm.\n normal ecg. Edit: NORM 100"
  assert statements.clean_report(text) == "sinus rhythm. normal ecg."
  text = "trace only requested. sinus rhythm."
  assert statements.clean_report(text) == "sinus rhythm."


def real_reports(shared):
  for name in ("ptbxl_database.csv", "reports_en.csv"):
    with open(shared / "ptbxl" / name, encoding="utf-8", newline="") as file:
      for row in csv.DictReader(file):
        if row["report"]:
          yield row["report"]


def test_no_label_code_is_left_in_real_reports(shared):
  with open(shared / "ptbxl" / "scp_statements.csv", newline="") as file:
    codes = {row[""].strip("_") for row in csv.DictReader(file)}
  for report in real_reports(shared):
    for statement in statements.split_report(report):
      words = set(re.findall(r"[\w/()]+", statement))
      assert not words & codes, report


def test_real_reports_lose_no_word(shared):
  for report in real_reports(shared):
    joined = " ".join(statements.split_report(report))
    kept = statements.clean_report(report)
    letters = [re.findall(r"\w*[^\W\d_]\w*", text) for text in (joined, kept)]
    assert letters[0] == letters[1], report


def test_real_statements_are_whole(shared):
  counts = collections.Counter(
    statement
    for report in real_reports(shared)
    # A report of 250 characters or more was cut off by the archive.
    for statement in statements.split_report(report)[
      : -1 if len(report) >= 250 else None
    ]
  )
  torn = [
    text
    for text in counts
    # A statement neither starts with the tail of a lead list nor ends in
    # the middle of a sentence.
    if re.match(r"(?:v?\d|avl|avf|iii?|and|of)\b", text)
    or re.search(r"\b(?:and|in|with|of|to|may be|due|an|a)$", text)
  ]
  assert not torn
  assert counts["sinus rhythm"] > 900
  assert not any("  " in text for text in counts)
