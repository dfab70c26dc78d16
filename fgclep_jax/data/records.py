"""What is read of a stored record in training: its signal and its rate.

A record of array_record is a `tf.train.Example` of about forty entries. TFDS
decodes all of them by numpy, 0.3 ms; the two that a batch needs, and the runs
that `sources.Split.merl_inputs` undoes, are one copy of the signal's bytes.
"""

import numpy as np

from fgclep_jax.signals import leads


class Signals:
  """Random access to the signals of a split.

  Args of the constructor:
    builder: of TFDS; its `ecg` is a tensor (12, T) int16 stored as bytes.
    split: name.
  """

  def __init__(self, builder, split):
    import tensorflow_datasets as tfds  # slow to import
    from tensorflow_datasets.proto import tf_example_pb2

    self._parse = tf_example_pb2.Example.FromString
    self._stored = builder.as_data_source(
      split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
    )

  def raw(self, indices):
    """List of the records as they are stored, bytes."""
    return self._stored.__getitems__(indices)

  def __getitems__(self, indices):
    """Iterates over dicts with `ecg` (12, T) int16, `sampling_rate`, `quality`.

    All are read at once, and decoded one after another. Raises whatever
    array_record and protobuf do, ValueError where a record is not what a
    builder wrote.
    """
    return map(self._example, self.raw(indices))

  def _example(self, record):
    entries = self._parse(record).features.feature
    [ecg] = entries["ecg"].bytes_list.value
    [rate] = entries["sampling_rate"].int64_list.value
    runs = entries["quality/invalid_runs"].int64_list.value
    return {
      "ecg": np.frombuffer(ecg, "<i2").reshape(leads.COUNT, -1),
      "sampling_rate": rate,
      "quality": {"invalid_runs": np.array(runs, np.int32).reshape(-1, 3)},
    }


def texts(builder, split):
  """All examples of a split, their `ecg` left as bytes."""
  import tensorflow_datasets as tfds

  decoders = {"ecg": tfds.decode.SkipDecoding()}
  return builder.as_data_source(split=split, decoders=decoders)
