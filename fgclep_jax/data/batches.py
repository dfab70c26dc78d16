"""Batches of pairs: global batch k is a pure function of (seed, k).

The records of an endless stream of epochs, each epoch a permutation of its
own, are cut into batches; nothing is dropped at the end of an epoch.
"""

import dataclasses
import functools
import math

import grain
import numpy as np

from fgclep_jax.data import similarity, whole, widths
from fgclep_jax.data.sources import Unreadable
from fgclep_jax.errors import InputError
from fgclep_jax.reports.tokenizer import Tokenizer
from fgclep_jax.signals import leads

ABSENT = -1  # id of a place in a batch that holds no statement
SAMPLED = 16  # batches by which the sizes of the groups of texts are fixed


@dataclasses.dataclass(frozen=True)
class Texts:
  """The texts of a training set: each distinct one once.

  Attributes:
    table: distinct texts.
    tokens: (n, L) int32 word pieces.
    ids, offsets: of every record of the split, as in `sources.Split`.
    truncated: how many texts are longer than the tokenizer's limit.
  """

  table: tuple
  tokens: np.ndarray
  ids: np.ndarray
  offsets: np.ndarray
  truncated: int

  @functools.cached_property
  def semantics(self):
    """(n, Q) unit TF-IDF rows, the `frozen` similarity without a BERT."""
    return similarity.tfidf(self.table)

  @functools.cached_property
  def lengths(self):
    """(n,) word pieces of each text, as cut."""
    return (self.tokens > 0).sum(axis=1)

  def of(self, record):
    return self.ids[self.offsets[record] : self.offsets[record + 1]]


def texts(split, kind, tokenizer: Tokenizer):
  """Tokenizes the distinct statements, or whole reports, of a split."""
  if kind == "statements":
    there = np.bincount(split.statement_ids, minlength=len(split.table)) > 0
    ids = (np.cumsum(there) - 1)[split.statement_ids]
    offsets = split.statement_offsets
    table = tuple(split.table[i] for i in np.flatnonzero(there))
    pieces = tokenizer.pieces(table)
  else:
    rows, ids, offsets = whole.reports(split)
    table, pieces = tuple(rows), whole.pieces(split, rows.values(), tokenizer)
  return Texts(
    table=table,
    tokens=tokenizer.padded(pieces),
    ids=ids.astype(np.int32),
    offsets=offsets,
    truncated=sum(len(x) + 2 > tokenizer.max_tokens for x in pieces),
  )


