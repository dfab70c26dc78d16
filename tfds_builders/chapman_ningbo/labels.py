"""The 55 codes, the 38 benchmark classes and their two label sets.

Codes are the key everywhere: acronyms of this archive mean other things
elsewhere (here AF is atrial flutter), and one code may have several.
"""

import numpy as np

from fgclep_jax.signals import contract, releases

TASK = "csn"
_CLASSES = (
  "AQW UW SR WPW 2AVB AT VB ARS STTC SA STE VPB TWO STTU ALS APB 2AVB1 PRIE "
  "CCR CR AF AVB QTIE LBBB VEB SVT RBBB 1AVB STDD MI AFIB TWC PWC ERV RVH "
  "LVH ST JEB"
)
# In the column order of the published MERL files
# (https://github.com/cheliu-computation/MERL-ICML2024, `chapman`).
CLASSES = tuple(_CLASSES.split())
TASKS = {TASK: CLASSES}
# SNOMED CT code -> the archive's acronym (the first where several share a
# code) and the finding in words: the statements of the `enhanced` config.
CODES = {
  "270492004": ("1AVB", "first degree atrioventricular block"),
  "195042002": ("2AVB", "second degree atrioventricular block"),
  "54016002": ("2AVB1", "second degree atrioventricular block, type I"),
  "28189009": ("2AVB2", "second degree atrioventricular block, type II"),
  "27885002": ("3AVB", "third degree atrioventricular block"),
  "251173003": ("ABI", "atrial bigeminy"),
  "39732003": ("ALS", "left axis deviation"),
  "284470004": ("APB", "premature atrial beats"),
  "164917005": ("AQW", "abnormal Q wave"),
  "47665007": ("ARS", "right axis deviation"),
  "233917008": ("AVB", "atrioventricular block"),
  "251199005": ("CCR", "counterclockwise rotation"),
  "251198002": ("CR", "clockwise rotation"),
  "428417006": ("ERV", "early repolarization"),
  "164942001": ("FQRS", "fragmented QRS"),
  "698252002": ("IDC", "intraventricular conduction difference"),
  "426995002": ("JEB", "junctional escape beat"),
  "251164006": ("JPT", "premature junctional beat"),
  "164909002": ("LBBB", "left bundle branch block"),
  "164873001": ("LVH", "left ventricular hypertrophy"),
  "251146004": ("LVQRSAL", "low QRS voltage in all leads"),
  "251148003": ("LVQRSCL", "low QRS voltage in chest leads"),
  "251147008": ("LVQRSLL", "low QRS voltage in limb leads"),
  "164865005": ("MI", "myocardial infarction"),
  "164947007": ("PRIE", "prolonged PR interval"),
  "164912004": ("PWC", "P wave change"),
  "111975006": ("QTIE", "prolonged QT interval"),
  "446358003": ("RAH", "right atrial hypertrophy"),
  "59118001": ("RBBB", "right bundle branch block"),
  "89792004": ("RVH", "right ventricular hypertrophy"),
  "429622005": ("STDD", "ST segment depression"),
  "164930006": ("STE", "ST segment extension"),
  "428750005": ("STTC", "ST-T change"),
  "164931005": ("STTU", "ST segment elevation"),
  "164934002": ("TWC", "T wave change"),
  "59931005": ("TWO", "T wave inversion"),
  "164937009": ("UW", "U wave"),
  "11157007": ("VB", "ventricular bigeminy"),
  "75532003": ("VEB", "ventricular escape beat"),
  "13640000": ("VFW", "ventricular fusion beat"),
  "17338001": ("VPB", "premature ventricular beat"),
  "195060002": ("VPE", "ventricular preexcitation"),
  "251180001": ("VET", "ventricular escape trigeminy"),
  "195101003": ("WAVN", "wandering atrial pacemaker"),
  "74390002": ("WPW", "Wolff-Parkinson-White pattern"),
  "426177001": ("SB", "sinus bradycardia"),
  "426783006": ("SR", "sinus rhythm"),
  "164889003": ("AFIB", "atrial fibrillation"),
  "427084000": ("ST", "sinus tachycardia"),
  "164890007": ("AF", "atrial flutter"),
  "427393009": ("SA", "sinus arrhythmia"),
  "426761007": ("SVT", "supraventricular tachycardia"),
  "713422000": ("AT", "atrial tachycardia"),
  "233896004": ("AVNRT", "atrioventricular nodal reentrant tachycardia"),
  "233897008": ("AVRT", "atrioventricular reentrant tachycardia"),
}
# Further acronyms of codes above.
SYNONYMS = {
  "IVB": "698252002",
  "LBBBB": "164909002",
  "LFBBB": "164909002",
  "MIBW": "164865005",
  "MIFW": "164865005",
  "MILW": "164865005",
  "MISW": "164865005",
  "SAAWR": "195101003",
}
CODE_OF = {acronym: code for code, (acronym, _) in CODES.items()} | SYNONYMS
RECORDS = releases.RECORDS["chapman_ningbo"]
SPLIT_SIZES = releases.SPLIT_SIZES["chapman_ningbo"]


def exact(codes):
  """Returns (38,) uint8: the classes whose code is among `codes`."""
  return np.array([CODE_OF[name] in codes for name in CLASSES], np.uint8)


def all_codes(codes):
  """Returns (55,) uint8 over the keys of CODES."""
  return np.array([code in codes for code in CODES], np.uint8)


def diagnose(codes):
  """Returns the known codes as the published `diagnose`: `SB,TWC`."""
  return ",".join(CODES[code][0] for code in codes if code in CODES)


def substring(text):
  """Returns (38,) uint8: the published labels of a `diagnose` text.

  The publishers looked for each acronym anywhere in the text, so AF is
  found in AFIB and VB in 1AVB: seven classes have false positives.
  """
  return np.array([name in text for name in CLASSES], np.uint8)


def codes_of(text):
  """Returns the codes of a `diagnose` text; raises KeyError."""
  return tuple(CODE_OF[name] for name in text.split(","))


def own_split(record_id):
  """Returns the split of a record, for use without the published files.

  Seven tenths train, one validation, two test, by a hash of the record id:
  the same whatever else the archive holds.
  """
  share = contract.stable_share(f"chapman_ningbo/{record_id}")
  return "train" if share < 0.7 else "validation" if share < 0.8 else "test"
