"""The readers of what comes from outside, each with sound files to spoil."""

import hashlib
import importlib.util
import io
import json
import pathlib
import shutil
import zipfile
import zlib

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from scipy import io as scipy_io

from fgclep_jax import config as config_lib
from fgclep_jax import flags, inference
from fgclep_jax.enhance import answers
from fgclep_jax.enhance.cache import Cache
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import pairing
from fgclep_jax.models import pretrained, weights
from fgclep_jax.reports import enhanced, prompts
from fgclep_jax.signals import challenge, contract
from fgclep_jax.signals import reader as record_reader
from fgclep_jax.signals.header import RecordError
from fgclep_jax.signals.leads import LEADS
from fgclep_jax.training import checkpoint, manifest, setup
from tests import fake_runs, wfdb_files
from tests.fuzzing import Reader

CONFIG = fake_runs.config(optim__freeze='["^text"]')
ROOT = pathlib.Path(__file__).parent.parent
NUMBERS = (b"0", b"-1", b"12", b"1e400", b"-1e400", b"nan", b"inf",
           b"1e-320", b"9" * 400, b"9" * 5000, b"1000000000000", b"0.5",
           b"+7")  # fmt: skip
NAMES = (b"../a.dat", b"/etc/passwd", b"a.dat\0", b"~/a", b"..", b".", b"-",
         b"s3://bucket/a", b"\\\\host\\a", b"C:a.dat", b"a.hea",
         b"file:///etc/passwd", b"/dev/zero", b"a.mat")  # fmt: skip
TEXTS = (b"", b" ", b"\r\n", b"\n", b"#", b"\xff\xfe", b"\xef\xbb\xbf", b"\0",
         b"x" * 5000, "\u202e\u2028".encode(), b"\x1b[2J")  # fmt: skip
JSONS = (b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"[]", b"{}", b'""',
         b"[" * 30_000, b'{"a":' * 5000, b'"\\ud800"', b'"\\u0000"', b",",
         b'"a": 1, "a": 2,', b"[[1]]", b'{"b": 1}', b"9" * 5000)  # fmt: skip
HEADER = (*NUMBERS, *NAMES, *TEXTS, b"nan/mV", b"0/mV", b"200", b"200/mV/s",
          b"16+24", b"16x3", b"16:7", b"212", b"516", b"8", b"80", b"310",
          b"24", b"1000(5)/uV", b"I", b"12/2")  # fmt: skip


def header_seeds(folder):
  """Records in three formats; comments as the Challenges write them."""
  rng = np.random.default_rng(13)
  adc = wfdb_files.random_adc(rng, length=120)
  comments = ["Age: 61", "Sex: Male", "Dx: 426783006,,164889003, unknown,"]
  seeds = {}
  for name, token, suffix in (
    ("dat", "16", "dat"), ("mat", "16+24", "mat"), ("two", "16x1", "dat"),
  ):  # fmt: skip
    wfdb_files.write_record(
      folder, "a", adc, token=token, suffix=suffix, comments=comments
    )
    seeds[name] = (folder / "a.hea").read_bytes()
  seeds["wfdb"] = format_80(folder, rng, comments)
  wfdb_files.write_record(folder.parent, "a", adc)  # must not be read
  return seeds


def format_80(folder, rng, comments):
  """A header of 8-bit samples, which are read by wfdb."""
  values = rng.integers(1, 256, (120, 12)).astype(np.uint8)
  (folder / "b.dat").write_bytes(values.tobytes())
  adc = values.astype(int).T - 128
  lines = ["a 12 100 120"]
  for name, row in zip(LEADS, adc, strict=True):
    lines.append(f"b.dat 80 20/mV 8 0 {row[0]} {row.sum() & 0xFFFF} 0 {name}")
  return "\n".join([*lines, *(f"# {x}" for x in comments), ""]).encode()


def read_header(folder, content):
  (folder / "a.hea").write_bytes(content)
  header, _ = challenge.read_header(str(folder / "a"))
  challenge.read_comments(header.comments)
  record = record_reader.read_record(folder / "a", header=header)
  assert record.signal.shape[0] == 12
  assert record.signal.dtype == np.int16


def samples_seeds(folder):
  adc = wfdb_files.random_adc(np.random.default_rng(2), length=120)
  wfdb_files.write_record(folder, "a", adc, token="16+24", suffix="mat")
  return {"mat": (folder / "a.mat").read_bytes()}


