"""Backends that answer as they are told."""

import json


class Fixed:
  """Answers every finding by one function."""

  name, model_hash, prompt_hash = "fixed", "model", "prompt"

  def __init__(self, answer):
    self.answer, self.asked = answer, []

  def ask(self, findings):
    for finding in findings:
      self.asked.append(finding)
      yield finding, self.answer(finding)


def named(*names):
  return Fixed(lambda finding: json.dumps({"features": names}))
