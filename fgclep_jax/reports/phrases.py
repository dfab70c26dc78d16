"""Phrases that say what is seen on a wave, as cardiologists word them.

The phrases are read on text in which places stand as marks (`@0`), see
`fgclep_jax.reports.places`. Where two begin at the same letter, the first
wins, so special phrases stand before general ones.
"""

import dataclasses

ANYWHERE = "anywhere"
_INFERIOR = ("II", "III", "aVF")
_LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")

# Parts of the patterns below, each in braces there.
_PARTS = {
  "at": r"(?:@\d+ )?",
  "is": r"(?: (?:(?:is|are|was|were)(?: @\d+)?|in @\d+|now|also|all|rather|"
  r"more|\w+ly))*",
  "p": r"p(?:[- ]?waves?)?\b(?!-)",
  "q": r"q(?:[- ]?waves?)?\b",
  "qs": r"qs(?:[- ](?:complex(?:es)?|waves?|pattern))?\b",
  "r": r"r(?:[- ]?waves?)?\b(?!['-])",
  "s": r"s(?:[- ]?waves?)?\b",
  "st": r"st(?:j| junctional|[- ]?segments?)?\b(?!-t)",
  "t": r"t(?:[- ]?waves?)?\b(?!-)",
  "u": r"u[- ]?waves?",
  "rr": r"r-?r(?: intervals?)?",
  "beat": r"(?:qrs(?: complex(?:es)?)?|complex(?:es)?|beats?)",
  "of": r"(?: of)?(?: the)?",
}


@dataclasses.dataclass(frozen=True)
class Phrase:
  """What a wording says.

  Attributes:
    wave: as in the vocabulary of features.
    findings: as there; the first that has a feature at the place counts.
    pattern: regular expression on lower-case, marked text, from the begin of
      a word on.
    place: leads that the words imply when they name none; ANYWHERE when the
      place does not matter.
    every: all findings count, not just the first.
  """

  wave: str
  findings: tuple
  pattern: str
  place: tuple | str = ()
  every: bool = False


def _phrases(wave, *rows):
  for findings, pattern, *more in rows:
    pattern = pattern.format(**_PARTS)
    every = "+" in findings
    findings = tuple(findings.split("+" if every else "|"))
    yield Phrase(wave, findings, pattern, *more, every=every)


