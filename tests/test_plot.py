"""ECG paper: true to scale, every lead in its place, nothing left open."""

import itertools
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from fgclep_jax.errors import InputError
from fgclep_jax.signals import plot, simulate
from fgclep_jax.signals.leads import LEADS


def lines(figure, points):
  """Data (x, y) in mm of the lines with at least `points` points."""
  axes = figure.axes[0]
  data = [line.get_data() for line in axes.get_lines()]
  return [(x, y) for x, y in data if len(x) >= points]


def test_one_axis_unit_is_one_millimetre():
  figure = plot.plot_ecg(np.zeros((12, 5000)), 500)
  axes = figure.axes[0]
  width, height = figure.get_size_inches() * 25.4
  assert axes.get_xlim() == pytest.approx((0, width))
  assert axes.get_ylim() == pytest.approx((0, height))
  assert tuple(axes.get_position().bounds) == (0, 0, 1, 1)


@pytest.mark.parametrize("rate", [100, 500])
def test_traces_are_true_to_scale(rate):
  """25 mm/s and 10 mm/mV: 12 pieces of 62.5 mm and a strip of 250 mm."""
  random = np.random.default_rng(4)
  signal = random.normal(0, 500, (12, 10 * rate))
  traces = lines(plot.plot_ecg(signal, rate, strip="V1"), points=20)
  assert len(traces) == 13
  for place, (x, y) in enumerate(traces[:-1]):
    row, column = divmod(place, 4)
    lead = column * 3 + row
    start = round(column * 2.5 * rate)
    piece = signal[lead, start : start + len(x)] / 1e3
    np.testing.assert_allclose(np.diff(x), 25 / rate, rtol=1e-9)
    np.testing.assert_allclose(y - y[0], 10 * (piece - piece[0]), atol=1e-9)
    assert x[-1] - x[0] == pytest.approx(62.5, abs=25 / rate + 1e-9)
  x, y = traces[-1]
  assert x[-1] - x[0] == pytest.approx(250, abs=25 / rate + 1e-9)
  strip = signal[LEADS.index("V1")] / 1e3
  np.testing.assert_allclose(np.ptp(y), 10 * np.ptp(strip), rtol=1e-9)


def test_calibration_pulses_and_names():
  figure = plot.plot_ecg(np.zeros((12, 1000)), 100, title="A title")
  pulses = [(x, y) for x, y in lines(figure, 6) if len(x) == 6]
  assert len(pulses) == 4
  for x, y in pulses:
    assert np.ptp(y) == pytest.approx(10)  # 1 mV
    assert x[3] - x[2] == pytest.approx(5)  # 0.2 s
  texts = [text.get_text() for text in figure.axes[0].texts]
  for name in LEADS:
    assert texts.count(name) == 1 + (name == "II")
  assert "A title" in texts
  assert any("25 mm/s" in text for text in texts)


def boxes(figure):
  """{(text, which): (left, right, low, high)} in mm, as they are drawn."""
  scale = 25.4 / figure.dpi
  found = {}
  for number, text in enumerate(figure.axes[0].texts):
    if not text.get_text():
      continue
    box = text.get_window_extent()
    edges = np.array([box.x0, box.x1, box.y0, box.y1]) * scale
    found[text.get_text(), number] = edges
  return found


def inked(x, y):
  """Points along the lines between the samples, 40 of each."""
  share = np.linspace(0, 1, 40)
  return (
    (x[:-1, None] + share * np.diff(x)[:, None]).ravel(),
    (y[:-1, None] + share * np.diff(y)[:, None]).ravel(),
  )


@pytest.mark.parametrize("tall", [200, 1500, 3500])
def test_nothing_lies_on_anything(tall):
  """Traces and names of each row keep clear of those of the others."""
  random = np.random.default_rng(tall)
  signal = random.normal(0, 40, (12, 5000))
  signal[:, 40::400] = tall * random.choice([-1, 1], (12, 1))
  figure = plot.plot_ecg(signal, 500)
  traces = [inked(*line) for line in lines(figure, points=20)]
  names = boxes(figure)
  width, height = figure.get_size_inches() * 25.4
  for left, right, low, high in names.values():
    assert 0 <= left < right <= width
    assert 0 <= low < high <= height
    for x, y in traces:
      beside = (x >= left) & (x <= right)
      assert not ((y[beside] > low) & (y[beside] < high)).any()
  for start in 15 + 62.5 * np.arange(4):
    spans = []
    for x, y in traces:
      inside = (x > start + 1e-6) & (x < start + 62.5 - 1e-6)
      if inside.any():
        spans.append((y[inside].min(), y[inside].max()))
    assert len(spans) == 4
    for (low, _), (_, high) in itertools.pairwise(spans):
      assert high < low
    assert spans[-1][0] > 0
    assert spans[0][1] < height - 10


def test_rows_stand_on_the_grid():
  figure = plot.plot_ecg(simulate.simulate(3).signal, 500)
  feet = [y[0] for _, y in lines(figure, 6) if len(y) == 6]
  np.testing.assert_allclose(np.remainder(feet, 5), 0)
  assert (-np.diff(feet) >= 30).all()


def test_absurd_signals_give_a_page_of_bounded_size():
  figure = plot.plot_ecg(np.full((12, 5000), 32767), 500)
  assert figure.get_size_inches()[1] * 25.4 < 700


def test_says_what_is_not_shown():
  figure = plot.plot_ecg(np.zeros((12, 5431)), 500, absent=("V3", "V4"))
  texts = [text.get_text() for text in figure.axes[0].texts]
  assert "V3 not recorded" in texts
  assert "V2" in texts
  assert any("first 10 s of 10.9 s" in text for text in texts)
  figure = plot.plot_ecg(np.zeros((12, 5000)), 500)
  assert not any("first" in text.get_text() for text in figure.axes[0].texts)


def test_picture_is_written(tmp_path):
  path = tmp_path / "ecg.png"
  record = simulate.simulate(0)
  figure = plot.plot_ecg(record.signal, record.rate, path=path, dpi=100)
  picture = matplotlib.image.imread(path)
  width, height = figure.get_size_inches()
  assert picture.shape[:2] == (int(height * 100), int(width * 100))
  assert (picture[..., :3].sum(axis=2) < 0.6).mean() > 0.002  # ink


def test_short_and_long_records():
  short = lines(plot.plot_ecg(np.zeros((12, 2000)), 500), points=20)
  left = min(x.min() for x, _ in short)
  assert max(x.max() for x, _ in short) < left + 4 * 25
  long = lines(plot.plot_ecg(np.zeros((12, 20000)), 500), points=20)
  assert max(len(x) for x, _ in long) == 5001


def test_no_global_state():
  """Neither pyplot nor a display is touched."""
  program = (
    "import sys, numpy as np\n"
    "from fgclep_jax.signals.plot import plot_ecg\n"
    "plot_ecg(np.zeros((12, 1000)), 100)\n"
    "assert 'matplotlib.pyplot' not in sys.modules\n"
  )
  subprocess.run([sys.executable, "-c", program], check=True)


def test_bad_input():
  with pytest.raises(InputError, match=r"\(11, 100\)"):
    plot.plot_ecg(np.zeros((11, 100)), 100)
  with pytest.raises(InputError, match="V9"):
    plot.plot_ecg(np.zeros((12, 100)), 100, strip="V9")
