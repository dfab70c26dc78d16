"""The training step in PyTorch, as the public codes of the field do it.

Written for `benchmarks.step`: the text of every pair is encoded, padded to a
common width; the frozen layers keep nothing for the gradient; transport goes
record by record; the loss is a K x K matrix. It has our parameters, so that
loss and step are the same.
"""

import numpy as np
import torch
import transformers

from benchmarks import transport
from fgclep_jax.models import bert_table

functional = torch.nn.functional


def load(module, arrays):
  """Sets parameters by name; all of them, of these shapes."""
  module.load_state_dict(
    {name: torch.tensor(np.asarray(x)) for name, x in arrays.items()}
  )
  return module


def dense(kernel, bias=None):
  """A linear layer of our parameters."""
  layer = torch.nn.Linear(*kernel.shape, bias=bias is not None)
  arrays = {"weight": np.asarray(kernel).T}
  return load(layer, arrays if bias is None else arrays | {"bias": bias})


def bert(text, rows, params):
  """transformers' BertModel; text: `TextConfig`, rows: of the word table."""
  config = transformers.BertConfig(
    vocab_size=rows,
    hidden_size=text.width,
    num_hidden_layers=text.depth,
    num_attention_heads=text.heads,
    intermediate_size=text.mlp,
    max_position_embeddings=text.max_tokens,
    layer_norm_eps=text.norm_epsilon,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
  )
  model = transformers.BertModel(config).train()
  arrays = {}
  for row in bert_table.table(text):
    value = np.asarray(params[f"text.{row.inside}"])
    arrays[row.outside] = value.T if row.transposed else value
  missing = set(model.state_dict()) - set(arrays)
  assert not missing, missing
  return load(model, arrays)


class Vit(torch.nn.Module):
  """(B, 12, T) mV -> (B, N, W), as `models.st_vit` without masks."""

  def __init__(self, params, heads, patch):
    super().__init__()
    self.patch = patch
    self.embed = dense(params["ecg.embed.kernel"], params["ecg.embed.bias"])
    place = params["ecg.lead"][:, None] + params["ecg.time"][None]
    self.place = torch.nn.Parameter(torch.tensor(np.asarray(place)))
    width = place.shape[-1]
    depth = 1 + max(
      int(name.split(".")[2])
      for name in params
      if name.startswith("ecg.blocks.")
    )
    self.blocks = torch.nn.ModuleList(
      self._block(params, f"ecg.blocks.{i}.", width, heads)
      for i in range(depth)
    )
    self.norm = load(
      torch.nn.LayerNorm(width, eps=1e-6),
      {
        "weight": params["ecg.norm.scale"],
        "bias": params["ecg.norm.bias"],
      },
    )

  @staticmethod
  def _block(params, prefix, width, heads):
    own = {
      name.removeprefix(prefix): np.asarray(x)
      for name, x in params.items()
      if name.startswith(prefix)
    }
    block = torch.nn.TransformerEncoderLayer(
      width,
      heads,
      own["mlp.first.bias"].size,
      dropout=0.0,
      activation="gelu",
      layer_norm_eps=1e-6,
      batch_first=True,
      norm_first=True,
    )
    three = [f"attention.{name}" for name in ("query", "key", "value")]
    arrays = {
      "self_attn.in_proj_weight": np.concatenate(
        [own[f"{name}.kernel"].T for name in three]
      ),
      "self_attn.in_proj_bias": np.concatenate(
        [own[f"{name}.bias"] for name in three]
      ),
    }
    for outside, inside in (
      ("self_attn.out_proj", "attention.out"),
      ("linear1", "mlp.first"),
      ("linear2", "mlp.second"),
    ):
      arrays[f"{outside}.weight"] = own[f"{inside}.kernel"].T
      arrays[f"{outside}.bias"] = own[f"{inside}.bias"]
    for name in ("norm1", "norm2"):
      arrays[f"{name}.weight"] = own[f"{name}.scale"]
      arrays[f"{name}.bias"] = own[f"{name}.bias"]
    return load(block, arrays)

  def forward(self, signal):
    patches = signal.unflatten(2, (-1, self.patch))
    x = (self.embed(patches) + self.place).flatten(1, 2)
    for block in self.blocks:
      x = block(x)
    return self.norm(x)


class Step(torch.nn.Module):
  """Both towers with a step of AdamW.

  Args of the constructor:
    config: `config.TrainConfig`. rows: of the word table.
    params: of `two_tower.create`. heads: of the ECG tower.
    frozen: names of the parameters held still, of the text tower.
  """

  def __init__(self, config, rows, params, heads, frozen):
    super().__init__()
    patch = round(config.model.ecg.patch_seconds * config.data.rate)
    self.ecg = Vit(params, heads, patch)
    self.ecg_projection = dense(params["ecg_projection.kernel"])
    self.text = bert(config.model.text, rows, params)
    self.text_projection = torch.nn.Sequential(
      *[
        layer
        for name in ("first", "second")
        for layer in (
          dense(
            params[f"text_projection.{name}.kernel"],
            params[f"text_projection.{name}.bias"],
          ),
          torch.nn.GELU(),
        )
      ][:-1]
    )
    self.log_scale = torch.nn.Parameter(
      torch.tensor(float(params["log_scale"]))
    )
    names = {row.outside: row for row in bert_table.table(config.model.text)}
    for name, parameter in self.text.named_parameters():
      if f"text.{names[name].inside}" in frozen:
        parameter.requires_grad_(False)
    trained = [x for x in self.parameters() if x.requires_grad]
    self.optimizer = torch.optim.AdamW(trained, config.optim.learning_rate)

  def pairs(self, ecg, tokens, counts):
    """Embeddings of all pairs.

    Args:
      ecg: (B, 12, T) int16. tokens: (K, L) of the pairs, record by record.
      counts: (B,) pairs of each record.

    Returns:
      (K, E) of the ECGs, (K, E) of the texts: unit rows.
    """
    h = self.ecg(torch.tensor(ecg).float() * 1e-3)
    h = functional.normalize(self.ecg_projection(h), dim=-1)
    ids = torch.tensor(tokens).long()
    pooled = self.text(ids, attention_mask=(ids > 0).long()).pooler_output
    z = functional.normalize(self.text_projection(pooled), dim=-1)
    parts = zip(z.split(list(counts)), h, strict=True)
    rows = [transport.plain(a, b, torch, torch.logsumexp) for a, b in parts]
    return torch.cat(rows), z

  def loss(self, e, z):
    """The soft sigmoid loss, every pair with the text of every pair."""
    labels = (1 + z.detach() @ z.detach().T) / 2
    logits = self.log_scale.exp() * e @ z.T
    return functional.binary_cross_entropy_with_logits(logits, labels)

  def backward(self, *batch):
    """Loss of a batch, its gradients added to those there."""
    loss = self.loss(*self.pairs(*batch))
    loss.backward()
    return float(loss.detach())

  def dense_loss(self, count, width):
    """The loss and its gradients alone, for K random pairs."""
    e, z = torch.randn(2, count, width, requires_grad=True).unbind()
    self.loss(
      functional.normalize(e, dim=-1), functional.normalize(z, dim=-1)
    ).backward()

  def update(self):
    """A step of the optimizer, and gradients away."""
    self.optimizer.step()
    self.optimizer.zero_grad()