_RHYTHM = (
  ("irregular", r"irregular(?:ly irregular)? (?:{rr}|rhythm\b)"),
  ("irregular", r"irregular (?:ventricular |heart )?rate\b|{rr}{is} irregular"),
  ("regular", r"regular (?:{rr}|rhythm\b)"),
  ("gradually varying", r"gradually varying pp"),
  ("fibrillatory waves", r"(?:fibrillat(?:ory|ion)|f)[- ]waves"),
  (
    "flutter waves",
    r"(?:flutter|saw-?tooth)[- ](?:waves|pattern|baseline)",
    _INFERIOR,
  ),
  ("late wide", r"late wide {beat}"),
  ("late narrow", r"late narrow {beat}"),
  ("runs of wide", r"runs? of wide {beat}"),
  ("paired wide", r"paired wide {beat}"),
  ("multiform wide", r"(?:multi|poly)(?:form|morphic) wide {beat}"),
  ("premature narrow", r"(?:premature|early) narrow {beat}"),
  ("premature wide", r"(?:premature|early) (?:wide|broad) {beat}"),
  ("interpolated", r"interpolated (?:qrs|wide|beats)"),
  ("fusion", r"fusion qrs"),
  ("bigeminal", r"every (?:second|other) beat(?: is)? premature"),
  ("trigeminal", r"every third beat(?: is)? premature"),
  ("grouped", r"group(?:ed)? beating"),
  ("pause", r"compensatory pauses?|pauses? after (?:a )?premature"),
  ("missing P and QRS", r"missing p[- ]waves? and qrs"),
  ("dropped beats", r"dropped {beat}|p[- ]waves? without (?:a )?qrs"),
  ("spikes before P", r"pac(?:ing|er|emaker) spikes? before (?:the )?p\b"),
  ("spikes before QRS", r"pacing spikes? before (?:the )?qrs"),
  ("spikes uncaptured", r"pac(?:ing|er|emaker) spikes? without capture"),
  ("pacing spikes", r"pac(?:ing|er|emaker) spikes?"),
  ("chaotic", r"chaotic baseline"),
  ("twisting", r"twisting qrs"),
)
_RATE = (
  ("low", r"slow (?:heart|ventricular) rate"),
  ("high", r"(?:fast|rapid) (?:heart|ventricular) rate"),
)
_P = (
  (
    "absent",
    r"(?:no|absent|missing|absence of|without)(?: (?:definite|visible|clear|"
    r"evident|discernible|identifiable|more))* p[- ]waves?\b(?! (?:>|than|"
    r"abnorm|axis|before|chang|dissoc|duration|inver|shape|unrelated|without))",
  ),
  ("absent", r"p[- ]waves?{is} (?:absent|not (?:seen|visible|found|present))"),
  ("premature", r"(?:premature|early) p[- ]waves?"),
  ("retrograde", r"retrograde p\b"),
  ("dissociated", r"p[- ]waves?{is} (?:unrelated|dissociated)"),
  ("outnumbering", r"more p[- ]waves than qrs"),
  ("one to one", r"(?:one )?p[- ]waves? before every qrs"),
  ("two to one", r"two p[- ]waves (?:for|per) (?:every|each)? ?qrs"),
  ("multiform", r"multiform p[- ]waves|three (?:or more )?p[- ]wave shapes"),
  ("abnormal axis", r"abnormal p(?:[- ]wave)? axis"),
  ("abnormal shape", r"abnormal p(?:[- ]wave)? (?:shape|morphology|contour)"),
  ("broad", r"(?:broad|wide|widened|broadened|prolonged) p(?:[- ]waves?)?\b"),
  ("broad", r"p(?:[- ]waves?)?[- ](?:broaden|widen)\w*"),
  (
    "negative end",
    r"(?:negative|abnormal|deep) (?:terminal p\b|p(?:[- ]wave)? terminal)",
    ("V1",),
  ),
  ("negative end", r"biphasic {at}{p}"),
  ("tall", r"(?:tall|peaked|high) {at}{p}", ("II",)),
  ("tall", r"p[- ]waves?{is} (?:tall|peaked|high)", ("II",)),
  ("notched", r"(?:notched|bifid) {at}{p}"),
  ("inverted", r"(?:inverted|negative) {at}{p}"),
  ("inverted", r"p[- ]waves?{is} (?:inverted|negative|inversion)"),
  ("upright", r"upright {at}{p}"),
)
_PR = (
  ("constant", r"constant pr(?: intervals?)?"),
  (
    "lengthening",
    r"progressive(?:ly)? (?:pr (?:interval )?(?:prolong|length|increas)|"
    r"(?:prolong|length|increas)\w+ (?:of )?(?:the )?pr)\w*",
  ),
  ("lengthening", r"pr(?: interval)? lengthens"),
  ("varying", r"(?:varying|variable) pr\b"),
  ("depression", r"pr[- ](?:segment )?depress\w+"),
  ("depression", r"depress\w+{of} pr\b"),
  ("prolonged", r"(?:prolonged|long|lengthened) pr\b"),
  (
    "prolonged",
    r"pr(?: interval)?{is} (?:prolong\w+|lengthened|long|extension)\b",
  ),
  ("short", r"short(?:ened)? pr\b"),
  ("short", r"pr(?: interval)?{is} short(?:ened)?\b"),
)
_AXIS = (
  ("extreme", r"extreme (?:right )?(?:qrs )?axis"),
  ("extreme", r"(?:right superior|north-?west) (?:qrs )?axis"),
  ("left", r"left (?:qrs |frontal |electric\w* )?(?:axis|shaft)"),
  ("left", r"leftward (?:qrs |frontal )?axis|axis left|qrs axis{is} leftward"),
  ("left", r"axis superior to -\d|^(?:marked )?lad\b"),
  ("left", r"(?:overturned|overdriven|hyperdriven) left[- ]type"),
  ("right", r"right (?:qrs |frontal |electric\w* )?(?:axis|shaft)"),
  (
    "right",
    r"rightward (?:qrs |frontal )?axis|axis right|qrs axis{is} rightward",
  ),
  ("right", r"rad\b"),
)
_QRS = (
  ("broadened", r"(?:minimally|slightly|mildly) (?:prolonged|wide\w*) qrs"),
  ("alternans", r"electrical alternans|qrs alternans"),
  ("fragmented|notched", r"(?:fragmented|notched|slurred) {at}qrs"),
  ("fragmented|notched", r"qrs (?:fragmentation|notching|slurring)"),
  ("large biphasic", r"large biphasic qrs"),
  ("wide", r"(?:wide|broad|widened|prolonged)[- ]qrs(?: complex\w*)?"),
  ("wide", r"(?:wide|broad)[- ]complex(?:es)?\b"),
  ("wide", r"qrs(?: complex(?:es)?| duration)?{is} (?:wide|broad|prolong)\w*"),
  ("narrow", r"narrow[- ](?:qrs|complex)(?: complex\w*)?"),
  ("delta wave", r"delta[- ]waves?"),
  ("epsilon wave", r"epsilon[- ]waves?", ANYWHERE),
  ("Osborn wave", r"osborn(?: waves?)?|j[- ]waves?"),
  ("J notch", r"j[- ]points?{is} notch\w*|notch\w*{of} j[- ]points?"),
  ("J slur", r"j[- ]points?{is} slur\w*|slur\w*{of} j[- ]points?"),
  ("high voltage", r"cornell (?:voltage )?criteri\w+", ("aVL", "V3")),
  ("high voltage", r"high s ?v1 ?\+ ?r ?v[56]", ("V1", "V5", "V6")),
  (
    "high voltage|tall R",
    r"(?:high|increased|large) {at}(?:qrs )?(?:voltages?|amplitudes?)",
  ),
  ("high voltage|tall R", r"voltages?{is} (?:high|increased|large)\b"),
  (
    "low voltage",
    r"low(?:er)? {at}(?:qrs )?(?:voltages?|qrs amplitudes?)",
    _LIMB,
  ),
  ("low voltage", r"voltages?{is} low\b", _LIMB),
  (
    "early transition",
    r"(?:abnormal r(?:[- ]wave)?[- ]progression , )?"
    r"early (?:r[-/]s )?transition",
    ANYWHERE,
  ),
  ("late transition", r"late (?:r[-/]s )?transition", ANYWHERE),
  (
    "low R",
    r"(?:poor|abnormal|reduced|slow|delayed|decreased|reversed|absent)"
    r"(?: progression of r\b|(?: {r}|)[- ]?(?:r[- ])?(?:wave )?progression)",
    ANYWHERE,
  ),
  ("low R", r"low {r}|{r} decrease\w*"),
  ("broad R", r"broad {at}r(?: or r'|[- ]waves?)?(?!\w)"),
  ("rSR'", r"rsr'?(?!\w)|r'(?: ?> ?r)?(?!\w)"),
  ("absent Q", r"(?:no|absent) (?:septal )?q[- ]waves?"),
  ("deep narrow Q", r"deep(?: ,)? narrow {at}{q}"),
  (
    "qR",
    r"(?:small|tiny|narrow|insignificant) {at}{q}|qr(?: complex| pattern)\b",
  ),
  ("rS", r"rs (?:complex|pattern)\b"),
  ("Q", r"{qs}"),
  ("Q", r"{q}(?! equivalent)"),
  ("notched R", r"notched {at}{r}"),
  ("late R peak", r"(?:late|delayed) r[- ]peak"),
  ("dominant R", r"(?:high r[:/]s ratio|r/s ?> ?1)"),
  ("dominant R|tall R", r"(?:dominant|tall|high|prominent) {at}{r}"),
  ("broad S", r"(?:broad|wide(?: deep)?|slurred) {at}{s}"),
  ("deep S", r"(?:deep|persistent) {at}{s}"),
  ("S", r"s1[ ,]*s2[ ,]*s3", ("I", "II", "III")),
  ("S", r"s (?:waves? in )?(?=@)"),
)
_ST = (
  ("discordant", r"st-t changes opposite"),
  ("coved elevation", r"coved (?={st} elev)"),
  ("saddleback elevation", r"saddleback (?={st} elev)"),
  ("concave elevation", r"concave (?={at}{st} elev)"),
  ("scooped depression", r"scooped (?={at}{st} depr)"),
  (
    "sloping depression",
    r"(?:horizontal|downsloping)(?: or downsloping)? (?={at}{st} depr)",
  ),
  (
    "slight depression",
    r"(?:slight|minor|minimal)(?: non-?specific)? (?={at}{st} depr)",
  ),
  (
    "slight depression+depression",
    r"{st}{is} (?:slightly|minimally) depress\w+",
  ),
  ("elevation", r"{st}{is}[ -]elevat\w+"),
  ("elevation", r"elevat\w+{of} {at}{st}"),
  ("depression", r"{st}{is}[ -]depress\w+"),
  ("depression", r"depress\w+{of} {at}{st}"),
  ("long", r"long st\b"),
  ("short", r"short st\b"),
)
_T = (
  ("biphasic", r"biphasic {at}{t}|{t}{is}[ -]biphasic"),
  ("notched", r"notched {at}{t}"),
  ("peaked", r"narrow peaked {t}"),
  ("tall|peaked", r"peaked {at}{t}|{t}{is}[ -]peaked"),
  ("tall", r"(?:tall|high|hyperacute) {at}{t}|{t}{is} tall\b"),
  (
    "deep inversion",
    r"deep(?:ly)?(?: symmetric\w*)? "
    r"(?={at}{t}{is}[ -]inver|inver\w+{of} {at}{t})",
  ),
  ("deep inversion+inversion", r"{t}{is} deeply inver\w+"),
  ("flat", r"(?:flat|flattened|low)(?: amplitude)? {at}{t}(?: amplitudes?)?"),
  ("flat", r"{t}{is}[ -](?:flat\w*|low\b)(?: or (?:slight(?:ly)? )?\w+)?"),
  ("inversion", r"{t}{is}(?: terminal)?[ -](?:inver|negative)\w*"),
  ("inversion", r"(?:inver\w+|negative|neg\.?){of} {at}{t}"),
)
_U = (
  ("inverted", r"(?:inverted|negative) {u}"),
  ("prominent", r"(?:prominent )?{u}(?! (?:abnormal|changes?)\b)"),
)
_QT = (
  ("very long", r"(?:very long|markedly prolonged) qtc?\b"),
  ("prolonged", r"(?:prolonged|lengthened) qtc?\b(?! syndrome)"),
  ("prolonged", r"long (?:qtc\b|qt interval)"),
  ("prolonged", r"qtc?(?: interval)?{is} (?:prolong|length|extension)\w*"),
  ("short", r"short(?:ened)? qtc?\b(?! syndrome)"),
)

PHRASES = (
  *_phrases("rhythm", *_RHYTHM),
  *_phrases("rate", *_RATE),
  *_phrases("PR", *_PR),
  *_phrases("P", *_P),
  *_phrases("axis", *_AXIS),
  *_phrases("QRS", *_QRS),
  *_phrases("QT", *_QT),
  *_phrases("ST", *_ST),
  *_phrases("T", *_T),
  *_phrases("U", *_U),
)
BARE = {
  "inver": ("T", "inversion"),
  "flat": ("T", "flat"),
  "low": ("T", "flat"),
  "elevat": ("ST", "elevation"),
  "depress": ("ST", "depression"),
}
"""Findings that go on from the wave before: "... and inverted in V5"."""
