"""No words of a report, patient or sample in anything but the data.

The real commands on an archive whose every report, patient and waveform is
known; then all they printed and wrote is searched, also after a crash.
"""

import json
import pathlib
import re
import stat
import traceback

import numpy as np
import pytest

from fgclep_jax import cli
from fgclep_jax.data import sources
from fgclep_jax.enhance import program
from tests import fake_runs, llm_server, mimic_tree, tfds_builds

NAME = "mimic_iv_ecg"
KEY = "canary-key-58213"
# Words that no vocabulary holds side by side.
PHRASE = "quaggafoal pelicanbrook"
LINES = (
  (f"Sinus rhythm {PHRASE}", f"Sinus rhythm {PHRASE}", ""),
  (f"Left bundle branch block {PHRASE}",
   f"Left bundle branch block {PHRASE}", ""),
  ("Atrial fibrillation", "Atrial fibrillation", ""),
)  # fmt: skip
# May hold reports: the dataset, the answers asked for, the reviewer's sheet
# and the page beside it, which lists the same findings.
KEPT = ("/data/", "/answers.jsonl", "/sheet.csv")
FINDINGS = "/enhanced/report.html"


class Boom(Exception):
  """A fault that no code of the project expects."""


def config(_=None):
  return fake_runs.config(
    data__dataset=NAME, data__validation="inner", data__rate="500",
    data__seconds="1", optim__steps="2", save_every="1", log_every="1",
  )  # fmt: skip


class Place:
  """A folder with an archive, and what the commands said there."""

  def __init__(self, folder, planted):
    self.folder, self.planted, self.said = folder, planted, ""

  def secrets(self):
    """{what: pattern of bytes} of all that must not be found."""
    records = self.planted.kept.values()
    patients = {str(record.subject) for record in records}
    found = {
      "report": re.escape(PHRASE).encode(),
      "key": KEY.encode(),
      "patient": b"(?<![0-9])(" + "|".join(patients).encode() + b")(?![0-9])",
    }
    samples = []
    for record in records:
      for row in record.signal[:, 100:106]:
        numbers = [int(value) for value in row]
        samples += [
          row.astype("<i2").tobytes(),
          row.astype("<f4").tobytes(),
          (row / 1000).astype("<f4").tobytes(),
          ", ".join(map(str, numbers)).encode(),
          "\n".join(map(str, numbers)).encode(),
          " ".join(f"{value:.1f}" for value in row).encode(),
        ]
    samples = [re.escape(x) for x in samples if len(set(x)) > 3]
    found["samples"] = b"|".join(samples)
    return {what: re.compile(x, re.IGNORECASE) for what, x in found.items()}

  def run(self, capfd, *line, fails=None):
    """One command in this process; what it says is kept."""
    error = ""
    with pytest.raises(fails or SystemExit) as stop:
      cli.main([*map(str, line)])
    if fails:
      error = "".join(traceback.format_exception(stop.value))
    out = capfd.readouterr()
    self.said += out.out + out.err + error
    return 0 if fails else stop.value.code or 0


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """The archive built by the real command; two faulty records are left out."""
  folder = tmp_path_factory.mktemp("private")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(mimic_tree, "LINES", LINES)
    faults = {f: mimic_tree.FAULTS[f] for f in ("truncated", "two reports")}
    patch.setattr(mimic_tree, "FAULTS", faults)
    planted = mimic_tree.write(folder / "raw", 60)
  made = Place(folder, planted)
  built = tfds_builds.command(
    NAME, folder / "raw", folder / "data", FGCLEP_MAX_SKIP_RATE="0.2"
  )
  assert built.returncode == 0, built.stderr[-2000:]
  made.said += built.stdout + built.stderr
  refused = tfds_builds.command(NAME, folder / "raw", folder / "none" / "data")
  assert refused.returncode == 2, refused.stderr[-2000:]
  made.said += refused.stdout + refused.stderr
  return made


