"""BERT folders: equal to torch's BertModel, and every damage is named."""

import dataclasses
import functools
import json
import math
import re
import shlex
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from fgclep_jax import config as c
from fgclep_jax import optim, sharding
from fgclep_jax.errors import InputError
from fgclep_jax.models import bert_table, pretrained, two_tower
from fgclep_jax.models.bert import Bert
from fgclep_jax.reports import tokenizer
from fgclep_jax.training import checkpoint, setup

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "st", "##emi", "wave"]
# Width, depth, heads, MLP, places, epsilon.
SIZES = {
  "narrow": (12, 2, 3, 20, 16, 1e-12),
  "wide": (32, 3, 2, 40, 24, 1e-2),
}


def torch_bert(name, seed, **changes):
  """A BertModel of random weights, every one of them off its start."""
  torch = pytest.importorskip("torch")
  transformers = pytest.importorskip("transformers")
  width, depth, heads, mlp, places, epsilon = SIZES[name]
  torch.manual_seed(seed)
  config = transformers.BertConfig(
    vocab_size=50, hidden_size=width, num_hidden_layers=depth,
    num_attention_heads=heads, intermediate_size=mlp,
    max_position_embeddings=places, layer_norm_eps=epsilon, **changes,
    attn_implementation="eager",
  )  # fmt: skip
  model = transformers.BertModel(config).eval()
  with torch.no_grad():
    for value in model.parameters():
      value.add_(0.2 * torch.randn_like(value))
  return model


def save(model, folder, **options):
  model.save_pretrained(folder, safe_serialization=True, **options)
  lines = "".join(f"{piece}\n" for piece in PIECES)
  (folder / "vocab.txt").write_text(lines)


def module(read):
  """Our BERT that holds what was read."""
  model = nnx.eval_shape(
    lambda: Bert(
      read.text,
      len(read.vocabulary),
      dtype=jnp.float32,
      rngs=nnx.Rngs(params=jax.random.key(0)),
    )
  )
  definition, state = nnx.split(model)
  shapes = {
    ".".join(map(str, path)): tuple(variable.shape)
    for path, variable in nnx.to_flat_state(state)
  }
  assert shapes == {name: x.shape for name, x in read.params.items()}
  return definition, read.params


def hidden_states(model, ids):
  """[(U, L, W)]: embedded, then after each layer."""
  x, mask = model.embed(ids)
  states = [x]
  for layer in model.layers:
    states.append(layer(states[-1], mask, None))
  return states


def some_texts(seed):
  """Word pieces of odd lengths, padded to 11; two rows that are full."""
  rng = np.random.default_rng(seed)
  ids = rng.integers(1, 50, (5, 11))
  for row, length in zip(ids, (11, 1, 4, 7, 11), strict=True):
    row[length:] = 0
  return ids.astype(np.int32)


@pytest.fixture(params=["narrow", "wide"])
def both(request, tmp_path):
  model = torch_bert(request.param, seed=len(request.param))
  save(model, tmp_path)
  return model, pretrained.read(tmp_path, max_tokens=12)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_layer_equals_torch(both, seed):
  torch = pytest.importorskip("torch")
  model, read = both
  ids = some_texts(seed)
  wide = torch.tensor(ids, dtype=torch.long)
  with torch.no_grad():
    out = model(wide, attention_mask=wide > 0, output_hidden_states=True)
  ours = two_tower.merge(*module(read))
  states = jax.jit(functools.partial(hidden_states, ours))(jnp.asarray(ids))
  assert len(states) == len(out.hidden_states) == read.text.depth + 1
  for mine, theirs in zip(states, out.hidden_states, strict=True):
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(
    ours(jnp.asarray(ids)), out.pooler_output, rtol=1e-5, atol=1e-5
  )


