"""Right and wrong candidates, counted again by hand; the machine's truth."""

import itertools
import json
import types

import numpy as np
import pytest
from pyarrow import parquet

from fgclep_jax import metrics
from fgclep_jax.enhance import fit, judge, program, truth
from fgclep_jax.enhance.cache import Cache
from fgclep_jax.reports import features
from tests import mimic_tree, tfds_builds
from tests.enhance_fakes import named

VOCABULARY = features.VOCABULARY
LIMITS = {
  "heart rate < 60 bpm": ("rate", 50.0, 70.0, 58.5, 61.5),
  "heart rate > 100 bpm": ("rate", 110.0, 80.0, 98.5, 102.5),
  "PR interval > 200 ms": ("pr", 240.0, 150.0, 191.0, 209.0),
  "PR interval < 120 ms": ("pr", 90.0, 150.0, 111.0, 129.0),
  "QRS duration > 120 ms": ("qrs", 150.0, 90.0, 111.0, 129.0),
  "P wave duration > 120 ms": ("p", 140.0, 90.0, 111.0, 129.0),
  "QTc interval > 460 ms": ("qt", 520.0, 400.0, 451.0, 469.0),
  "left axis deviation": ("axis", -60.0, 0.0, -35.0, -25.0),
  "right axis deviation": ("axis", 140.0, 60.0, 95.0, 105.0),
  "extreme axis deviation": ("axis", -120.0, 0.0, -95.0, -85.0),
}


def random_pairs(seed, records=40, count=5, patients=12):
  rng = np.random.default_rng(seed)
  proposed = rng.random((records, count)) < 0.5
  record, feature = np.nonzero(proposed)
  score = rng.integers(0, 20, len(record)) / 20  # ties
  return judge.Pairs(
    record, feature, score.astype(np.float32), score > 0.4,
    rng.integers(-1, 2, (records, count)).astype(np.int8),
    rng.choice([f"p{i}" for i in range(patients)], records),
  )  # fmt: skip


def counted(pairs, records=None):
  """The definitions as a loop; `records`: which, repeated ones count again."""
  found = dict.fromkeys(
    ("unknown", "known", "right", "kept_known", "kept_right", "present"), 0
  )
  for r in range(len(pairs.truth)) if records is None else records:
    found["present"] += int((pairs.truth[r] == 1).sum())
    for i in np.flatnonzero(pairs.record == r):
      value = int(pairs.truth[r, pairs.feature[i]])
      if value == -1:
        found["unknown"] += 1
        continue
      found["known"] += 1
      found["right"] += value
      found["kept_known"] += bool(pairs.kept[i])
      found["kept_right"] += value * bool(pairs.kept[i])
  n = types.SimpleNamespace(**found)
  return {
    "unknown": n.unknown,
    "precision_before": n.right / n.known if n.known else None,
    "precision": n.kept_right / n.kept_known if n.kept_known else None,
    "recall_before": n.right / n.present if n.present else None,
    "recall": n.kept_right / n.present if n.present else None,
    "recall_of_candidates": n.kept_right / n.right if n.right else None,
  }


