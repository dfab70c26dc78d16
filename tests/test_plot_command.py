"""`fgclep plot`: a picture of any record, one line where there is none."""

import matplotlib.image
import numpy as np
import pytest

from fgclep_jax import cli
from fgclep_jax.signals import plot, reader
from tests import wfdb_files


@pytest.fixture
def record(tmp_path):
  adc = wfdb_files.random_adc(np.random.default_rng(7), length=1000)
  return wfdb_files.write_record(
    tmp_path, "00042_lr", adc, comments=["Age: 63", "Sex: Male"]
  )


def exit_of(arguments, capsys):
  """Exit code and the lines on stderr."""
  capsys.readouterr()
  with pytest.raises(SystemExit) as stop:
    cli.main([str(argument) for argument in arguments])
  return stop.value.code, capsys.readouterr().err.strip().splitlines()


@pytest.mark.parametrize("ending", ["", ".hea", ".dat"])
def test_draws_the_record_of_any_ending(record, ending, tmp_path, capsys):
  out = tmp_path / "picture.png"
  code, lines = exit_of(["plot", f"{record}{ending}", "--out", out], capsys)
  assert (code, lines) == (0, [])
  signal = reader.read_record(record).signal
  plot.plot_ecg(signal, 100, "00042_lr", tmp_path / "own.png")
  drawn, own = (
    matplotlib.image.imread(path) for path in (out, tmp_path / "own.png")
  )
  np.testing.assert_array_equal(drawn, own)


def test_title_is_the_name_of_the_file_or_as_given(
  record, tmp_path, monkeypatch
):
  titles = []
  monkeypatch.setattr(
    plot, "plot_ecg", lambda signal, rate, title, *_, **__: titles.append(title)
  )
  plot.plot_record(f"{record}.hea", tmp_path / "a.png")
  plot.plot_record(record, tmp_path / "a.png", "Left bundle branch block")
  assert titles == ["00042_lr", "Left bundle branch block"]


def test_a_lead_that_was_not_recorded_is_marked(tmp_path, monkeypatch):
  marked = []
  monkeypatch.setattr(
    plot, "plot_ecg", lambda *_, absent: marked.append(absent)
  )
  names = ("I", "II", "V1", "V2")
  adc = wfdb_files.random_adc(np.random.default_rng(7), 4, length=1000)
  path = wfdb_files.write_record(tmp_path, "few", adc, names)
  plot.plot_record(path, tmp_path / "a.png")
  assert marked == [("V3", "V4", "V5", "V6")]


def test_title_is_drawn_as_written(record, tmp_path):
  """Dollar signs are no formula: this one could not be parsed."""
  plot.plot_record(record, tmp_path / "a.png", r"$\frac{$")
  assert (tmp_path / "a.png").stat().st_size > 10_000


def test_other_formats_are_written(record, tmp_path):
  for ending, start in ((".pdf", b"%PDF"), (".svg", b"<?xml")):
    plot.plot_record(record, tmp_path / f"a{ending}")
    assert (tmp_path / f"a{ending}").read_bytes().startswith(start)


@pytest.mark.parametrize(
  ("name", "out", "says"),
  [
    ("absent", "a.png", "absent.hea: no such header"),
    ("00042_lr", "a.txt", ".png .pdf .svg expected"),
    ("00042_lr", "no/folder/a.png", "cannot write"),
  ],
)
def test_bad_input_is_one_line(record, name, out, says, tmp_path, capsys):
  arguments = ["plot", tmp_path / name, "--out", tmp_path / out]
  code, lines = exit_of(arguments, capsys)
  assert code == 2
  assert len(lines) == 1
  assert says in lines[0]


def test_truncated_record_is_refused(record, tmp_path, capsys):
  data = record.with_suffix(".dat")
  data.write_bytes(data.read_bytes()[:-2])
  code, lines = exit_of(["plot", record, "--out", tmp_path / "a.png"], capsys)
  assert code == 2
  assert "23998 bytes" in lines[0]
