"""The command `fgclep`: flags in, exit codes out.

Exit codes: 0 done, 2 bad input (one line says what was given and what to
do), 75 interrupted but resumable by the same command, 1 anything else.
"""

import argparse
import sys
import traceback

from fgclep_jax import config as config_lib
from fgclep_jax import flags, launch, stopping
from fgclep_jax.errors import InputError, Interrupted, RunError


class Parser(argparse.ArgumentParser):
  """Says what is wrong in one line."""

  def error(self, message):
    raise InputError(f"{message}: see `{self.prog} --help`")


def main(argv=None):
  """Runs a command and ends the process with its exit code."""
  try:
    sys.exit(run(sys.argv[1:] if argv is None else argv))
  except (InputError, RunError) as error:
    print(f"fgclep: {' '.join(str(error).split())}", file=sys.stderr)
    code = 2 if isinstance(error, InputError) else 1
    launch.leave(code)
    sys.exit(code)
  except Exception:
    if launch.joined():
      traceback.print_exc()
      launch.leave(1)
    raise


def run(argv):
  """Runs a command; returns the exit code, raises InputError."""
  parser = _parser()
  known, rest = parser.parse_known_args(argv)
  if known.command in ("train", "compile", "doctor"):
    known.changes = flags.changes(rest)
  elif rest:
    raise InputError(
      f"unknown argument {rest[0]}: see `fgclep {known.command} --help`"
    )
  with stopping.Stop() as known.stop:
    try:
      with known.stop.leaving(stopping.nothing_unsaved):
        launch.prepare(known.command)
        return known.run(known) or 0
    except Interrupted as stopped:
      print(f"fgclep: {stopped}", file=sys.stderr)
      return stopping.RESUMABLE


def _parser():
  parser = Parser(
    prog="fgclep",
    description="Fine-grained ECG-text contrastive learning.",
    allow_abbrev=False,
  )
  commands = parser.add_subparsers(
    dest="command", required=True, metavar="COMMAND"
  )

  def add(name, function, text, **options):
    command = commands.add_parser(
      name,
      help=text,
      description=text,
      allow_abbrev=False,
      formatter_class=argparse.RawDescriptionHelpFormatter,
      **options,
    )
    command.set_defaults(run=function)
    return command

  command = add(
    "train", _train, "Train, or go on with a run.", epilog=flags.fields()
  )
  command.add_argument(
    "--config", required=True, help="configs/X.py or configs/X.py:argument"
  )
  command.add_argument("--workdir", required=True, help="folder of the run")
  command.add_argument(
    "--data-dir", required=True, help="folder of built datasets"
  )

  flags.add_compilation(
    add(
      "compile",
      _compile,
      "Compile a training step for a TPU that nobody owns: memory, operations, "
      "exchanges; exit 1 where it does not fit.",
      epilog=flags.fields(),
    )
  )

  command = add("evaluate", _evaluate, "Evaluate a checkpoint.")
  flags.add_evaluation(command)

  flags.add_comparison(
    add("compare", _compare, "Paired differences of two evaluations.")
  )

  command = add("embed", _embed, "Write the embeddings of a split.")
  flags.add_data(command)
  command.add_argument("--out", required=True, help="embeddings.npz")

  flags.add_export(
    add("export", _export, "Write a checkpoint as a folder to pass on.")
  )

  flags.add_enhancement(
    add("enhance", _enhance, "Recover waveform features and verify them.")
  )

  command = add(
    "demo", _demo, "The whole method on the simulated cohort, on a CPU."
  )
  command.add_argument("--workdir", required=True)

  flags.add_explanation(
    add("explain", _explain, "Shade what a statement is aligned with.")
  )
  flags.add_plot(add("plot", _plot, "Draw a WFDB record on ECG paper."))
  flags.add_doctor(
    add("doctor", _doctor, "Find what stands in the way of a run.")
  )
  flags.add_data_check(
    add("data", None, "Look over raw archives."), _data_check
  )
  return parser


def _train(arguments):
  config = config_lib.load(arguments.config)
  config = config_lib.override(config, arguments.changes)
  launch.join()
  launch.keep_compiled(arguments.workdir)
  from fgclep_jax.training import loop, processes

  found = loop.train(
    config, arguments.workdir, arguments.data_dir, stop=arguments.stop
  )
  if not processes.first():
    return 0
  for name, value in found.items():
    print(f"{name}: {value}")
  print(f"checkpoints and metrics in {arguments.workdir}")
  return 0


def _compile(arguments):
  from fgclep_jax.compile import command

  return command.run(arguments)


def _evaluate(arguments):
  from fgclep_jax.evaluation import program

  program.evaluate(
    arguments.workdir,
    arguments.data_dir,
    arguments.dataset,
    arguments.out,
    dataset_config=arguments.dataset_config,
    split=arguments.split,
    tasks=tuple(arguments.task.split(",")),
    probe=program.shares(arguments.probe),
    prompts=arguments.prompts,
    resamples=arguments.bootstrap,
    plain=not arguments.no_baselines,
    step=arguments.step,
    window=arguments.window,
    beside=arguments.beside,
    probe_tasks=arguments.probe_task and arguments.probe_task.split(","),
    protocols=tuple(arguments.protocol.split(",")),
    merl_schedule=arguments.merl_schedule,
    merl_splits=arguments.merl_splits,
    finetune=arguments.finetune,
    supervised=arguments.supervised,
    epochs=arguments.epochs,
    select_step=arguments.select_step,
    with_examples=arguments.with_examples,
  )


def _compare(arguments):
  from fgclep_jax.evaluation import compare

  compare.run(arguments.first, arguments.second, arguments.out)


def _embed(arguments):
  from fgclep_jax.evaluation import program

  count = program.embed(
    arguments.workdir,
    arguments.data_dir,
    arguments.dataset,
    arguments.dataset_config,
    arguments.split,
    arguments.out,
    arguments.step,
    arguments.window,
  )
  print(f"{count} records embedded: {arguments.out}")


def _export(arguments):
  from fgclep_jax.export import program

  program.run(
    arguments.workdir,
    arguments.out,
    arguments.step,
    arguments.encoder_only,
    arguments.results,
  )


def _enhance(arguments):
  from fgclep_jax.enhance import command

  return command.run(arguments)


def _demo(arguments):
  from fgclep_jax import demo

  demo.run(arguments.workdir, stop=arguments.stop)


def _data_check(arguments):
  from fgclep_jax.archives import program

  program.run(arguments.raw, arguments.dataset, arguments.json)


def _explain(arguments):
  from fgclep_jax.explain import program

  program.run(
    arguments.workdir,
    arguments.record,
    arguments.statement,
    arguments.out,
    method=arguments.method,
    seed=arguments.seed,
    step=arguments.step,
  )


def _doctor(arguments):
  from fgclep_jax import doctor

  config = None
  if arguments.config:
    config = config_lib.load(arguments.config)
    config = config_lib.override(config, arguments.changes)
  return doctor.run(config, arguments.workdir)


def _plot(arguments):
  from fgclep_jax.signals import plot

  plot.plot_record(arguments.record, arguments.out, arguments.title)
  print(f"drawn: {arguments.out}")


if __name__ == "__main__":
  main()
