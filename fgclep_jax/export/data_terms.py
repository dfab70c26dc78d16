"""The data a model was trained on: name, counts, licence where it is known."""

from fgclep_jax.evaluation import results

SIMULATED = "simulated_ecg"
# Dataset -> what it is, its licence as its publisher states it, a remark.
KNOWN = {
  SIMULATED: (
    "ECGs simulated by this project",
    "none needed: no patients, no data of others",
    "",
  ),
  "mimic_iv_ecg": (
    "MIMIC-IV-ECG 1.0, https://physionet.org/content/mimic-iv-ecg/1.0/",
    "Open Data Commons Open Database License v1.0, says its publisher: what is "
    "derived from the data and passed on stays under that licence",
    "Its statements are those of the ECG machine. Age and sex come from the "
    "module hosp of MIMIC-IV, which has a data use agreement of its own; the "
    "model does not see them.",
  ),
  "ptb_xl": (
    "PTB-XL 1.0.3, https://physionet.org/content/ptb-xl/1.0.3/",
    "CC BY 4.0: its authors are to be named (Wagner et al., PTB-XL, a large "
    "publicly available electrocardiography dataset, Scientific Data 2020)",
    "Its reports are in the original language, mostly German, unless a "
    "translation lay beside the archive.",
  ),
  "cpsc2018": (
    "China Physiological Signal Challenge 2018",
    "the organisers name none; the copy of the Challenge 2021 at PhysioNet is "
    "CC BY 4.0",
    "",
  ),
  "chapman_ningbo": (
    "Chapman-Shaoxing-Ningbo, "
    "https://physionet.org/content/ecg-arrhythmia/1.0.0/",
    "CC BY 4.0: its authors are to be named (Zheng et al.)",
    "",
  ),
}
UNKNOWN = ("not known to this program", "not known to this program", "")


def only_simulated(about):
  """Whether nothing but simulated data is known to have been used."""
  stages = _stages(about)
  known = len(stages) > 1 or not about["config"]["init_from"]
  pretrained = _pretrained(about, stages)
  alone = all(stage["dataset"] == SIMULATED for stage in stages)
  return alone and known and not pretrained


def training_data(about):
  """The section on training data, a str."""
  stages, lines = _stages(about), []
  for number, trained in enumerate(stages, 1):
    if len(stages) > 1:
      lines += [f"Stage {number}:", ""]
    lines += [*_stage(trained), ""]
  return "\n".join(lines + _starts(about, stages)).rstrip()


def _stages(about):
  """What each stage was trained on, in their order."""
  trained = about["checkpoint"]["trained_on"]
  return [*trained.get("before", []), trained]


def _pretrained(about, stages):
  """Names of the folders that the text tower started from."""
  names = {stage.get("pretrained", "") for stage in stages}
  return (names | {about["config"]["model"]["text"]["pretrained"]}) - {""}


def _stage(trained):
  """Lines on the data of one stage."""
  name = trained["dataset"]
  what, terms, remark = KNOWN.get(name, UNKNOWN)
  lines = [
    f"- **{results.inert(name)}**, config {results.inert(trained['config'])}, "
    f"split {results.inert(trained['split'])}: {what}.",
    f"- {trained['records']:,} records, {trained['texts']:,} distinct texts.",
    f"- Licence of the data: {terms}.",
  ]
  if remark:
    lines.append(f"- {remark}")
  if trained.get("simulated_records"):
    lines.append(
      f"- Before that, {trained['simulated_records']:,} simulated records "
      f"(version {trained['simulator_version']} of this project's simulator)."
    )
  if trained["config"] == "enhanced":
    lines.append(
      "- Texts hold waveform features besides the statements of the reports: "
      "proposed from the diagnoses and verified by a coarse model, not read "
      "off the tracing by a physician."
    )
  return lines


def _starts(about, stages):
  """Lines on what the first parameters were, where they were not drawn."""
  lines, config = [], about["config"]
  if config["init_from"] and len(stages) == 1:
    lines.append(
      "- Training started from the parameters of the run "
      f"`{results.inert(config['init_from'])}`. What that run was trained on "
      "is not recorded here; the terms of its data hold as well."
    )
  for pretrained in sorted(_pretrained(about, stages)):
    lines.append(
      "- The text tower started from the folder "
      f"`{results.inert(pretrained)}`; the terms of that model hold as well."
    )
  return lines


def front_matter(about):
  """YAML lines on the licence."""
  if only_simulated(about):
    return ["license: apache-2.0"]
  return ["license: other", "license_name: see-the-section-licence"]


def licence(about):
  """The section on licences, a str."""
  code = "Code (fgclep_jax): Apache-2.0."
  if only_simulated(about):
    return f"{code} The parameters come from simulated data alone."
  return (
    f"{code} For the parameters no licence is stated here: whoever passes them "
    "on states one, in keeping with the terms under *Training data*."
  )