class Batches:
  """Batches of a split, by number.

  Args of the constructor:
    split: `sources.Split`.
    texts: `Texts` of it.
    records: positions of the split that may be drawn; those without a text
      are left out and counted in `without_text`.
    config: `config.DataConfig`.
    seed: of the order.
    divisor: the number of devices; the number of texts is a multiple of it.
    before: positions that are gone through first, `before_epochs` times.
    rows: (b,) places of a batch whose signals are read, those that the
      devices of this process hold; None for all.
    length_groups: in how many groups of a width of their own the texts of a
      batch come at most, see `widths`; 0 pads all to the longest of `texts`.

  Which records and texts make up a batch is known on every process from the
  index alone: only signals are read by those that hold them.

  A record that cannot be read keeps its place in a batch, without statements
  and with a signal of zeros: no other place, and no other batch, changes; its
  texts stay among those of the batch, for the others to be compared with.
  `unreadable` is {position: reason} of those met so far.

  A batch is a dict of arrays:
    ecg: (B, 12, T) int16 microvolts, (b, 12, T) where `rows` are given; not
      there when `reads` was set to False.
    statement: (B, M) int32, which of the batch's distinct texts, or -1.
    tokens: (U, L) int32 word pieces of the distinct texts, 0 is padding;
      where there are several groups the narrower ones are `tokens_16` and
      the like, by their width. Of the columns, each device's part has its
      part of every group, the narrowest first.
    text_ids: (U,) int32 their numbers in `texts.table`, -1 for padding.
    text_weights: (U,) float32 how many pairs of the batch hold the text,
      those of records that cannot be read included.
    records: (B,) int64 positions in the split, host side only.
  """

  def __init__(
    self, split, texts, records, config, seed, divisor=1, before=(),
    before_epochs=0.0, rows=None, length_groups=1,
  ):  # fmt: skip
    counts = np.diff(texts.offsets)
    self.split, self.texts, self.config = split, texts, config
    self.records = _with_text(records, counts)
    self.without_text = len(records) - len(self.records)
    self.before = _with_text(before, counts)
    self.before_steps = math.ceil(
      before_epochs * len(self.before) / config.batch_size
    )
    self.seed, self.divisor = seed, divisor
    self.rows = np.arange(config.batch_size) if rows is None else rows
    self.unreadable, self.reads = {}, True
    self.drawn = len(self.records) + len(self.before)
    if not len(self.records):
      raise InputError(
        f"{split.dataset}/{split.config} split {split.name!r} has no record "
        "with a statement: nothing to train on"
      )
    self.width = int(counts[np.append(self.records, self.before)].max())
    if config.statements_per_record:
      self.width = min(self.width, config.statements_per_record)
    self.samples = round(config.rate * config.seconds)
    self.length_groups = length_groups

  def steps(self, epochs):
    """Batches of `epochs` over the records, and of what comes before."""
    batches = epochs * len(self.records) / self.config.batch_size
    return self.before_steps + max(1, math.ceil(batches))

  def order(self, k):
    """(B,) positions in the split of the records of batch k."""
    stage = int(k >= self.before_steps)
    records = (self.before, self.records)[stage]
    size = self.config.batch_size
    first = (k - stage * self.before_steps) * size
    epochs, within = np.divmod(np.arange(first, first + size), len(records))
    out = np.empty(size, np.int64)
    for epoch in np.unique(epochs):
      here = epochs == epoch
      order = self._permutation(stage, int(epoch), len(records))
      out[here] = records[order[within[here]]]
    return out

  @functools.lru_cache(maxsize=3)  # noqa: B019  one object a run
  def _permutation(self, stage, epoch, count):
    return _generator(self.seed, stage, epoch).permutation(count)

  def __getitem__(self, k):
    records = self.order(k)
    statement = self._statements(k, records)
    batch = {"records": records}
    if self.reads:
      batch["ecg"] = self._signals(records[self.rows])
    batch |= self.columns(statement)
    left_out = [record in self.unreadable for record in records]
    batch["statement"][left_out] = ABSENT
    return batch

  def learn(self, unreadable):
    """Takes in what other processes could not read, {position: reason}."""
    for record in unreadable.keys() - self.unreadable.keys():
      error = f"record {self.split.record_ids[record]} cannot be read"
      self._leave_out(record, Unreadable(error, unreadable[record]))

  def signals(self, records, size):
    """Iterates over (b, 12, T) signals of `size` records at a time."""
    count = -(-len(records) // size)
    return self._ahead(
      lambda k: self._signals(records[k * size : (k + 1) * size]), 0, count
    )

  def _signals(self, records):
    """(B, 12, T) int16 microvolts, zeros for what cannot be read."""
    there = np.array([record not in self.unreadable for record in records])
    if there.all():
      try:
        return self._read(records)
      except Unreadable:  # each one alone, to find out which
        pass
    ecg = np.zeros((len(records), leads.COUNT, self.samples), np.int16)
    for i in np.flatnonzero(there):
      try:
        ecg[i] = self._read(records[i : i + 1])[0]
      except Unreadable as error:
        self._leave_out(int(records[i]), error)
    return ecg

  def _read(self, records):
    return self.split.signals(
      records,
      self.config.rate,
      self.samples,
      self.config.cache_gib if self.config.hold == "host" else 0.0,
      self.config.window,
    )

  def _leave_out(self, record, error):
    """Notes a record as unreadable; raises when there are too many."""
    self.unreadable[record] = error.reason
    count, most = len(self.unreadable), self.config.max_skip_rate
    if count > most * self.drawn:
      raise InputError(
        f"{error}: {count} of {self.drawn} records, more than "
        f"data.max-skip-rate={most:g} allows; build the dataset again, or "
        "raise it"
      ) from error

  def _statements(self, k, records):
    """(B, M) ids of the texts of batch k."""
    statement = np.full((len(records), self.width), ABSENT, np.int32)
    draw = _generator(self.seed, 2, k)
    for row, record in zip(statement, records, strict=True):
      ids = self.texts.of(record)
      if len(ids) > self.width:
        ids = np.sort(draw.choice(ids, self.width, replace=False))
      row[: len(ids)] = ids
    return statement

  @functools.cached_property
  def groups(self):
    """Sizes of the groups of texts, by the first batches of each stage."""
    lengths, samples = self.texts.lengths, []
    start = self.before_steps
    for k in {*range(SAMPLED), *range(start, start + SAMPLED)}:
      used = np.unique(self._statements(k, self.order(k)))
      samples.append(lengths[used[used != ABSENT]])
    longest = self.texts.tokens.shape[1]
    if not self.length_groups:
      samples = [np.full(len(x), longest) for x in samples]
    return widths.choose(
      samples, max(1, self.length_groups), len(lengths), longest, self.divisor
    )

  def columns(self, statement):
    """The distinct texts of (B, M) ids, each group padded to its size."""
    used, counts = np.unique(statement[statement != ABSENT], return_counts=True)
    groups = widths.assign(self.texts.lengths[used], self.groups)
    columns, tokens = [], {}
    for places, rows, width in groups:
      column = np.full(rows, ABSENT)
      column[: len(places)] = places
      columns.append(column.reshape(self.divisor, -1))
      ids = used[places]
      name = "tokens" if len(columns) == len(groups) else f"tokens_{width}"
      tokens[name] = np.zeros((rows, width), np.int32)
      tokens[name][: len(ids)] = self.texts.tokens[ids, :width]
    order = np.concatenate(columns, axis=1).reshape(-1)
    there = order != ABSENT
    column_of = np.empty(len(used), np.int32)
    column_of[order[there]] = np.flatnonzero(there)
    held = statement != ABSENT
    place = np.full(statement.shape, ABSENT, np.int32)
    place[held] = column_of[np.searchsorted(used, statement[held])]
    return {
      "statement": place,
      **tokens,
      "text_ids": np.where(there, used[order], ABSENT).astype(np.int32),
      "text_weights": np.where(there, counts[order], 0).astype(np.float32),
    }

  def stream(self, start, stop):
    """Iterates over batches start .. stop - 1, read ahead by threads."""
    return self._ahead(self.__getitem__, start, stop)

  def _ahead(self, function, start, stop):
    data = grain.MapDataset.range(start, stop).map(function)
    options = grain.ReadOptions(
      num_threads=self.config.threads,
      prefetch_buffer_size=2 * self.config.threads,
    )
    return iter(data.to_iter_dataset(options))


def _with_text(records, counts):
  records = np.asarray(records, np.int64)
  return records[counts[records] > 0]


def _generator(*key):
  """Random numbers that depend on the key alone, on any machine."""
  return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
