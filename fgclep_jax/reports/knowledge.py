"""What a diagnosis or rhythm looks like: the reviewed knowledge table.

`knowledge.json` beside this file says for each diagnosis and rhythm which
waveform features belong to it and which speak against it, in our own words
and with the guideline or textbook that the criterion is found in. Nothing in
it was fitted to a data set.
"""

import collections
import dataclasses
import functools
import importlib.resources
import json

from fgclep_jax.errors import InputError
from fgclep_jax.reports import canonical, features

KINDS = ("diagnosis", "rhythm")
OFTEN = ("always", "usual", "sometimes")
_PROMPTS = 5  # phrases of a class; those in common use stand first
_NAMES = frozenset(feature.name for feature in features.VOCABULARY)
_FIELDS = {
  "name": str,
  "kind": str,
  "phrases": list,
  "must": dict,
  "one_of": list,
  "may": dict,
  "contradicts": list,
  "source": str,
  "criterion": str,
  "codes": list,
}


@dataclasses.dataclass(frozen=True)
class Sign:
  """A feature that belongs to a diagnosis or rhythm.

  Attributes:
    feature: name in the vocabulary.
    role: "must", without which the criterion is not met, or "may".
    often: one of OFTEN, among tracings that carry the name.
  """

  feature: str
  role: str
  often: str


@dataclasses.dataclass(frozen=True)
class Entry:
  """One diagnosis or rhythm.

  Attributes:
    name: what it is called here.
    kind: one of KINDS.
    phrases: how reports put it; words may stand where a phrase has `...`.
    signs: tuple of Sign, those of role "must" first.
    contradicts: names of features that exclude it or are excluded by it.
    citation: the source and the criterion.
    codes: the classes it serves, "scp:LVH", "csn:AF", "snomed:164889003".
    one_of: groups of names; of each, one at least must be there.
    whole: whether a phrase must be all that a finding says, because more
      words would make it another finding ("ST elevation" in some leads).
  """

  name: str
  kind: str
  phrases: tuple
  signs: tuple
  contradicts: tuple
  citation: str
  codes: tuple
  one_of: tuple = ()
  whole: bool = False

  def musts(self):
    """Names of the features of role "must"."""
    return tuple(s.feature for s in self.signs if s.role == "must")


@functools.cache
def entries():
  """Returns the table: tuple of Entry.

  Raises:
    InputError: a row breaks a rule; the message names it.
  """
  text = (
    importlib.resources.files("fgclep_jax.reports")
    .joinpath("knowledge.json")
    .read_text(encoding="utf-8")
  )
  return parse(text)


def match(finding):
  """Returns the entries that a finding names, most specific first.

  A phrase whose words all stand inside a longer one that matched is not
  counted ("incomplete right bundle branch block"), nor is one that the text
  negates. Two phrases may share words ("inferior and lateral ischemia").

  Args:
    finding: a canonical finding or a statement as it stands.
  """
  given = canonical.canonical(finding)
  starting = _by_first_word()
  found = []
  for word in dict.fromkeys(given.words):
    for phrase, entry in starting.get(word, ()):
      if entry.whole and canonical.pattern(phrase) != (given.words,):
        continue
      for at in canonical.places(phrase, given.words):
        spread = max(at) - min(at)
        found.append(((-len(at), spread, min(at)), at, entry))
  taken, named = [], []
  for _, at, entry in sorted(found, key=lambda item: item[0]):
    if any(at <= other for other in taken):
      continue
    taken.append(at)
    if not any(given.denied[i] for i in at) and entry not in named:
      named.append(entry)
  return tuple(named)


def propose(finding):
  """Returns names of the features that a finding makes likely.

  Those of every entry that the finding names, in the order of the table's
  rows, without what another one of these entries contradicts; () when it
  names none.
  """
  named = match(finding)
  excluded = {name for entry in named for name in entry.contradicts}
  signs = (sign.feature for entry in named for sign in entry.signs)
  return tuple(name for name in dict.fromkeys(signs) if name not in excluded)


def objections(finding, names):
  """Returns {name: "contradicted"} for names that the finding excludes.

  Args:
    finding: as for `match`.
    names: names in the vocabulary.
  """
  excluded = {name for entry in match(finding) for name in entry.contradicts}
  return {name: "contradicted" for name in names if name in excluded}


