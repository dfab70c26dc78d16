"""The four archives as published: how much they hold, and where it lies."""

import os
import re

from fgclep_jax.errors import InputError

RECORDS = {
  "mimic_iv_ecg": 800_035,  # lines of record_list.csv of release 1.0
  "ptb_xl": 21_799,  # of release 1.0.3
  "cpsc2018": 6877,  # A0001 to A6877
  "chapman_ningbo": 45_152,
}
# Records of train, validation and test; MIMIC-IV-ECG publishes no split.
SPLIT_SIZES = {
  "ptb_xl": (17418, 2183, 2198),
  "cpsc2018": (4950, 551, 1376),
  "chapman_ningbo": (16546, 1860, 4620),
}
TREES = {
  "mimic_iv_ecg": (
    "record_list.csv, machine_measurements.csv and "
    "files/pNNNN/pNNNNNNNN/sNNNNNNNN/NNNNNNNN.{hea,dat}"
  ),
  "ptb_xl": (
    "ptbxl_database.csv, scp_statements.csv, "
    "records500/NN000/NNNNN_hr.{hea,dat} or "
    "records100/NN000/NNNNN_lr.{hea,dat}, and optionally reports_en.csv"
  ),
  "cpsc2018": (
    "TrainingSet/A0001.mat ... (or TrainingSet1 to 3) and REFERENCE.csv, or "
    "the Challenge's A0001.{hea,mat} ... in any folders; and optionally "
    "merl/.../icbeb_{train,val,test}.csv"
  ),
  "chapman_ningbo": (
    "WFDBRecords/01/010/JS00001.{hea,mat} ..., and optionally "
    "merl/.../chapman_{train,val,test}.csv"
  ),
}
# Ids of the archives whose records are found by name in any folder.
PATTERNS = {"cpsc2018": r"A\d{4}", "chapman_ningbo": r"JS\d{5}"}
_SUBJECT = re.compile(r"<?subject_id>?:\s*(\d+)", re.ASCII)
PTB_XL_SPLIT = dict.fromkeys(range(1, 9), "train") | {  # by strat_fold
  9: "validation",
  10: "test",
}


def mimic_place(subject, study):
  """Returns the place of a MIMIC record below the root, without ending."""
  return f"files/p{str(subject)[:4]}/p{subject}/s{study}/{study}"


def mimic_subject(comments):
  """Returns the subject that comments of a MIMIC header name, else None."""
  for comment in comments:
    match = _SUBJECT.search(comment)
    if match:
      return int(match[1])
  return None


def ptb_xl_rate(root):
  """Returns 500 or 100: the waveforms of PTB-XL to use.

  `FGCLEP_PTBXL_RATE` chooses; otherwise records500 where present.
  """
  present = [
    rate for rate in (500, 100) if os.path.isdir(f"{root}/records{rate}")
  ]
  if not present:
    raise InputError(
      f"{root}: no waveforms found; expected there: {TREES['ptb_xl']}"
    )
  given = os.environ.get("FGCLEP_PTBXL_RATE")
  if given is None:
    return present[0]
  if given not in [str(rate) for rate in present]:
    raise InputError(
      f"FGCLEP_PTBXL_RATE={given!r}: waveforms present in {root} are "
      f"{' and '.join(f'{rate} Hz' for rate in present)}"
    )
  return int(given)


def cpsc_reference(root):
  """Returns the path of CPSC2018's REFERENCE.csv, or None where absent.

  It lies beside the folders of records or in one of them.
  """
  folders = [root] + [
    entry.path
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name)
    if entry.is_dir() and entry.name.startswith("TrainingSet")
  ]
  paths = [os.path.join(folder, "REFERENCE.csv") for folder in folders]
  return next((path for path in paths if os.path.exists(path)), None)