def read_samples(folder, content):
  (folder / "a.mat").write_bytes(content)
  record_reader.read_record(folder / "a")


def struct_seeds(folder):
  """MAT files of version 5, plain and compressed, and 4."""
  data = wfdb_files.random_adc(np.random.default_rng(3), length=550) / 1000
  ecg = {"sex": "Male", "age": 50, "data": data[:, :520]}
  seeds = {}
  for name, options in (
    ("plain", {"do_compression": False}),
    ("packed", {"do_compression": True}),
  ):
    file = io.BytesIO()
    scipy_io.savemat(file, {"ECG": ecg}, **options)
    seeds[name] = file.getvalue()
  file = io.BytesIO()
  scipy_io.savemat(file, {"ECG": data}, format="4")
  head = seeds["plain"][:128]
  body = zlib.compress(bytes(1 << 20), 9)
  bomb = np.array([15, len(body)], "<u4").tobytes()
  return seeds | {"four": file.getvalue(), "bomb": head + bomb + body}


def _mat_struct():
  path = ROOT / "tfds_builders" / "cpsc2018" / "mat_struct.py"
  spec = importlib.util.spec_from_file_location("fuzzed_mat_struct", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


MAT_STRUCT = _mat_struct()


def read_struct(folder, content):
  (folder / "A0001.mat").write_bytes(content)
  MAT_STRUCT.read_struct(folder / "A0001.mat")


def enhanced_seeds(folder):
  rng = np.random.default_rng(4)
  rows = 60
  table = pa.table(
    {
      "record_id": [f"{i // 3}" for i in range(rows)],
      "feature": [f"feature {i % 3}" for i in range(rows)],
      "kept": rng.random(rows) < 0.5,
      "source": ["rules"] * rows,
    }
  ).replace_schema_metadata({"fgclep": json.dumps({"dataset": "ptb_xl"})})
  judged = pa.table({"record_id": [f"{i}" for i in range(20)]})
  parquet.write_table(judged, folder / enhanced.RECORDS_FILE)
  seeds = {}
  for name, options in (
    ("snappy", {}),
    ("plain", {"compression": "NONE", "use_dictionary": False}),
    ("gzip", {"compression": "GZIP", "data_page_version": "2.0"}),
  ):
    parquet.write_table(table, folder / enhanced.FILE, **options)
    seeds[name] = (folder / enhanced.FILE).read_bytes()
  return seeds


def read_enhanced(folder, content):
  (folder / enhanced.FILE).write_bytes(content)
  ids = frozenset(str(i) for i in range(20))
  enhanced.read(str(folder / enhanced.FILE), ids, expect={"dataset": "ptb_xl"})


def prompt_seeds(_):
  table = {"AFIB": ["Atrial fibrillation", "AF"], "NORM": "Normal ECG"}
  return {"file": json.dumps(table, indent=1).encode()}


def read_prompts(folder, content):
  (folder / "prompts.json").write_bytes(content)
  found = prompts.read_prompts(folder / "prompts.json")
  for phrases in found.values():
    assert phrases
    assert all(isinstance(phrase, str) for phrase in phrases)


def config_seeds(_):
  values = config_lib.to_dict(CONFIG)
  return {"config": json.dumps(values, indent=2).encode()}


def read_config(folder, content):
  (folder / "config.json").write_bytes(content)
  setup.check_resumable(CONFIG, folder)


def flag_seeds(_):
  line = "--optim.learning-rate\n3e-4\n--data.window=centre\n--loss.bias\nnull"
  more = '--optim.rates\n[["^text", 0.5]]\n--mesh.fsdp\n4\n--seed=7'
  return {"one": line.encode(), "two": more.encode()}


def read_flags(_, content):
  words = content.decode("utf-8", "replace").split("\n")
  config = config_lib.override(config_lib.TrainConfig(), flags.changes(words))
  config_lib.from_dict(config_lib.to_dict(config))


def answer_seeds(_):
  good = {"features": ["QRS duration > 120 ms", "absent P waves", "tall R V5"]}
  text = json.dumps(good)
  return {
    "answer": text.encode(),
    "prose": f"<think>hm</think> Sure: {text} I hope it helps.".encode(),
  }


def read_answer(_, content):
  text = content.decode("utf-8", "replace")
  answers.is_answer(text)
  found = answers.parse(text, "left bundle branch block")
  for part, reason in found.refused:
    assert reason
    assert part.isprintable()
    assert len(part) < 1000


def cache_seeds(folder):
  with Cache(folder / "answers") as cache:
    for i in range(5):
      cache.put("rules", "model", "prompt", f"finding {i}", '{"features": []}')
  return {"cache": (folder / "answers").read_bytes()}


def read_cache(folder, content):
  (folder / "answers").write_bytes(content)
  with Cache(folder / "answers") as cache:
    cache.get("rules", "model", "prompt", "finding 1")
    cache.put("rules", "model", "prompt", "new", "{}")


def table_seeds(_):
  lines = ["Recording,First_label,Report", 'A0001,1,"a, b"', "A0002,5,"]
  return {"table": "\r\n".join(lines).encode()}


def read_table(folder, content):
  (folder / "t.csv").write_bytes(content)
  list(contract.read_table(folder / "t.csv", ("Recording",)))


def weights_seeds(folder):
  rng = np.random.default_rng(5)
  params = {
    "text.a.kernel": rng.normal(size=(4, 3)).astype(np.float32),
    "b": np.zeros(3, np.float32),
  }
  weights.write(folder / "model.safetensors", params)
  return {"weights": (folder / "model.safetensors").read_bytes()}


def read_weights(folder, content):
  (folder / "model.safetensors").write_bytes(content)
  wanted = {
    "text.a.kernel": np.zeros((4, 3), np.float32),
    "b": np.zeros(3, np.float32),
  }
  found = weights.read(folder / "model.safetensors", wanted)
  assert {n: x.shape for n, x in found.items()} == {
    n: x.shape for n, x in wanted.items()
  }


def bert_seeds(_):
  values = {
    "model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 30,
    "max_position_embeddings": 12, "layer_norm_eps": 1e-12,
  }  # fmt: skip
  return {"config": json.dumps(values).encode()}


def read_bert(folder, content):
  (folder / "config.json").write_bytes(content)
  pretrained.read_config(folder)


def index_seeds(folder):
  (folder / "model-1.safetensors").write_bytes(b"")
  parts = {"a": "model-1.safetensors", "b": "model-1.safetensors"}
  return {"index": json.dumps({"weight_map": parts}).encode()}


def read_index(folder, content):
  (folder / "model.safetensors.index.json").write_bytes(content)
  for path in weights.files(folder):
    assert path.parent == folder


def pieces_seeds(_):
  table = {piece: i for i, piece in enumerate(["[PAD]", "[UNK]", "a", "##b"])}
  model = {"type": "WordPiece", "vocab": table}
  return {"tokenizer": json.dumps({"model": model}).encode()}


def read_pieces(folder, content):
  (folder / "tokenizer.json").write_bytes(content)
  assert len(pretrained.read_vocabulary(folder, 30)) == 30


def about_seeds(folder):
  for name in (inference.WEIGHTS, inference.VOCABULARY):
    (folder / name).write_bytes(b"")
  about = {
    "format": inference.FORMAT, "format_version": inference.FORMAT_VERSION,
    "kind": inference.TWO_TOWER,
    "files": {"vocab.txt": hashlib.sha256().hexdigest()},
    "checkpoint": {"step": 4, "hash": "0"}, "parameters": {"hash": "0"},
    "config": config_lib.to_dict(fake_runs.config()),
  }  # fmt: skip
  return {"about": json.dumps(about).encode()}


def read_about(folder, content):
  """Whoever changes an export can also write its hash anew."""
  try:
    about = json.loads(content)
    about["sha256"] = inference.content_hash(about)
    content = json.dumps(about).encode()
  except (ValueError, TypeError, RecursionError):
    pass
  (folder / "config.json").write_bytes(content)
  about = inference.read_about(folder)
  inference.check_files(folder, about["files"])


def results_seeds(folder):
  content = {
    "tasks": {"super": {"bootstrap": {"sha256": "0"}}},
    "data": {"digest": "0", "split": "test"},
    "model": {"checkpoint": {"hash": "0"}},
  }
  (folder / "results.json").write_text(json.dumps(content))
  seeds = {}
  arrays = {"super/units": np.arange(9), "super/labels": np.eye(3)}
  for name, save in (("plain", np.savez), ("packed", np.savez_compressed)):
    save(folder / "scores.npz", **arrays)
    seeds[name] = (folder / "scores.npz").read_bytes()
  return seeds


def read_results(folder, content):
  (folder / "scores.npz").write_bytes(content)
  pairing.read(folder)


def manifest_seeds(folder):
  (folder / "some").mkdir()
  (folder / "some" / "file").write_bytes(b"123")
  (folder / "other").write_bytes(b"")
  manifest.write(folder)
  return {"manifest": (folder / manifest.NAME).read_bytes()}


def read_manifest(folder, content):
  """Whoever changes a checkpoint can also write its hash anew."""
  try:
    files = json.loads(content)["files"]
    content = manifest._text(files).encode()
  except (ValueError, TypeError, KeyError, RecursionError):
    pass
  (folder / manifest.NAME).write_bytes(content)
  found = manifest.fault(folder)
  assert found is None or "\n" not in found


META = ("params/_METADATA", "meta/_strings.json", "_CHECKPOINT_METADATA",
        "params/manifest.ocdbt", "params/array_metadatas/process_0",
        "params/_sharding", "meta/_METADATA")  # fmt: skip


def checkpoint_seeds(folder):
  """Files of the golden checkpoint, each after its number."""
  golden = ROOT / "tests" / "golden_checkpoint" / "format_2.zip"
  with zipfile.ZipFile(golden) as packed:
    packed.extractall(folder / "whole")
  step = folder / "whole" / checkpoint.FOLDER / "4"
  return {
    name: bytes([number]) + (step / name).read_bytes()
    for number, name in enumerate(META)
  }


def put_checkpoint(folder, content):
  """Spoils one file and writes the manifest anew, as an attacker could."""
  run = folder / "run"
  shutil.rmtree(run, ignore_errors=True)
  shutil.copytree(folder / "whole", run)
  step = run / checkpoint.FOLDER / "4"
  name = META[(content[0] if content else 0) % len(META)]
  (step / name).write_bytes(content[1:])
  manifest.write(step)


def read_checkpoint(folder, _):
  inference.load(folder / "run", 4)


READERS = {
  reader.name: reader
  for reader in (
    Reader("header", header_seeds, read_header, (RecordError,),
           tokens=HEADER, weight=4),
    Reader("samples", samples_seeds, read_samples, (RecordError,)),
    Reader("mat", struct_seeds, read_struct, (RecordError,),
           tokens=TEXTS, weight=2),
    Reader("parquet", enhanced_seeds, read_enhanced, (InputError,),
           tokens=TEXTS, weight=2),
    Reader("prompts", prompt_seeds, read_prompts, (InputError,),
           tokens=JSONS, weight=2),
    Reader("config", config_seeds, read_config, (InputError,),
           tokens=JSONS, weight=2),
    Reader("flags", flag_seeds, read_flags, (InputError,),
           tokens=(*JSONS, *NUMBERS, *TEXTS, b"--", b"--seed=", b"none"),
           weight=2),
    Reader("answer", answer_seeds, read_answer, (),
           tokens=(*JSONS, *TEXTS), weight=4),
    Reader("cache", cache_seeds, read_cache, (InputError,), tokens=JSONS),
    Reader("table", table_seeds, read_table, (InputError,),
           tokens=(*TEXTS, b'"', b",", b'""')),
    Reader("weights", weights_seeds, read_weights, (InputError,),
           tokens=JSONS, weight=2),
    Reader("bert", bert_seeds, read_bert, (InputError,),
           tokens=(*JSONS, *NAMES)),
    Reader("index", index_seeds, read_index, (InputError,),
           tokens=(*JSONS, *NAMES)),
    Reader("pieces", pieces_seeds, read_pieces, (InputError,), tokens=JSONS),
    Reader("export", about_seeds, read_about, (InputError,),
           tokens=(*JSONS, *NAMES)),
    Reader("results", results_seeds, read_results, (InputError,),
           tokens=TEXTS),
    Reader("manifest", manifest_seeds, read_manifest, (),
           tokens=(*JSONS, *NAMES)),
    Reader("checkpoint", checkpoint_seeds, read_checkpoint, (InputError,),
           put_checkpoint, (*JSONS, *NAMES, *NUMBERS), 0.05),
  )
}  # fmt: skip
