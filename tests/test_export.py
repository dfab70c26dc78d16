"""`fgclep export`: what is written is what was trained, or it is refused."""

import json
import os
import pathlib
import shutil
import stat

import numpy as np
import pytest
import safetensors.numpy
import yaml

import fgclep_jax
from fgclep_jax import cli, inference
from fgclep_jax import config as c
from fgclep_jax.errors import InputError
from fgclep_jax.export import card, files, program
from fgclep_jax.models import two_tower
from fgclep_jax.models.embedder import Model
from fgclep_jax.reports import tokenizer as tokenizer_lib
from fgclep_jax.training import checkpoint, steps
from tests.test_training import SMALL

TEXTS = [
  "Sinus rhythm",
  "ST elevation in V1-V4 > 0.1 mV",
  "atrial fibrillation, rate 140; Größe ungewöhnlich",
  "left bundle branch block " * 30,
]
STEP = 7
PATIENT = "patient-4711"


def tiny(**changes):
  """A config whose batch norms hold statistics, and its vocabulary."""
  values = SMALL | {
    "model.ecg.name": "resnet", "model.ecg.width": "8",
    "model.ecg.stages": "[1, 1]", "model.ecg.depth": "1",
    "data.seconds": "4", "model.text.max-tokens": "16", "loss.bias": "-4",
  }  # fmt: skip
  changes = {name.replace("__", "."): v for name, v in changes.items()}
  return c.override(c.TrainConfig(), values | changes)


def trained_on(**changes):
  return {
    "dataset": "simulated_ecg", "config": "original", "split": "train",
    "digest": "d" * 64, "records": 4203, "simulated_records": 0,
    "simulator_version": 1, "without_text": 3, "texts": 331,
    "texts_truncated": 2, "record_ids_sha256": "e" * 64,
  } | changes  # fmt: skip


def drawn(rng, name, shape):
  value = 0.3 * rng.normal(size=shape)
  return (np.abs(value) if two_tower.is_statistic(name) else value).astype("f4")


def save(workdir, config, seed, about, *numbers):
  """Checkpoints as a run writes them, every parameter off its start."""
  words = tokenizer_lib.train_vocabulary(TEXTS, 200)
  _, shapes = two_tower.abstract(config, len(words))
  rng = np.random.default_rng(seed)
  meta = checkpoint.make_meta(config, words, {"trained_on": about})
  with checkpoint.Checkpoints(workdir, keep=9) as saved:
    for number in numbers:
      params = {
        name: np.asarray(drawn(rng, name, x.shape))
        for name, x in sorted(shapes.items())
      }
      state = steps.TrainState(np.int32(number), params, {"m": np.zeros(2)})
      saved.save(state, meta)
    saved.wait()


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs") / "run"
  secret = f"/home/{PATIENT}/runs/coarse"
  config = tiny(init_from=secret)
  save(folder, config, 5, trained_on(), 3, STEP)
  return folder


@pytest.fixture(scope="module")
def model(workdir):
  return fgclep_jax.load(workdir)


@pytest.fixture(scope="module")
def exports(workdir, tmp_path_factory):
  """(both towers, encoder only)."""
  folder = tmp_path_factory.mktemp("exports")
  found = folder / "both", folder / "encoder"
  for out, encoder_only in zip(found, (False, True), strict=True):
    program.run(workdir, out, None, encoder_only, say=lambda _: None)
  return found


def records(seed, rate=100, seconds=4, count=3):
  rng = np.random.default_rng(seed)
  shape = (count, 12, round(rate * seconds))
  return rng.integers(-1500, 1500, shape).astype(np.int16)


def refusal(function, *arguments):
  """The one line of an InputError."""
  with pytest.raises(InputError) as raised:
    function(*arguments)
  (line,) = str(raised.value).splitlines()
  return line