def misses(finding, names):
  """Returns must-have features of a finding that are not among `names`.

  Of a group of which one is enough, the first stands for the group when
  none is there. What another named entry contradicts is not missed.
  """
  named, given = match(finding), set(names)
  excluded = {name for entry in named for name in entry.contradicts}
  missed = []
  for entry in named:
    missed += [name for name in entry.musts() if name not in given]
    missed += [
      group[0] for group in entry.one_of if not given.intersection(group)
    ]
  return tuple(n for n in dict.fromkeys(missed) if n not in excluded)


def prompts_of(code):
  """Returns class prompts for a code such as "sub:AMI" or "scp:ASMI".

  The first phrases of the entry that serves it and its must-have features,
  or the first phrase of each where several entries do.

  Raises:
    InputError: no entry serves the code.
  """
  serving = [entry for entry in entries() if code in entry.codes]
  if not serving:
    raise InputError(
      f"no entry of knowledge.json serves the code {code!r}: take the "
      "reviewed prompts or give a prompt file"
    )
  if len(serving) == 1:
    spoken = _spoken(serving[0])[:_PROMPTS] + serving[0].musts()
    return tuple(dict.fromkeys(spoken))
  return tuple(_spoken(entry)[0] for entry in serving)


def _spoken(entry):
  """Phrases without gaps."""
  return tuple(phrase for phrase in entry.phrases if "..." not in phrase)


@functools.cache
def _by_first_word():
  """first word -> list of (phrase, entry)."""
  table = collections.defaultdict(list)
  for entry in entries():
    for phrase in entry.phrases:
      table[canonical.pattern(phrase)[0][0]].append((phrase, entry))
  return table


def parse(text):
  """Reads a knowledge table; see `entries`.

  Args:
    text: JSON object {"sources": {short: reference}, "entries": [row]}.
  """
  table = json.loads(text)
  rows = []
  names, spelled = set(), {}
  for row in table["entries"]:
    entry = _entry(row, table["sources"])
    if entry.name in names:
      raise _fault(entry.name, "stands there twice")
    names.add(entry.name)
    for phrase in entry.phrases:
      other = spelled.setdefault(canonical.pattern(phrase), entry.name)
      if other != entry.name:
        raise _fault(entry.name, f"phrase {phrase!r} is also of {other!r}")
    rows.append(entry)
  return tuple(rows)


def _entry(row, sources):
  name = row.get("name", "without name")
  for field, kind in _FIELDS.items():
    if not isinstance(row.get(field), kind):
      raise _fault(name, f"{field!r} is no {kind.__name__}")
  if row["kind"] not in KINDS:
    raise _fault(name, f"kind {row['kind']!r} is none of {KINDS}")
  if row["source"] not in sources or not row["criterion"].strip():
    raise _fault(name, "no citation: give a known source and a criterion")
  _check_phrases(name, row["phrases"])
  _check_features(name, row)
  reference = sources[row["source"]]
  return Entry(
    name=name,
    kind=row["kind"],
    phrases=tuple(row["phrases"]),
    signs=tuple(
      Sign(feature, role, often)
      for role in ("must", "may")
      for feature, often in row[role].items()
    ),
    contradicts=tuple(row["contradicts"]),
    citation=f"{reference}. {row['criterion']}",
    codes=tuple(row["codes"]),
    one_of=tuple(map(tuple, row["one_of"])),
    whole=row.get("whole", False),
  )


def _check_phrases(name, phrases):
  if not phrases:
    raise _fault(name, "no phrase")
  if len({phrase.lower() for phrase in phrases}) < len(phrases):
    raise _fault(name, "a phrase stands there twice")
  for phrase in phrases:
    if not all(canonical.pattern(phrase)):
      raise _fault(name, f"phrase {phrase!r} has no word that tells")


def _check_features(name, row):
  groups = [member for group in row["one_of"] for member in group]
  given = [*row["must"], *row["may"], *row["contradicts"], *groups]
  unknown = [feature for feature in given if feature not in _NAMES]
  if unknown:
    raise _fault(name, f"unknown feature {unknown[0]!r}")
  signs = set(row["must"]) | set(row["may"])
  if both := sorted(set(row["must"]) & set(row["may"])):
    raise _fault(name, f"{both[0]!r} is both must and may")
  if both := sorted(signs & set(row["contradicts"])):
    raise _fault(name, f"{both[0]!r} is both a sign and a contradiction")
  if loose := sorted(set(groups) - signs):
    raise _fault(name, f"{loose[0]!r} of one_of is no sign")
  for often in (*row["must"].values(), *row["may"].values()):
    if often not in OFTEN:
      raise _fault(name, f"{often!r} is none of {OFTEN}")


def _fault(name, problem):
  return InputError(f"knowledge.json, row {name!r}: {problem}")
