"""From int16 microvolts to what an encoder sees, on the device.

Nothing recorded is written as zeros (`signals.quality`): a lead of zeros
alone is absent, zeros of all leads after the last sample are padding.
"""

import jax
import jax.numpy as jnp


def millivolts(ecg):
  """(B, 12, T) int16 microvolts -> float32 millivolts."""
  return ecg.astype(jnp.float32) * 1e-3


def recorded(ecg):
  """What of each record is there.

  Args:
    ecg: (B, 12, T), 0 where nothing was recorded.

  Returns:
    leads (B, 12) bool; samples (B,) int32, up to the last one recorded.
  """
  something = ecg != 0
  places = jnp.arange(1, ecg.shape[-1] + 1)
  samples = jnp.where(something.any(1), places, 0).max(-1)
  return something.any(-1), samples.astype(jnp.int32)


def only_recorded(signal, leads, samples):
  """(B, 12, T), zeros in place of whatever is not there."""
  inside = jnp.arange(signal.shape[-1]) < samples[:, None]
  there = leads[:, :, None] & inside[:, None]
  return jnp.where(there, signal, 0)


def augment(key, signal, leads, samples, config, rate):
  """Changes each record at random.

  Args:
    key: one key a batch; record i gets the same change on any mesh.
    signal: (B, 12, T) mV.
    leads, samples: what is there, see `recorded`.
    config: `config.AugmentConfig`; every change is off at 0.
    rate: samples per second.

  Returns:
    (B, 12, T) mV, and the leads (B, 12) that are still there.
  """
  batch, count, length = signal.shape
  keys = jax.random.split(key, 6)
  if config.shift_seconds:
    most = round(config.shift_seconds * rate)
    shifts = jax.random.randint(keys[0], (batch,), -most, most + 1)
    signal = jax.vmap(_roll)(signal, samples, shifts)
  if config.scale:
    gain = jax.random.normal(keys[1], (batch, 1, 1))
    signal = signal * jnp.exp(config.scale * gain)
  if config.wander_mv:
    signal = signal + _wander(keys[2], config, (batch, count, length), rate)
  if config.noise_mv:
    level = config.noise_mv * jax.random.uniform(keys[3], (batch, 1, 1))
    noise = jax.random.normal(keys[3], signal.shape)
    signal = signal + level * noise
  if config.mask_seconds:
    span = round(config.mask_seconds * rate)
    start = jax.random.randint(keys[4], (batch, 1, 1), 0, length)
    place = jnp.arange(length)
    inside = (place >= start) & (place < start + span)
    signal = jnp.where(inside, 0.0, signal)
  if config.lead_masking:
    leads = _some(keys[5], leads, config.lead_masking)
  return signal, leads


def _roll(x, length, shift):
  """Rolls the first `length` columns of (12, T), circularly."""
  place = jnp.arange(x.shape[1])
  rolled = (place - shift) % jnp.maximum(length, 1)
  return x[:, jnp.where(place < length, rolled, place)]


def _some(key, leads, share):
  """Takes leads away from a share of the records, (B, 12) bool.

  How many stay is uniform from 1 to 11, which ones is random.
  """
  batch, count = leads.shape
  keys = jax.random.split(key, 3)
  masked = jax.random.bernoulli(keys[0], share, (batch, 1))
  stay = jax.random.randint(keys[1], (batch, 1), 1, count)
  order = jnp.where(leads, jax.random.uniform(keys[2], leads.shape), 2)
  rank = order.argsort(axis=1).argsort(axis=1)
  return leads & (~masked | (rank < stay))


def _wander(key, config, shape, rate):
  """A sine of 0.1-0.5 Hz a lead, of random phase and height."""
  keys = jax.random.split(key, 3)
  one = (*shape[:2], 1)
  hertz = jax.random.uniform(keys[0], one, minval=0.1, maxval=0.5)
  phase = jax.random.uniform(keys[1], one, maxval=2 * jnp.pi)
  height = config.wander_mv * jax.random.normal(keys[2], one)
  seconds = jnp.arange(shape[2]) / rate
  return height * jnp.sin(2 * jnp.pi * hertz * seconds + phase)