def test_gradients_equal_torch(both):
  """Of a random projection of the pooler output, for every tensor.

  To 1e-4 of a tensor's largest, or of a thousandth of the largest of all: the
  bias of the keys has no gradient but rounding, softmax takes it out.
  """
  torch = pytest.importorskip("torch")
  model, read = both
  ids = some_texts(2)
  weight = np.random.default_rng(3).normal(size=(5, read.text.width))
  weight = weight.astype(np.float32)
  wide = torch.tensor(ids, dtype=torch.long)
  pooled = model(wide, attention_mask=wide > 0).pooler_output
  (pooled * torch.tensor(weight)).sum().backward()
  definition, params = module(read)

  def value(params):
    return (
      two_tower.merge(definition, params)(jnp.asarray(ids)) * weight
    ).sum()

  gradients = jax.jit(jax.grad(value))(params)
  theirs = dict(model.named_parameters())
  # The table of places was cut to 12 rows; no text was longer.
  sizes = dataclasses.replace(read.text, vocabulary_size=50)
  largest = max(value.grad.abs().max().item() for value in theirs.values())
  for row in bert_table.table(sizes):
    expected = theirs.pop(row.outside).grad.numpy()
    expected = expected.T if row.transposed else expected
    mine = gradients[row.inside]
    scale = max(np.abs(expected).max(), 1e-3 * largest)
    np.testing.assert_allclose(
      mine / scale, expected[: len(mine)] / scale, atol=1e-4, err_msg=row.inside
    )
  assert not theirs


@pytest.mark.parametrize(
  ("rows", "published"), [(30_522, 109_482_240), (28_996, 108_310_272)]
)
def test_base_size_has_the_published_count(rows, published):
  """BERT-base uncased (MedCPT, PubMedBERT) and cased (Bio_ClinicalBERT)."""
  text = c.TextConfig(
    width=768, depth=12, heads=12, mlp=3072, max_tokens=512,
    vocabulary_size=rows,
  )  # fmt: skip
  shapes = [row.shape for row in bert_table.table(text)]
  assert sum(math.prod(shape) for shape in shapes) == published


def test_golden_activations(tmp_path, root):
  """What torch gave once, for where torch is absent; and gives now."""
  golden = json.loads((root / "tests" / "golden_bert.json").read_text())
  plain_folder(tmp_path)
  ids = np.array(golden["ids"], np.int32)
  read = pretrained.read(tmp_path, max_tokens=5)
  ours = two_tower.merge(*module(read))
  hidden = hidden_states(ours, jnp.asarray(ids))
  np.testing.assert_allclose(hidden, golden["hidden"], atol=1e-5)
  np.testing.assert_allclose(
    ours(jnp.asarray(ids)), golden["pooled"], atol=1e-5
  )
  torch = pytest.importorskip("torch")
  transformers = pytest.importorskip("transformers")
  model = transformers.BertModel.from_pretrained(
    tmp_path, attn_implementation="eager"
  ).eval()
  wide = torch.tensor(ids, dtype=torch.long)
  with torch.no_grad():
    out = model(wide, attention_mask=wide > 0, output_hidden_states=True)
  np.testing.assert_allclose(
    np.stack(out.hidden_states), golden["hidden"], atol=1e-5
  )


def test_written_folder_is_read_by_torch(tmp_path):
  """Random parameters of ours -> a folder -> the same outputs in torch."""
  torch = pytest.importorskip("torch")
  transformers = pytest.importorskip("transformers")
  text = c.TextConfig(
    width=16, depth=2, heads=4, mlp=24, max_tokens=9, norm_epsilon=1e-3,
    vocabulary_size=8,
  )  # fmt: skip
  ours = Bert(
    text, 8, dtype=jnp.float32, rngs=nnx.Rngs(params=jax.random.key(4))
  )
  _, state = nnx.split(ours)
  params = {
    ".".join(map(str, path)): np.asarray(variable.get_value())
    for path, variable in nnx.to_flat_state(state)
  }
  pretrained.write(tmp_path / "new", params, text, PIECES)
  model, info = transformers.BertModel.from_pretrained(
    tmp_path / "new", output_loading_info=True, attn_implementation="eager"
  )
  assert not info["missing_keys"]
  assert not info["unexpected_keys"]
  ids = np.minimum(some_texts(5)[:, :9], 7)
  wide = torch.tensor(ids, dtype=torch.long)
  with torch.no_grad():
    theirs = model.eval()(wide, attention_mask=wide > 0).pooler_output
  np.testing.assert_allclose(ours(jnp.asarray(ids)), theirs, atol=1e-5)
  again = pretrained.read(tmp_path / "new", max_tokens=9)
  assert again.text == dataclasses.replace(
    text, vocabulary=str(tmp_path / "new" / "vocab.txt")
  )
  assert again.vocabulary == tuple(PIECES)
  for name, value in params.items():
    np.testing.assert_array_equal(again.params[name], value)
  params.pop("pooler.bias")
  with pytest.raises(InputError, match=r"missing pooler\.bias"):
    pretrained.write(tmp_path / "other", params, text)


