"""The embedded backend: the knowledge table, without any language model."""

import hashlib
import importlib.resources
import json

from fgclep_jax.enhance import answers
from fgclep_jax.reports import knowledge


class Rules:
  """Proposes what the knowledge table lists for a finding; works offline."""

  name = "rules"

  def __init__(self):
    # The table and the code that looks things up in it: either may change
    # between two versions of the package.
    folder = importlib.resources.files("fgclep_jax.reports")
    content = [
      folder.joinpath(name).read_bytes()
      for name in ("knowledge.json", "knowledge.py", "canonical.py")
    ]
    self.model_hash = hashlib.sha256(b"\0".join(content)).hexdigest()
    form = json.dumps(answers.schema(), sort_keys=True).encode()
    self.prompt_hash = hashlib.sha256(form).hexdigest()

  def ask(self, findings):
    """Yields (finding, answer), in the order given."""
    for finding in findings:
      proposed = list(knowledge.propose(finding))
      yield finding, json.dumps({"features": proposed})
