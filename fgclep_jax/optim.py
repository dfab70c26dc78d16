"""Configuration -> optax: AdamW, warm-up and cosine, frozen leaves, rates."""

import jax
import optax

from fgclep_jax import tree
from fgclep_jax.errors import InputError


def schedule(config, steps):
  """Linear warm-up to the learning rate, then cosine to zero."""
  return optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=config.learning_rate,
    warmup_steps=max(1, round(config.warmup * steps)),
    decay_steps=max(2, steps),
  )


def frozen_names(config, names):
  """The parameters that `config.freeze` holds still.

  A rule that matches nothing is refused: it would freeze nothing in
  silence.
  """
  rules = [(rule, True) for rule in config.freeze]
  for rule, _ in [*rules, *config.rates]:
    if not any(tree.first_match(n, [(rule, True)], False) for n in names):
      raise InputError(
        f"optim rule {rule!r} matches no parameter: names are like "
        f"{', '.join(list(names)[:3])}"
      )
  return frozenset(n for n in names if tree.first_match(n, rules, False))


def create(config, steps):
  """Returns the optax transformation for {name: trainable array}."""
  parts = []
  if config.clip_norm:
    parts.append(optax.clip_by_global_norm(config.clip_norm))
  parts.append(
    optax.adamw(
      schedule(config, steps),
      b1=config.b1,
      b2=config.b2,
      weight_decay=config.weight_decay,
    )
  )
  if config.rates:
    parts.append(optax.stateless(lambda updates, _: _scale(config, updates)))
  return optax.chain(*parts)


def _scale(config, updates):
  return {
    name: jax.tree.map(
      lambda x, n=name: x * tree.first_match(n, config.rates, 1.0), update
    )
    for name, update in updates.items()
  }
