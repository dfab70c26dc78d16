"""The flags of each command, and the fields of a config as flags."""

from fgclep_jax import config as config_lib
from fgclep_jax.errors import InputError


def add_doctor(command):
  command.add_argument("--workdir", help="folder of the run")
  command.add_argument(
    "--config", help="configs/X.py or configs/X.py:argument, fields may follow"
  )


def add_plot(command):
  command.add_argument("record", help="with or without .hea")
  command.add_argument("--out", required=True, help=".png, .pdf or .svg")
  command.add_argument("--title", help="default: the name of the file")


def add_explanation(command):
  command.add_argument(
    "--workdir", required=True, help="of `fgclep train`, or an export"
  )
  command.add_argument("--step", type=int, help="checkpoint; default newest")
  command.add_argument(
    "--record", required=True, help="a WFDB record, with or without .hea"
  )
  command.add_argument("--statement", required=True, help="the text")
  command.add_argument("--out", required=True, help=".png, .pdf or .svg")
  command.add_argument(
    "--method",
    choices=("occlusion", "alignment"),
    help="occlusion: fall of the cosine where one lead is flat for one second; "
    "alignment: the model's own weights; default alignment where it has any",
  )
  command.add_argument(
    "--seed", type=int, default=0, help="of the untrained weights of the check"
  )


def add_data_check(command, run):
  text = "Check a raw archive before a build; samples are not read."
  command = command.add_subparsers(
    dest="action", required=True, metavar="ACTION"
  ).add_parser("check", help=text, description=text, allow_abbrev=False)
  command.set_defaults(run=run)
  command.add_argument("raw", help="folder of the archive")
  command.add_argument(
    "--dataset",
    required=True,
    choices=("mimic_iv_ecg", "ptb_xl", "cpsc2018", "chapman_ningbo"),
  )
  command.add_argument("--json", help="file to write the report to")


def add_compilation(command):
  command.add_argument(
    "--config", required=True, help="configs/X.py or configs/X.py:argument"
  )
  command.add_argument(
    "--topology",
    required=True,
    metavar="NAME",
    help="v5e-8, v5e-256, v6e-16 (chips); v5p-64, v4-64 (cores, two a chip)",
  )
  command.add_argument(
    "--vocabulary", type=int, help="word pieces; default the config's or BERT's"
  )
  command.add_argument(
    "--statements",
    type=int,
    metavar="U",
    help="distinct statements of a batch; default at least one a record",
  )
  command.add_argument(
    "--pairs",
    type=int,
    metavar="M",
    help="statements of the record that has the most; default what the config "
    "draws of a record, else 16",
  )
  command.add_argument(
    "--tokens",
    type=int,
    metavar="L",
    help="word pieces of the longest statement; default the config's limit",
  )
  command.add_argument("--out", metavar="JSON", help="file for all figures")


def add_data(command):
  command.add_argument("--workdir", required=True, help="of `fgclep train`")
  command.add_argument("--step", type=int, help="checkpoint; default newest")
  command.add_argument("--dataset", required=True)
  command.add_argument("--dataset-config", default="original")
  command.add_argument("--data-dir", required=True)
  command.add_argument("--split", default="test")
  command.add_argument(
    "--window",
    default="cover",
    choices=("first", "centre", "cover"),
    help="what a record longer than the model's input is seen by; cover, the "
    "default: the mean over windows from its beginning to its end",
  )


def add_evaluation(command):
  add_data(command)
  command.add_argument(
    "--task",
    default="all",
    help="super, sub, form, rhythm, cpsc, csn, simulated, features (true "
    "waveform features of simulated records), retrieval (of reports), all, "
    "or several with commas",
  )
  command.add_argument("--out", required=True, help="folder of the results")
  command.add_argument(
    "--probe",
    default="",
    help="linear probe on these shares of the train split, e.g. 0.1,1.0",
  )
  command.add_argument(
    "--probe-task", help="probe these tasks only, several with commas"
  )
  command.add_argument(
    "--finetune",
    action="store_true",
    help="train the encoder and a head on the labels of the same shares",
  )
  command.add_argument(
    "--supervised",
    action="store_true",
    help="the same from fresh weights, beside the baselines",
  )
  command.add_argument(
    "--epochs",
    type=float,
    default=30.0,
    help="of --finetune and --supervised, at most; the validation split ends "
    "them early",
  )
  command.add_argument(
    "--beside",
    action="append",
    default=[],
    metavar="WORKDIR",
    help="compare zero-shot with the newest checkpoint of this workdir, on "
    "the same records and resamples; may be given several times",
  )
  command.add_argument(
    "--protocol",
    default="standard",
    help="standard, or standard,merl: beside it, bug-compatible figures that "
    "can be set beside published ones",
  )
  command.add_argument(
    "--prompts",
    help="JSON file {class: prompt or list} instead of the reviewed prompts; "
    "with standard,merl the published prompts, used by merl only",
  )
  command.add_argument(
    "--merl-schedule",
    default="batch",
    choices=("batch", "epoch"),
    help="when a probe of merl steps its learning rate; batch, the default: "
    "after every batch and every epoch, as published",
  )
  command.add_argument(
    "--select-step",
    action="store_true",
    help="merl: of the checkpoints kept, the one that is best zero-shot on the "
    "tasks' labelled validation records, as published; standard keeps the "
    "newest",
  )
  command.add_argument(
    "--merl-splits",
    metavar="FOLDER",
    help="`data_split` of the published files: their row order, without "
    "which merl's subsets of cpsc and csn are not the published ones",
  )
  command.add_argument(
    "--bootstrap", type=int, default=1000, help="resamples of the intervals"
  )
  command.add_argument(
    "--no-baselines",
    action="store_true",
    help="leave out the untrained encoder and the simple features",
  )
  command.add_argument(
    "--with-examples",
    action="store_true",
    help="show five tested ECGs and their closest class prompts in the report, "
    "which then holds waveforms; never report text",
  )


