"""The ECG representation that a statement is compared with.

Three versions of the method (arXiv 2505.11939): `pooled` (v1), one for the
whole ECG; `attention` (v2), the tokens a statement attends to; `transport`
(v3), the tokens that semi-unbalanced optimal transport gives to a statement
beside the others of its report.

Every function takes one record or any leading batch axes, written `...`; M
statements and N tokens of a record, E width. Masks are True where a
statement or token is there. What lies in a masked place, NaN included, has
no influence on any value or gradient, and its own gradient is 0. All is
computed in the inputs' type, at least float32.
"""

import functools

import jax
import jax.numpy as jnp


def pooled(tokens, token_mask=None):
  """The mean of the tokens, the same for all statements.

  Args:
    tokens: (..., N, E) projected tokens, before they are made unit rows. As
      the projection is linear this equals the projection of their mean.
    token_mask: (..., N) bool, default all.

  Returns:
    (..., E) unit row, 0 where no token is there.
  """
  tokens, token_mask = _clear(tokens, token_mask)
  count = jnp.maximum(token_mask.sum(-1, keepdims=True), 1)
  return _unit(tokens.sum(-2) / count)


def attention(statements, tokens, temperature=0.1, mask=None, token_mask=None):
  """Each statement's mixture of tokens by their cosine with it.

      e = norm(softmax(z h^T / temperature) h)

  Args:
    statements: (..., M, E) unit rows z.
    tokens: (..., N, E) unit rows h.
    temperature: of the softmax.
    mask: (..., M) bool, default all.
    token_mask: (..., N) bool, default all.

  Returns:
    (..., M, E) unit rows; 0 for a masked statement, or without tokens.
  """
  weights = attention_weights(statements, tokens, temperature, mask, token_mask)
  return _mixture(weights, tokens, token_mask)


def attention_weights(
  statements, tokens, temperature=0.1, mask=None, token_mask=None
):
  """(..., M, N) what `attention` mixes by: rows sum to 1, or to 0."""
  statements, mask = _clear(statements, mask)
  tokens, token_mask = _clear(tokens, token_mask)
  there = mask[..., :, None] & token_mask[..., None, :]
  # A softmax over nothing is taken over everything, and then thrown away.
  some = token_mask | ~token_mask.any(-1, keepdims=True)
  logits = _cosine(statements, tokens) / temperature
  logits = jnp.where(some[..., None, :], logits, -jnp.inf)
  return jnp.where(there, jax.nn.softmax(logits, axis=-1), 0)


def transport(
  statements,
  tokens,
  mask=None,
  token_mask=None,
  eps=0.1,
  tau=1.0,
  iterations=30,
):
  """Each statement's mixture of tokens by optimal transport.

      e = norm((m T) h),  T = transport_plan(z, h)

  With a single statement this is `attention` of temperature eps + tau.

  Args:
    statements: (..., M, E) unit rows z, the statements of one report.
    tokens: (..., N, E) unit rows h.
    mask: (..., M) bool, default all.
    token_mask: (..., N) bool, default all.
    eps, tau, iterations: see `transport_plan`.

  Returns:
    (..., M, E) unit rows; 0 for a masked statement, or without tokens.
  """
  plan = transport_plan(
    statements, tokens, mask, token_mask, eps, tau, iterations
  )
  _, mask = _clear(statements, mask)
  count = mask.sum(-1)[..., None, None]
  return _mixture(count * plan, tokens, token_mask)


def transport_plan(
  statements,
  tokens,
  mask=None,
  token_mask=None,
  eps=0.1,
  tau=1.0,
  iterations=30,
):
  """Entropic transport of statements (held) to tokens (free at a price).

      min_T <T, 1 - z h^T> + eps KL(T | 1) + tau KL(T^T 1 | 1 / N)
      with T 1 = 1 / m

  by a fixed number of Sinkhorn iterations in the log domain. The last one
  ends on the tokens' side, so rows sum to 1 / m to about 1e-3 for random rows
  of width 256, less well where cosines are larger. Gradients go through the
  iterations, which are computed again backwards: what is kept of an iteration
  are its potentials, M + N numbers.

  Args:
    statements: (..., M, E) unit rows z, the m there are of one report.
    tokens: (..., N, E) unit rows h.
    mask: (..., M) bool, default all.
    token_mask: (..., N) bool, default all.
    eps: weight of the entropy; small is sharp.
    tau: price of tokens getting unequal shares; infinite forbids it.
    iterations: a static number, at least 1.

  Returns:
    (..., M, N) plan T, 0 in masked places.

  Reference: Chizat et al., Scaling algorithms for unbalanced optimal
  transport problems, Mathematics of Computation 87 (2018).
  """
  statements, mask = _clear(statements, mask)
  tokens, token_mask = _clear(tokens, token_mask)
  there = mask[..., :, None] & token_mask[..., None, :]
  # Where there is nothing to transport, all (cleared) places are used, and
  # the plan thrown away: so no sum is over nothing, and none has gradient NaN.
  empty = ~there.any((-1, -2), keepdims=True)[..., 0]
  log_kernel = (_cosine(statements, tokens) - 1) / eps
  log_u, log_v = _potentials(
    log_kernel,
    _log_uniform(mask | empty, log_kernel.dtype),
    _log_uniform(token_mask | empty, log_kernel.dtype),
    1 / (1 + eps / tau),
    iterations,
  )
  return jnp.where(there, _plan(log_u, log_kernel, log_v), 0)