# ---- folders without torch ----


def plain_folder(folder, rename=str, seed=0, **config):
  """A folder written by hand; returns its tensors under their stored names."""
  folder.mkdir(exist_ok=True)
  text = c.TextConfig(
    width=4, depth=2, heads=2, mlp=6, max_tokens=5, vocabulary_size=8
  )
  rng = np.random.default_rng(seed)
  tensors = {
    rename(row.outside): rng.normal(size=row.shape).astype(np.float32)
    for row in bert_table.table(text)
  }
  values = {
    "model_type": "bert", "hidden_size": 4, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 6, "vocab_size": 8,
    "max_position_embeddings": 5, "hidden_act": "gelu",
    "layer_norm_eps": 1e-12, "type_vocab_size": 2, "pad_token_id": 0,
  }  # fmt: skip
  (folder / "config.json").write_text(json.dumps(values | config))
  (folder / "vocab.txt").write_text("".join(f"{p}\n" for p in PIECES))
  store(folder, tensors)
  return tensors


def store(folder, tensors, name="model.safetensors"):
  safetensors.numpy.save_file(tensors, folder / name)


def old_names(name):
  name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
  return "bert." + name.replace("LayerNorm.bias", "LayerNorm.beta")


@pytest.mark.parametrize("rename", [str, "bert.{}".format, old_names])
def test_layouts_give_the_same(tmp_path, rename):
  """Encoder alone (MedCPT), with heads (Bio_ClinicalBERT), and old names."""
  plain_folder(tmp_path / "plain")
  tensors = plain_folder(tmp_path / "other", rename)
  prefix = rename("x").removesuffix("x")
  extra = {
    f"{prefix}embeddings.position_ids": np.arange(5)[None],
    "cls.predictions.bias": np.zeros(8, np.float32),
    "cls.predictions.transform.LayerNorm.gamma": np.zeros(4, np.float32),
    "cls.seq_relationship.weight": np.zeros((2, 4), np.float32),
  }
  store(tmp_path / "other", tensors | extra)
  wanted, found = (
    pretrained.read(tmp_path / name, max_tokens=5).params
    for name in ("plain", "other")
  )
  assert wanted.keys() == found.keys()
  for name in wanted:
    np.testing.assert_array_equal(wanted[name], found[name])


def test_parts_and_types(tmp_path):
  """Three parts with an index; half and double precision become float32."""
  tensors = plain_folder(tmp_path)
  whole = pretrained.read(tmp_path, max_tokens=5).params
  (tmp_path / "model.safetensors").unlink()
  kinds = (np.float16, ml_dtypes.bfloat16, np.float64)
  places = {}
  for i, kind in enumerate(kinds):
    part = {n: tensors[n].astype(kind) for n in list(tensors)[i::3]}
    name = f"model-0000{i + 1}-of-00003.safetensors"
    store(tmp_path, part, name)
    places |= dict.fromkeys(part, name)
  index = tmp_path / "model.safetensors.index.json"
  index.write_text(json.dumps({"weight_map": places}))
  params = pretrained.read(tmp_path, max_tokens=5).params
  for name, value in whole.items():
    assert params[name].dtype == np.float32
    np.testing.assert_allclose(params[name], value, rtol=2**-8)
  (tmp_path / name_of(2)).unlink()
  with pytest.raises(InputError, match=f"lacks {name_of(2)}"):
    pretrained.read(tmp_path, max_tokens=5)
  for bad in ("../model.safetensors", "model.bin", 7, ["a"]):
    index.write_text(json.dumps({"weight_map": {"a": bad}}))
    with pytest.raises(InputError, match="of its own folder"):
      pretrained.read(tmp_path, max_tokens=5)