def test_outputs_are_bit_equal(workdir, model, exports):
  want, found = model, fgclep_jax.load(exports[0])
  assert found.checkpoint == want.checkpoint
  assert found.checkpoint["step"] == STEP
  assert found.params.keys() == want.params.keys()
  assert any(map(two_tower.is_statistic, found.params))
  for name, value in want.params.items():
    np.testing.assert_array_equal(found.params[name], value, err_msg=name)
  for rate, seconds in ((100, 4), (250, 3), (500, 9)):
    signal = records(rate, rate, seconds)
    np.testing.assert_array_equal(
      found.embed_ecg(signal, rate), want.embed_ecg(signal, rate)
    )
  for one, other in zip(
    found.encode_ecg(records(1)), want.encode_ecg(records(1)), strict=True
  ):
    np.testing.assert_array_equal(one, other)
  np.testing.assert_array_equal(found.embed_text(TEXTS), want.embed_text(TEXTS))
  scores = found.zero_shot(records(2)[0], 100, TEXTS)
  assert scores == want.zero_shot(records(2)[0], 100, TEXTS)
  # And the outputs depend on what was trained.
  other = fgclep_jax.load(workdir, 3).embed_ecg(records(1), 100)
  assert not np.array_equal(found.embed_ecg(records(1), 100), other)


def test_a_step_is_chosen(workdir, tmp_path):
  program.run(workdir, tmp_path / "out", 3, say=lambda _: None)
  want = fgclep_jax.load(workdir, 3).embed_text(TEXTS)
  found = fgclep_jax.load(tmp_path / "out", 3)
  np.testing.assert_array_equal(found.embed_text(TEXTS), want)
  line = refusal(fgclep_jax.load, tmp_path / "out", STEP)
  assert "no step 7" in line
  assert "export of step 3" in line


def test_encoder_alone(model, exports, tmp_path):
  want, found = model, fgclep_jax.load(exports[1])
  signal = records(3, 250, 9)
  np.testing.assert_array_equal(
    found.embed_ecg(signal, 250), want.embed_ecg(signal, 250)
  )
  for one, other in zip(
    found.encode_ecg(records(4)), want.encode_ecg(records(4)), strict=True
  ):
    np.testing.assert_array_equal(one, other)
  assert {name.split(".")[0] for name in found.params} == {
    "ecg", "ecg_projection",
  }  # fmt: skip
  for function, *arguments in (
    (found.embed_text, TEXTS),
    (found.zero_shot, signal[0], 250, TEXTS),
  ):
    assert "without its text tower" in refusal(function, *arguments)
  # Other parameters, another hash: kept embeddings must not be mixed up.
  assert found.checkpoint["hash"] == inference.parameter_hash(found.params)
  assert found.checkpoint["two_tower_hash"] == want.checkpoint["hash"]
  assert not (exports[1] / "vocab.txt").exists()
  assert sorted(os.listdir(exports[1])) == [
    "README.md", "config.json", "model.safetensors", "preprocessor.json",
  ]  # fmt: skip
  # An export is a source too; of an encoder alone, only for an encoder.
  out = tmp_path / "again"
  program.run(exports[0], out, None, True, say=lambda _: None)
  for name in os.listdir(exports[1]):
    assert (out / name).read_bytes() == (exports[1] / name).read_bytes()
  line = refusal(program.run, exports[1], tmp_path / "both")
  assert "give --encoder-only" in line


def test_tensors_are_those_of_the_checkpoint(workdir, exports):
  """Read by the library itself, not by our reader."""
  stored = safetensors.numpy.load_file(exports[0] / "model.safetensors")
  params, config = checkpoint.restore_params(workdir)
  assert stored.keys() == params.keys()
  for name, value in params.items():
    assert stored[name].dtype == np.float32
    np.testing.assert_array_equal(stored[name], value)
  about = json.loads((exports[0] / "config.json").read_text())
  assert about["parameters"]["values"] == sum(x.size for x in stored.values())
  assert c.from_dict(about["config"]) == files.without_paths(config)
  assert about["checkpoint"]["hash"] == inference.parameter_hash(params)
  assert about["checkpoint"]["trained_on"] == trained_on()


