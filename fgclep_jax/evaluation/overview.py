"""What the terminal shows of results.json, and the figures of `merl`."""

from fgclep_jax.evaluation import retrieval
from fgclep_jax.evaluation.results import (
  inert,
  macro_text,
  methods_of,
  owners_of,
  with_interval,
)


def merl_of(block):
  """{name: summary} of the `merl` methods, named as their `standard` twins."""
  found = {}
  for owner, entry in owners_of(block).items():
    if "zero_shot_merl" in entry:
      found[f"{owner}zero-shot"] = entry["zero_shot_merl"]
    for fraction, summary in entry.get("linear_probe_merl", {}).items():
      found[f"{owner}probe {float(fraction):.0%}"] = summary
  return found


def merl_text(summary):
  """As `macro_text`; of a probe also what choosing on test would give."""
  if "at_best_val" not in summary:
    return macro_text(summary)
  most = with_interval(
    summary["max_test_auroc"], summary["max_test_auroc_ci95"]
  )
  return f"{macro_text(summary['at_best_val'])}, test-tuned {most}"


def summary_lines(content):
  """One line per task and method, and per paired difference."""
  for task, block in content["tasks"].items():
    for name, summary in methods_of(block):
      yield f"{task:10s} {inert(name):42s} {macro_text(summary)}"
    for name, summary in merl_of(block).items():
      yield f"{task:10s} {inert(f'merl {name}'):42s} {merl_text(summary)}"
    for pair in block["paired"]:
      low, high = pair["ci95"]
      names = f"{pair['first']} minus {pair['second']}".replace("_", " ")
      yield (
        f"{task:10s} {inert(names):42s} {pair['difference']:+.3f} "
        f"[{low:+.3f}, {high:+.3f}]"
      )
  for name, entry in content.get("retrieval", {}).get("galleries", {}).items():
    for method, summary in retrieval.rows_of(entry):
      line = ", ".join(
        f"R@{k} {with_interval(summary[key], summary[f'{key}_ci95'])}"
        for k in (1, 10)
        for key in [f"recall@{k}"]
      )
      yield f"{f'gallery {name}':14s} {inert(method):38s} {line}"
