"""ECG paper: true to scale, every lead in its place, nothing left open."""

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
