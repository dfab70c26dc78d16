"""Maps of a statement over leads and seconds, and the command that draws."""

import dataclasses
import functools
import types

import jax
import numpy as np
import pytest

from fgclep_jax import cli
from fgclep_jax.errors import InputError
from fgclep_jax.explain import maps, program
from fgclep_jax.models import two_tower
from fgclep_jax.models.embedder import Model
from fgclep_jax.signals import plot, simulate, transform
from fgclep_jax.signals.leads import LEADS
from tests import wfdb_files
from tests.test_alignment import reference_plan
from tests.test_training import small

STATEMENT = "ST elevation in V1-V4"


class Linear:
  """The cosine is a weighted sum of the signal's means over each second."""

  rate, samples = 100, 1000
  config = types.SimpleNamespace(
    seed=0, model=types.SimpleNamespace(alignment="pooled")
  )

  def __init__(self, seed=0):
    self.weights = np.random.default_rng(seed).normal(size=(12, 10)) / 1e5

  def embed_text(self, texts):
    return np.ones((len(texts), 1))

  def encode_ecg(self, signals):
    assert signals.dtype == np.int16
    means = signals.reshape(-1, 12, 10, 100).mean(-1)
    cosine = np.tensordot(means, self.weights, 2)[:, None]
    return cosine, cosine

  def untrained(self, seed):
    return Linear(seed)


class Deaf(Linear):
  """Its number hangs on the signal alone, whatever its weights."""

  def untrained(self, seed):
    return self


def draw(seed, samples=1000):
  return np.random.default_rng(seed).integers(-900, 900, (12, samples), "i2")


def falls(model, signal, seconds):
  """(12, n) what flat seconds take off the sum, by loops."""
  found = np.zeros((12, seconds))
  for lead in range(12):
    flat = np.rint(np.median(signal[lead]))
    for second in range(seconds):
      piece = signal[lead, second * 100 : second * 100 + 100]
      change = (piece - flat).sum() / 100
      found[lead, second] = model.weights[lead, second] * change
  return found


def test_occlusion_is_right_by_lead_and_second():
  model, signal = Linear(), draw(1)
  found = maps.explain(model, signal, 100, STATEMENT)
  np.testing.assert_allclose(found.values, falls(model, signal, 10), atol=1e-12)
  np.testing.assert_array_equal(found.edges, np.arange(11))
  assert found.method == "occlusion"
  assert found.cosine == pytest.approx(model.encode_ecg(signal[None])[0][0, 0])


def test_only_falls_are_shaded():
  found = maps.explain(Linear(), draw(2), 100, STATEMENT)
  assert (found.values < 0).any()
  np.testing.assert_array_equal(
    found.shading, np.where(found.values > 0, found.values, 0)
  )
  sums = [sum(x for x in row if x > 0) for row in found.values.tolist()]
  np.testing.assert_allclose(found.lead_shares, np.divide(sums, sum(sums)))


def test_shorter_record_ends_where_it_ends():
  """Padding is left alone, and the last cell is as short as it is."""
  model, signal = Linear(), draw(3, 630)
  signal += 400  # a median that is not 0 would show in the padding
  found = maps.explain(model, signal, 100, STATEMENT)
  np.testing.assert_allclose(found.values, falls(model, signal, 7), atol=1e-12)
  np.testing.assert_allclose(found.edges, [0, 1, 2, 3, 4, 5, 6, 6.3])