def name_of(part):
  return f"model-0000{part}-of-00003.safetensors"


def test_sizes_and_places(tmp_path):
  tensors = plain_folder(tmp_path, layer_norm_eps=1e-5)
  read = pretrained.read(tmp_path, max_tokens=3)
  assert read.text == c.TextConfig(
    width=4, depth=2, heads=2, mlp=6, max_tokens=3, vocabulary_size=8,
    vocabulary=str(tmp_path / "vocab.txt"), norm_epsilon=1e-5,
  )  # fmt: skip
  np.testing.assert_array_equal(
    read.params["embeddings.position.embedding"],
    tensors["embeddings.position_embeddings.weight"][:3],
  )
  np.testing.assert_array_equal(
    read.params["layers.1.mlp.first.kernel"],
    tensors["encoder.layer.1.intermediate.dense.weight"].T,
  )
  mean = pretrained.read(tmp_path, max_tokens=3, pool="mean")
  assert read.params.keys() - mean.params.keys() == {
    "pooler.kernel", "pooler.bias",
  }  # fmt: skip
  with pytest.raises(InputError, match="has 5 places"):
    pretrained.read(tmp_path, max_tokens=64)


def test_all_misfits_at_once(tmp_path):
  tensors = plain_folder(tmp_path)
  tensors["pooler.dense.kernel"] = tensors.pop("pooler.dense.weight")
  tensors.pop("embeddings.LayerNorm.bias")
  layer = "encoder.layer.0"
  tensors[f"{layer}.output.dense.weight"] = np.zeros((6, 4), np.float32)
  tensors[f"{layer}.output.dense.bias"] = np.zeros(4, np.int32)
  tensors[f"{layer}.intermediate.dense.bias"][2] = np.nan
  tensors["bert.pooler.dense.bias"] = tensors["pooler.dense.bias"]
  tensors["encoder.layer.2.output.dense.bias"] = np.zeros(4, np.float32)
  store(tmp_path, tensors)
  with pytest.raises(InputError) as raised:
    pretrained.read(tmp_path, max_tokens=5)
  text = str(raised.value)
  assert "\n" not in text
  _, _, problems = text.partition(": ")
  assert sorted(problems.split("; ")) == [
    "missing embeddings.LayerNorm.bias",
    "missing pooler.dense.weight",
    f"not finite {layer}.intermediate.dense.bias",
    f"shape {layer}.output.dense.weight: found [6, 4], expected [4, 6]",
    "surplus encoder.layer.2.output.dense.bias",
    "surplus pooler.dense.kernel",
    "twice pooler.dense.bias",
    f"type {layer}.output.dense.bias: I32",
  ]


def test_each_tensor_is_needed(tmp_path):
  """Dropping, renaming or reshaping any one of them is refused by name."""
  tensors = plain_folder(tmp_path)
  for name, value in tensors.items():
    rest = {k: v for k, v in tensors.items() if k != name}
    for damaged, word in (
      (rest, f"missing {name}"),
      (rest | {f"{name}s": value}, f"surplus {name}s"),
      (rest | {name: value[None]}, f"shape {name}"),
    ):
      store(tmp_path, damaged)
      with pytest.raises(InputError, match=re.escape(word)):
        pretrained.read(tmp_path, max_tokens=5)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"hidden_size": "4"}, "hidden_size='4'"),
    ({"num_hidden_layers": 10**9}, "num_hidden_layers=1000000000"),
    ({"num_attention_heads": 3}, "no multiple of num_attention_heads"),
    ({"hidden_act": "relu"}, "hidden_act='relu'"),
    ({"position_embedding_type": "relative_key"}, "relative_key"),
    ({"model_type": "roberta"}, "model_type='roberta'"),
    ({"type_vocab_size": 1}, "type_vocab_size=1"),
    ({"layer_norm_eps": True}, "layer_norm_eps=True"),
    ({"vocab_size": 7}, "8 word pieces, the word table 7 rows"),
    ({"hidden_size": 8}, r"found \[8, 4\], expected \[8, 8\]"),
  ],
)
def test_other_networks_are_refused(tmp_path, change, message):
  plain_folder(tmp_path, **change)
  with pytest.raises(InputError, match=message):
    pretrained.read(tmp_path, max_tokens=5)