KEYS = (
  "precision_before", "precision", "recall_before", "recall",
  "recall_of_candidates",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_values_are_those_of_a_loop(seed):
  pairs = random_pairs(seed)
  found, expected = judge.summary(pairs, 20), counted(pairs)
  assert found["unknown"] == expected["unknown"] > 0
  assert found["pairs"] == len(pairs.record)
  assert found["kept"] == pairs.kept.sum()
  assert found["keep_rate"] == pytest.approx(pairs.kept.mean())
  for key in KEYS:
    assert found[key]["value"] == pytest.approx(expected[key]), key


def test_unknown_pairs_change_nothing_but_their_count():
  pairs = random_pairs(9)
  first = judge.summary(pairs, 20)
  known = pairs.known != truth.UNKNOWN
  only = judge.Pairs(
    pairs.record[known], pairs.feature[known], pairs.score[known],
    pairs.kept[known], pairs.truth, pairs.units,
  )  # fmt: skip
  second = judge.summary(only, 20)
  assert second["unknown"] == 0 < first["unknown"]
  for key in (*KEYS, "auroc", "at_random", "by_frequency"):
    assert first[key] == second[key], key


def test_intervals_resample_patients():
  """Every resample written out: the records of the patients drawn."""
  pairs = random_pairs(10, records=15, patients=4)
  weights = metrics.Resamples(pairs.units, 3).weights(0, 200)
  drawn = {key: [] for key in KEYS}
  for row in weights:
    for patient in np.unique(pairs.units):
      assert len(set(row[pairs.units == patient])) == 1  # whole patients
    records = np.repeat(np.arange(15), row)
    for key, value in counted(pairs, records).items():
      if key in drawn and value is not None:
        drawn[key].append(value)
  found = judge.summary(pairs, 200, seed=3)
  for key in KEYS:
    expected = np.percentile(drawn[key], [2.5, 97.5])
    np.testing.assert_allclose(found[key]["ci95"], expected, atol=1e-12)
    assert expected[0] < found[key]["value"] < expected[1]


def test_intervals_hold_every_multiset_of_few_patients():
  """Of three patients there are ten multisets: the ends are among them."""
  pairs = random_pairs(11, records=9, patients=3)
  assert len(np.unique(pairs.units)) == 3
  values = set()
  for three in itertools.combinations_with_replacement("012", 3):
    records = [r for p in three for r in np.flatnonzero(pairs.units == f"p{p}")]
    values.add(counted(pairs, records)["precision"])
  values = sorted(v for v in values if v is not None)
  for bound in judge.summary(pairs, 2000)["precision"]["ci95"]:
    assert min(abs(bound - v) for v in values) < 1e-12


def test_chance_baselines():
  """As many pairs at random, or of the commonest features."""
  record = np.arange(60) % 30
  feature = np.repeat([0, 1, 2], [30, 20, 10])
  known = np.zeros((30, 3), np.int8)
  known[:, 0], known[:10, 1], known[:, 2] = 1, 1, 1
  rng = np.random.default_rng(12)
  kept = np.zeros(60, bool)
  kept[rng.choice(60, 30, replace=False)] = True
  pairs = judge.Pairs(
    record, feature, np.zeros(60, np.float32), kept, known,
    np.arange(30).astype(str),
  )  # fmt: skip
  found = judge.summary(pairs, 10)
  assert found["at_random"]["precision"] == pytest.approx(
    known[record, feature].mean()
  )
  assert found["by_frequency"]["precision"] == 1.0  # all of feature 0
  assert found["auroc"] == pytest.approx(0.5)


def test_by_feature():
  pairs = random_pairs(13)
  names = [f"f{i}" for i in range(5)]
  found = judge.by_feature(pairs, names)
  for f, name in enumerate(names):
    mine = pairs.feature == f
    own = judge.Pairs(
      pairs.record[mine], pairs.feature[mine], pairs.score[mine],
      pairs.kept[mine], pairs.truth, pairs.units,
    )  # fmt: skip
    expected, row = counted(own), found[name]
    assert row["candidates"] == mine.sum()
    assert row["known"] == mine.sum() - expected["unknown"]
    assert row["kept"] == pairs.kept[mine].sum()
    for key in ("precision_before", "precision", "recall_of_candidates"):
      assert row[key] == pytest.approx(expected[key])


def test_sweep_is_what_each_threshold_keeps():
  """Also between equal scores, which are kept together."""
  pairs = random_pairs(14)
  found = judge.sweep(pairs)
  assert found["threshold"] == sorted(found["threshold"])
  assert len(set(found["threshold"])) == len(found["threshold"])
  judged = pairs.known != truth.UNKNOWN
  score, right = pairs.score[judged], pairs.known[judged] == 1
  assert min(found["threshold"]) == score.min()
  for k, threshold in enumerate(found["threshold"]):
    kept = score >= threshold
    assert found["precision"][k] == pytest.approx(right[kept].mean())
    recall = (right & kept).sum() / right.sum()
    assert found["recall_of_candidates"][k] == pytest.approx(recall)
    expected = score[kept].astype(float).mean()
    assert found["expected_precision"][k] == pytest.approx(expected)


def test_nothing_to_judge():
  none = np.zeros(0, int)
  pairs = judge.Pairs(
    none, none, none.astype(np.float32), none.astype(bool),
    np.full((3, 2), truth.UNKNOWN, np.int8), np.array(["a", "b", "c"]),
  )  # fmt: skip
  found = judge.summary(pairs, 10)
  assert found["precision"] == {"value": None, "ci95": None}
  assert found["keep_rate"] is None
  assert judge.sweep(pairs) is None
  json.dumps(found)


def test_auroc_by_feature_is_their_mean():
  pairs = random_pairs(15)
  judged = pairs.known != truth.UNKNOWN
  values = []
  for f in range(5):
    mine = judged & (pairs.feature == f)
    high = pairs.score[mine & (pairs.known == 1)]
    low = pairs.score[mine & (pairs.known == 0)]
    wins = (high[:, None] > low).mean() + (high[:, None] == low).mean() / 2
    values.append(wins)
  found = judge.summary(pairs, 10)
  assert found["auroc_by_feature"] == pytest.approx(np.mean(values))


def machine(**changes):
  """Measurements of MIMIC-IV-ECG's machine, of the row of DATASETS."""
  given = {
    "rr_interval": 659.0, "rate": 60000 / 659, "p_onset": 40.0,
    "p_end": 128.0, "pr": 130.0, "qrs": 88.0, "qt": 348.0, "qrs_axis": 81.0,
  }  # fmt: skip
  return {k: np.atleast_1d(np.float32(v)) for k, v in (given | changes).items()}


def value_of(name, **changes):
  (feature,) = features.lookup([name])
  known = truth.measured(machine(**changes), [feature], 1)
  assert known.dtype == np.int8
  return int(known[0, 0])


def test_the_row_of_the_archive():
  """Rate 91, P 88, PR 130, QRS 88, QT 348 ms (QTc 429), axis 81 degrees."""
  known = truth.measured(machine(), VOCABULARY, 1)[0]
  found = {
    feature.name: int(value)
    for feature, value in zip(VOCABULARY, known, strict=True)
    if value != truth.UNKNOWN
  }
  assert found == {
    "heart rate < 60 bpm": 0, "heart rate > 100 bpm": 0,
    "heart rate < 40 bpm": 0, "heart rate > 150 bpm": 0,
    "P wave duration > 120 ms": 0, "PR interval > 200 ms": 0,
    "QRS duration > 120 ms": 0, "QRS duration > 110 ms": 0,
    "QRS duration < 120 ms": 1, "QTc interval > 460 ms": 0,
    "QTc interval > 500 ms": 0, "QTc interval < 360 ms": 0,
    "left axis deviation": 0, "right axis deviation": 0,
    "extreme axis deviation": 0,
  }  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
def test_limits_and_margins(name):
  wave, above, below, *near = LIMITS[name]

  def value(number):
    if wave == "p":
      return value_of(name, p_end=40 + number)
    if wave == "qt":  # at 60 a minute QT is QTc
      return value_of(name, qt=number, rate=60.0)
    return value_of(name, **{"qrs_axis" if wave == "axis" else wave: number})

  assert value(above) == 1
  assert value(below) == 0
  assert [value(number) for number in near] == [truth.UNKNOWN] * 2
  assert value(np.nan) == truth.UNKNOWN


def test_qt_is_corrected_by_bazett():
  for rate, qt in ((120, 400), (45, 450), (75, 420), (90, 300)):
    corrected = qt / (60 / rate) ** 0.5
    expected = truth.UNKNOWN
    if abs(corrected - 460) > 10:
      expected = int(corrected > 460)
    assert value_of("QTc interval > 460 ms", qt=qt, rate=rate) == expected


def test_the_axis_is_a_circle():
  """The same angle written otherwise; margins hold on both ends."""
  names = [f"{side} axis deviation" for side in ("left", "right", "extreme")]
  for angle in range(-180, 181, 7):
    for name in names:
      value = value_of(name, qrs_axis=angle)
      for turn in (-360, 360):
        if abs(angle + turn) <= 360:
          assert value_of(name, qrs_axis=angle + turn) == value, (name, angle)
  for angle in (175, -175, 180, -180):  # right or extreme: nobody can tell
    assert value_of("right axis deviation", qrs_axis=angle) == truth.UNKNOWN
    assert value_of("extreme axis deviation", qrs_axis=angle) == truth.UNKNOWN
  assert value_of("left axis deviation", qrs_axis=-120) == 0
  assert value_of("left axis deviation", qrs_axis=-95) == truth.UNKNOWN
  assert value_of("right axis deviation", qrs_axis=-120) == 0
  assert value_of("extreme axis deviation", qrs_axis=140) == 0


def test_what_was_not_measured_is_unknown():
  nothing = dict.fromkeys(machine(), np.nan)
  known = truth.measured(machine(**nothing), VOCABULARY, 1)
  assert (known == truth.UNKNOWN).all()
  assert (truth.measured({}, VOCABULARY, 2) == truth.UNKNOWN).all()
  assert value_of("heart rate < 60 bpm", rate=0.0) == truth.UNKNOWN
  assert value_of("QTc interval > 460 ms", rate=0.0) == truth.UNKNOWN
  # No P wave: the machine writes no or an impossible end.
  assert value_of("P wave duration > 120 ms", p_end=40.0) == truth.UNKNOWN
  assert value_of("R wave in V1-V2 > 40 ms") == truth.UNKNOWN  # by lead
  assert value_of("atrial rate > 100 bpm") == truth.UNKNOWN


class Model:
  """A coarse model without training: embeddings from means of the leads."""

  rate, samples, checkpoint = 100, 100, {"hash": "tiny", "step": 1}

  def on(self, devices):
    return self

  def encode_ecg(self, signals):
    pooled = signals.mean(2).astype(np.float32) + 1
    return unit(pooled), pooled

  def embed_text(self, texts):
    draw = [np.random.default_rng(list(text.encode())) for text in texts]
    return unit(np.array([d.normal(size=12) for d in draw], np.float32))


def unit(rows):
  return rows / np.linalg.norm(rows, axis=1, keepdims=True)


MEASURED = (
  "heart rate > 100 bpm", "PR interval > 200 ms", "QRS duration > 120 ms",
  "QTc interval > 460 ms", "left axis deviation",
)  # fmt: skip


def by_hand(name, values):
  """Truth from the values as the machine wrote them; None: unknown."""
  v = types.SimpleNamespace(**values)
  rate = 60000 / v.rr_interval
  value, limit, margin = {
    "heart rate > 100 bpm": (rate, 100, 3),
    "PR interval > 200 ms": (v.qrs_onset - v.p_onset, 200, 10),
    "QRS duration > 120 ms": (v.qrs_end - v.qrs_onset, 120, 10),
    "QTc interval > 460 ms": (
      (v.t_end - v.qrs_onset) / (60 / rate) ** 0.5, 460, 10
    ),
    "left axis deviation": (
      30 - abs((v.qrs_axis + 60 + 180) % 360 - 180), 0, 10
    ),
  }[name]  # fmt: skip
  near = not abs(value - limit) > margin
  return None if near else value > limit


@pytest.mark.filterwarnings("ignore:label:DeprecationWarning")
def test_the_machine_judges_the_features(tmp_path, monkeypatch):
  """From a raw archive to the precision in enhance.json, counted again."""
  builder = tfds_builds.module("mimic_iv_ecg", monkeypatch)
  monkeypatch.setenv("FGCLEP_MAX_SKIP_RATE", "0.2")
  planted = mimic_tree.write(tmp_path / "raw", 240, samples=500)
  tfds_builds.build(builder, tmp_path / "raw", tmp_path / "data")
  monkeypatch.setattr(program.inference, "load", lambda workdir, step: Model())
  splits = program.open_splits(tmp_path / "data", "mimic_iv_ecg")
  out = tmp_path / "out" / "enhanced.parquet"
  with Cache(tmp_path / "answers") as cache:
    program.enhance(
      "workdir", splits, out, named(*MEASURED), cache,
      options=fit.Options(method="fixed", value=0.0, resamples=50),
      say=lambda line: None,
    )  # fmt: skip
  found = json.loads((out.parent / "enhance.json").read_text())["truth"]
  assert found["source"] == "machine measurements"
  assert found["split"] == "test"
  mine = set(splits["test"].record_ids.tolist())
  rows = [
    row for row in parquet.read_table(out).to_pylist()
    if row["record_id"] in mine
  ]  # fmt: skip
  total = np.zeros((2, 2), int)  # before, kept; all, right
  for name in MEASURED:
    count = np.zeros((2, 2), int)
    for row in rows:
      if row["feature"] == name:
        present = by_hand(name, planted.kept[row["record_id"]].values)
        if present is not None:
          count += np.outer([1, row["kept"]], [1, present])
    total += count
    one = found["by_feature"][name]
    assert one["known"] == count[0, 0] > 10
    assert one["precision_before"] == pytest.approx(count[0, 1] / count[0, 0])
    assert one["precision"] == pytest.approx(count[1, 1] / count[1, 0])
  summary = found["summary"]
  assert set(found["by_feature"]) == set(MEASURED)
  assert summary["precision"]["value"] == pytest.approx(
    total[1, 1] / total[1, 0]
  )
  assert summary["unknown"] == len(rows) - total[0, 0] > 0
  assert 0 < summary["kept"] < len(rows)
  low, high = summary["precision"]["ci95"]
  assert low <= summary["precision"]["value"] <= high
  assert "machine measurements" in (out.parent / "report.html").read_text()
