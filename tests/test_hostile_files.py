"""Files that would run code when unpickled: refused, and nothing has run.

The payload is written by hand, for no test imports pickle either. That it is
live is shown first, by the one program that is meant to open such files.
"""

import json
import subprocess
import sys
import types
import zipfile
import zlib

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from scipy import io

from fgclep_jax import atomic, inference
from fgclep_jax.data import index
from fgclep_jax.enhance import embeddings
from fgclep_jax.enhance.backends.transformers import Transformers
from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import embed, pairing
from fgclep_jax.models import pretrained, weights
from fgclep_jax.reports import enhanced, prompts
from fgclep_jax.signals import reader
from tests import wfdb_files
from tests.fuzz_readers import MAT_STRUCT

pytestmark = pytest.mark.core


@pytest.fixture
def marker(tmp_path):
  """A file that exists as soon as any payload has run."""
  path = tmp_path / "it_ran"
  yield path
  assert not path.exists()


@pytest.fixture
def payload(marker):
  """What runs a command when it is unpickled."""
  return f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()


def npy(payload):
  """An array of objects as `np.save` writes it, with the payload inside."""
  head = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
  head = head.ljust(117) + "\n"
  length = len(head).to_bytes(2, "little")
  return b"\x93NUMPY\x01\x00" + length + head.encode() + payload


def npz(path, payload, **others):
  """An archive of sound arrays and one of objects."""
  np.savez(path, **others)
  with zipfile.ZipFile(path, "a") as packed:
    packed.writestr("extra.npy", npy(payload))


def test_the_payload_is_live(tmp_path):
  ran = tmp_path / "ran"
  (tmp_path / "x.pkl").write_bytes(
    f"cos\nsystem\n(S'touch {ran}'\ntR.".encode()
  )
  line = [sys.executable, "-m", "pickle", tmp_path / "x.pkl"]
  subprocess.run(line, capture_output=True, check=True)
  assert ran.exists()


def test_scores(tmp_path, payload, marker):
  content = {"tasks": {"extra": {}}, "data": {"digest": "", "split": ""},
             "model": {"checkpoint": {"hash": ""}}}  # fmt: skip
  (tmp_path / "results.json").write_text(json.dumps(content))
  npz(tmp_path / "scores.npz", payload, **{"extra/units": np.arange(3)})
  with pytest.raises(InputError, match="Object arrays cannot be loaded"):
    pairing.read(tmp_path)


def test_caches_of_a_dataset_and_of_an_evaluation(tmp_path, payload, marker):
  """Made again, as any cache that cannot be used."""
  (tmp_path / index.FILES[0]).write_text(
    json.dumps({"digest": "d", "statements": []})
  )
  for name in index.FILES[1:]:
    npz(tmp_path / name, payload, digest=np.array("d"))
    with np.load(tmp_path / name) as file:  # sound but for the last
      assert str(file["digest"]) == "d"
  others = {f"train|{name}": np.arange(2) for name in index.INDEX}
  npz(tmp_path / index.FILES[1], payload, digest=np.array("d"), **others)
  rename_last(tmp_path / index.FILES[1])
  assert index._load(tmp_path, "d") is None
  split = types.SimpleNamespace(record_ids=["a"])
  np.savez(tmp_path / "e.npz", record_ids=["a"], features=np.ones((1, 2)))
  npz(tmp_path / "e.npz", payload, record_ids=["a"], features=np.ones((1, 2)))
  rename_last(tmp_path / "e.npz", "embedding.npy")
  assert embed._read(tmp_path / "e.npz", split) is None


def rename_last(path, name="train|labels.npy"):
  """Gives the array of objects a name that is read."""
  with zipfile.ZipFile(path) as packed:
    parts = {part: packed.read(part) for part in packed.namelist()}
  parts[name] = parts.pop("extra.npy")
  with zipfile.ZipFile(path, "w") as packed:
    for part, content in parts.items():
      packed.writestr(part, content)


def test_encoded_records(tmp_path, payload, marker, monkeypatch):
  """Encoded again: rows that were found are not believed."""
  monkeypatch.setattr(embeddings, "cache_key", lambda *_: "key")
  for part in ("embedding", "pooled"):
    (tmp_path / f"key-{part}.npy").write_bytes(npy(payload))
  atomic.write_text(tmp_path / "key.json", json.dumps({"records": 2}))

  class Split(types.SimpleNamespace):
    def __len__(self):
      return 2

  split = Split(name="train", signals=lambda *_: np.zeros((2, 12, 5)))
  model = types.SimpleNamespace(
    rate=100, samples=5, encode_ecg=lambda ecg: (np.ones((2, 3)),) * 2
  )
  found = embeddings.encode(model, split, tmp_path)
  np.testing.assert_array_equal(found.embedding, np.ones((2, 3)))


