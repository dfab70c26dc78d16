"""Absent leads and short records: what is not there has no influence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fgclep_jax import config as c
from fgclep_jax.errors import InputError
from fgclep_jax.models import inputs, two_tower
from fgclep_jax.models.embedder import Model
from fgclep_jax.signals import leads as leads_lib
from tests.test_models import build, random_signal, small

ENCODERS = ("st_vit", "resnet")
RATE = 100


def encoder(name, **changes):
  changes = {key.replace("__", "."): value for key, value in changes.items()}
  return build(small(**{"model.ecg.name": name}, **changes))[0]


def some(seed, batch=4, length=250):
  """Leads (B, 12) with at least one a record, samples (B,)."""
  rng = np.random.default_rng(seed)
  there = rng.random((batch, 12)) < 0.4
  there[np.arange(batch), rng.integers(0, 12, batch)] = True
  return jnp.array(there), jnp.array(rng.integers(1, length + 1, batch))


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("pool", ["mean", "mean_max"])
def test_what_is_absent_has_no_influence(name, pool):
  """Neither its values, nor NaN in its place, on values or gradients."""
  model = encoder(name, model__ecg__pool=pool)
  leads, samples = some(3)
  signal = random_signal(4, seed=1)
  there = leads[:, :, None] & (jnp.arange(250) < samples[:, None])[:, None]
  other = jnp.where(there, signal, random_signal(4, seed=2) * 100)
  broken = jnp.where(there, signal, jnp.nan)

  def value(signal):
    _, pooled, _ = model.encode_ecg(signal, leads, samples)
    return (pooled * jnp.arange(pooled.shape[1])).sum(), pooled

  for changed in (other, broken):
    (_, mine), gradient = jax.value_and_grad(value, has_aux=True)(changed)
    (_, wanted), exact = jax.value_and_grad(value, has_aux=True)(signal)
    np.testing.assert_array_equal(mine, wanted)
    np.testing.assert_array_equal(gradient, exact)
    assert not np.asarray(gradient)[~np.asarray(there)].any()
  assert np.asarray(exact)[np.asarray(there)].any()


def visible_tokens(model, signal, leads, samples):
  """st_vit of one record by hand: the tokens that are there, and no mask."""
  vit = model.ecg
  tokens = []
  for lead in np.flatnonzero(leads):
    for time in range(vit.times):
      start = time * vit.patch
      if start >= samples:
        continue
      patch = np.zeros(vit.patch, np.float32)
      found = signal[lead, start : min(start + vit.patch, samples)]
      patch[: len(found)] = found
      x = vit.embed(jnp.array(patch)) + vit.lead[lead] + vit.time[time]
      tokens.append(x)
  x = jnp.stack(tokens)[None]
  for block in vit.blocks:
    x = block(x, None, None)
  return vit.norm(x)[0]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_st_vit_equals_that_of_the_visible_tokens_alone(seed):
  model = encoder("st_vit")
  leads, samples = some(seed)
  signal = random_signal(4, seed=seed)
  tokens, pooled, mask = model.encode_ecg(signal, leads, samples)
  for row in range(4):
    wanted = visible_tokens(model, signal[row], leads[row], int(samples[row]))
    found = tokens[row][mask[row]]
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    np.testing.assert_allclose(pooled[row], wanted.mean(0), atol=2e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_silence_is_absence(name):
  """Without being told, the model sees what of a record is zeros."""
  model = encoder(name)
  leads, samples = some(5)
  signal = inputs.only_recorded(random_signal(4), leads, samples)
  told = model.encode_ecg(signal, leads, samples)
  for mine, wanted in zip(model.encode_ecg(signal), told, strict=True):
    np.testing.assert_array_equal(mine, wanted)
  _, pooled, mask = model.encode_ecg(jnp.zeros((2, 12, 250)))
  assert not mask.any()
  assert not pooled.any()


def test_recorded():
  signal = np.zeros((3, 12, 9), np.int16)
  signal[0, 4, 2] = 7  # one sample of one lead
  signal[1, [0, 11], 8] = -1
  leads, samples = inputs.recorded(signal)
  assert [np.flatnonzero(row).tolist() for row in leads] == [[4], [0, 11], []]
  assert samples.tolist() == [3, 9, 0]


def test_resnet_pools_only_what_has_begun():
  """A padded record's pooled features are those over its own tokens."""
  model = encoder("resnet", model__ecg__stages="[1, 1, 1, 1]")
  signal = random_signal(1)
  tokens, pooled, mask = model.encode_ecg(
    signal, jnp.ones((1, 12), bool), jnp.array([130])
  )
  assert mask.sum() == -(-130 // 16)
  assert tokens.shape[1] == 16
  np.testing.assert_allclose(pooled[0], tokens[0, :9].mean(0), atol=1e-6)


def augmented(signal, leads, samples, seed=0, **changes):
  return inputs.augment(
    jax.random.key(seed), signal, leads, samples, c.AugmentConfig(**changes),
    RATE,
  )  # fmt: skip


def test_lead_masking():
  """A share of the records keeps 1 to 11 of its own leads, any of them."""
  signal = random_signal(2000, samples=4)
  leads = jnp.ones((2000, 12), bool).at[:500, 3:].set(False)
  samples = jnp.full(2000, 4)
  same, kept = augmented(signal, leads, samples, lead_masking=0.6)
  np.testing.assert_array_equal(same, signal)
  kept, count = np.asarray(kept), np.asarray(kept).sum(1)
  assert not (kept & ~np.asarray(leads)).any()
  assert count.min() == 1
  whole = count[500:] == 12
  assert abs(whole.mean() - 0.4) < 0.05
  shares = np.bincount(count[500:][~whole], minlength=12)[1:] / (~whole).sum()
  assert len(shares) == 11
  np.testing.assert_allclose(shares, 1 / 11, atol=0.04)
  each = kept[500:][~whole].mean(0)
  np.testing.assert_allclose(each, 0.5, atol=0.06)
  _, all_kept = augmented(signal, leads, samples)
  np.testing.assert_array_equal(all_kept, leads)


def test_shift_stays_inside_the_record():
  signal = random_signal(6, samples=40)
  leads, samples = jnp.ones((6, 12), bool), jnp.array([40, 30, 7, 1, 0, 33])
  moved, _ = augmented(signal, leads, samples, shift_seconds=0.2)
  for row, length in enumerate(samples):
    before, after = np.asarray(signal[row]), np.asarray(moved[row])
    assert any(
      np.array_equal(np.roll(before[:, :length], n, 1), after[:, :length])
      for n in range(-20, 21)
    )
    np.testing.assert_array_equal(after[:, length:], before[:, length:])


@pytest.fixture(scope="module")
def model():
  vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "sinus", "rhythm"]
  config = small(**{"model.ecg.depth": "1"})
  return Model(config, vocabulary)


