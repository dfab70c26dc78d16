"""Alignments against float64 references by plain loops."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgclep_jax.models import alignment

# Compiled, so that equal shapes are compiled once in all tests.
FUNCTIONS = {
  name: jax.jit(function)
  for name, function in (
    ("transport", alignment.transport),
    ("attention", alignment.attention),
  )
}


def unit(rng, *shape):
  x = rng.normal(size=shape)
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def draw(seed, batch=(), size=(6, 20), width=16):
  """Random statements, tokens and masks with at least one place each."""
  rng = np.random.default_rng(seed)
  m, n = size
  mask = rng.random((*batch, m)) < 0.7
  token_mask = rng.random((*batch, n)) < 0.7
  mask[..., 0] = token_mask[..., -1] = True
  z, h = (unit(rng, *batch, count, width) for count in size)
  return z, h, mask, token_mask


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


@functools.partial(jax.jit, static_argnums=6)
def plan_and_rows(*arguments):
  return alignment.transport_plan(*arguments), alignment.transport(*arguments)


@pytest.mark.parametrize("seed", range(6))
def test_transport_is_the_reference(seed):
  rng = np.random.default_rng(seed)
  size = (int(rng.integers(1, 9)), int(rng.integers(1, 40)))
  z, h, mask, token_mask = draw(seed, size=size)
  eps, tau = rng.uniform(0.05, 0.5), rng.uniform(0.1, 3)
  iterations = (1, 2, 30)[seed % 3]
  wanted = reference_plan(z, h, mask, token_mask, eps, tau, iterations)
  given = (*map(single, (z, h, mask, token_mask)), eps, tau, iterations)
  plan, found = plan_and_rows(*given)
  np.testing.assert_allclose(plan, wanted, rtol=3e-5, atol=1e-7)
  mixed = reference_mixture(mask.sum() * wanted, h)
  np.testing.assert_allclose(found, mixed, atol=1e-5)


@pytest.mark.parametrize("eps", [0.003, 0.01, 0.03])
@pytest.mark.parametrize("tau", [0.02, 1.0, 100.0])
def test_sharp_transport_neither_under_nor_overflows(eps, tau):
  """Cosines from -1 to 1: kernels down to exp(-667); gradients are finite."""
  z, h, mask, token_mask = draw(0, width=2)
  token_mask[:4] = True
  mask[:2], h[0], h[1], z[1] = True, z[0], -z[0], -z[0]
  given = tuple(map(single, (z, h, mask, token_mask)))
  wanted = reference_plan(z, h, mask, token_mask, eps, tau, 30)
  plan, grads = plan_with_gradients(*given, eps, tau)
  np.testing.assert_allclose(plan, wanted, rtol=2e-3, atol=1e-6)
  for x in grads:
    assert np.isfinite(x).all()


@jax.jit
def plan_with_gradients(z, h, *others):
  def value(z, h):
    plan = alignment.transport_plan(z, h, *others)
    return (plan * plan).sum(), plan

  (_, plan), grads = jax.value_and_grad(value, (0, 1), has_aux=True)(z, h)
  return plan, grads


@pytest.mark.parametrize("seed", range(2))
def test_defaults_are_the_paper_s(seed):
  z, h, mask, token_mask = draw(seed)
  mask[:] = token_mask[:] = True
  wanted = reference_plan(z, h, mask, token_mask, 0.1, 1.0, 30)
  found = FUNCTIONS["transport"](single(z), single(h))
  np.testing.assert_allclose(found, reference_mixture(wanted, h), atol=1e-5)
  np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
  ("width", "iterations", "within"),
  [(256, 30, 2e-3), (16, 30, 1e-2), (16, 300, 1e-5)],
)
def test_rows_of_the_plan_sum_to_one_over_m(width, iterations, within):
  """Nearly: the last update is the tokens'. Sharper cosines need more."""
  z, h, mask, token_mask = draw(0, (50,), size=(8, 120), width=width)
  given = (*map(single, (z, h, mask, token_mask)), 0.1, 1.0, iterations)
  plan, _ = plan_and_rows(*given)
  wanted = mask / mask.sum(-1, keepdims=True)
  np.testing.assert_allclose(plan.sum(-1), wanted, rtol=0, atol=within)


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
    plan = alignment.transport_plan(z, h, None, None, eps, tau, 999)
    plan = np.asarray(plan)
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
  plan, found = plan_and_rows(*given, eps, tau, 30)
  logits = np.where(token_mask, z[0] @ h.T / (eps + tau), -np.inf)
  softmax = np.exp(logits - logits.max())
  softmax /= softmax.sum()
  np.testing.assert_allclose(plan[0] / plan[0].sum(), softmax, atol=1e-6)
  same = alignment.attention(*given[:2], eps + tau, *given[2:])
  np.testing.assert_allclose(found, same, atol=1e-6)


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


