"""Who proposes waveform features for a finding.

A backend has `name`, `model_hash` and `prompt_hash`, which with the finding
are the key of an answer in the cache, and `ask(findings)`, which yields
(finding, answer) as answers arrive, each finding once, in any order. An
answer is the text as it came, or a Failure.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Failure:
  """No answer was got for a finding; it is asked again by the next run."""

  reason: str
