"""Makes the examples of a dataset by Beam, where the user asks for it.

Same examples, order and account as the generator's. Neither TFDS nor Beam
is imported here: builders hand the module of the latter in.
"""

import functools
import os
import pathlib
import pickle

from fgclep_jax.signals import contract, generation

CHUNK = 64  # records that one Beam element stands for
_RECIPE = "recipe.pickle"


def transform(beam, job, split, folder):
  """Returns the Beam PTransform that gives what `generation.examples` yields.

  The recipe travels as a file in `folder`, which every worker must reach,
  as TFDS's own writers do: the pipeline itself stays small however many
  records there are. The account comes back as a file too, since counters
  are not exact on every runner.

  Args:
    beam: the module `apache_beam`.
    job, split, folder: as of `generation.examples`.
  """
  folder = os.fspath(folder)
  path = os.path.join(folder, _RECIPE)
  if not os.path.exists(path):
    os.makedirs(folder, exist_ok=True)
    pathlib.Path(path).write_bytes(pickle.dumps(job.recipe))
  starts = range(0, len(job.recipe.places[split]), CHUNK)
  chunks = [(start, start + CHUNK) for start in starts]

  @beam.ptransform_fn
  def generate(pipeline):
    found = (
      pipeline
      | "Chunks" >> beam.Create(chunks)
      | "Records" >> beam.FlatMap(_judge_chunk, path, split)
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
  folder = os.fspath(folder)
  os.remove(os.path.join(folder, _RECIPE))
  _load.cache_clear()
  with contract.exit_on_bad_input(job.name):
    for split in job.recipe.places:
      path = pathlib.Path(_account_path(folder, split))
      account = pickle.loads(path.read_bytes())
      path.unlink()
      job.close(split, account, folder)


def _account_path(folder, split):
  return os.path.join(folder, f"account-{split}.pickle")


@functools.lru_cache(maxsize=1)
def _load(path):
  """Reads the recipe once in each worker."""
  return pickle.loads(pathlib.Path(path).read_bytes())


def _judge_chunk(chunk, path, split):
  """Yields record id and example of those kept, and last the Account."""
  start, stop = chunk
  recipe = _load(path)
  account = generation.Account()
  for index in recipe.places[split][start:stop]:
    kept = generation.judge(recipe, split, int(index), account)
    if kept:
      yield kept
  yield account


def _is_account(found):
  return isinstance(found, generation.Account)


def _is_example(found):
  return not isinstance(found, generation.Account)


def _store(accounts, path):
  """Writes the sum; a repeated attempt writes the same file again."""
  total = generation.Account()
  for account in accounts:
    total.absorb(account)
  pathlib.Path(path).write_bytes(pickle.dumps(total))


class BeamByOption:
  """Stands before `tfds.core.GeneratorBasedBuilder` among a builder's bases.

  `_split_generators` returns `_generate_splits_of` a job. Beam is used where
  the build was given options or a runner of it (`tfds build
  --beam_pipeline_options=...`).
  """

  _job: generation.Job
  _by_beam = False

  def _download_and_prepare(self, dl_manager, download_config=None):
    given = download_config
    self._by_beam = bool(given and (given.beam_options or given.beam_runner))
    super()._download_and_prepare(dl_manager, download_config)

  def _generate_splits_of(self, job, imports):
    """Returns split -> what `_generate_examples` returns for it."""
    self._job = job
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