def microvolts(shape, seed=0):
  rng = np.random.default_rng(seed)
  return (300 * rng.normal(size=shape)).astype(np.int16)


def test_embed_ecg_takes_leads_by_name_in_any_order(model):
  whole = microvolts((12, 250))
  names = np.array(leads_lib.LEADS)
  order = np.random.default_rng(1).permutation(12)
  np.testing.assert_allclose(
    model.embed_ecg(whole[order], RATE, names[order]),
    model.embed_ecg(whole, RATE),
    atol=1e-6,
  )
  chest = model.embed_ecg(whole[[7, 2]], RATE, ["V2", "III"])
  silent = np.zeros_like(whole)
  silent[[2, 7]] = whole[[2, 7]]
  np.testing.assert_allclose(chest, model.embed_ecg(silent, RATE), atol=1e-6)
  assert np.abs(chest - model.embed_ecg(whole, RATE)).max() > 1e-3


def test_limb_leads_are_derived_from_two(model):
  two = microvolts((2, 250))
  six, _ = leads_lib.derive(*leads_lib.place(two, ["I", "II"]))
  np.testing.assert_allclose(
    model.embed_ecg(two, RATE, ["I", "II"]),
    model.embed_ecg(six, RATE),
    atol=1e-6,
  )


@pytest.mark.parametrize(
  ("rate", "seconds"), [(100, 1.0), (500, 2.5), (250, 1.7), (500, 7.3)]
)
def test_embed_ecg_of_any_rate_and_length(model, rate, seconds):
  signal = microvolts((2, 12, round(rate * seconds)))
  rows = model.embed_ecg(signal, rate)
  np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
  np.testing.assert_allclose(rows[0], model.embed_ecg(signal[0], rate))


def test_long_record_is_the_mean_of_its_windows(model):
  signal = microvolts((12, 700))
  parts = [signal[:, :250], signal[:, 250:500], signal[:, 450:]]
  mean = np.mean([model.embed_ecg(part, RATE) for part in parts], axis=0)
  np.testing.assert_allclose(
    model.embed_ecg(signal, RATE), mean / np.linalg.norm(mean), atol=1e-6
  )


@pytest.mark.parametrize("count", [1, 2, 8])
def test_devices_share_the_work(model, count):
  """The same rows, whatever the number of devices and of records."""
  spread = model.on(jax.devices()[:count])
  for records in (3, 70):
    signal = microvolts((records, 12, 250), records)
    wanted = model.encode_ecg(signal)
    for mine, other in zip(spread.encode_ecg(signal), wanted, strict=True):
      np.testing.assert_allclose(mine, other, atol=1e-5)
  texts = ["sinus", "rhythm sinus", "x"]
  np.testing.assert_allclose(
    spread.embed_text(texts), model.embed_text(texts), atol=1e-5
  )
  assert spread.untrained(3).mesh.size == count


@pytest.mark.parametrize(
  ("signal", "rate", "names", "line"),
  [
    (microvolts((3, 250)), RATE, ["I"], "give .L, T. or .B, L, T."),
    (microvolts((2, 250)), RATE, ["I", "X"], "unknown lead name 'X'"),
    (microvolts((2, 250)), RATE, ["I", "i"], "lead I occurs twice"),
    (microvolts((1, 250)), 0, ["I"], "rate 0: give the samples"),
    (microvolts((1, 250)) / 1000, RATE, ["I"], "give int16 microvolts"),
    (microvolts((1, 250)).astype(int) * 999, RATE, ["I"], "give int16 micro"),
    (microvolts((1, 0)), RATE, ["I"], "signal of shape .1, 0."),
  ],
)
def test_bad_signals(model, signal, rate, names, line):
  with pytest.raises(InputError, match=line):
    model.embed_ecg(signal, rate, names)


@pytest.mark.parametrize("size", ["tiny", "small", "middle", "base"])
def test_published_sizes_by_name(size):
  width = {"tiny": 192, "small": 384, "middle": 512, "base": 768}[size]
  config = c.override(c.TrainConfig(), {"model.ecg.name": f"st_vit_{size}"})
  _, shapes = two_tower.abstract(config, 50)
  assert shapes["ecg.embed.kernel"].shape == (500, width)
  assert shapes["ecg.blocks.11.mlp.first.kernel"].shape == (width, 4 * width)
  heads = two_tower.st_vit.SIZES[size][2]
  assert width // heads == 64
