"""The backend `transformers` with tiny models made here."""

import json
import os
import subprocess
import sys

import pytest

from fgclep_jax.enhance import answers, candidates
from fgclep_jax.enhance.backends.transformers import Transformers
from fgclep_jax.enhance.cache import Cache
from fgclep_jax.errors import InputError

GOOD = '{"features": ["QRS duration > 120 ms", "ST elevation in V9"]}'
FINDINGS = ["left bundle branch block", "atrial fibrillation", "st changes"]


@pytest.fixture(scope="module")
def torch():
  return pytest.importorskip(
    "torch", reason="no torch: pip install 'fgclep_jax[llm]'"
  )


def tokenizer(template):
  """Words and marks, byte for byte, and one token that is a whole answer."""
  import tokenizers
  import transformers

  pieces = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
  model = tokenizers.models.BPE(
    {piece: i for i, piece in enumerate(pieces)}, merges=[]
  )
  backend = tokenizers.Tokenizer(model)
  backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
    add_prefix_space=False
  )
  backend.decoder = tokenizers.decoders.ByteLevel()
  backend.add_tokens([tokenizers.AddedToken(GOOD, normalized=False)])
  made = transformers.PreTrainedTokenizerFast(
    tokenizer_object=backend, eos_token="</s>", pad_token="<pad>"
  )
  if template:
    made.chat_template = (
      "{% for message in messages %}<|{{ message.role }}|>"
      "{{ message.content }}{% endfor %}<|assistant|>"
    )
  return made


def folder(path, torch, known, template=False, **changes):
  """Writes a tiny model; `known` makes it say GOOD whatever is asked."""
  import transformers

  words = tokenizer(template)
  torch.manual_seed(3)
  config = {
    "vocab_size": len(words), "hidden_size": 16, "intermediate_size": 16,
    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
    "max_position_embeddings": 8192, "eos_token_id": words.eos_token_id,
    "bos_token_id": None, "tie_word_embeddings": False,
  }  # fmt: skip
  model = transformers.LlamaForCausalLM(
    transformers.LlamaConfig(**(config | changes))
  )
  # The folder asks for sampling; the backend must not follow.
  model.generation_config.do_sample = True
  model.generation_config.temperature = 5.0
  if known:
    teach(torch, model, words)
  model.save_pretrained(path)
  words.save_pretrained(path)
  return path


def teach(torch, model, words):
  """Sets the weights so that GOOD follows on any text, and the end on it."""
  answer = words.convert_tokens_to_ids(GOOD)
  with torch.no_grad():
    for layer in model.model.layers:
      layer.self_attn.o_proj.weight.zero_()
      layer.mlp.down_proj.weight.zero_()
    model.model.embed_tokens.weight.zero_()
    model.model.embed_tokens.weight[:, 0] = 1
    model.model.embed_tokens.weight[answer, 0] = 0
    model.model.embed_tokens.weight[answer, 1] = 1
    model.lm_head.weight.zero_()
    model.lm_head.weight[answer, 0] = 1
    model.lm_head.weight[words.eos_token_id, 1] = 1


@pytest.fixture(scope="module")
def taught(torch, tmp_path_factory):
  return folder(tmp_path_factory.mktemp("taught"), torch, known=True)


def model(path, **options):
  quick = {"max_tokens": 12, "say": lambda line: None}
  return Transformers(path, **(quick | options))


def test_a_random_model_runs_and_is_refused_what_it_babbles(torch, tmp_path):
  path = folder(tmp_path / "random", torch, known=False)
  first = dict(model(path).ask(FINDINGS))
  assert list(first) == FINDINGS
  assert first == dict(model(path).ask(FINDINGS))  # greedy, not sampled
  for finding, raw in first.items():
    found = answers.parse(raw, finding)
    assert found.features == ()
    assert [why for _, why in found.refused] == ["json"]


@pytest.mark.parametrize("template", [False, True])
@pytest.mark.parametrize("size", [1, 2, 8])
def test_answers_are_what_the_model_says(torch, tmp_path, template, size):
  path = folder(tmp_path / "taught", torch, known=True, template=template)
  said = model(path, batch_size=size).ask(FINDINGS)
  assert list(said) == [(finding, GOOD) for finding in FINDINGS]


