"""The `merl` head against torch running the published recipe itself."""

import numpy as np
import pytest
import torch

from fgclep_jax.errors import InputError
from fgclep_jax.evaluation import merl_head
from fgclep_jax.evaluation.merl_head import Recipe


def _problem(n, width=24, classes=5, seed=0):
  rng = np.random.default_rng(seed)
  features = rng.normal(1.0, 2.0, (n, width)).astype(np.float32)
  truth = rng.normal(size=(width, classes)) / np.sqrt(width)
  return features, features @ truth + rng.logistic(size=(n, classes)) > 0.5


def _torch(features, labels, start, order, recipe):
  """The loop of the public code, fed with our shuffles and first weights."""
  width, classes = start[0].shape
  head = torch.nn.Linear(width, classes)
  with torch.no_grad():
    head.weight.copy_(torch.from_numpy(start[0].T.copy()))
    head.bias.copy_(torch.from_numpy(start[1]))
  optimizer = torch.optim.Adam(
    head.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay
  )
  schedule = torch.optim.lr_scheduler.MultiStepLR(
    optimizer, milestones=[recipe.milestone], gamma=recipe.factor
  )
  criterion = torch.nn.BCEWithLogitsLoss()
  x = torch.from_numpy(features)
  y = torch.from_numpy(labels.astype(np.float32))
  losses, rates, weights = [], [], []
  for epoch in order:
    for rows in epoch:
      rows = torch.from_numpy(rows[rows >= 0].astype(np.int64))
      loss = criterion(head(x[rows]), y[rows])
      optimizer.zero_grad()
      loss.backward()
      rates.append(optimizer.param_groups[0]["lr"])
      optimizer.step()
      if recipe.schedule == "batch":
        schedule.step()
      losses.append(loss.item())
    schedule.step()
    weights.append(head.weight.detach().numpy().T.copy())
  shape = order.shape[:2]
  return np.reshape(losses, shape), np.reshape(rates, shape), weights


@pytest.mark.parametrize("schedule", ["batch", "epoch"])
def test_same_loss_curve_as_torch(schedule):
  recipe = Recipe(epochs=50, schedule=schedule)
  features, labels = _problem(n=71)  # the last of 5 batches holds 7 rows
  start = merl_head.initial(24, 5, recipe.seed)
  order = merl_head.batches(71, recipe)
  ours = merl_head.train(features, labels, recipe)
  losses, rates, weights = _torch(features, labels, start, order, recipe)
  np.testing.assert_allclose(ours.loss, losses, atol=1e-4)
  np.testing.assert_allclose(ours.weight, weights, atol=1e-4)
  np.testing.assert_allclose(merl_head.rates(5, recipe), rates, rtol=1e-9)
  assert losses[-1].mean() < losses[0].mean()
  # Float64 by hand, so that neither library is taken at its word.
  logits = features @ weights[-1].astype(float) + ours.bias[-1].astype(float)
  np.testing.assert_allclose(ours.scores(features)[-1], logits, atol=1e-4)


# Batches an epoch at 170, 71 and 49 rows; the epoch whose training is the
# first to see the low rate, counted from 1, and after how many of its steps.
@pytest.mark.parametrize(
  ("rows", "epoch", "step"), [(170, 4, 4), (71, 7, 4), (49, 9, 0)]
)
def test_the_rate_falls_at_the_fortieth_call(rows, epoch, step):
  steps = -(-rows // 16)
  found = merl_head.rates(steps, Recipe())
  first = np.argwhere(found < 5e-4)[0]
  assert tuple(first) == (epoch - 1, step)
  assert found[0, 0] == 1e-3
  assert found[-1, -1] == pytest.approx(1e-4)
  late = merl_head.rates(steps, Recipe(schedule="epoch"))
  assert np.argwhere(late < 5e-4)[0].tolist() == [40, 0]


def test_batches_hold_every_row_once_an_epoch():
  order = merl_head.batches(71, Recipe(epochs=3))
  assert order.shape == (3, 5, 16)
  for epoch in order:
    assert sorted(epoch[epoch >= 0]) == list(range(71))
    assert np.all(epoch.ravel()[71:] == -1)
  assert not np.array_equal(order[0], order[1])
  again = merl_head.batches(71, Recipe(epochs=3))
  np.testing.assert_array_equal(order, again)
  other = merl_head.batches(71, Recipe(epochs=3, seed=1))
  assert not np.array_equal(order, other)


def test_first_weights_have_the_range_of_torch():
  weight, bias = merl_head.initial(400, 30, 42)
  bound = 1 / 20
  for values in (weight, bias):
    assert np.abs(values).max() <= bound
  assert weight.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)
  torch.manual_seed(0)
  theirs = torch.nn.Linear(400, 30).weight.detach().numpy()
  assert theirs.std() == pytest.approx(weight.std(), rel=0.03)


def test_refusals():
  with pytest.raises(InputError, match="batch or epoch"):
    Recipe(schedule="never")
  with pytest.raises(InputError, match="holds no row"):
    merl_head.train(np.zeros((0, 3)), np.zeros((0, 2)))