@pytest.mark.core
def test_nothing_private_leaves_the_data(place, capfd, monkeypatch):
  folder = place.folder
  monkeypatch.setattr(cli.config_lib, "load", config)
  monkeypatch.setattr(program.examples, "draw", lambda *_: [])  # slow
  monkeypatch.setenv("FGCLEP_LLM_API_KEY", KEY)
  work, data = ["--workdir", folder / "run"], ["--data-dir", folder / "data"]
  of = [*work, *data, "--dataset", NAME]
  train = ["train", "--config", "tiny", *work, *data]
  out = folder / "enhanced" / "enhanced.parquet"
  evaluate = ["evaluate", *of, "--split", "test", "--task", "retrieval",
              "--bootstrap", "20", "--no-baselines", "--out",
              folder / "evaluation"]  # fmt: skip
  with llm_server.Server(llm_server.good) as server:
    enhance = [
      "enhance", *of, "--out", out, "--backend", "openai", "--server",
      server.url, "--cache", folder / "answers.jsonl", "--sheet",
      folder / "sheet.csv", "--threshold", "fixed", "--bootstrap", "20",
    ]  # fmt: skip
    for line in (train, evaluate, enhance):
      with monkeypatch.context() as patch:
        for name in ("signals", "windows"):
          patch.setattr(sources.Split, name, boom)
        place.run(capfd, *line, fails=Boom)
      assert place.run(capfd, *line) == 0, place.said[-3000:]
    assert server.findings
    assert any(PHRASE.split()[0] in finding for finding in server.findings)
  assert place.run(capfd, "enhance", *of, "--plan") == 0
  line = ["export", *work, "--out", folder / "exported"]
  assert place.run(capfd, *line) == 0
  assert find(place) == []


def boom(self, indices, *_):
  raise Boom(f"{len(indices)} records")


def find(place):
  """What was found where, of all that is secret."""
  told = {"(said)": place.said.encode()}
  for path in sorted(place.folder.rglob("*")):
    name = "/" + path.relative_to(place.folder).as_posix()
    if path.is_file() and not name.startswith("/raw/"):
      told[name] = path.read_bytes()
  assert {"/run/metrics.jsonl", "/evaluation/report.html"} <= told.keys()
  hits = []
  for what, pattern in place.secrets().items():
    for name, content in told.items():
      kept = any(part in name for part in KEPT) and what != "key"
      kept = kept or (name, what) == (FINDINGS, "report")
      if not kept and (found := pattern.search(content)):
        hits.append((name, what, found[0][:40]))
  return hits


def test_the_search_finds_what_is_there(place):
  """Each secret lies in the archive, or in the dataset, as it is sought."""
  secrets = place.secrets()
  table = (place.folder / "raw" / "machine_measurements.csv").read_bytes()
  assert secrets["report"].search(table)
  assert secrets["patient"].search(table)
  record = next(iter(place.planted.kept.values()))
  values = record.signal[3, 90:120]
  for content in (
    values.astype("<i2").tobytes(),
    np.round(values / 1000, 6).astype("<f4").tobytes(),
    json.dumps(values.astype(int).tolist()).encode(),
  ):
    assert secrets["samples"].search(content)


def test_accounts_of_a_build(place):
  """Counts alone; and which records went, by their place in the archive.

  MIMIC-IV-ECG has patients in its paths: `skipped.jsonl` stays with the data.
  """
  secrets, seen = place.secrets(), 0
  for path in place.folder.rglob("*.json*"):
    if path.name in ("build.json", "skipped.jsonl"):
      kinds = {"report", "patient", "samples"}
      for what in kinds - {"patient"} if "skip" in path.name else kinds:
        assert not secrets[what].search(path.read_bytes()), (path, what)
      seen += 1
  assert seen == 4  # of the build that was done, and of the one refused


def test_permissions_are_those_of_the_umask(place):
  """No file is opened wider, or narrower, than the user asks for."""
  import os

  umask = os.umask(0)
  os.umask(umask)
  files = [path for path in (place.folder / "run").rglob("*") if path.is_file()]
  assert files
  wrong = [
    (str(path), oct(stat.S_IMODE(path.stat().st_mode)))
    for path in files
    if stat.S_IMODE(path.stat().st_mode) & umask & 0o777
  ]
  assert wrong == []


def test_a_key_has_no_flag(root, capsys):
  """From the environment alone: a flag or field of that name is refused."""
  base = ["enhance", "--dataset", NAME, "--data-dir", "d", "--out", "x.parquet"]
  for flag in ("--api-key", "--key", "--llm-api-key"):
    with pytest.raises(SystemExit) as stop:
      cli.main([*base, flag, KEY])
    told = capsys.readouterr().err
    assert stop.value.code == 2
    assert KEY not in told
  text = "".join(
    path.read_text() for path in pathlib.Path(root, "fgclep_jax").rglob("*.py")
  )
  assert text.count("FGCLEP_LLM_API_KEY") >= 1