@functools.partial(jax.jit, static_argnums=0)
def gradients(name, z, h, mask, token_mask, cotangent):
  """Values, and gradients by statements and by tokens."""

  def value(z, h):
    found = FUNCTIONS[name](z, h, mask=mask, token_mask=token_mask)
    return (found * cotangent).sum(), found

  (_, found), grads = jax.value_and_grad(value, (0, 1), has_aux=True)(z, h)
  return found, *grads


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_by_finite_differences(name):
  z, h, mask, token_mask = draw(0, batch=(4,), width=6)
  rng = np.random.default_rng(0)
  cotangent = rng.normal(size=z.shape)
  step = 1e-5
  with jax.enable_x64(True):

    def value(*rows):
      found, *_ = gradients(name, *rows, mask, token_mask, cotangent)
      assert found.dtype == jnp.float64
      return (found * cotangent).sum()

    _, *grads = gradients(name, z, h, mask, token_mask, cotangent)
    for place, grad in enumerate(grads):
      for _ in range(5):
        direction = rng.normal(size=grad.shape)
        ahead, behind = [z, h], [z, h]
        ahead[place] = ahead[place] + step * direction
        behind[place] = behind[place] - step * direction
        slope = (value(*ahead) - value(*behind)) / (2 * step)
        np.testing.assert_allclose(
          (grad * direction).sum(), slope, rtol=1e-6, atol=1e-8
        )


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("junk", [0.0, 1e30, math.inf, math.nan])
def test_masked_places_have_no_influence(name, junk):
  """Bit for bit, on values and on gradients; their own gradients are 0."""
  z, h, mask, token_mask = draw(5, batch=(4,))
  cotangent = np.random.default_rng(0).normal(size=z.shape)
  given = (mask, token_mask, single(cotangent))
  other_z = np.where(mask[..., None], z, junk)
  other_h = np.where(token_mask[..., None], h, junk)
  before = gradients(name, single(z), single(h), *given)
  after = gradients(name, single(other_z), single(other_h), *given)
  jax.tree.map(np.testing.assert_array_equal, before, after)
  masks = (mask, mask, token_mask)
  for rows, there in zip(map(np.asarray, after), masks, strict=True):
    assert np.isfinite(rows).all()
    assert rows[there].any()
    np.testing.assert_array_equal(rows[~there], 0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_padding_equals_no_padding(name):
  """Records of a batch alone, without their masked places."""
  z, h, _, _ = draw(7, batch=(4,))
  rng = np.random.default_rng(7)
  slopes = rng.normal(size=z.shape)
  mask, token_mask = (  # 4 of 6 and 13 of 20, scattered
    rng.permuted(np.arange(count) < there * np.ones((4, 1)), axis=1)
    for count, there in ((6, 4), (20, 13))
  )
  together = gradients(name, *map(single, (z, h, mask, token_mask, slopes)))
  for i in range(4):
    here, there = mask[i], token_mask[i]
    rows, tokens = single(z[i][here]), single(h[i][there])
    slope = single(slopes[i][here])
    alone = gradients(name, rows, tokens, None, None, slope)
    for found, wanted, mine in zip(
      together, alone, (here, here, there), strict=True
    ):
      np.testing.assert_allclose(found[i][mine], wanted, atol=3e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("empty", ["statements", "tokens", "both"])
def test_a_record_of_nothing_gives_zeros(name, empty):
  z, h, mask, token_mask = draw(1, batch=(4,))
  rows = single(z), single(h)
  slopes = jnp.ones(z.shape)
  before = gradients(name, *rows, mask, token_mask, slopes)
  mask, token_mask = mask.copy(), token_mask.copy()
  if empty != "tokens":
    mask[1] = False
  if empty != "statements":
    token_mask[1] = False
  after = gradients(name, *rows, mask, token_mask, slopes)
  for old, new in zip(before, after, strict=True):
    assert old[1].any()
    np.testing.assert_array_equal(new[1], 0)
    np.testing.assert_array_equal(new[::2], old[::2])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bfloat16_is_computed_in_float32(name):
  function = FUNCTIONS[name]
  z, h, mask, token_mask = draw(2, batch=(4,))
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
  function = getattr(alignment, name)

  def of_record(z, h, mask, token_mask):
    return function(z, h, mask=mask, token_mask=token_mask)

  plain = of_record(*given)
  mapped = jax.jit(jax.vmap(jax.vmap(of_record)))(*given)
  np.testing.assert_allclose(mapped, plain, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_statements_of_one_report_against_many_records(name):
  z, h, _, _ = draw(4, batch=(4,))
  found = FUNCTIONS[name](single(z[0]), single(h))
  alone = FUNCTIONS[name](single(z[0]), single(h[2]))
  np.testing.assert_allclose(found[2], alone, atol=1e-6)


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