def test_hugging_face_reads_the_tokenizer(model, exports):
  transformers = pytest.importorskip("transformers")
  for cls in (transformers.BertTokenizerFast, transformers.AutoTokenizer):
    theirs = cls.from_pretrained(exports[0], local_files_only=True)
    assert theirs.model_max_length == 16
    found = theirs(TEXTS, padding=True, truncation=True)["input_ids"]
    np.testing.assert_array_equal(found, model.tokenizer.encode(TEXTS))


def test_preprocessor_is_what_the_model_does(exports):
  form = json.loads((exports[1] / "preprocessor.json").read_text())
  model = fgclep_jax.load(exports[1])
  names = "I II III aVR aVL aVF V1 V2 V3 V4 V5 V6"
  assert " ".join(form["leads"]) == names
  assert (form["sampling_rate"], form["samples"]) == (100, 400)
  assert form["shape"][1:] == [12, 400]
  # Shorter: zeros at the end. Longer: the mean of the windows that cover it.
  long = records(6, 100, 10, 1)[0]
  short = np.pad(long[:, :300], [(0, 0), (0, 100)])
  np.testing.assert_array_equal(
    model.embed_ecg(long[:, :300], 100), model.encode_ecg(short[None])[0][0]
  )
  assert form["longer_records"]["embed_ecg"] == "cover"
  parts = np.stack([long[:, a : a + 400] for a in (0, 400, 600)])
  mean = model.encode_ecg(parts)[0].astype(np.float64).mean(0)
  np.testing.assert_allclose(
    model.embed_ecg(long, 100), mean / np.linalg.norm(mean), atol=1e-6
  )


def test_nothing_of_patients_or_paths(exports):
  for folder in exports:
    for path in folder.iterdir():
      content = path.read_bytes()
      assert PATIENT.encode() not in content, path
      assert os.fsencode(folder.parent) not in content, path


def test_permissions_follow_the_umask(workdir, tmp_path):
  before = os.umask(0o027)
  try:
    program.run(workdir, tmp_path / "out", say=lambda _: None)
  finally:
    os.umask(before)
  assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o750
  for path in (tmp_path / "out").iterdir():
    assert stat.S_IMODE(path.stat().st_mode) == 0o640, path
  assert os.listdir(tmp_path) == ["out"]


def test_parameters_of_another_type_are_refused(model, tmp_path):
  params = model.params | {"log_scale": np.float64(2)}
  other = Model(
    model.config, model.tokenizer.vocabulary, params, model.checkpoint
  )
  line = refusal(program._write_beside, tmp_path / "out", other, False, None)
  assert line.endswith("not float32: log_scale")
  assert os.listdir(tmp_path) == []


# Damage.


def tensors(change):
  """A change of {name: array} in model.safetensors."""

  def damage(folder):
    path = folder / "model.safetensors"
    found = safetensors.numpy.load_file(path)
    change(found)
    path.write_bytes(safetensors.numpy.save(found))

  return damage


def misfits(found):
  del found["ecg_projection.kernel"]
  del found["log_scale"]
  found["ecg.head"] = np.zeros(3, np.float32)
  name = "text_projection.inner.bias"
  name = name if name in found else next(n for n in found if "text_pro" in n)
  found[name] = np.zeros((2, 5), np.float32)
  found["bias"] = found["bias"].astype(np.float64)


def one_bit(found):
  value = found["ecg_projection.kernel"].copy()
  value.view(np.uint32).reshape(-1)[5] ^= 1
  found["ecg_projection.kernel"] = value


def text_of(name, change):
  def damage(folder):
    text = (folder / name).read_text(encoding="utf-8")
    (folder / name).write_text(change(text), encoding="utf-8")

  return damage


def config_of(resealed, **changes):
  """Changes config.json; `resealed` makes its own hash right again."""

  def damage(folder):
    about = json.loads((folder / "config.json").read_text())
    about |= changes
    if resealed:
      about["sha256"] = inference.content_hash(about)
    (folder / "config.json").write_text(json.dumps(about))

  return damage


def without(name):
  return lambda folder: (folder / name).unlink()


def cut(name, share):
  def damage(folder):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(share * len(content))])

  return damage


