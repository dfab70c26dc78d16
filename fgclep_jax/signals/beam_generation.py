"""Makes the examples of a dataset by Beam, where the user asks for it.

Same examples, order and account as the generator's. Neither TFDS nor Beam
is imported here: builders hand the module of the latter in.
"""

import functools
import json
import os
import pathlib

from fgclep_jax.errors import InputError
from fgclep_jax.signals import contract, generation

CHUNK = 64  # records that one Beam element stands for


def transform(beam, job, split, folder):
  """Returns the Beam PTransform that gives what `generation.examples` yields.

  Workers make the recipe again from the settings of `job.remake`: the
  pipeline stays small however many records there are. The account comes back
  as a file in `folder`, which every worker must reach, as TFDS's own writers
  do: counters are not exact on every runner.

  Args:
    beam: the module `apache_beam`.
    job, split, folder: as of `generation.examples`; with `job.remake`.
  """
  records = len(job.recipe.places[split])
  starts = range(0, records, CHUNK)
  chunks = [(start, start + CHUNK) for start in starts]
  settings = json.dumps(job.remake.keywords, sort_keys=True)
  given = job.remake.func, settings, split, records

  @beam.ptransform_fn
  def generate(pipeline):
    found = (
      pipeline
      | "Chunks" >> beam.Create(chunks)
      | "Records" >> beam.FlatMap(_judge_chunk, *given)
    )
    _ = (
      found
      | "Accounts" >> beam.Filter(_is_account)
      | "AllAccounts" >> beam.combiners.ToList()
      | "StoreAccount" >> beam.Map(_store, _account_path(folder, split))
    )
    return found | "Examples" >> beam.Filter(_is_example)

  return generate()


def close_all(job, folder):
  """Enters the accounts that the workers have left; ends on bad input."""
  _recipe.cache_clear()
  with contract.exit_on_bad_input(job.name):
    for split in job.recipe.places:
      path = pathlib.Path(_account_path(folder, split))
      account = generation.Account.from_json(path.read_text(encoding="utf-8"))
      path.unlink()
      job.close(split, account, folder)


def _account_path(folder, split):
  return os.path.join(folder, f"account-{split}.json")


@functools.lru_cache(maxsize=1)
def _recipe(remake, settings):
  """Returns the Recipe, made once in each worker, or the InputError."""
  try:
    return remake(**json.loads(settings))
  except InputError as error:
    return error


def _judge_chunk(chunk, remake, settings, split, records):
  """Yields record id and example of those kept, and last the account.

  Args:
    chunk: first and last place of the split, the latter excluded.
    remake, settings: function and JSON of its keyword arguments.
    split: its name.
    records: how many the command found in it.
  """
  recipe = _recipe(remake, settings)
  account = generation.Account()
  places = _places(recipe, split, records, account)
  for index in places[slice(*chunk)]:
    kept = generation.judge(recipe, split, int(index), account)
    if kept:
      yield kept
  yield account.to_json()


def _places(recipe, split, records, account):
  """Returns the places of a split; none, and refused, on another archive."""
  if isinstance(recipe, InputError):
    account.refused.append((0, f"a worker cannot open the archive: {recipe}"))
    return ()
  places = recipe.places.get(split, ())
  if len(places) != records:
    message = (
      f"a worker finds {len(places)} records of {split}, the command found "
      f"{records}: give all of them the same archive, and leave it unchanged"
    )
    account.refused.append((0, message))
    return ()
  return places


def _is_account(found):
  return isinstance(found, str)


def _is_example(found):
  return not isinstance(found, str)


def _store(accounts, path):
  """Writes the sum; a repeated attempt writes the same file again."""
  total = generation.Account()
  for account in accounts:
    total.absorb(generation.Account.from_json(account))
  pathlib.Path(path).write_text(total.to_json(), encoding="utf-8")


class BeamByOption:
  """Stands before `tfds.core.GeneratorBasedBuilder` among a builder's bases.

  `_split_generators` returns `_generate_splits_of` a job. Beam is used where
  the build was given options or a runner of it (`tfds build
  --beam_pipeline_options=...`).
  """

  _job: generation.Job
  _by_beam = False
  _limit = None

  def _download_and_prepare(self, dl_manager, download_config=None):
    given = download_config
    self._by_beam = bool(given and (given.beam_options or given.beam_runner))
    if given and not self._by_beam:  # Beam makes all examples
      self._limit = given.max_examples_per_split
    super()._download_and_prepare(dl_manager, download_config)

  def _generate_splits_of(self, job, imports):
    """Returns split -> what `_generate_examples` returns for it."""
    self._job = job
    if self._limit is not None:
      job.limit = self._limit
      self.info.metadata["partial"] = True
    return {
      split: self._generate_examples(imports, split)
      for split in job.recipe.places
    }

  def _generate_examples(self, imports, split):
    """Returns a generator or a PTransform of record id and example.

    Args:
      imports: `tfds.core.lazy_imports`, asked for Beam where it is used.
      split: one of the job's.
    """
    if self._by_beam:
      return transform(imports.apache_beam, self._job, split, self.data_dir)
    return generation.examples(self._job, split, self.data_dir)

  def _process_pipeline_result(self, pipeline_result):
    del pipeline_result  # the accounts are files
    close_all(self._job, self.data_dir)
