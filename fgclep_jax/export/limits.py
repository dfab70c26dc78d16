"""What is known of the limits of a model: from its config and its data."""

from fgclep_jax import inference
from fgclep_jax.export import data_terms


def lines(about, input_form):
  """Sentences, each a limit.

  Args:
    about: content of config.json.
    input_form: content of preprocessor.json.
  """
  trained = about["checkpoint"]["trained_on"]
  found = []
  if data_terms.only_simulated(about):
    found.append(
      "It has seen simulated ECGs alone: nothing is known of how it does on "
      "ECGs of people."
    )
  found += [
    f"It sees {input_form['seconds']:g} s at {input_form['sampling_rate']} Hz "
    "at a time. A longer record is the mean of its windows, in which what is "
    "seen in few of them is faint.",
    _leads(about["config"]["augment"]["lead_masking"]),
    "There are no figures of its own here for children, for paced rhythms, "
    "for records with few leads, for swapped electrodes, or for single "
    "devices and hospitals.",
    "The signal is neither filtered nor checked: noise, wrong gain and wrong "
    "lead order go into the embedding.",
  ]
  if about["kind"] == inference.TWO_TOWER:
    most = about["config"]["model"]["text"]["max_tokens"]
    cut = trained.get("texts_truncated", 0)
    found.append(
      f"Texts are cut after {most} word pieces (in training {cut:,} of "
      f"{trained['texts']:,}). Wording unlike that of the training texts is "
      "embedded too, without a warning."
    )
  return found


def _leads(masking):
  """How records with fewer than twelve leads were trained."""
  if masking:
    return (
      f"Fewer than twelve leads: {masking:.0%} of the training records were "
      "shown with 1 to 11 of their leads, taken at random."
    )
  return (
    "Fewer than twelve leads are accepted, but no lead was hidden in training."
  )
