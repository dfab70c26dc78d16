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
_CHEST = ("V1", "V2", "V3", "V4", "V5", "V6")


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
  # The first 51, above, are those of version 1 of the simulated archive, in
  # its order; version 2 has 34 of those below as well.
  Feature("heart rate < 40 bpm", "rate", "very low", (), ("<", 40, "bpm")),
  Feature("heart rate > 150 bpm", "rate", "very high", (), (">", 150, "bpm")),
  Feature("regular RR intervals", "rhythm", "regular"),
  Feature("gradually varying PP intervals", "rhythm", "gradually varying"),
  Feature("RR interval > 2000 ms", "rhythm", "long", (), (">", 2000, "ms")),
  Feature("missing P wave and QRS complex", "rhythm", "missing P and QRS"),
  Feature("group beating", "rhythm", "grouped"),
  Feature("every second beat premature", "rhythm", "bigeminal"),
  Feature("every third beat premature", "rhythm", "trigeminal"),
  Feature("interpolated QRS complexes", "rhythm", "interpolated"),
  Feature("paired wide QRS complexes", "rhythm", "paired wide"),
  Feature("runs of wide QRS complexes", "rhythm", "runs of wide"),
  Feature("multiform wide QRS complexes", "rhythm", "multiform wide"),
  Feature("late wide QRS complex after a pause", "rhythm", "late wide"),
  Feature("late narrow QRS complex after a pause", "rhythm", "late narrow"),
  Feature("fusion QRS complexes", "rhythm", "fusion"),
  Feature("chaotic baseline without QRS", "rhythm", "chaotic"),
  Feature("twisting QRS polarity", "rhythm", "twisting"),
  Feature("pacing spikes before P waves", "rhythm", "spikes before P"),
  Feature("pacing spikes before QRS", "rhythm", "spikes before QRS"),
  Feature("pacing spikes without capture", "rhythm", "spikes uncaptured"),
  Feature("upright P waves in I and II", "P", "upright", ("I", "II")),
  Feature("one P wave before every QRS", "P", "one to one"),
  Feature("inverted P waves in II, III and aVF", "P", "inverted", _INFERIOR),
  Feature("retrograde P waves after QRS", "P", "retrograde"),
  Feature("P waves unrelated to QRS", "P", "dissociated"),
  Feature("more P waves than QRS complexes", "P", "outnumbering"),
  Feature("two P waves for every QRS", "P", "two to one"),
  Feature("three or more P wave shapes", "P", "multiform"),
  Feature("abnormal P wave axis", "P", "abnormal axis"),
  Feature("abnormal P wave shape", "P", "abnormal shape"),
  Feature("atrial rate > 100 bpm", "P", "fast", (), (">", 100, "bpm")),
  Feature("atrial rate > 250 bpm", "P", "very fast", (), (">", 250, "bpm")),
  Feature("notched P wave in II", "P", "notched", ("II",)),
  Feature("P wave > 0.15 mV in V1", "P", "tall", ("V1",), (">", 0.15, "mV")),
  Feature("PR interval < 120 ms", "PR", "short", (), ("<", 120, "ms")),
  Feature("constant PR interval before a dropped QRS", "PR", "constant"),
  Feature("varying PR intervals", "PR", "varying"),
  Feature(
    "extreme axis deviation", "axis", "extreme", (), ("<", -90, "degrees")
  ),
  Feature("QRS duration < 120 ms", "QRS", "narrow", (), ("<", 120, "ms")),
  Feature("QRS duration > 110 ms", "QRS", "broadened", (), (">", 110, "ms")),
  Feature("delta wave", "QRS", "delta wave"),
  Feature("epsilon wave in V1-V3", "QRS", "epsilon wave", _RIGHT),
  Feature("Osborn wave", "QRS", "Osborn wave"),
  Feature("electrical alternans", "QRS", "alternans"),
  Feature("notched or slurred QRS complexes", "QRS", "notched"),
  Feature("fragmented QRS in anterior leads", "QRS", "fragmented", _ANTERIOR),
  Feature("dominant R wave in aVR", "QRS", "dominant R", ("aVR",)),
  Feature("R wave in V1 > 0.7 mV", "QRS", "tall R", ("V1",), (">", 0.7, "mV")),
  Feature(
    "R wave in V1-V2 > 40 ms", "QRS", "broad R", ("V1", "V2"), (">", 40, "ms")
  ),
  Feature(
    "R wave in V1 + S wave in V5 > 1.05 mV",
    "QRS",
    "high voltage",
    ("V1", "V5"),
    (">", 1.05, "mV"),
  ),
  Feature(
    "R wave in I + S wave in III > 2.5 mV",
    "QRS",
    "high voltage",
    ("I", "III"),
    (">", 2.5, "mV"),
  ),
  Feature(
    "large biphasic QRS complexes in V2-V4",
    "QRS",
    "large biphasic",
    ("V2", "V3", "V4"),
  ),
  Feature(
    "low QRS voltage in chest leads",
    "QRS",
    "low voltage",
    _CHEST,
    ("<", 1.0, "mV"),
  ),
  Feature(
    "R peak time in V5 > 60 ms", "QRS", "late R peak", ("V5",), (">", 60, "ms")
  ),
  Feature(
    "R peak time in aVL > 45 ms",
    "QRS",
    "late R peak",
    ("aVL",),
    (">", 45, "ms"),
  ),
  Feature(
    "absent Q waves in I, V5 and V6", "QRS", "absent Q", ("I", "V5", "V6")
  ),
  Feature("qR complex in V1", "QRS", "qR", ("V1",)),
  Feature("qR complex in II, III and aVF", "QRS", "qR", _INFERIOR),
  Feature("rS complex in II, III and aVF", "QRS", "rS", _INFERIOR),
  Feature("rS complex in I and aVL", "QRS", "rS", ("I", "aVL")),
  Feature("S wave in I", "QRS", "S", ("I",)),
  Feature("S waves in I, II and III", "QRS", "S", ("I", "II", "III")),
  Feature("Q wave in III", "QRS", "Q", ("III",)),
  Feature("Q waves in I and aVL", "QRS", "Q", ("I", "aVL")),
  Feature("Q waves in V3-V4", "QRS", "Q", ("V3", "V4")),
  Feature("Q waves in V5-V6", "QRS", "Q", ("V5", "V6")),
  Feature(
    "deep narrow Q waves in I, aVL, V5 and V6", "QRS", "deep narrow Q", _LATERAL
  ),
  Feature("early R/S transition", "QRS", "early transition", ("V1", "V2")),
  Feature("late R/S transition", "QRS", "late transition", ("V5", "V6")),
  Feature("J point slur", "QRS", "J slur"),
  Feature("ST elevation in I and aVL", "ST", "elevation", ("I", "aVL")),
  Feature("ST elevation in V5-V6", "ST", "elevation", ("V5", "V6")),
  Feature("ST elevation in aVR", "ST", "elevation", ("aVR",)),
  Feature("coved ST elevation in V1-V2", "ST", "coved elevation", ("V1", "V2")),
  Feature(
    "saddleback ST elevation in V1-V2",
    "ST",
    "saddleback elevation",
    ("V1", "V2"),
  ),
  Feature("concave ST elevation", "ST", "concave elevation"),
  Feature("ST depression in II, III and aVF", "ST", "depression", _INFERIOR),
  Feature("diffuse ST depression", "ST", "depression"),
  Feature(
    "horizontal or downsloping ST depression", "ST", "sloping depression"
  ),
  Feature("scooped ST depression", "ST", "scooped depression"),
  Feature(
    "slight ST depression", "ST", "slight depression", (), ("<", 0.1, "mV")
  ),
  Feature("ST-T changes opposite to the QRS", "ST", "discordant"),
  Feature("long ST segment", "ST", "long"),
  Feature("short ST segment", "ST", "short"),
  Feature("T wave inversion in I and aVL", "T", "inversion", ("I", "aVL")),
  Feature("T wave inversion in V5-V6", "T", "inversion", ("V5", "V6")),
  Feature("T wave inversion in III", "T", "inversion", ("III",)),
  Feature("diffuse T wave inversion", "T", "inversion"),
  Feature(
    "deep symmetric T wave inversion in V2-V4",
    "T",
    "deep inversion",
    ("V2", "V3", "V4"),
  ),
  Feature("biphasic T waves in V2-V3", "T", "biphasic", ("V2", "V3")),
  Feature("narrow peaked T waves", "T", "peaked"),
  Feature("notched T waves", "T", "notched"),
  Feature("inverted U waves", "U", "inverted"),
  Feature("QTc interval < 360 ms", "QT", "short", (), ("<", 360, "ms")),
  Feature("QTc interval > 500 ms", "QT", "very long", (), (">", 500, "ms")),
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
