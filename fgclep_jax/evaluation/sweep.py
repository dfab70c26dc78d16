"""One reading of a split for all that want to see its signals.

Reading and resampling cost more than a small encoder: encoders and simple
features therefore look at the same block of signals, one after another.
"""

from concurrent import futures

import numpy as np


def sweep(split, viewers, block=64, window="cover"):
  """Reads every record once for each input form and shows it around.

  The next signals are read while these are looked at; memory holds two
  blocks of records, however many viewers there are.

  Args:
    split: has `windows(indices, rate, samples, window)`, which returns
      int16 (N, 12, samples) microvolts and how many windows each record
      has.
    viewers: objects with `rate`, `samples` and `see(signals, counts)`; they
      get the records in order.
    block: records read at a time; changes the speed only.
    window: what a long record is seen by: `first`, `centre` or `cover`.
  """
  forms = dict.fromkeys((v.rate, v.samples) for v in viewers)
  wanted = [
    (form, np.arange(start, min(start + block, len(split))))
    for start in range(0, len(split), block)
    for form in forms
  ]
  with futures.ThreadPoolExecutor(1) as reader:

    def read(k):
      (rate, samples), indices = wanted[k]
      return reader.submit(split.windows, indices, rate, samples, window)

    ahead = read(0) if wanted else None
    for k, (form, _) in enumerate(wanted):
      signals, counts = ahead.result()
      ahead = read(k + 1) if k + 1 < len(wanted) else None
      for viewer in viewers:
        if (viewer.rate, viewer.samples) == form:
          viewer.see(signals, counts)