def test_broken_files(tmp_path):
  plain_folder(tmp_path)
  path = tmp_path / "model.safetensors"
  whole = path.read_bytes()
  pickled = b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}."
  for broken in (whole[:-1], whole[:20], b"", pickled, whole + b"x"):
    path.write_bytes(broken)
    with pytest.raises(InputError, match="no sound safetensors file"):
      pretrained.read(tmp_path, max_tokens=5)
  path.unlink()
  with pytest.raises(InputError, match=r"holds no model\.safetensors"):
    pretrained.read(tmp_path, max_tokens=5)
  for text, message in (("[1]", "no JSON object"), ("{", "is no JSON")):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=message):
      pretrained.read(tmp_path)
  with pytest.raises(InputError, match=r"no .*config\.json"):
    pretrained.read(tmp_path / "absent")


def test_pickled_folder_names_the_conversion_that_works(tmp_path):
  """The printed command, run as it stands, makes the folder readable."""
  torch = pytest.importorskip("torch")
  tensors = plain_folder(tmp_path / "a folder")
  folder = tmp_path / "a folder"
  (folder / "model.safetensors").unlink()
  torch.save(
    {n: torch.tensor(x) for n, x in tensors.items()},
    folder / "pytorch_model.bin",
  )
  with pytest.raises(InputError, match=r"only pytorch_model\.bin") as raised:
    pretrained.read(folder, max_tokens=5)
  assert "\n" not in str(raised.value)
  assert "torch" not in vars(pretrained)
  _, _, command = str(raised.value).partition(" by python ")
  subprocess.run([sys.executable, *shlex.split(command)], check=True)
  found = pretrained.read(folder, max_tokens=5).params
  np.testing.assert_array_equal(
    found["pooler.kernel"], tensors["pooler.dense.weight"].T
  )