def add_comparison(command):
  for name in ("first", "second"):
    command.add_argument(
      name, metavar="RUN", help="folder that `fgclep evaluate --out` wrote"
    )
  command.add_argument("--out", metavar="JSON", help="file to write")


def add_export(command):
  command.add_argument(
    "--workdir", required=True, help="of `fgclep train`, or an export"
  )
  command.add_argument("--step", type=int, help="checkpoint; default newest")
  command.add_argument(
    "--out",
    required=True,
    metavar="FOLDER",
    help="model.safetensors, config.json, preprocessor.json, vocab.txt, model "
    "card; an earlier export there is replaced, anything else refused",
  )
  command.add_argument(
    "--encoder-only",
    action="store_true",
    help="leave out the text tower: no zero-shot, embed_ecg stays",
  )
  command.add_argument(
    "--results",
    metavar="JSON",
    help="results.json of `fgclep evaluate` on this checkpoint, for the card",
  )


def add_enhancement(command):
  command.add_argument("--workdir", help="of the coarse model")
  command.add_argument("--step", type=int, help="checkpoint; default newest")
  command.add_argument("--dataset")
  command.add_argument("--data-dir", help="folder of built datasets")
  command.add_argument("--out", help="enhanced.parquet")
  command.add_argument(
    "--plan", action="store_true", help="count what would be asked; ask nothing"
  )
  command.add_argument(
    "--statements",
    metavar="TXT",
    help="with --plan: a text file, one statement a line, instead of a dataset",
  )
  command.add_argument(
    "--classes", metavar="CSV", help="with --plan: class of every statement"
  )
  command.add_argument(
    "--backend", default="rules", choices=("rules", "openai", "transformers")
  )
  command.add_argument(
    "--server", default="http://127.0.0.1:8000", help="of backend openai"
  )
  command.add_argument(
    "--model", help="name at the server, or folder of backend transformers"
  )
  command.add_argument(
    "--allow-remote",
    metavar="HOST",
    help="a server that is not this machine: statements leave it",
  )
  command.add_argument(
    "--request",
    metavar="JSON",
    help="more fields of a request to the server, such as "
    """'{"chat_template_kwargs": {"enable_thinking": false}}'""",
  )
  command.add_argument(
    "--concurrency", type=int, default=8, help="requests at once"
  )
  command.add_argument(
    "--timeout", type=float, default=300.0, help="seconds a request"
  )
  command.add_argument(
    "--max-reject-rate",
    type=float,
    default=0.05,
    help="share of findings that may stay without a usable answer",
  )
  command.add_argument("--cache", help="answers; default beside --out")
  command.add_argument("--corrections", help="CSV, wins over the backend")
  command.add_argument("--sheet", help="CSV to write for a reviewer")
  command.add_argument(
    "--threshold",
    default="calibrated",
    choices=("calibrated", "quantile", "fixed"),
    help="how much score is enough",
  )
  command.add_argument(
    "--target", type=float, default=0.9, help="precision of calibrated"
  )
  command.add_argument(
    "--cosine", type=float, default=0.95, help="of threshold fixed"
  )
  command.add_argument(
    "--share", type=float, default=0.3, help="that quantile keeps"
  )
  command.add_argument(
    "--plant",
    type=float,
    default=0.0,
    metavar="SHARE",
    help="add wrong candidates on purpose, to measure the verification",
  )
  command.add_argument("--bootstrap", type=int, default=1000)
  command.add_argument("--seed", type=int, default=0)


def fields():
  lines = ["config fields, each a flag such as --optim.learning-rate 3e-4:"]
  for name, value in config_lib.flatten(config_lib.TrainConfig()).items():
    lines.append(f"  --{name.replace('_', '-')} (default {value!r})")
  return "\n".join(lines)


def changes(rest):
  """['--a.b', '1', '--c=2'] -> {'a.b': '1', 'c': '2'}."""
  changes, words = {}, list(rest)
  while words:
    word = words.pop(0)
    if not word.startswith("--"):
      raise InputError(f"unexpected {word!r}: fields are --name value")
    name, equals, value = word[2:].partition("=")
    if not equals:
      if not words:
        raise InputError(f"--{name} has no value: give --{name} VALUE")
      value = words.pop(0)
    changes[name] = value
  return changes