def _potentials(log_kernel, log_rows, log_columns, give, iterations):
  """Logarithms of the factors of the kernel's rows and columns.

      log_u = log_rows - logsumexp_n(log_kernel + log_v)
      log_v = give (log_columns - logsumexp_m(log_kernel + log_u))

  The first time as it stands. Then both sums are read off the plan of the
  iteration before, which halves the exponentials and needs no maxima: that
  plan's sums are near those wanted, whatever eps (its columns are off by
  exp(2 / (tau + eps)) at most), so they do not underflow. A masked place has
  log potential -inf from the start, and keeps it.
  """
  there = jnp.isfinite(log_columns)[..., None, :]
  reached = jax.nn.logsumexp(jnp.where(there, log_kernel, -jnp.inf), axis=-1)
  log_u = log_rows - reached
  reached = jax.nn.logsumexp(log_kernel + log_u[..., :, None], axis=-2)
  log_v = give * (log_columns - reached)

  ones = jnp.ones(log_kernel.shape[-1], log_kernel.dtype)

  @functools.partial(jax.checkpoint, prevent_cse=False)
  def iterate(potentials, _):
    log_u, log_v = potentials
    # What is added to log_u is taken off its change: no gradient to compute.
    log_u = jax.lax.stop_gradient(log_u)
    plan = _plan(log_u, log_kernel, log_v)
    # Sums as products, which a CPU does faster.
    change = log_rows - _log(_product("...mn,n->...m", plan, ones))
    sums = _product("...mn,...m->...n", plan, jnp.exp(change))
    return (log_u + change, give * (log_columns - _log(sums) + log_v)), None

  (log_u, log_v), _ = jax.lax.scan(
    iterate, (log_u, log_v), length=iterations - 1
  )
  return log_u, log_v


def _plan(log_u, log_kernel, log_v):
  return jnp.exp(log_u[..., :, None] + log_kernel + log_v[..., None, :])


def _log(sums):
  # Of a masked place the sum is 0: any finite number will do.
  return jnp.log(jnp.maximum(sums, 1e-30))


def _clear(rows, mask):
  """Rows in the type of the computation, 0 where masked; the mask."""
  rows = jnp.asarray(rows, jnp.promote_types(rows.dtype, jnp.float32))
  if mask is None:
    return rows, jnp.ones(rows.shape[:-1], bool)
  return jnp.where(mask[..., None], rows, 0), mask


def _product(subscripts, *arrays):
  # Full precision also where the default is a reduced one (TPU, TF32).
  return jnp.einsum(subscripts, *arrays, precision="highest")


def _cosine(statements, tokens):
  """(..., M, E), (..., N, E) -> (..., M, N)."""
  # Tokens first: on a CPU a product of many rows by few is twice as fast.
  cosine = _product("...ne,...me->...nm", tokens, statements)
  return cosine.swapaxes(-1, -2)


def _log_uniform(mask, kind):
  """log(1 / count) in the places that are there, -inf in the others."""
  count = mask.sum(-1, keepdims=True).astype(kind)
  return jnp.where(mask, -jnp.log(count), -jnp.inf)


def _mixture(weights, tokens, token_mask):
  """(..., M, N) weights of (..., N, E) tokens -> (..., M, E) unit rows."""
  tokens, _ = _clear(tokens, token_mask)
  return _unit(_product("...mn,...ne->...me", weights, tokens))


def _unit(x):
  """Rows of length one; a zero row stays zero, with gradient 0."""
  square = jnp.sum(x * x, axis=-1, keepdims=True)
  safe = jnp.where(square > 0, square, 1)
  return x * jax.lax.rsqrt(safe)
