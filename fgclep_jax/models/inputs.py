"""From int16 microvolts to what an encoder sees, on the device."""

import jax
import jax.numpy as jnp


def millivolts(ecg):
  """(B, 12, T) int16 microvolts -> float32 millivolts."""
  return ecg.astype(jnp.float32) * 1e-3


def augment(key, signal, config, rate):
  """Changes each record at random.

  Args:
    key: one key a batch; record i gets the same change on any mesh.
    signal: (B, 12, T) mV.
    config: `config.AugmentConfig`; every change is off at 0.
    rate: samples per second.

  Returns:
    (B, 12, T) mV.
  """
  batch, leads, samples = signal.shape
  keys = jax.random.split(key, 6)
  if config.shift_seconds:
    most = round(config.shift_seconds * rate)
    shifts = jax.random.randint(keys[0], (batch,), -most, most + 1)
    roll = jax.vmap(lambda x, n: jnp.roll(x, n, axis=-1))
    signal = roll(signal, shifts)
  if config.scale:
    gain = jax.random.normal(keys[1], (batch, 1, 1))
    signal = signal * jnp.exp(config.scale * gain)
  if config.wander_mv:
    signal = signal + _wander(keys[2], config, (batch, leads, samples), rate)
  if config.noise_mv:
    level = config.noise_mv * jax.random.uniform(keys[3], (batch, 1, 1))
    noise = jax.random.normal(keys[3], signal.shape)
    signal = signal + level * noise
  if config.mask_seconds:
    length = round(config.mask_seconds * rate)
    start = jax.random.randint(keys[4], (batch, 1, 1), 0, samples)
    place = jnp.arange(samples)
    inside = (place >= start) & (place < start + length)
    signal = jnp.where(inside, 0.0, signal)
  if config.lead_dropout:
    keep = 1 - config.lead_dropout
    kept = jax.random.bernoulli(keys[5], keep, (batch, leads, 1))
    signal = jnp.where(kept, signal, 0.0)
  return signal


def _wander(key, config, shape, rate):
  """A sine of 0.1-0.5 Hz a lead, of random phase and height."""
  keys = jax.random.split(key, 3)
  one = (*shape[:2], 1)
  hertz = jax.random.uniform(keys[0], one, minval=0.1, maxval=0.5)
  phase = jax.random.uniform(keys[1], one, maxval=2 * jnp.pi)
  height = config.wander_mv * jax.random.normal(keys[2], one)
  seconds = jnp.arange(shape[2]) / rate
  return height * jnp.sin(2 * jnp.pi * hertz * seconds + phase)