def test_weights_that_are_pickle(tmp_path, payload, marker):
  for name in ("model.safetensors", "pytorch_model.bin", "model.pth"):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(BERT))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    (folder / name).write_bytes(payload)
    with pytest.raises(InputError, match=r"safetensors"):
      pretrained.read(folder, 4)
    if not name.endswith("safetensors"):
      with pytest.raises(InputError, match="can run code and are not read"):
        Transformers(folder, say=lambda _: None)
  with pytest.raises(InputError, match="no sound safetensors file"):
    weights.read(tmp_path / "model.safetensors" / "model.safetensors", {})
  with pytest.raises(InputError):
    inference.load(tmp_path / "model.safetensors")


BERT = {
  "model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1,
  "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 5,
  "max_position_embeddings": 12,
}  # fmt: skip


@pytest.mark.parametrize("kind", [16, 17, 3])
def test_mat_with_a_function_handle(tmp_path, kind):
  """Class 16 is a function, 17 opaque, 3 an object of a MATLAB class."""
  data = wfdb_files.random_adc(np.random.default_rng(0), length=520) / 1000
  path = tmp_path / "A0001.mat"
  fields = {"sex": "Male", "age": 50, "data": data}
  io.savemat(path, {"ECG": fields}, do_compression=False)
  assert MAT_STRUCT.read_struct(path).sex == 0
  content = bytearray(path.read_bytes())
  assert content[144] == 2  # class of the first variable: a struct
  content[144] = kind
  path.write_bytes(content)
  with pytest.raises(reader.RecordError) as error:
    MAT_STRUCT.read_struct(path)
  assert error.value.reason == "bad_header"


def test_parquet_with_a_python_type(tmp_path, payload, marker):
  """Once pyarrow unpickled the type of such a column (CVE-2023-47248)."""
  metadata = {
    "ARROW:extension:name": "arrow.py_extension_type",
    "ARROW:extension:metadata": payload,
  }
  names = ("record_id", "feature")
  schema = pa.schema(
    [pa.field(name, pa.string(), metadata=metadata) for name in names]
    + [pa.field("kept", pa.bool_())]
  )
  table = pa.table([["1"], ["flat T waves"], [True]], schema=schema)
  parquet.write_table(table, tmp_path / enhanced.FILE)
  judged = pa.table({"record_id": ["1"]})
  parquet.write_table(judged, tmp_path / enhanced.RECORDS_FILE)
  found = enhanced.read(str(tmp_path / enhanced.FILE), {"1"})
  assert found.features_of("1") == ["flat T waves"]


def test_records_and_prompts(tmp_path, payload, marker):
  """Samples are numbers whatever they are; other files are text or nothing."""
  (tmp_path / "p.json").write_bytes(payload)
  with pytest.raises(InputError, match="no JSON"):
    prompts.read_prompts(tmp_path / "p.json")
  (tmp_path / "a.hea").write_bytes(payload)
  with pytest.raises(reader.RecordError):
    reader.read_record(tmp_path / "a")
  adc = np.zeros((12, 200), np.int16) + np.arange(200, dtype=np.int16)
  wfdb_files.write_record(tmp_path, "b", adc, token="16+24", suffix="mat")
  path = tmp_path / "b.mat"
  path.write_bytes(payload.ljust(path.stat().st_size, b"\0"))
  with pytest.raises(reader.RecordError):
    reader.read_record(tmp_path / "b")


def test_links_that_leave_the_folder(tmp_path):
  """A header's file may be a link within its folder, and no further."""
  adc = wfdb_files.random_adc(np.random.default_rng(1))
  wfdb_files.write_record(tmp_path / "in", "a", adc)
  samples = tmp_path / "in" / "a.dat"
  samples.rename(tmp_path / "outside.dat")
  for target in (tmp_path / "outside.dat", "../outside.dat", "/dev/zero"):
    samples.symlink_to(target)
    with pytest.raises(reader.RecordError, match="leaves the record's folder"):
      reader.read_record(tmp_path / "in" / "a")
    samples.unlink()


def test_mat_of_more_structs_than_bytes(tmp_path):
  """5 kB that name 2^27 structs: refused before room is made for them."""
  path = tmp_path / "A0001.mat"
  fields = {"sex": "Male", "age": 50, "data": np.ones((12, 50))}
  for packed in (False, True):
    io.savemat(path, {"ECG": fields}, do_compression=False)
    content = bytearray(path.read_bytes())
    assert np.frombuffer(content, "<i4", 2, 160).tolist() == [1, 1]
    content[164:168] = (1 << 27).to_bytes(4, "little")
    if packed:
      body = zlib.compress(content[128:])
      head = np.array([15, len(body)], "<u4").tobytes()
      content = content[:128] + head + body
    path.write_bytes(content)
    with pytest.raises(reader.RecordError, match=r"array of \[1, 134217728\]"):
      MAT_STRUCT.read_struct(path)
