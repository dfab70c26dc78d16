"""The account of a build adds up and stops a build that loses records."""

import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from fgclep_jax.errors import InputError
from fgclep_jax.signals import contract, quality


def log_of(kept, dropped, rate=0.01):
  log = contract.BuildLog(max_skip_rate=rate)
  for _ in range(kept):
    log.keep(("lead_flat",))
  for number in range(dropped):
    log.drop(number, f"a/{number}", "bad_gain", "gain '0'")
  return log


def test_read_is_kept_and_dropped(tmp_path):
  log = log_of(995, 5)
  assert log.read == 1000
  assert log.summary() == (
    "read 1000, kept 995, dropped bad_gain 5, flag lead_flat 995"
  )
  for _ in range(2):  # writing again replaces
    log.write(tmp_path)
  counts = json.loads((tmp_path / "build.json").read_text())
  assert counts["read"] == counts["kept"] + sum(counts["dropped"].values())
  lines = (tmp_path / "skipped.jsonl").read_text().splitlines()
  assert [json.loads(line)["record_id"] for line in lines] == list("01234")
  assert json.loads(lines[0])["reason"] == "bad_gain"


@pytest.mark.parametrize(
  ("kept", "dropped", "rate"), [(0, 0, 0), (99, 1, 0.01), (1, 1, 0.5)]
)
def test_check_accepts_up_to_the_limit(kept, dropped, rate):
  log_of(kept, dropped, rate).check()


def test_check_refuses_above_the_limit():
  with pytest.raises(InputError, match="2 of 100 records dropped"):
    log_of(98, 2).check()


def test_the_limit_comes_from_the_environment(monkeypatch):
  monkeypatch.delenv("FGCLEP_MAX_SKIP_RATE", raising=False)
  assert contract.BuildLog.from_environment().max_skip_rate == 0.01
  monkeypatch.setenv("FGCLEP_MAX_SKIP_RATE", "0.25")
  assert contract.BuildLog.from_environment().max_skip_rate == 0.25
  for value in ("much", "1.5", "-0.1", "nan"):
    monkeypatch.setenv("FGCLEP_MAX_SKIP_RATE", value)
    with pytest.raises(InputError, match="between 0 and 1"):
      contract.BuildLog.from_environment()


def test_features_accept_an_example():
  spec = tfds.features.FeaturesDict(
    contract.example_features(tfds.features, {"form": ("A", "B")})
  )
  signal = np.ones((12, 200), np.int16)
  _, found = quality.assemble(signal, list(contract.leads.LEADS), 100)
  example = {
    "record_id": "1",
    "patient_id": "",
    "ecg": signal,
    "sampling_rate": 100,
    "statements": [],
    "features": [],
    "age": np.float32("nan"),
    "sex": -1,
    "quality": found.example(lines=["Artifact in lead(s) V1"]),
    "labels": {"form": np.array([0, 1], np.uint8)},
    "labels_merl": {"form": np.array([0, 1], np.uint8)},
    "labelled": {"form": True},
  }
  encoded = spec.encode_example(example)
  assert encoded.keys() == example.keys() == spec.keys()
  assert "labels" not in contract.example_features(tfds.features, {})


def test_bad_input_ends_with_one_line(capsys):
  with pytest.raises(SystemExit) as caught, contract.exit_on_bad_input("x"):
    raise InputError("what and why")
  assert caught.value.code == 2
  assert capsys.readouterr().err == "\nx: what and why\n"
