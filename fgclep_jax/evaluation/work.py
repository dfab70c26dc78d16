"""What every method works from: records, encoders, and what these say.

A method is a file with a function of a Work (and a task), which returns
what it found.
"""

import dataclasses

import numpy as np

from fgclep_jax.evaluation import baselines as plain
from fgclep_jax.evaluation.embed import embed_all
from fgclep_jax.evaluation.options import Options
from fgclep_jax.signals import windows


@dataclasses.dataclass(frozen=True)
class Work:
  """Everything that is shared by methods and tasks.

  parts: role -> `parts.Part`. encoders: name -> model: `trained`,
  `untrained` if asked for, and those that stand beside. stores: encoder ->
  split name -> Embeddings. features: kind of features -> split name ->
  (n, W). merl_stores, merl_features: the same with the records cut as the
  protocol `merl` cuts them. prompts, merl_prompts: task -> class ->
  prompts; merl_prompts is empty where no published prompts were given.
  merl_encoders: as `encoders`, of `merl`. selection: how its `trained` was
  chosen, see `selection.choose`; None where it is that of `standard`.
  """

  parts: dict
  encoders: dict
  merl_encoders: dict
  stores: dict
  features: dict
  merl_stores: dict
  merl_features: dict
  prompts: dict
  merl_prompts: dict
  options: Options
  selection: dict | None = None


class FirstSeconds:
  """A split of whose records only the first seconds are seen, then zeros.

  CPSC2018 in the protocol `merl`: half of the input is padding, however
  long the record is.
  """

  def __init__(self, split, seconds):
    self.dataset, self.config, self.name = (
      split.dataset, split.config, split.name,
    )  # fmt: skip
    self.record_ids, self.digest = split.record_ids, split.digest
    self._split, self.seconds = split, seconds
    self.form = f"first {seconds:g} s, then zeros"

  def __len__(self):
    return len(self.record_ids)

  def windows(self, indices, rate, samples, window):
    """As `Split.windows`; `window` only names the form."""
    del window
    kept = min(round(self.seconds * rate), samples)
    found, counts = self._split.windows(indices, rate, kept, "first")
    return np.pad(found, ((0, 0), (0, 0), (0, samples - kept))), counts


def read(parts, encoders, beside, roles, options, probed, progress):
  """Encodes and measures every split in one reading.

  Args:
    parts: role -> `parts.Part`.
    encoders: name -> model.
    beside: names of those that are never probed.
    roles: of the parts whose scores are wanted, of every encoder.
    options: Options.
    probed: whether a probe is fitted; without, nothing else is read.
    progress: called with one line of text at a time.

  Returns:
    stores and features as `Work` has them, and those of `merl`.
  """
  judged = {parts[role].split.name for role in roles}
  splits = {part.split.name: part.split for part in parts.values()}
  splits = {n: s for n, s in splits.items() if probed or n in judged}
  stores, features = {kind: {} for kind in encoders}, {}
  for split in splits.values():
    chosen = _chosen(encoders, beside, split.name in judged)
    measured = options.baselines if probed else ()
    others = {name: plain.Measuring(name) for name in measured}
    progress(f"{len(split)} records of {split.name}: {', '.join(chosen)}")
    found = embed_all(
      chosen, split, options.batch_size, options.cache_dir, options.window,
      tuple(others.values()),
    )  # fmt: skip
    _keep(found, split.name, stores, features, beside)
    for name, measuring in others.items():
      features.setdefault(name, {})[split.name] = measuring.result()
    if probed and split.truth is not None:
      features.setdefault("true_features", {})[split.name] = split.truth
  cut = [(merl_form(s), s.name in judged) for s in splits.values()]
  if not options.merl or not isinstance(cut[0][0], FirstSeconds):
    return stores, features, stores, features
  return stores, features, *_read_cut(cut, encoders, beside, options, progress)


def merl_form(split):
  """The split as the protocol `merl` sees its records: cut, or itself."""
  kept = windows.MERL_KEPT.get(split.dataset)
  if kept is None:
    return split
  return FirstSeconds(split, kept / windows.MERL_RATE)


def _read_cut(splits, encoders, beside, options, progress):
  """Stores and features of splits that are cut: (FirstSeconds, judged)."""
  stores, features = {kind: {} for kind in encoders}, {}
  for split, judged in splits:
    chosen = _chosen(encoders, beside, judged)
    progress(f"{split.name}, {split.form}: {', '.join(chosen)}")
    found = embed_all(
      chosen, split, options.batch_size, options.cache_dir, split.form
    )
    _keep(found, split.name, stores, features, beside)
  return stores, features


def _chosen(encoders, beside, judged):
  return {
    kind: encoder
    for kind, encoder in encoders.items()
    if judged or kind not in beside
  }


def _keep(found, name, stores, features, beside):
  for kind, store in found.items():
    stores[kind][name] = store
    if kind not in beside:
      features.setdefault(kind, {})[name] = store.features