DAMAGE = {
  "no weights": (without("model.safetensors"), ["lacks model.safetensors"]),
  "no config": (without("config.json"), ["no ", "config.json"]),
  "no words": (without("vocab.txt"), ["lacks vocab.txt"]),
  "no tokenizer": (without("tokenizer_config.json"), ["lacks tokenizer_con"]),
  "no preprocessor": (without("preprocessor.json"), ["lacks preprocessor"]),
  "cut": (cut("model.safetensors", 0.9), ["no sound safetensors file"]),
  "cut in its header": (cut("model.safetensors", 0.01), ["no sound"]),
  "empty": (cut("model.safetensors", 0), ["no sound safetensors file"]),
  "misfits": (
    tensors(misfits),
    [
      "ecg_projection.kernel: found nothing, expected float32[",
      "log_scale: found nothing, expected float32[]",
      "ecg.head: found float32[3], expected nothing",
      "found float32[2, 5], expected float32[",
      "bias: found F64[], expected float32[]",
    ],
  ),
  "one bit": (tensors(one_bit), ["have the hash", "as exported"]),
  "words swapped": (
    text_of("vocab.txt", lambda t: t.replace("sinus", "suins")),
    ["vocab.txt", "changed after the export"],
  ),
  "other input": (
    text_of("preprocessor.json", lambda t: t.replace("100", "500")),
    ["preprocessor.json", "changed after the export"],
  ),
  "config edited": (
    text_of("config.json", lambda t: t.replace('"rate": 100', '"rate": 108')),
    ["config.json was changed"],
  ),
  "no JSON": (cut("config.json", 0.5), ["config.json is no JSON"]),
  "a list": (text_of("config.json", lambda _: "[]"), ["no JSON object"]),
  "other version": (
    config_of(True, format_version=2), ["format version 2", "reads 1"],
  ),
  "other format": (config_of(True, format="x"), ["not of an export"]),
  "other kind": (config_of(True, kind="x"), ["'x'"]),
  "odd config": (
    config_of(True, config={"model": 5}), ["give an object of fields"],
  ),
  "newer config": (
    config_of(True, config={"flux": 5}),
    ["does not suit this version", "unknown config field flux"],
  ),
  "no parts": (config_of(True, files=None), ["not what an export writes"]),
  "outside": (config_of(True, files={"../x": ""}), ["files ['../x']"]),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_one_clear_line(exports, tmp_path, name):
  damage, words = DAMAGE[name]
  folder = tmp_path / "copy"
  shutil.copytree(exports[0], folder)
  damage(folder)
  line = refusal(fgclep_jax.load, folder)
  for word in words:
    assert word in line, line
  assert str(folder) in line


def test_a_changed_readme_harms_nothing(exports, tmp_path):
  shutil.copytree(exports[0], tmp_path / "copy")
  (tmp_path / "copy" / "README.md").write_text("my own words")
  fgclep_jax.load(tmp_path / "copy")


def test_a_bert_folder_is_no_export(tmp_path):
  (tmp_path / "config.json").write_text('{"model_type": "bert"}')
  (tmp_path / "model.safetensors").write_bytes(b"")
  assert "not of an export" in refusal(fgclep_jax.load, tmp_path)


# What lies in the place already.


def test_an_earlier_export_is_replaced(workdir, exports, tmp_path):
  out = tmp_path / "out"
  shutil.copytree(exports[0], out)
  (out / "model.safetensors").write_bytes(b"damaged")
  program.run(workdir, out, 3, True, say=lambda _: None)
  assert fgclep_jax.load(out).checkpoint["step"] == 3
  assert not (out / "vocab.txt").exists()  # nothing of the old one stays
  assert os.listdir(tmp_path) == ["out"]


def test_anything_else_is_left_alone(workdir, exports, tmp_path):
  cases = {"mine": tmp_path / "mine", "file": tmp_path / "file"}
  cases["mine"].mkdir()
  (cases["mine"] / "thesis.tex").write_text("years of work")
  cases["file"].write_text("x")
  cases["git"] = tmp_path / "git"
  shutil.copytree(exports[0], cases["git"])
  (cases["git"] / ".git").mkdir()
  cases["config"] = tmp_path / "config"
  cases["config"].mkdir()
  (cases["config"] / "config.json").write_text('{"model_type": "bert"}')
  cases["run"] = workdir
  before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
  for name, out in cases.items():
    line = refusal(program.run, workdir, out)
    assert "--out" in line, name
  after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
  assert after == before
  (tmp_path / "empty").mkdir()
  program.run(workdir, tmp_path / "empty", say=lambda _: None)
  fgclep_jax.load(tmp_path / "empty")


@pytest.mark.parametrize("moment", ["write", "rename"])
def test_a_failure_leaves_the_earlier_export(
  workdir, exports, tmp_path, monkeypatch, moment
):
  out = tmp_path / "out"
  shutil.copytree(exports[0], out)
  rename = pathlib.Path.rename

  def full(*_):
    raise OSError(28, "No space left on device")

  def no_second(path, target):
    return full() if path.name.endswith(".new") else rename(path, target)

  if moment == "write":
    monkeypatch.setattr(card, "page", full)
  else:
    monkeypatch.setattr(pathlib.Path, "rename", no_second)
  line = refusal(program.run, workdir, out, 3)
  assert "No space left on device" in line
  assert fgclep_jax.load(out).checkpoint["step"] == STEP
  assert os.listdir(tmp_path) == ["out"]


# The model card.


def results_of(model, **changes):
  """As much of results.json as the card reads."""
  score = {
    "macro_auroc": 0.91234, "ci95": [0.9, 0.925], "macro_auprc": 0.5,
    "auprc_ci95": None, "macro_f1": 0.4, "f1_ci95": [0.3, 0.5],
    "classes_averaged": 5,
  }  # fmt: skip
  block = {
    "records": 321,
    "zero_shot": score,
    "linear_probe": {"1.0": score | {"macro_auroc": 0.95}},
    "untrained": {"zero_shot": score | {"macro_auroc": 0.5}},
    "beside": {"coarse": {"zero_shot": score | {"macro_auroc": 0.777}}},
    "baselines": {},
  }
  return {
    "model": {"checkpoint": model.checkpoint, "in_domain": True},
    "data": {
      "dataset": "simulated_ecg", "config": "original", "split": "test",
      "partial": False, "window": "cover",
    },
    "tasks": {"simulated": block},
  } | changes  # fmt: skip


def front_matter(page):
  assert page.startswith("---\n")
  return yaml.safe_load(page.split("---\n")[1])


def test_card_says_what_is_known(exports):
  page = (exports[0] / "README.md").read_text()
  assert "not a medical device" in page.lower()
  assert "No evaluation was given" in page
  assert "4,203 records" in page
  assert "2505.11939" in page
  assert "`coarse`" in page  # the last part of init_from
  matter = front_matter(page)
  # It started from a run of which nothing is known.
  assert matter["license"] == "other"
  assert matter["library_name"] == "fgclep_jax"
  assert "vocab.txt" not in (exports[1] / "README.md").read_text()


@pytest.mark.parametrize(
  ("dataset", "words"),
  [
    ("ptb_xl", "CC BY 4.0"),
    ("mimic_iv_ecg", "Open Database License"),
    ("cpsc2018", "the organisers name none"),
    ("of_mine", "not known to this program"),
  ],
)
def test_card_names_the_terms_of_the_data(exports, dataset, words):
  about = trained_on(dataset=dataset, config="enhanced", simulated_records=90)
  page = page_of(exports[0], tiny(), about)
  assert words in page
  assert "not read off the tracing by a physician" in page
  assert "90 simulated records" in page
  assert front_matter(page)["license"] == "other"
  assert "simulated ECGs alone" not in page


def test_card_names_the_data_of_every_stage(exports):
  coarse = trained_on(dataset="ptb_xl", records=17_000, before=[])
  about = trained_on(config="enhanced", before=[coarse])
  page = page_of(exports[0], tiny(init_from="coarse"), about)
  first, second = page.split("Stage 1:")[1].split("Stage 2:")
  assert "17,000 records" in first
  assert "4,203 records" in second
  assert "not recorded" not in page
  assert front_matter(page)["license"] == "other"
  about = trained_on(before=[trained_on(before=[])])
  page = page_of(exports[0], tiny(init_from="coarse"), about)
  assert front_matter(page)["license"] == "apache-2.0"
  about["before"][0]["pretrained"] = "medcpt"
  page = page_of(exports[0], tiny(init_from="coarse"), about)
  assert "`medcpt`" in page
  assert front_matter(page)["license"] == "other"


def test_simulated_alone_is_ours(exports):
  about = trained_on()
  page = page_of(exports[0], tiny(augment__lead_masking="0.25"), about)
  assert front_matter(page)["license"] == "apache-2.0"
  assert "simulated ECGs alone" in page
  assert "25% of the training records" in page
  page = page_of(exports[0], tiny(model__text__pretrained="medcpt"), about)
  assert front_matter(page)["license"] == "other"
  assert "`medcpt`" in page


def page_of(folder, config, about):
  """The card of another training."""
  values = json.loads((folder / "config.json").read_text())
  values["config"] = c.to_dict(config)
  values["checkpoint"]["trained_on"] = about
  form = json.loads((folder / "preprocessor.json").read_text())
  return card.page(values, form, None)


def test_card_shows_the_evaluation(workdir, model, tmp_path):
  found = results_of(model)
  path = tmp_path / "results.json"
  path.write_text(json.dumps(found))
  for encoder_only in (False, True):
    out = tmp_path / f"out{encoder_only}"
    program.run(workdir, out, None, encoder_only, path, say=lambda _: None)
    page = (out / "README.md").read_text()
    rows = [line for line in page.splitlines() if "| simulated |" in line]
    probe = (
      "| simulated | probe 100% | 321 | 5 | 0.950 [0.900, 0.925] | "
      "0.500 (no interval) | 0.400 [0.300, 0.500] |"
    )
    assert probe in rows
    assert len(rows) == (1 if encoder_only else 3)
    assert "0.777" not in page
    assert "No evaluation was given" not in page
  # Also for a copy made of an encoder: of the same checkpoint.
  program.run(
    tmp_path / "outTrue", tmp_path / "copy", None, True, path,
    say=lambda _: None,
  )  # fmt: skip


def test_results_of_another_checkpoint_are_refused(workdir, tmp_path):
  model = fgclep_jax.load(workdir, 3)
  contents = {
    "other": (json.dumps(results_of(model)), "not of the exported"),
    "cut": ('{"model": ', "is no evaluation"),
    "list": ("[]", "is no evaluation"),
    "part": (json.dumps({"model": results_of(model)["model"]}), "is no eval"),
  }
  for name, (text, message) in contents.items():
    path = tmp_path / name
    path.write_text(text)
    line = refusal(
      program.run, workdir, tmp_path / "out", None, False, str(path)
    )
    assert message in line, name
  line = refusal(
    program.run, workdir, tmp_path / "out", None, False, tmp_path / "absent"
  )
  assert "No such file" in line
  assert not (tmp_path / "out").exists()


def test_the_command(workdir, tmp_path, capsys):
  out = tmp_path / "deep" / "out"
  command = ["export", "--workdir", str(workdir), "--out", str(out)]
  assert cli.run([*command, "--encoder-only"]) == 0
  said = capsys.readouterr().out
  assert f"step {STEP}, ECG encoder" in said
  assert "no evaluation was given" in said
  assert cli.run([*command, "--step", "3"]) == 0
  for wrong, message in (
    (["--step", "4"], "no step 4"),
    (["--workdir", str(tmp_path / "none")], "no checkpoint in"),
    (["--out", str(workdir)], "is --workdir"),
    (["--results", "none.json"], "none.json: No such file"),
  ):
    with pytest.raises(SystemExit) as stop:
      cli.main([*command, *wrong])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