def test_candidates_come_from_the_model(taught, tmp_path):
  with Cache(tmp_path / "cache") as cache:
    found = candidates.propose(
      ["Left bundle branch block", "Lead(s) unsuitable for analysis: V1"],
      model(taught), cache,
    )  # fmt: skip
    assert found.features == {
      "Left bundle branch block": ("QRS duration > 120 ms",),
      "Lead(s) unsuitable for analysis: V1": (),
    }
    assert list(found.refused.values()) == ["unknown"]
    assert found.provenance["source"] == "transformers"
    # Everything is cached: the model is not even loaded.
    again = model(taught)
    assert candidates.propose(found.features, again, cache).counts["asked"] == 0
    assert again._loaded is None


def test_hash_follows_every_file(torch, tmp_path):
  path = folder(tmp_path / "model", torch, known=False)
  first = model(path).model_hash
  assert first == model(path).model_hash
  names = ["model.safetensors", "config.json", "tokenizer.json"]
  for name in names:
    content = (path / name).read_bytes()
    (path / name).write_bytes(content + b" ")
    assert model(path).model_hash != first
    (path / name).write_bytes(content)
  assert model(path).model_hash == first


def test_the_prompt_hash_follows_the_settings(taught):
  first = model(taught).prompt_hash
  assert first == model(taught, batch_size=2).prompt_hash
  assert first != model(taught, max_tokens=13).prompt_hash


def test_folders_that_are_none(tmp_path):
  with pytest.raises(InputError, match="no model at"):
    Transformers(tmp_path)
  with pytest.raises(InputError, match="no model at Qwen/Qwen3-8B"):
    Transformers("Qwen/Qwen3-8B")  # nothing is fetched
  (tmp_path / "config.json").write_text("{}")
  (tmp_path / "pytorch_model.bin").write_bytes(b"canary")
  with pytest.raises(InputError, match=r"no \*\.safetensors"):
    Transformers(tmp_path)


def refusal(path):
  with pytest.raises(InputError) as error:
    list(model(path).ask(FINDINGS[:1]))
  return str(error.value)


def test_broken_folders_are_refused(torch, tmp_path):
  from safetensors import numpy

  path = folder(tmp_path / "model", torch, known=False)
  file = path / "model.safetensors"
  whole = file.read_bytes()
  weights = numpy.load(whole)
  name = "model.layers.0.mlp.up_proj.weight"
  lost = {key: value for key, value in weights.items() if key != name}
  numpy.save_file(lost, file, {"format": "pt"})
  assert f"1 weights are missing or of another shape, first {name}" in (
    refusal(path)
  )
  file.write_bytes(whole[: len(whole) // 2])
  assert "cannot be loaded" in refusal(path)
  file.write_bytes(whole)
  config = json.loads((path / "config.json").read_text())
  (path / "config.json").write_text('{"model_type": "unheard-of"}')
  assert "cannot be loaded" in refusal(path)
  config["max_position_embeddings"] = 64
  (path / "config.json").write_text(json.dumps(config))
  assert "longer than the 64 tokens" in refusal(path)


def test_code_of_a_folder_is_not_run(torch, tmp_path):
  path = folder(tmp_path / "model", torch, known=False)
  config = json.loads((path / "config.json").read_text())
  config |= {
    "model_type": "custom",
    "auto_map": {
      "AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"
    },
  }  # fmt: skip
  (path / "config.json").write_text(json.dumps(config))
  mark = tmp_path / "mark"
  (path / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
  assert "cannot be loaded" in refusal(path)
  assert not mark.exists()


def test_without_torch_the_mending_line_is_told(tmp_path):
  (tmp_path / "config.json").write_text("{}")
  (tmp_path / "model.safetensors").write_bytes(b"")
  code = (
    "import sys; sys.modules['torch'] = None\n"
    "from fgclep_jax.enhance.backends.transformers import Transformers\n"
    "from fgclep_jax.errors import InputError\n"
    "try: list(Transformers(sys.argv[1]).ask(['lbbb']))\n"
    "except InputError as error: print(error)\n"
  )
  run = subprocess.run(
    [sys.executable, "-c", code, tmp_path],
    capture_output=True, text=True, check=True, env=dict(os.environ),
  )  # fmt: skip
  assert "pip install 'fgclep_jax[llm]'" in run.stdout
