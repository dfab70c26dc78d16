"""`fgclep enhance`, as a user runs it: files, exit codes, single lines."""

import json
import pathlib
import socket

import numpy as np
import pytest
from pyarrow import parquet

from fgclep_jax import cli
from fgclep_jax.data import sources
from fgclep_jax.enhance import answers, corrections, program
from fgclep_jax.enhance.backends.rules import Rules
from fgclep_jax.enhance.cache import Cache
from fgclep_jax.errors import Interrupted
from fgclep_jax.reports import enhanced, features
from fgclep_jax.reports.classify import RELEVANT, classify
from fgclep_jax.reports.stated import stated
from tests import tfds_builds
from tests.test_training import SMALL

NAME = "simulated_ecg"
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def workdir(simulated, tmp_path_factory):
  """A coarse model of two steps."""
  folder = tmp_path_factory.mktemp("coarse")
  config = folder / "small.py"
  changes = SMALL | {"optim.steps": "2", "save-every": "2"}
  config.write_text(
    "from fgclep_jax import config as c\n"
    "def get_config(arg=''):\n"
    f"  return c.override(c.TrainConfig(), {changes!r})\n"
  )
  arguments = ["train", "--config", str(config), "--workdir", str(folder / "w")]
  assert cli.run([*arguments, "--data-dir", str(simulated)]) == 0
  return folder / "w"


@pytest.fixture(scope="module")
def command(simulated, workdir, tmp_path_factory):
  """Function of (folder, more flags) -> arguments; encodes only once."""
  shared = tmp_path_factory.mktemp("encoded")
  program_encode = program.embeddings.encode

  def encode(model, split, folder, say):
    return program_encode(model, split, shared, say)

  def arguments(folder, *more):
    return [
      "enhance", "--workdir", str(workdir), "--dataset", NAME,
      "--data-dir", str(simulated), "--out",
      str(folder / "out" / "enhanced.parquet"), "--bootstrap", "20", *more,
    ]  # fmt: skip

  program.embeddings.encode = encode
  yield arguments
  program.embeddings.encode = program_encode


@pytest.fixture
def no_page(monkeypatch):
  """Leaves out the drawing, which takes most of the time."""
  monkeypatch.setattr(program.report, "write", lambda *_: None)
  monkeypatch.setattr(program.examples, "draw", lambda *_: [])


def rows_of(folder):
  return parquet.read_table(folder / "out" / "enhanced.parquet").to_pylist()


def content_of(folder):
  return json.loads((folder / "out" / "enhance.json").read_text())


def exit_of(arguments, capsys):
  """Exit code and the lines on stderr."""
  capsys.readouterr()
  with pytest.raises(SystemExit) as stop:
    cli.main(arguments)
  return stop.value.code, capsys.readouterr().err.strip().splitlines()


def splits_of(simulated):
  return {n: sources.open_split(simulated, NAME, "original", n) for n in SPLITS}


def nobody(self, findings):
  raise AssertionError("a backend was asked")


@pytest.fixture(scope="module")
def done(command, tmp_path_factory):
  """Folder of a whole run with fixed threshold and planted candidates."""
  folder = tmp_path_factory.mktemp("done")
  more = ("--threshold", "fixed", "--cosine", "0.0", "--plant", "0.2")
  sheet = ("--sheet", str(folder / "sheet.csv"))
  assert cli.run(command(folder, *more, *sheet)) == 0
  return folder


