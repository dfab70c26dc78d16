"""Losses of others against float64 references, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgclep_jax import losses


def unit(rng, *shape):
  rows = rng.normal(size=shape)
  return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def arguments(seed, pairs=13, texts=6, width=5):
  """Random pairs over fewer texts, some of either masked."""
  rng = np.random.default_rng(seed)
  place = np.append(np.arange(texts), rng.integers(0, texts, pairs - texts))
  there = np.ones(pairs)
  there[rng.integers(texts, pairs, 3)] = 0
  return {
    "ecg": unit(rng, pairs, width),
    "text": unit(rng, texts, width),
    "place": place,
    "log_scale": np.float64(rng.normal()),
    "pair_weights": there,
    "text_weights": np.bincount(place, there, minlength=texts),
  }


def clip(ecg, text, place, log_scale, pair_weights, text_weights):
  """The papers' loss over all K x K pairs that are there, in numpy."""
  there = pair_weights > 0
  ecg, text = ecg[there], text[place[there]]
  logits = np.exp(log_scale) * ecg @ text.T
  own = np.diag(logits)

  def cross_entropy(logits):
    top = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    return (total - own).mean()

  return (cross_entropy(logits) + cross_entropy(logits.T)) / 2


def differences(function, args, names, step=1e-6):
  """Gradients by central differences."""
  found = {}
  for name in names:
    value = np.array(args[name], np.float64)
    slope = np.zeros_like(value)
    for place in np.ndindex(value.shape):
      sides = []
      for sign in (1, -1):
        moved = value.copy()
        moved[place] += sign * step
        sides.append(function(**(args | {name: moved})))
      slope[place] = (sides[0] - sides[1]) / (2 * step)
    found[name] = slope
  return found


def check(ours, reference, args, learned):
  wanted = reference(**args)
  slopes = differences(reference, args, learned)
  with jax.enable_x64(True):
    for kind, tolerance in ((jnp.float64, 1e-8), (jnp.float32, 2e-5)):

      def cast(value, kind=kind):
        value = jnp.asarray(value)
        return value.astype(kind) if value.dtype.kind == "f" else value

      rest = {n: cast(x) for n, x in args.items() if n not in learned}
      given = {n: cast(args[n]) for n in learned}
      value, gradient = jax.value_and_grad(lambda p, r=rest: ours(**p, **r))(
        given
      )
      assert value.dtype == kind
      np.testing.assert_allclose(value, wanted, rtol=tolerance)
      for name in learned:
        np.testing.assert_allclose(
          gradient[name], slopes[name], atol=10 * tolerance, err_msg=name
        )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_softmax_is_clip_over_all_pairs(seed):
  check(
    losses.softmax_loss, clip, arguments(seed), ("ecg", "text", "log_scale")
  )


def fnm(
  ecg, text, ecg_semantics, text_semantics, semantics_mask, pair_weights,
  text_weights,
):  # fmt: skip
  total = 0.0
  for k, w in enumerate(pair_weights):
    for u, n in enumerate(text_weights):
      near = [
        row @ text_semantics[u]
        for row, there in zip(ecg_semantics[k], semantics_mask[k], strict=True)
        if there
      ]
      total += w * n * abs(ecg[k] @ text[u] - max(near, default=-1))
  return total / (pair_weights.sum() * text_weights.sum())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fnm(seed):
  rng = np.random.default_rng(100 + seed)
  args = arguments(seed)
  del args["place"], args["log_scale"]
  args["ecg_semantics"] = unit(rng, 13, 3, 4)
  args["text_semantics"] = unit(rng, 6, 4)
  args["semantics_mask"] = rng.random((13, 3)) < 0.7
  check(losses.fnm_loss, fnm, args, ("ecg", "text"))
  args["semantics_mask"] = np.ones((13, 1), bool)
  args["ecg_semantics"] = args["ecg_semantics"][:, :1]
  wanted = fnm(**args)
  del args["semantics_mask"]
  args["ecg_semantics"] = args["ecg_semantics"][:, 0]
  np.testing.assert_allclose(
    losses.fnm_loss(**{n: jnp.asarray(x) for n, x in args.items()}),
    wanted,
    rtol=1e-5,
  )


def test_labels_get_no_gradient():
  rng = np.random.default_rng(0)
  args = [jnp.asarray(unit(rng, 4, 3)) for _ in range(4)]
  for number in (2, 3):
    slope = jax.grad(losses.fnm_loss, argnums=number)(*args)
    np.testing.assert_array_equal(slope, 0)


def test_nothing_there_is_zero_with_zero_gradient():
  args = {n: jnp.asarray(x) for n, x in arguments(0).items()}
  for name in ("pair_weights", "text_weights"):
    args[name] = jnp.zeros_like(args[name])
  value, slope = jax.value_and_grad(
    lambda ecg: losses.softmax_loss(**(args | {"ecg": ecg}))
  )(args["ecg"])
  assert value == 0
  np.testing.assert_array_equal(slope, 0)


@pytest.mark.parametrize("name", ["pair_weights", "text_weights"])
def test_a_weight_that_is_not_a_number_shows(name):
  """A loss of 0 would pass for a good step."""
  args = {n: jnp.asarray(x) for n, x in arguments(0).items()}
  args[name] = args[name].at[1].set(jnp.nan)
  assert not np.isfinite(losses.softmax_loss(**args))
  del args["place"], args["log_scale"]
  semantics = {"ecg_semantics": args["ecg"], "text_semantics": args["text"]}
  assert not np.isfinite(losses.fnm_loss(**args, **semantics))
