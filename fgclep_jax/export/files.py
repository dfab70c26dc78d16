"""What the plain files of an export say."""

import dataclasses
import importlib.metadata
import pathlib

import numpy as np

from fgclep_jax import config as config_lib
from fgclep_jax import inference
from fgclep_jax.reports import tokenizer
from fgclep_jax.signals import leads, transform

LIBRARIES = ("fgclep_jax", "jax", "flax", "numpy", "safetensors")


def about(model, kind, params, hashes):
  """The content of config.json.

  Args:
    model: `models.embedder.Model`.
    kind: `inference.TWO_TOWER` or `inference.ECG_ENCODER`.
    params: {name: array} that are exported.
    hashes: {name of a file beside it: sha256}.

  Returns:
    A dict of JSON values.
  """
  checkpoint = dict(model.checkpoint.items())
  checkpoint["hash"] = checkpoint.pop("two_tower_hash", checkpoint["hash"])
  values = {
    "format": inference.FORMAT,
    "format_version": inference.FORMAT_VERSION,
    "kind": kind,
    "checkpoint": checkpoint,
    "parameters": {
      "tensors": len(params),
      "values": sum(int(np.size(x)) for x in params.values()),
      "dtype": "float32",
      "hash": inference.parameter_hash(params),
    },
    "exported_with": {n: importlib.metadata.version(n) for n in LIBRARIES},
    "config": config_lib.to_dict(without_paths(model.config)),
    "files": hashes,
  }
  return values | {"sha256": inference.content_hash(values)}


def without_paths(config):
  """A config whose paths are cut to their last part: exports are passed on."""

  def last(path):
    return pathlib.PurePath(path).name

  text = dataclasses.replace(
    config.model.text,
    pretrained=last(config.model.text.pretrained),
    vocabulary=last(config.model.text.vocabulary),
  )
  model = dataclasses.replace(config.model, text=text)
  return dataclasses.replace(
    config, model=model, init_from=last(config.init_from)
  )


def preprocessor(model):
  """The content of preprocessor.json: how a record becomes an input."""
  data = model.config.data
  return {
    "sampling_rate": model.rate,
    "seconds": data.seconds,
    "samples": model.samples,
    "leads": list(leads.LEADS),
    "shape": ["records", leads.COUNT, model.samples],
    "dtype": "int16",
    "unit": "microvolts",
    "scale_to_millivolts": 0.001,
    "filter": "none",
    "normalisation": "none",
    "order": "leads are placed by name, then the rate is changed, then the "
    "length",
    "missing_leads": "III, aVR, aVL, aVF are derived where I and II are given; "
    "any other is zeros, and a lead of zeros alone is absent: not attended to, "
    "not pooled",
    "other_rates": "scipy.signal.resample_poly by the ratio of the rates, "
    "padtype 'line', rounded to whole microvolts, clipped to "
    f"+-{transform.LIMIT}",
    "shorter_records": "zeros of all leads after the last sample: not attended "
    "to, not pooled",
    "longer_records": {"embed_ecg": "cover", "training": data.window},
    "windows": {
      "first": "the first samples",
      "centre": "the middle samples",
      "cover": "windows one after the other, the last of which ends with the "
      "record; the embedding is their mean, scaled to unit length",
    },
  }


def tokenizer_settings(text):
  """tokenizer_config.json, as Hugging Face's `BertTokenizerFast` reads it."""
  names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
  return {
    "tokenizer_class": "BertTokenizer",
    "do_lower_case": text.lowercase,
    "strip_accents": None,
    "tokenize_chinese_chars": True,
    "model_max_length": text.max_tokens,
    **dict(zip(names, tokenizer.SPECIAL, strict=True)),
  }
