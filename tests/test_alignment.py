"""Alignments against float64 references by plain loops."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgclep_jax.models import alignment

FUNCTIONS = {
  "transport": alignment.transport,
  "attention": lambda z, h, mask=None, token_mask=None: alignment.attention(
    z, h, mask=mask, token_mask=token_mask
  ),
}


def unit(rng, *shape):
  x = rng.normal(size=shape)
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def draw(seed, batch=(), most=8, width=16):
  """Random statements, tokens and masks with at least one place each."""
  rng = np.random.default_rng(seed)
  m, n = rng.integers(1, most + 1), rng.integers(1, 40)
  mask = rng.random((*batch, m)) < 0.7
  token_mask = rng.random((*batch, n)) < 0.7
  mask[..., 0] = token_mask[..., -1] = True
  return unit(rng, *batch, m, width), unit(rng, *batch, n, width), mask, token_mask


def single(x):
  return jnp.asarray(x, jnp.float32) if np.asarray(x).dtype == float else x


def reference_plan(z, h, mask, token_mask, eps, tau, iterations):
  """Plan by loops over the places that are there, in the plain domain."""
  rows, columns = np.flatnonzero(mask), np.flatnonzero(token_mask)
  m, n = len(rows), len(columns)
  u, v = {}, dict.fromkeys(columns, 1.0)
  kernel = {
    (i, j): math.exp(-(1 - sum(z[i] * h[j])) / eps)
    for i in rows
    for j in columns
  }
  for _ in range(iterations):
    for i in rows:
      u[i] = (1 / m) / math.fsum(kernel[i, j] * v[j] for j in columns)
    for j in columns:
      reached = math.fsum(kernel[i, j] * u[i] for i in rows)
      v[j] = ((1 / n) / reached) ** (tau / (tau + eps))
  plan = np.zeros((len(z), len(h)))
  for i in rows:
    for j in columns:
      plan[i, j] = u[i] * kernel[i, j] * v[j]
  return plan


def reference_mixture(weights, h):
  out = np.zeros((len(weights), h.shape[1]))
  for i, row in enumerate(weights):
    mixed = sum(w * token for w, token in zip(row, h, strict=True))
    if row.any():
      out[i] = mixed / math.sqrt(sum(mixed**2))
  return out


@pytest.mark.parametrize("seed", range(12))
def test_transport_is_the_reference(seed):
  z, h, mask, token_mask = draw(seed)
  rng = np.random.default_rng(seed)
  eps, tau = rng.uniform(0.05, 0.5), rng.uniform(0.1, 3)
  iterations = int(rng.integers(1, 40))
  wanted = reference_plan(z, h, mask, token_mask, eps, tau, iterations)
  given = (*map(single, (z, h, mask, token_mask)), eps, tau, iterations)
  plan = alignment.transport_plan(*given)
  np.testing.assert_allclose(plan, wanted, rtol=3e-5, atol=1e-7)
  np.testing.assert_allclose(
    alignment.transport(*given),
    reference_mixture(mask.sum() * wanted, h),
    atol=1e-5,
  )


@pytest.mark.parametrize("seed", range(4))
def test_defaults_are_the_paper_s(seed):
  z, h, _, _ = draw(seed)
  wanted = reference_plan(z, h, z[:, 0] < 2, h[:, 0] < 2, 0.1, 1.0, 30)
  found = alignment.transport(single(z), single(h))
  np.testing.assert_allclose(found, reference_mixture(wanted, h), atol=1e-5)
  np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_rows_of_the_plan_sum_to_one_over_m(seed):
  z, h, mask, token_mask = draw(seed, batch=(20,), width=256)
  plan = alignment.transport_plan(*map(single, (z, h, mask, token_mask)))
  wanted = mask / mask.sum(-1, keepdims=True)
  np.testing.assert_allclose(plan.sum(-1), wanted, atol=2e-3)


def test_plan_is_the_optimum_of_the_objective():
  """No step that keeps the row sums makes the documented sum smaller."""
  rng = np.random.default_rng(0)
  z, h, eps, tau = unit(rng, 4, 16), unit(rng, 9, 16), 0.2, 0.7
  cost = 1 - z @ h.T

  def objective(plan):
    columns = plan.sum(0)
    entropy = (plan * np.log(plan) - plan + 1).sum()
    unequal = (columns * np.log(columns * 9) - columns + 1 / 9).sum()
    return (plan * cost).sum() + eps * entropy + tau * unequal

  with jax.enable_x64(True):
    plan = np.asarray(alignment.transport_plan(z, h, None, None, eps, tau, 999))
  np.testing.assert_allclose(plan.sum(1), 1 / 4, rtol=1e-9)
  least = objective(plan)
  for size in (1e-3, 1e-2, 0.1):
    for _ in range(50):
      other = plan * np.exp(size * rng.normal(size=plan.shape))
      other *= (1 / 4) / other.sum(1, keepdims=True)
      assert objective(other) > least


def test_infinite_tau_gives_every_token_its_share():
  z, h, _, _ = draw(3)
  plan = alignment.transport_plan(single(z), single(h), tau=math.inf)
  np.testing.assert_allclose(plan.sum(0), 1 / len(h), rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_one_statement_is_a_softmax_over_tokens(seed):
  """Temperature eps + tau, exactly; masked tokens and statements beside."""
  z, h, mask, token_mask = draw(seed)
  mask[:] = False
  mask[0] = True
  rng = np.random.default_rng(seed)
  eps, tau = rng.uniform(0.05, 0.5), rng.uniform(0.1, 2)
  given = [single(x) for x in (z, h, mask, token_mask)]
  plan = alignment.transport_plan(*given, eps, tau)[0]
  logits = np.where(token_mask, z[0] @ h.T / (eps + tau), -np.inf)
  softmax = np.exp(logits - logits.max())
  softmax /= softmax.sum()
  share = np.asarray(plan / plan.sum())
  np.testing.assert_allclose(share, softmax, atol=1e-6)
  np.testing.assert_allclose(
    alignment.transport(*given, eps, tau),
    alignment.attention(given[0], given[1], eps + tau, mask, token_mask),
    atol=1e-6,
  )


@pytest.mark.parametrize("seed", range(5))
def test_attention_is_the_reference(seed):
  z, h, mask, token_mask = draw(seed)
  temperature = np.random.default_rng(seed).uniform(0.05, 2)
  weights = np.zeros((len(z), len(h)))
  for i in np.flatnonzero(mask):
    for j in np.flatnonzero(token_mask):
      weights[i, j] = math.exp(sum(z[i] * h[j]) / temperature)
    weights[i] /= weights[i].sum()
  given = [single(z), single(h), temperature, mask, token_mask]
  found = alignment.attention_weights(*given)
  np.testing.assert_allclose(found, weights, atol=1e-6)
  np.testing.assert_allclose(
    alignment.attention(*given), reference_mixture(weights, h), atol=1e-5
  )


def test_pooled_is_the_projection_of_the_mean():
  rng = np.random.default_rng(0)
  tokens, kernel = rng.normal(size=(3, 7, 5)), rng.normal(size=(5, 4))
  there = np.array([[True] * 7, [True] * 3 + [False] * 4, [False] * 7])
  found = alignment.pooled(single(tokens @ kernel), there)
  for row, record, mask in zip(found, tokens, there, strict=True):
    if mask.any():
      wanted = record[mask].mean(0) @ kernel
      wanted /= np.linalg.norm(wanted)
      np.testing.assert_allclose(row, wanted, atol=1e-5)
    else:
      np.testing.assert_array_equal(row, 0)
  np.testing.assert_allclose(
    alignment.pooled(single(tokens[0] @ kernel)), found[0], atol=1e-6
  )


def gradients(function, z, h, mask, token_mask, cotangent):
  def value(z, h):
    return (function(z, h, mask=mask, token_mask=token_mask) * cotangent).sum()

  return jax.grad(value, (0, 1))(z, h)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_gradients_by_finite_differences(name, seed):
  function = FUNCTIONS[name]
  z, h, mask, token_mask = draw(seed, width=6)
  rng = np.random.default_rng(seed)
  cotangent = rng.normal(size=z.shape)
  step = 1e-5
  with jax.enable_x64(True):
    @jax.jit
    def value(z, h):
      out = function(z, h, mask=mask, token_mask=token_mask)
      assert out.dtype == jnp.float64
      return (out * cotangent).sum()

    found = gradients(function, z, h, mask, token_mask, cotangent)
    for place, grads in enumerate(found):
      direction = rng.normal(size=grads.shape)
      ahead, behind = [z, h], [z, h]
      ahead[place] = ahead[place] + step * direction
      behind[place] = behind[place] - step * direction
      slope = (value(*ahead) - value(*behind)) / (2 * step)
      np.testing.assert_allclose(
        (grads * direction).sum(), slope, rtol=1e-6, atol=1e-9
      )


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("junk", [0.0, 1e30, math.inf, math.nan])
def test_masked_places_have_no_influence(name, junk):
  """Bit for bit, on values and on gradients; their own gradients are 0."""
  function = FUNCTIONS[name]
  z, h, mask, token_mask = draw(5, batch=(4,))
  cotangent = np.random.default_rng(0).normal(size=z.shape)
  masks = {"mask": mask, "token_mask": token_mask}
  other_z = np.where(mask[..., None], z, junk)
  other_h = np.where(token_mask[..., None], h, junk)
  found = []
  for rows, tokens in ((z, h), (other_z, other_h)):
    rows, tokens = single(rows), single(tokens)
    found.append(
      (
        function(rows, tokens, **masks),
        *gradients(function, rows, tokens, **masks, cotangent=cotangent),
      )
    )
  jax.tree.map(np.testing.assert_array_equal, *found)
  values, grads_z, grads_h = map(np.asarray, found[1])
  assert np.isfinite(values).all() and grads_z.any() and grads_h.any()
  for rows, there in ((values, mask), (grads_z, mask), (grads_h, token_mask)):
    np.testing.assert_array_equal(rows[~there], 0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_padding_equals_no_padding(name):
  """Each record of a batch alone, without its masked places."""
  function = FUNCTIONS[name]
  z, h, mask, token_mask = draw(7, batch=(5,))
  cotangent = np.random.default_rng(0).normal(size=z.shape)
  found = function(single(z), single(h), mask=mask, token_mask=token_mask)
  grads = gradients(
    function, single(z), single(h), mask, token_mask, cotangent
  )
  for i in range(5):
    here, there = mask[i], token_mask[i]
    alone = single(z[i][here]), single(h[i][there])
    np.testing.assert_allclose(
      found[i][here], function(*alone), atol=2e-6
    )
    wanted = gradients(function, *alone, None, None, cotangent[i][here])
    np.testing.assert_allclose(grads[0][i][here], wanted[0], atol=1e-5)
    np.testing.assert_allclose(grads[1][i][there], wanted[1], atol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("empty", ["statements", "tokens", "both"])
def test_a_record_of_nothing_gives_zeros(name, empty):
  function = FUNCTIONS[name]
  z, h, mask, token_mask = draw(1, batch=(3,))
  before = function(single(z), single(h), mask=mask, token_mask=token_mask)
  if empty != "tokens":
    mask[1] = False
  if empty != "statements":
    token_mask[1] = False
  out = function(single(z), single(h), mask=mask, token_mask=token_mask)
  np.testing.assert_array_equal(out[1], 0)
  np.testing.assert_array_equal(out[::2], before[::2])
  grads = gradients(
    function, single(z), single(h), mask, token_mask, np.ones(z.shape)
  )
  for x in grads:
    assert np.isfinite(x).all() and x[0].any()
    np.testing.assert_array_equal(x[1], 0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bfloat16_is_computed_in_float32(name):
  function = FUNCTIONS[name]
  z, h, mask, token_mask = draw(2, batch=(3,))
  half = [jnp.asarray(x, jnp.bfloat16) for x in (z, h)]
  found = function(*half, mask=mask, token_mask=token_mask)
  wanted = function(
    *(x.astype(jnp.float32) for x in half), mask=mask, token_mask=token_mask
  )
  assert found.dtype == jnp.float32
  np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jit_vmap_and_batch_axes_agree(name):
  z, h, mask, token_mask = draw(4, batch=(2, 3))
  given = (single(z), single(h), mask, token_mask)

  def function(z, h, mask, token_mask):
    return FUNCTIONS[name](z, h, mask=mask, token_mask=token_mask)

  plain = function(*given)
  mapped = jax.jit(jax.vmap(jax.vmap(function)))(*given)
  np.testing.assert_allclose(mapped, plain, atol=1e-6)
  np.testing.assert_allclose(jax.jit(function)(*given), plain, atol=1e-6)
  shared = function(given[0][0, 0], given[1], mask[0, 0], token_mask)
  assert shared.shape == plain.shape
  np.testing.assert_allclose(shared[0, 0], plain[0, 0], atol=1e-6)


def test_memory_of_an_iteration_is_its_potentials():
  """Not the (B, M, N) arrays of each: counted in the compiled gradient."""
  b, m, n = 16, 8, 120
  z, h = jnp.zeros((b, m, 32)), jnp.zeros((b, n, 32))

  def memory(iterations):
    def value(z, h):
      return alignment.transport(z, h, iterations=iterations).sum()

    compiled = jax.jit(jax.grad(value, (0, 1))).lower(z, h).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  grown = (memory(110) - memory(10)) / 100
  assert 0 < grown <= 4 * b * (m + n) + 64


def test_iterations_are_one_loop():
  """The program does not grow with their number."""
  z, h = jnp.zeros((2, 3, 4)), jnp.zeros((2, 5, 4))

  def length(iterations):
    function = functools.partial(alignment.transport, iterations=iterations)
    return len(jax.jit(function).lower(z, h).as_text().splitlines())

  assert length(100) == length(10)