def test_tables_hold_what_was_asked(done, simulated):
  """Every candidate of every record and nothing else; kept by its cosine."""
  rows, splits = rows_of(done), splits_of(simulated)
  told = {
    str(record): set(texts)
    for split in splits.values()
    for record, texts in zip(split.record_ids, split.statements, strict=True)
  }
  assert len(rows) > 100
  for row in rows:
    states = {n for text in told[row["record_id"]] for n in stated(text)}
    assert row["feature"] not in states
    assert any(classify(t).kind in RELEVANT for t in told[row["record_id"]])
    assert row["kept"] == (row["score"] >= row["threshold"])
    assert row["score"] == row["cosine"]
    assert row["threshold"] == 0
    assert row["source"] in ("rules", "planted")
    assert row["model_hash"] == Rules().model_hash
  backend = dict(Rules().ask({classify(t).finding for s in told.values()
                              for t in s}))  # fmt: skip
  for record, texts in told.items():
    expected = {
      name
      for text in texts
      if classify(text).kind in RELEVANT
      for name in answers.parse(
        backend[classify(text).finding], classify(text).finding
      ).features
    } - {n for text in texts for n in stated(text)}
    mine = {"rules": set(), "planted": set()}
    for row in rows:
      if row["record_id"] == record:
        mine[row["source"]].add(row["feature"])
    # What two statements propose, one of them planted, counts as planted.
    assert mine["rules"] == expected - mine["planted"]
  records = parquet.read_table(done / "out" / enhanced.RECORDS_FILE).to_pylist()
  assert {r["record_id"]: r["split"] for r in records} == {
    str(record): name for name, split in splits.items()
    for record in split.record_ids
  }  # fmt: skip


def test_the_account_adds_up(done, simulated):
  rows, content = rows_of(done), content_of(done)
  assert content["pairs"]["candidates"] == len(rows)
  assert content["pairs"]["kept"] == sum(row["kept"] for row in rows)
  for name, one in content["features"].items():
    mine = [row for row in rows if row["feature"] == name]
    assert one["asked"] == len(mine)
    assert one["kept"] == sum(row["kept"] for row in mine)
    assert sum(one["histogram"]["kept"]) == one["kept"]
    assert sum(one["histogram"]["dropped"]) == one["asked"] - one["kept"]
  assert content["planted"] == 0.2
  assert content["statements"]["planted"] > 0
  planted = sum(row["source"] == "planted" for row in rows)
  assert 0.05 < planted / len(rows) < 0.5
  test = splits_of(simulated)["test"]
  truth = dict(zip(test.record_ids.tolist(), test.truth, strict=True))
  known = [
    truth[row["record_id"]][test.feature_names.index(row["feature"])]
    for row in rows
    if row["record_id"] in truth and row["feature"] in test.feature_names
  ]
  found = content["truth"]
  assert found["source"] == "simulated truth"
  before = found["summary"]["precision_before"]["value"]
  assert before == pytest.approx(np.mean(known))
  assert content["run"]["command"]
  assert "/" not in content["run"]["command"]  # reports are passed on
  page = (done / "out" / "report.html").read_text()
  assert "not a medical device" in page.lower()
  assert (done / "sheet.csv").is_file()