def test_longer_record_of_another_rate():
  """The first ten seconds count, at the model's rate."""
  model, signal = Linear(), draw(4, 1200)
  slow = np.repeat(signal // 100 * 100, 5, axis=1)
  found = maps.explain(model, slow, 500, STATEMENT)
  seen = transform.resample(slow, 500, 100)[:, :1000]
  np.testing.assert_allclose(found.values, falls(model, seen, 10), atol=1e-12)
  np.testing.assert_array_equal(found.edges, np.arange(11))


def test_absent_lead_has_no_value():
  signal = draw(5)
  signal[3] = 0
  found = maps.explain(Linear(), signal, 100, STATEMENT)
  assert np.isnan(found.values[3]).all()
  assert np.isfinite(np.delete(found.values, 3, 0)).all()
  assert found.lead_shares[3] == 0


def real(alignment, encoder="st_vit"):
  """A small ECG encoder with weights as drawn, and a unit row for any text."""
  config = small(
    model__alignment=alignment, model__ecg__name=encoder, model__ecg__depth="1"
  )
  if encoder == "resnet":
    ecg = dataclasses.replace(config.model.ecg, width=4, stages=(1,))
    model = dataclasses.replace(config.model, ecg=ecg)
    config = dataclasses.replace(config, model=model)
  model = Model(config, None)
  text = np.random.default_rng(0).normal(size=(1, 32)).astype(np.float32)
  model.embed_text = lambda texts: text / np.linalg.norm(text)
  return model


@functools.partial(jax.jit, static_argnums=0)
def encode(definition, params, signal):
  return two_tower.merge(definition, params).encode_ecg(signal)


def encoded(model, signal):
  """Unit rows (N, E) and (E,) of tokens and pooled record; (N,) mask.

  In float64 from the encoder's tokens on.
  """
  millivolts = np.float32(signal[None] / 1000)
  tokens, _, there = encode(model.definition, model.params, millivolts)
  kernel = np.asarray(model.params["ecg_projection.kernel"], float)
  tokens, there = np.asarray(tokens[0], float), np.asarray(there[0])
  rows = np.stack([*tokens, tokens[there].mean(0)]) @ kernel
  rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
  return rows[:-1], rows[-1], there


def reference(model, z, h, there):
  """Weights of one statement over the tokens there are."""
  settings = model.config.model
  if settings.alignment == "attention":
    weights = np.exp(h @ z / settings.attention_temperature) * there
    return weights / weights.sum()
  options = dataclasses.asdict(settings.transport)
  return reference_plan(z[None], h, np.ones(1, bool), there, **options)[0]


@pytest.mark.parametrize("alignment", ["attention", "transport"])
def test_alignment_is_the_models_own_weights(alignment):
  """Token = lead * seconds + second; absent and unrecorded places NaN."""
  model, signal = real(alignment), draw(6, 750)
  signal[5] = 0
  found = maps.explain(model, signal, 100, STATEMENT)
  padded = np.pad(signal, [(0, 0), (0, 250)])
  h, pooled, there = encoded(model, padded)
  z = model.embed_text([STATEMENT])[0].astype(float)
  weights = reference(model, z, h, there)
  assert found.method == alignment
  assert found.values.shape == (12, 8)
  for lead in range(12):
    for second in range(8):
      value = found.values[lead, second]
      if lead == 5:
        assert np.isnan(value)
      else:
        expected = weights[lead * 10 + second]
        assert value == pytest.approx(expected, rel=1e-3)
  np.testing.assert_allclose(found.edges, [*range(8), 7.5])
  assert np.nansum(found.values) == pytest.approx(1, abs=0.01)
  assert found.cosine == pytest.approx(pooled @ z, abs=1e-6)


def test_tokens_of_time_alone_give_one_row():
  model, signal = real("attention", "resnet"), draw(7, 750)
  found = maps.explain(model, signal, 100, STATEMENT)
  h, _, there = encoded(model, np.pad(signal, [(0, 0), (0, 250)]))
  z = model.embed_text([STATEMENT])[0].astype(float)
  weights = reference(model, z, h, there)
  assert found.values.shape == (1, 375)  # 750 / 2
  np.testing.assert_allclose(found.values[0], weights[:375], rtol=1e-3)
  np.testing.assert_allclose(found.edges[[1, -1]], [0.02, 7.5])
  assert found.lead_shares == pytest.approx([1.0])
  lines = program.describe(found, np.zeros(2))
  assert any("seconds alone" in line for line in lines)


def test_methods():
  aligned = Linear()
  aligned.config = small(model__alignment="attention")
  found = maps.explain(aligned, draw(8), 100, STATEMENT, "occlusion")
  assert found.method == "occlusion"
  with pytest.raises(InputError, match="give --method occlusion"):
    maps.explain(Linear(), draw(8), 100, STATEMENT, "alignment")
  with pytest.raises(InputError, match="'gradient': give one of occlusion"):
    maps.explain(Linear(), draw(8), 100, STATEMENT, "gradient")
  with pytest.raises(InputError, match="statement is empty"):
    maps.explain(Linear(), draw(8), 100, " ")


def check_of(model, signal):
  def explain(model):
    return maps.explain(model, signal, 100, STATEMENT)

  others = maps.untrained(model, 0, 4)
  return maps.randomised(explain(model), [explain(other) for other in others])


def test_randomisation_tells_weights_that_matter():
  signal = draw(9)
  signal[2] = 0  # absent: its places count nowhere
  deaf, learned = check_of(Deaf(), signal), check_of(Linear(0), signal)
  np.testing.assert_allclose(deaf, 1)
  assert len(learned) == 4
  assert 0 < np.abs(learned).mean() < program.LIMIT
  assert "do not read it" in program.check_lines(deaf, 110)[1]
  assert "do not read it" not in program.check_lines(learned, 110)[1]
  assert "unrelated maps 0.08" in program.check_lines(learned, 110)[0]


def test_rank_correlation_is_spearmans():
  def found(values):
    return maps.Map("occlusion", "x", 0.0, np.array([values]), np.arange(6))

  first = found([1.0, 2.0, 3.0, 4.0, 4.0])
  others = [[5.0, 6.0, 7.0, 8.0, 8.0], [-1.0, -2.0, -3.0, -4.0, -4.0]]
  others += [[0.0] * 5, [2.0, 1.0, 3.0, 5.0, 4.0]]
  rho = maps.randomised(first, [found(values) for values in others])
  # Ranks 1 2 3 4.5 4.5 and 2 1 3 5 4: covariance 8.5, squares 9.5 and 10.
  np.testing.assert_allclose(rho, [1, -1, 0, 8.5 / np.sqrt(95)])


def test_the_seed_of_training_is_not_untrained():
  model = types.SimpleNamespace(
    config=types.SimpleNamespace(seed=1), untrained=lambda seed: seed
  )
  assert maps.untrained(model, 0, 3) == [0, 2, 3]
  assert maps.untrained(model, 2, 3) == [2, 3, 4]


def shades(figure):
  """[(left, low, width, height, colour)] of shaded places, in mm."""
  colours = [colour for _, colour in plot.LEVELS]
  found = []
  for patch in figure.axes[0].patches:
    colour = "#" + "".join(f"{round(255 * x):02x}" for x in patch.get_fc()[:3])
    if colour in colours and patch.get_width() > 8:
      box = (*patch.get_xy(), patch.get_width(), patch.get_height())
      found.append((*box, colours.index(colour)))
  return found


def test_shades_lie_on_their_lead_and_second():
  values = np.zeros((12, 10))
  values[8, 4], values[1, 0], values[6, 9], values[0, 2] = 2.0, 0.9, 1.3, 0.39
  shading = plot.Shading(values, np.arange(11.0), "fall", ("one", "two"))
  figure = plot.plot_ecg(draw(0) / 10, 100, shading=shading)
  feet = [y[0] for _, y in (x.get_data() for x in figure.axes[0].get_lines())
          if len(y) == 6]  # fmt: skip
  assert len(feet) == 12
  cells = {(8, 4): 3, (1, 0): 1, (6, 9): 2}
  found = {}
  for left, low, width, height, level in shades(figure):
    assert width == pytest.approx(25)
    [lead] = [n for n, y in enumerate(feet) if low < y < low + height]
    found[lead, round((left - 15) / 25)] = level
  assert found == cells
  texts = [text.get_text() for text in figure.axes[0].texts]
  for text in ("one", "two", "fall, % of the largest:", "100", "45", "65"):
    assert text in texts
  assert texts.count("44 %") == 2  # of V3, and of its second
  for name in LEADS:
    assert texts.count(name) == 1


def test_nothing_shaded_is_said():
  found = maps.Map("occlusion", "x", 0.1, -np.ones((12, 2)), np.arange(3))
  assert "nothing" in program.describe(found, np.zeros(2))[1]
  shading = plot.Shading(found.shading, np.arange(3), "fall")
  figure = plot.plot_ecg(np.zeros((12, 200)), 100, shading=shading)
  assert not shades(figure)


@pytest.fixture
def record(tmp_path):
  signal = simulate.simulate(11, rate=100).signal
  return wfdb_files.write_record(tmp_path, "00011_lr", signal)


def explain(arguments, capsys):
  """Exit code, lines on stdout and on stderr."""
  with pytest.raises(SystemExit) as stop:
    cli.main(["explain", *map(str, arguments)])
  written = capsys.readouterr()
  return stop.value.code, written.out.splitlines(), written.err.splitlines()


def test_command_draws_and_prints(record, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(program.inference, "load", lambda *_: Linear())
  out = tmp_path / "map.png"
  arguments = ["--workdir", tmp_path, "--record", f"{record}.hea"]
  arguments += ["--statement", STATEMENT, "--out", out]
  code, lines, errors = explain(arguments, capsys)
  assert (code, errors) == (0, [])
  found = maps.explain(
    Linear(), simulate.simulate(11, rate=100).signal, 100, STATEMENT
  )
  assert lines[0] == f'statement "{STATEMENT}": cosine {found.cosine:.2f}'
  assert LEADS[found.lead_shares.argmax()] in lines[1]
  assert "mean |rho|" in lines[2]
  assert lines[-1] == f"drawn: {out}"
  assert out.read_bytes().startswith(b"\x89PNG")
  assert out.stat().st_size > 50_000


@pytest.mark.parametrize(
  ("change", "says"),
  [
    ({"--record": "absent"}, "absent.hea: no such header"),
    ({"--out": "a.txt"}, ".png .pdf .svg expected"),
    ({"--out": "no/folder/a.png"}, "no folder"),
    ({"--statement": "  "}, "--statement is empty"),
    ({"--method": "alignment"}, "give --method occlusion"),
    ({"--method": "guess"}, "invalid choice"),
  ],
)
def test_bad_input_is_one_line(
  record, change, says, tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(program.inference, "load", lambda *_: Linear())
  monkeypatch.chdir(tmp_path)
  given = {
    "--workdir": tmp_path,
    "--record": record,
    "--statement": STATEMENT,
    "--out": "a.png",
  } | change
  code, _, lines = explain([x for pair in given.items() for x in pair], capsys)
  assert code == 2
  assert len(lines) == 1
  assert says in lines[0]
  assert not (tmp_path / "a.png").exists()
