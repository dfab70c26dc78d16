"""A causal language model from a local folder, run in this process.

Needs torch: `pip install 'fgclep_jax[llm]'`. Weights are safetensors only, no
code of the folder is run and nothing is fetched.
"""

import hashlib
import os
import pathlib

from fgclep_jax import atomic
from fgclep_jax.enhance import prompt
from fgclep_jax.errors import InputError

_CONTENT = (".safetensors", ".json", ".txt", ".model", ".jinja")


class Transformers:
  """Asks a model of a folder as `save_pretrained` writes it.

  Decoding is greedy. The model is loaded when `ask` is first used.

  Args of the constructor:
    folder: with config.json, *.safetensors and the tokenizer's files.
    batch_size: findings at once; they are padded to the longest, so that
      another size may change an answer.
    max_tokens: of an answer.
    device: of torch; None takes a GPU when there is one.
    say: prints one line.

  Raises:
    InputError: no such folder, or one without safetensors.
  """

  name = "transformers"

  def __init__(
    self, folder, *, batch_size=8, max_tokens=512, device=None, say=print
  ):
    self.folder = pathlib.Path(folder)
    if not (self.folder / "config.json").is_file():
      raise InputError(
        f"no model at {folder}: give a folder with config.json, *.safetensors "
        "and the tokenizer's files"
      )
    if not any(self.folder.glob("*.safetensors")):
      raise InputError(
        f"{folder} holds no *.safetensors: other weight files can run code "
        "and are not read; save the model with safetensors"
      )
    self._batch_size, self._max_tokens = batch_size, max_tokens
    self._device, self._say = device, say
    self._loaded = None
    self._hash = None
    self.prompt_hash = prompt.digest(greedy=True, max_tokens=max_tokens)

  @property
  def model_hash(self):
    """Hash of weights, configuration and tokenizer; reads the folder once."""
    if self._hash is None:
      total = hashlib.sha256()
      for path in sorted(self.folder.iterdir()):
        if path.suffix in _CONTENT and path.is_file():
          total.update(f"{path.name} {atomic.file_hash(path)}\n".encode())
      self._hash = total.hexdigest()
    return self._hash

  def ask(self, findings):
    """Yields (finding, answer), in the order given.

    Raises:
      InputError: torch is missing, the folder cannot be loaded, or the
        question is too long for the model.
    """
    findings = list(findings)
    if findings and self._loaded is None:
      self._loaded = _load(self.folder, self._device, self._max_tokens)
      self._say(f"{self.folder}: model loaded on {self._loaded[1].device}")
    for start in range(0, len(findings), self._batch_size):
      batch = findings[start : start + self._batch_size]
      yield from zip(batch, self._generate(batch), strict=True)

  def _generate(self, findings):
    tokenizer, model = self._loaded
    texts = [_dressed(prompt.message(text), tokenizer) for text in findings]
    rows = tokenizer(
      texts,
      return_tensors="pt",
      padding=True,
      # A chat template brings its own.
      add_special_tokens=tokenizer.chat_template is None,
      return_token_type_ids=False,
    ).to(model.device)
    length = rows["input_ids"].shape[1]
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest and length + self._max_tokens > longest:
      raise InputError(
        f"{self.folder}: question ({length} tokens) and answer "
        f"({self._max_tokens}) are longer than the {longest} tokens the model "
        "can hold: take another model"
      )
    out = model.generate(**rows)[:, length:]
    return tokenizer.batch_decode(out, skip_special_tokens=True)


def _dressed(message, tokenizer):
  """Puts the question into the form the model was tuned on, if any."""
  if tokenizer.chat_template is None:
    return message
  return tokenizer.apply_chat_template(
    [{"role": "user", "content": message}],
    tokenize=False,
    add_generation_prompt=True,
    enable_thinking=False,  # of reasoning models; others pass it over
  )


def _load(folder, device, max_tokens):
  """Returns (tokenizer, model) of a folder, ready for greedy decoding."""
  try:
    import torch
    import transformers
  except ImportError as error:
    raise InputError(
      "the backend `transformers` needs torch: pip install 'fgclep_jax[llm]'"
    ) from error
  device = device or ("cuda" if torch.cuda.is_available() else "cpu")
  dtype = torch.float32 if device == "cpu" else "auto"
  try:
    tokenizer, model, info = _read(folder, dtype, transformers)
  except Exception as error:  # the loaders raise a dozen kinds
    reason = (str(error).splitlines() or [""])[0][:200]
    raise InputError(
      f"{folder} cannot be loaded ({type(error).__name__}: {reason})"
    ) from error
  lacking = [*info["missing_keys"], *info["mismatched_keys"]]
  if lacking:
    raise InputError(
      f"{folder}: {len(lacking)} weights are missing or of another shape, "
      f"first {lacking[0]}: they would be random numbers"
    )
  if tokenizer.pad_token_id is None:
    tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
  if tokenizer.pad_token_id is None:
    raise InputError(f"{folder}: the tokenizer has no padding or end token")
  model.to(device).eval()
  # Replaces the folder's own, which may ask for sampling.
  model.generation_config = transformers.GenerationConfig(
    do_sample=False,
    max_new_tokens=max_tokens,
    pad_token_id=tokenizer.pad_token_id,
    eos_token_id=model.generation_config.eos_token_id or tokenizer.eos_token_id,
  )
  return tokenizer, model


def _read(folder, dtype, transformers):
  """Reads a folder, and nothing but the folder; runs none of its code."""
  safe = {"local_files_only": True, "trust_remote_code": False}
  tokenizer = transformers.AutoTokenizer.from_pretrained(
    os.fspath(folder), padding_side="left", **safe
  )
  model, info = transformers.AutoModelForCausalLM.from_pretrained(
    os.fspath(folder),
    use_safetensors=True,
    dtype=dtype,
    output_loading_info=True,
    **safe,
  )
  return tokenizer, model, info