def test_vocabularies(tmp_path):
  """From tokenizer.json where vocab.txt is absent; spare rows get names."""
  plain_folder(tmp_path)
  read = pretrained.read(tmp_path, max_tokens=5)
  assert read.vocabulary == tuple(PIECES)
  assert read.text.lowercase
  assert pretrained.read_vocabulary(tmp_path, 10)[7:] == (
    "wave", "[row 8]", "[row 9]",
  )  # fmt: skip
  (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
  (tmp_path / "vocab.txt").unlink()
  with pytest.raises(InputError, match=r"neither vocab\.txt nor"):
    pretrained.read(tmp_path, max_tokens=5)
  pieces = {piece: i for i, piece in enumerate(PIECES)}
  path = tmp_path / "tokenizer.json"
  path.write_text(json.dumps({"model": {"type": "WordPiece", "vocab": pieces}}))
  read = pretrained.read(tmp_path, max_tokens=5)
  assert read.vocabulary == tuple(PIECES)
  assert (read.text.vocabulary, read.text.lowercase) == ("", False)
  for model in (
    {"type": "BPE", "vocab": pieces},
    {"type": "WordPiece", "vocab": pieces | {"more": 3}},
    {"type": "WordPiece", "vocab": {"a": []}},
  ):
    path.write_text(json.dumps({"model": model}))
    with pytest.raises(InputError, match=r"WordPiece|numbered"):
      pretrained.read(tmp_path, max_tokens=5)


def test_cased_vocabulary_with_a_line_separator(tmp_path):
  """Cased folders keep capitals; U+2028 is a piece, not the end of a line."""
  pieces = [*PIECES[:5], "\u2028", "ST", "st"]
  path = tmp_path / "vocab.txt"
  path.write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
  assert pretrained.read_vocabulary(tmp_path, 8) == tuple(pieces)
  cased = tokenizer.Tokenizer(pieces, 8, lowercase=False).encode(["ST st"])
  lower = tokenizer.Tokenizer(pieces, 8).encode(["ST st"])
  assert (cased.tolist(), lower.tolist()) == ([[2, 6, 7, 3]], [[2, 7, 7, 3]])


# ---- in training ----


def run_with(text, **changes):
  """What `setup.initial_state` asks of a run."""
  ecg = c.EcgConfig(name="resnet", width=4, stages=(1,))
  config = c.TrainConfig(
    model=c.ModelConfig(ecg=ecg, text=text, embedding=4), **changes
  )
  mesh = sharding.make_mesh(config.mesh, jax.devices()[:1])
  return types.SimpleNamespace(
    config=config, mesh=mesh, frozen=frozenset(),
    tokenizer=types.SimpleNamespace(vocabulary=PIECES),
    optimizer=optim.create(config.optim, 10),
  )  # fmt: skip


def test_folder_is_the_start_of_a_run(tmp_path, monkeypatch):
  """Precedence: init_from, then the folder, then what is drawn."""
  plain_folder(tmp_path)
  read = pretrained.read(tmp_path, max_tokens=5)
  text = dataclasses.replace(
    read.text, vocabulary="", pretrained=str(tmp_path), max_tokens=4
  )
  run = run_with(text)
  earlier, _ = setup._earlier(run.config, tmp_path / "absent")
  words = setup._vocabulary(run.config, earlier, None, None)
  assert words == PIECES
  params = setup.initial_state(run).params
  _, drawn = two_tower.create(run.config, 8, run.config.seed)
  assert params.keys() == drawn.keys()
  for name, value in params.items():
    source = read.params.get(name.removeprefix("text."), drawn[name])
    if name == "text.embeddings.position.embedding":
      source = source[:4]
    np.testing.assert_array_equal(value, source, err_msg=name)
  other = {name: value + 1 for name, value in drawn.items()}
  monkeypatch.setattr(
    checkpoint, "restore_params", lambda _: (other, run.config)
  )
  params = setup.initial_state(run_with(text, init_from="there")).params
  for name, value in params.items():
    np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_sizes_of_the_config_must_be_the_folders(tmp_path):
  plain_folder(tmp_path, layer_norm_eps=1e-5)
  text = c.TextConfig(
    pretrained=str(tmp_path), width=8, depth=2, heads=2, mlp=6, max_tokens=5
  )
  config = c.TrainConfig(model=c.ModelConfig(text=text))
  with pytest.raises(InputError) as raised:
    pretrained.read_for(text)
  _, _, flags = str(raised.value).partition(": give ")
  flags = flags.replace("--", "").split()
  assert flags[::2] == ["model.text.width", "model.text.norm-epsilon"]
  changed = c.override(config, dict(zip(flags[::2], flags[1::2], strict=True)))
  read = pretrained.read_for(changed.model.text)
  assert read.text.norm_epsilon == 1e-5
  assert read.vocabulary == pretrained.vocabulary_for(changed.model.text)


def test_first_nine_layers_freeze_by_rule():
  """Layers 0-8 still; embeddings, layers 9-11 and the pooler learn."""
  text = c.TextConfig(width=8, depth=12, heads=2, mlp=8, max_tokens=4)
  config = c.TrainConfig(model=c.ModelConfig(text=text))
  _, shapes = two_tower.abstract(config, 8)
  rule = c.OptimConfig(freeze=(r"^text\.layers\.[0-8]\.",))
  frozen = optim.frozen_names(rule, shapes)
  expected = {
    f"text.{row.inside}"
    for row in bert_table.table(dataclasses.replace(text, vocabulary_size=8))
    if row.outside.startswith("encoder.layer.")
    and int(row.outside.split(".")[2]) < 9
  }
  assert len(expected) == 9 * 16
  assert frozen == expected


def test_semantics_are_those_of_the_untouched_encoder(both, tmp_path):
  """Unit pooler outputs of torch, whatever the batch; 5 texts by 2."""
  torch = pytest.importorskip("torch")
  model, read = both
  text = dataclasses.replace(read.text, pretrained=str(tmp_path))
  ids = some_texts(3)
  wide = torch.tensor(ids, dtype=torch.long)
  with torch.no_grad():
    pooled = model(wide, attention_mask=wide > 0).pooler_output.numpy()
  wanted = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
  found = pretrained.semantics(text, ids, batch=2)
  np.testing.assert_allclose(found, wanted, atol=1e-5)