def test_plan_asks_nothing(command, simulated, tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(Rules, "ask", nobody)
  line = ["enhance", "--dataset", NAME, "--data-dir", str(simulated), "--plan"]
  assert cli.run(line) == 0
  out = capsys.readouterr().out
  assert f"{sum(map(len, splits_of(simulated).values()))} records" in out
  assert "0 answered before" in out
  assert "technical" in out
  assert cli.run([*command(tmp_path), "--plan"]) == 0
  assert list(tmp_path.iterdir()) == []


def test_plan_knows_the_answers(done, command, capsys):
  assert cli.run([*command(done), "--plan"]) == 0
  assert " 0 to ask" in capsys.readouterr().out


def test_plan_opens_no_connection(simulated, monkeypatch, capsys):
  monkeypatch.setattr(socket.socket, "connect", nobody)
  line = ["enhance", "--dataset", NAME, "--data-dir", str(simulated)]
  assert cli.run([*line, "--plan", "--backend", "openai"]) == 0


@pytest.mark.parametrize(
  ("more", "message"),
  [
    (["--workdir", ""], "--workdir is missing"),
    (["--out", ""], "--out is missing"),
    (["--dataset", "ptb_xl"], "tfds build"),
    (["--target", "1.5"], "--target 1.5: give a number in (0, 1)"),
    (["--target", "nan"], "--target nan"),
    (["--threshold", "quantile", "--share", "0"], "--share 0.0"),
    (["--threshold", "fixed", "--cosine", "2"], "--cosine 2.0"),
    (["--threshold", "guess"], "invalid choice: 'guess'"),
    (["--plant", "1"], "--plant 1.0: give a number in [0, 1)"),
    (["--bootstrap", "0"], "--bootstrap 0"),
    (["--out", "features.csv"], "ends in .parquet"),
    (["--out", "enhanced_records.parquet"], "table of records"),
    (["--workdir", "nowhere"], "no checkpoint in nowhere"),
    (["--corrections", "none.csv"], "none.csv"),
    (["--backend", "transformers"], "--model FOLDER"),
    (["--backend", "chatbot"], "invalid choice: 'chatbot'"),
  ],
)
def test_bad_flags_before_anything_is_asked(
  command, tmp_path, capsys, monkeypatch, more, message
):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(Rules, "ask", nobody)
  code, lines = exit_of(command(tmp_path, *more), capsys)
  assert code == 2
  assert len(lines) == 1
  assert message in lines[0]


def test_a_remote_address_opens_no_socket(
  command, tmp_path, capsys, monkeypatch
):
  def opened(*arguments, **options):
    raise AssertionError("a socket was opened or a name resolved")

  for name in ("socket", "create_connection", "getaddrinfo", "gethostbyname"):
    monkeypatch.setattr(socket, name, opened)
  more = ("--backend", "openai", "--server", "http://llm.example.org:8000")
  code, lines = exit_of(command(tmp_path, *more), capsys)
  assert code == 2
  assert "--allow-remote" in lines[-1]
  assert len(lines) == 1
  assert not (tmp_path / "out").exists()
  assert cli.run([*command(tmp_path, *more), "--plan"]) == 0  # asks nobody


def test_interrupted_is_resumable(
  command, tmp_path, capsys, monkeypatch, no_page
):
  whole = Rules.ask

  def gone(self, findings):
    yield from list(whole(self, findings))[:3]
    raise Interrupted("the server is gone")

  with monkeypatch.context() as patch:
    patch.setattr(Rules, "ask", gone)
    assert cli.run(command(tmp_path, "--threshold", "fixed")) == 75
  err = capsys.readouterr().err.strip().splitlines()
  assert len(err) == 1
  assert "the server is gone" in err[0]
  assert "answers.jsonl" in err[0]
  assert not (tmp_path / "out" / "enhanced.parquet").exists()
  asked = []

  def rest(self, findings):
    findings = list(findings)
    asked.extend(findings)
    return whole(self, findings)

  monkeypatch.setattr(Rules, "ask", rest)
  assert cli.run(command(tmp_path, "--threshold", "fixed")) == 0
  found = content_of(tmp_path)["statements"]["counts"]
  assert found["cached"] == 3
  assert found["asked"] == len(asked) == found["findings"] - 3


@pytest.mark.parametrize("method", ["calibrated", "quantile"])
def test_other_thresholds(command, tmp_path, method, no_page):
  more = ("--threshold", method, "--share", "0.4", "--target", "0.6")
  assert cli.run(command(tmp_path, *more)) == 0
  content, rows = content_of(tmp_path), rows_of(tmp_path)
  assert content["verification"]["method"] == method
  assert len(content["sensitivity"]) >= 3
  for row in rows:
    assert row["kept"] == (row["score"] >= row["threshold"])
    if method == "calibrated":
      assert 0 <= row["score"] <= 1
  if method == "quantile":
    assert content["pairs"]["keep_rate"] == pytest.approx(0.4, abs=0.15)


@pytest.mark.slow
def test_the_same_command_gives_the_same_tables(command, tmp_path, no_page):
  for name in ("one", "two"):
    assert cli.run(command(tmp_path / name, "--plant", "0.3")) == 0
  assert rows_of(tmp_path / "one") == rows_of(tmp_path / "two")


def test_corrections_win_and_are_in_the_provenance(
  command, simulated, tmp_path, no_page
):
  """Removed, added, and none at all; the hash of the sheet is written."""
  table = splits_of(simulated)["train"].table
  relevant = sorted({
    classify(t).finding for t in table
    if classify(t).kind == "diagnosis" and not stated(t)
  })  # fmt: skip
  backend = dict(Rules().ask(relevant))
  proposing = [f for f in relevant if json.loads(backend[f])["features"]]
  changed, emptied = proposing[:2]
  first = json.loads(backend[changed])["features"][0]
  added = next(
    f.name for f in features.VOCABULARY
    if f.name not in json.loads(backend[changed])["features"]
  )  # fmt: skip
  sheet = tmp_path / "corrections.csv"
  sheet.write_text(
    "finding,add,remove,no_feature\n"
    f'"{changed}","{added}","{first}",\n"{emptied}",,,x\n'
  )
  more = ("--threshold", "fixed", "--corrections", str(sheet))
  assert cli.run(command(tmp_path, *more)) == 0
  rows, content = rows_of(tmp_path), content_of(tmp_path)
  asked = {}
  for split in splits_of(simulated).values():
    for record, texts in zip(split.record_ids, split.statements, strict=True):
      asked[str(record)] = {classify(text).finding for text in texts}
  corrected = [r for r in rows if r["source"] == "corrections"]
  assert added in {r["feature"] for r in corrected}
  assert first not in {r["feature"] for r in corrected}
  assert all(changed in asked[r["record_id"]] for r in corrected)
  alone = {r for r, findings in asked.items() if findings == {emptied}}
  assert not alone & {r["record_id"] for r in rows}
  told = corrections.read(sheet).hash
  assert content["backend"]["corrections_hash"] == told
  for name in ("enhanced.parquet", enhanced.RECORDS_FILE):
    known = parquet.read_schema(tmp_path / "out" / name).metadata[b"fgclep"]
    assert json.loads(known)["backend"]["corrections_hash"] == told


def test_hostile_answers_give_the_irrelevant_nothing(
  command, simulated, tmp_path, no_page
):
  """The cache answers everything with features, also what is never asked."""
  splits = splits_of(simulated)
  table = splits["train"].table
  hostile = json.dumps({"features": [f.name for f in features.VOCABULARY[:9]]})
  rules = Rules()
  key = rules.name, rules.model_hash, rules.prompt_hash
  lines = {classify(text).finding for text in table} | set(table)
  with Cache(tmp_path / "hostile.jsonl") as cache:
    for finding in lines:
      cache.put(*key, finding, hostile)
  more = ("--threshold", "fixed", "--cache", str(tmp_path / "hostile.jsonl"))
  assert cli.run(command(tmp_path, *more)) == 0
  rows = rows_of(tmp_path)
  relevant, seen = set(), 0
  for split in splits.values():
    for record, texts in zip(split.record_ids, split.statements, strict=True):
      kinds = [classify(text).kind for text in texts]
      seen += sum(kind not in RELEVANT for kind in kinds)
      if any(kind in RELEVANT for kind in kinds):
        relevant.add(str(record))
  assert seen > 0
  assert rows
  assert {row["record_id"] for row in rows} <= relevant


@pytest.mark.filterwarnings("ignore:label:DeprecationWarning")
def test_the_enhanced_config_carries_what_was_kept(done, tmp_path, monkeypatch):
  builder = tfds_builds.module(NAME, monkeypatch)
  path = done / "out" / "enhanced.parquet"
  for name, value in (
    ("FGCLEP_SIMULATED_RECORDS", "300"), ("FGCLEP_SIMULATED_RATE", "100"),
    ("FGCLEP_ENHANCED", str(path)),
  ):  # fmt: skip
    monkeypatch.setenv(name, value)
  examples, metadata, _ = tfds_builds.build(
    builder, tmp_path, tmp_path / "data", "enhanced"
  )
  kept = {}
  for row in rows_of(done):
    if row["kept"]:
      kept.setdefault(row["record_id"], []).append(row["feature"])
  found = {
    record: [name.decode() for name in example["features"]]
    for part in examples.values()
    for record, example in part.items()
  }
  assert len(found) == 300
  assert {r: names for r, names in found.items() if names} == kept
  known = metadata["enhanced"]["provenance"]
  assert known["source"] == ["planted", "rules"]
  assert metadata["enhanced"]["features_kept"] == sum(map(len, kept.values()))
  assert pathlib.Path(path).is_file()
