"""The closed vocabulary of waveform features.

A feature is what is seen on the tracing, as against a diagnosis: a wave, the
leads where it is looked for, the finding and, where there is one, its limit.
"""

import dataclasses

from fgclep_jax.errors import InputError

WAVES = ("rate", "rhythm", "axis", "P", "PR", "QRS", "ST", "T", "U", "QT")
_INFERIOR = ("II", "III", "aVF")
_LATERAL = ("I", "aVL", "V5", "V6")
_RIGHT, _LEFT = ("V1", "V2", "V3"), ("V4", "V5", "V6")
_ANTERIOR = ("V1", "V2", "V3", "V4")


@dataclasses.dataclass(frozen=True)
class Feature:
  """One waveform feature.

  Attributes:
    name: the words it goes by, everywhere in the project.
    wave: one of WAVES.
    finding: what is found about the wave.
    leads: where; empty when it is not a matter of single leads.
    limit: (comparison, number, unit), or None when it is seen, not measured.
  """

  name: str
  wave: str
  finding: str
  leads: tuple = ()
  limit: tuple | None = None


VOCABULARY = (
  Feature("heart rate < 60 bpm", "rate", "low", (), ("<", 60, "bpm")),
  Feature("heart rate > 100 bpm", "rate", "high", (), (">", 100, "bpm")),
  Feature("irregular RR intervals", "rhythm", "irregular"),
  Feature("absent P waves", "P", "absent"),
  Feature("fibrillatory waves", "rhythm", "fibrillatory waves"),
  Feature(
    "flutter waves in II, III and aVF", "rhythm", "flutter waves", _INFERIOR
  ),
  Feature("premature narrow QRS complexes", "rhythm", "premature narrow"),
  Feature("premature wide QRS complexes", "rhythm", "premature wide"),
  Feature("compensatory pause", "rhythm", "pause"),
  Feature("premature P waves", "P", "premature"),
  Feature("dropped QRS complexes", "rhythm", "dropped beats"),
  Feature("progressive PR prolongation", "PR", "lengthening"),
  Feature("pacing spikes", "rhythm", "pacing spikes"),
  Feature("P wave duration > 120 ms", "P", "broad", (), (">", 120, "ms")),
  Feature("P wave > 0.25 mV in II", "P", "tall", ("II",), (">", 0.25, "mV")),
  Feature("negative terminal P wave in V1", "P", "negative end", ("V1",)),
  Feature("PR interval > 200 ms", "PR", "prolonged", (), (">", 200, "ms")),
  Feature("PR segment depression", "PR", "depression"),
  Feature("QRS duration > 120 ms", "QRS", "wide", (), (">", 120, "ms")),
  Feature("left axis deviation", "axis", "left", (), ("<", -30, "degrees")),
  Feature("right axis deviation", "axis", "right", (), (">", 100, "degrees")),
  Feature("rSR' pattern in V1", "QRS", "rSR'", ("V1",)),
  Feature("dominant R wave in V1", "QRS", "dominant R", ("V1",)),
  Feature("broad S wave in V1", "QRS", "broad S", ("V1",)),
  Feature("notched R wave in V5-V6", "QRS", "notched R", ("V5", "V6")),
  Feature("broad S wave in I and V6", "QRS", "broad S", ("I", "V6")),
  Feature("deep S wave in V6", "QRS", "deep S", ("V6",), (">", 0.6, "mV")),
  Feature(
    "S wave in V1 + R wave in V5 > 3.5 mV",
    "QRS",
    "high voltage",
    ("V1", "V5", "V6"),
    (">", 3.5, "mV"),
  ),
  Feature(
    "R wave in V5 or V6 > 2.6 mV",
    "QRS",
    "tall R",
    ("V5", "V6"),
    (">", 2.6, "mV"),
  ),
  Feature(
    "R wave in aVL > 1.1 mV", "QRS", "tall R", ("aVL",), (">", 1.1, "mV")
  ),
  Feature(
    "R wave in aVL + S wave in V3 > 2.4 mV",
    "QRS",
    "high voltage",
    ("aVL", "V3"),
    (">", 2.4, "mV"),
  ),
  Feature("poor R wave progression", "QRS", "low R", ("V3", "V4")),
  Feature("Q waves in V1-V3", "QRS", "Q", _RIGHT),
  Feature("Q waves in II, III and aVF", "QRS", "Q", _INFERIOR),
  Feature("qR complex in I and aVL", "QRS", "qR", ("I", "aVL")),
  Feature(
    "low QRS voltage in limb leads",
    "QRS",
    "low voltage",
    ("I", "II", "III", "aVR", "aVL", "aVF"),
    ("<", 0.5, "mV"),
  ),
  Feature("fragmented QRS in inferior leads", "QRS", "fragmented", _INFERIOR),
  Feature("J point notch", "QRS", "J notch"),
  Feature("ST elevation in V1-V4", "ST", "elevation", _ANTERIOR),
  Feature("ST elevation in II, III and aVF", "ST", "elevation", _INFERIOR),
  Feature("diffuse ST elevation", "ST", "elevation"),
  Feature("ST depression in V1-V3", "ST", "depression", _RIGHT),
  Feature("ST depression in V4-V6", "ST", "depression", _LEFT),
  Feature("ST depression in I and aVL", "ST", "depression", ("I", "aVL")),
  Feature("T wave inversion in V1-V4", "T", "inversion", _ANTERIOR),
  Feature("T wave inversion in I, aVL, V5 and V6", "T", "inversion", _LATERAL),
  Feature("T wave inversion in II, III and aVF", "T", "inversion", _INFERIOR),
  Feature("tall T waves in V2-V4", "T", "tall", ("V2", "V3", "V4")),
  Feature("flat T waves", "T", "flat"),
  Feature("QTc interval > 460 ms", "QT", "prolonged", (), (">", 460, "ms")),
  Feature("prominent U waves", "U", "prominent"),
)
_BY_NAME = {feature.name: feature for feature in VOCABULARY}


def lookup(names):
  """The features of that name, in order.

  Raises:
    InputError: a name is not in the vocabulary.
  """
  unknown = [name for name in names if name not in _BY_NAME]
  if unknown:
    raise InputError(
      f"no waveform feature {unknown[0]!r}: the names stand in "
      "fgclep_jax/reports/features.py"
    )
  return tuple(_BY_NAME[name] for name in names)
