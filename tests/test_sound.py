"""Checkpoints with right checksums and a stranger's content."""

import types

import jax
import numpy as np
import pytest

from fgclep_jax.errors import InputError
from fgclep_jax.training import sound

META = {
  "format": 2, "config": {}, "vocabulary": ["[PAD]"], "trained_on": {},
  "versions": {},
}  # fmt: skip


@pytest.mark.parametrize(
  ("changes", "told"),
  [
    ({"format": "2"}, "names no format"),
    ({"format": True}, "names no format"),
    ({"config": []}, "config in its meta"),
    ({"vocabulary": [1], "trained_on": None}, "trained_on, vocabulary"),
    ({"vocabulary": {"a": 1}}, "vocabulary in its meta"),
  ],
)
def test_meta_of_another_form(changes, told):
  assert sound.check_meta(META, "here") is META
  for wrong in (META | changes, [META], None):
    with pytest.raises(InputError, match=r"here cannot be used") as error:
      sound.check_meta(wrong, "here")
    if isinstance(wrong, dict):
      assert told in str(error.value)


def test_arrays_that_no_file_can_hold(tmp_path):
  """Before anything is allocated; 10^12 numbers in a file of 4 kB."""
  (tmp_path / "data").write_bytes(bytes(4096))

  def leaf(*shape):
    return types.SimpleNamespace(shape=shape, dtype=np.dtype("float32"))

  sound.check_size([leaf(1000, 1000), leaf()], tmp_path)
  for shapes in ([leaf(10**6, 10**6)], [leaf(4, 10**6)] * 9):
    with pytest.raises(InputError, match="4096 bytes of files name arrays"):
      sound.check_size(shapes, tmp_path)


def test_what_a_reader_raises_is_one_line():
  for error in (KeyError("k"), ValueError("two\nlines"), OSError(5, "gone")):
    wanted = pytest.raises(InputError, match="step cannot be used")
    with wanted as told, sound.reading("step"):
      raise error
    assert "\n" not in str(told.value)
    assert type(error).__name__ in str(told.value)
  for error in (
    InputError("as it is"), MemoryError("m"), jax.errors.JaxRuntimeError("d"),
  ):  # fmt: skip
    with pytest.raises(type(error), match=str(error)), sound.reading("step"):
      raise error
