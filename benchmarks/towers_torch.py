"""The towers as one writes them in PyTorch, on parameters of ours.

Every function takes {dotted name: tensor} of `tensors` and gives the tokens
of ECGs, of texts the mean of theirs. Layouts are PyTorch's own:
channels before time, weights outputs first, `scaled_dot_product_attention`.
"""

import torch
from torch.nn import functional

MOMENTUM, EPSILON = 0.1, 1e-5


def tensors(params):
  """Our parameters in PyTorch's layouts; what is learned has gradients."""
  found = {}
  for name, value in params.items():
    x = torch.tensor(value)
    if name.endswith("conv.kernel"):
      x = x.permute(2, 1, 0).contiguous()  # (outputs, inputs, taps)
    elif name.endswith("kernel"):
      x = x.T.contiguous()
    found[name] = x.requires_grad_(not name.endswith(("norm.mean", "norm.var")))
  return found


def conv_norm(p, name, x, train, stride=1):
  kernel = p[f"{name}.conv.kernel"]
  pad = (kernel.shape[2] - 1) // 2
  x = functional.conv1d(x, kernel, stride=stride, padding=pad)
  return functional.batch_norm(
    x,
    p[f"{name}.norm.mean"],
    p[f"{name}.norm.var"],
    p[f"{name}.norm.scale"],
    p[f"{name}.norm.bias"],
    training=train,
    momentum=MOMENTUM,
    eps=EPSILON,
  )


def shortcut(p, name, x, train, stride):
  if f"{name}.shortcut.conv.kernel" not in p:
    return x
  return conv_norm(p, f"{name}.shortcut", x, train, stride)


def resnet18(p, x, train):
  """(B, 12, T) -> (B, N, 512)."""
  x = functional.relu(conv_norm(p, "stem", x, train, 2))
  for block in range(8):
    name = f"blocks.{block}"
    stride = 2 if block in (2, 4, 6) else 1
    y = functional.relu(conv_norm(p, f"{name}.first", x, train, stride))
    y = conv_norm(p, f"{name}.second", y, train)
    x = functional.relu(shortcut(p, name, x, train, stride) + y)
  return x.transpose(1, 2)


def xresnet1d101(p, x, train):
  """(B, 12, T) -> (B, N, 256)."""
  for i, stride in enumerate((2, 1, 1)):
    x = functional.relu(conv_norm(p, f"stem.{i}", x, train, stride))
  x = functional.max_pool1d(x, 3, stride=2, padding=1)
  for block in range(33):
    name = f"blocks.{block}"
    stride = 2 if block in (3, 7, 30) else 1
    y = functional.relu(conv_norm(p, f"{name}.first", x, train))
    y = functional.relu(conv_norm(p, f"{name}.second", y, train, stride))
    y = conv_norm(p, f"{name}.third", y, train)
    if stride == 2:
      x = functional.avg_pool1d(x, 2, ceil_mode=True)
    x = functional.relu(shortcut(p, name, x, train, 1) + y)
  return x.transpose(1, 2)


def dense(p, name, x):
  return functional.linear(x, p[f"{name}.kernel"], p[f"{name}.bias"])


def norm(p, name, x, epsilon):
  scale, bias = p[f"{name}.scale"], p[f"{name}.bias"]
  return functional.layer_norm(x, scale.shape, scale, bias, epsilon)


def attention(p, name, x, heads, mask=None):
  split = (*x.shape[:2], heads, -1)
  query, key, value = (
    dense(p, f"{name}.{part}", x).reshape(split).transpose(1, 2)
    for part in ("query", "key", "value")
  )
  mixed = functional.scaled_dot_product_attention(query, key, value, mask)
  return dense(p, f"{name}.out", mixed.transpose(1, 2).reshape(x.shape))


def mlp(p, name, x):
  x = functional.gelu(dense(p, f"{name}.first", x))
  return dense(p, f"{name}.second", x)


def depth(p, name):
  return len({k.split(".")[1] for k in p if k.startswith(f"{name}.")})


def st_vit(p, x, train, heads, patch):
  """(B, 12, T), T in whole patches -> (B, 12 * T / patch, W)."""
  del train  # no dropout
  x = dense(p, "embed", x.unflatten(2, (-1, patch)))
  x = (x + p["lead"][:, None] + p["time"]).flatten(1, 2)
  for i in range(depth(p, "blocks")):
    name = f"blocks.{i}"
    y = norm(p, f"{name}.norm1", x, 1e-6)
    x = x + attention(p, f"{name}.attention", y, heads)
    x = x + mlp(p, f"{name}.mlp", norm(p, f"{name}.norm2", x, 1e-6))
  return norm(p, "norm", x, 1e-6)


def bert(p, ids, train, heads):
  """(U, L) word pieces, 0 is padding -> (U, W), means of the pieces."""
  del train
  x = functional.embedding(ids, p["embeddings.word.embedding"])
  x = x + p["embeddings.position.embedding"][: ids.shape[1]]
  x = x + p["embeddings.type.embedding"][0]
  x = norm(p, "embeddings.norm", x, 1e-12)
  mask = (ids > 0)[:, None, None]
  for i in range(depth(p, "layers")):
    name = f"layers.{i}"
    x = x + attention(p, f"{name}.attention", x, heads, mask)
    x = norm(p, f"{name}.norm1", x, 1e-12)
    x = norm(p, f"{name}.norm2", x + mlp(p, f"{name}.mlp", x), 1e-12)
  there = (ids > 0)[:, :, None].float()
  return (x * there).sum(1) / there.sum(1)
