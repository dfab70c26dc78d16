"""A training run killed at random instants, and what is left of it.

  OMP_NUM_THREADS=1 python -m benchmarks.kills [--kills 50] [--seed N]

The child is `fgclep train` with asynchronous saves every few steps. Each start
gets a SIGKILL: a phase is drawn, import and a retention's delete among them,
and an instant after it was entered for the first, second or third time. The
same command is started again, and after the last kill left to end. It must
have gone on, every time, from the newest step that was whole on the disk, and
end with the parameters and metrics of a run that nobody disturbed.
"""

import collections
import random
import shutil
import time

from benchmarks import children

# Seconds after the phase was entered: about as long as it lasts here.
LASTS = {
  "import": 2.0, "other": 0.8, "restore": 0.5, "compile": 1.0, "evaluate": 0.3,
  "write": 0.1, "save": 0.05, "step": 0.02, "data": 0.02, "commit": 0.005,
  "delete": 0.002,
}  # fmt: skip
# Between saves and validations no line of metrics is due.
CHANGES = {
  "save-every": "4", "log-every": "1000", "validate-every": "7", "keep": "2",
}  # fmt: skip
STEPS = 6  # of the run, for each kill


def main():
  children.program("kills", __doc__, add_flags, run)


def add_flags(parser):
  parser.add_argument("--kills", type=int, default=50)


def run(folder, data, seed, flags):
  command = f"python -m benchmarks.kills --kills {flags.kills}"
  found = kills(folder, data, flags.kills, seed, say=print)
  return {"command": command} | found


def kills(folder, data, count, seed, say=lambda line: None, warm=False):
  """Kills a run `count` times and lets it end.

  Args:
    folder: gets the run and the undisturbed one.
    data: of `children.dataset`.
    count: kills.
    seed: of the phases and instants.
    say: prints one line.
    warm: whether the programs that the undisturbed run compiled are there.

  Returns:
    {"wrong": lines, empty when all is as promised; "table": figures}.
  """
  rng, start = random.Random(seed), time.monotonic()
  changes = CHANGES | {"optim.steps": str(STEPS * count)}
  with children.Child(folder / "whole", data, changes) as whole:
    whole.start().finish()
  if warm:
    compiled = folder / "broken" / "compiled"
    shutil.copytree(whole.workdir / "compiled", compiled)
  wrong, died = [], collections.Counter()
  lost = 0
  with children.Child(folder / "broken", data, changes) as child:
    for number, phase in enumerate(_phases(count, rng)):
      committed = child.committed
      child.start()
      found = child.kill_in(phase, rng.uniform(0, LASTS[phase]))
      if found is None:
        wrong.append(f"kill {number + 1}: no {phase} before the end")
        break
      died[found] += 1
      wrong += _resumed(child, committed, found, number)
      lost += child.steps_written - (child.committed or 0)
      say(f"kill {number + 1} in {found}, on the disk: {child.committed}")
    committed = child.committed
    child.start().finish()
    wrong += _resumed(child, committed, "evaluate", count)
  wrong += children.differences(child.workdir, whole.workdir)
  left = children.left_over(child.workdir, int(CHANGES["keep"]))
  return {
    "wrong": wrong + [f"left over: {name}" for name in left],
    "table": {
      "run": {
        "kills": died.total(), "steps": STEPS * count,
        "steps_done_twice": lost,
        "seconds": round(time.monotonic() - start, 1),
      },
      "killed in": {name: died[name] for name in children.PHASES},
      "ends": {
        "bit_identical": int(not wrong), "files_left_over": len(left),
      },
    },
  }  # fmt: skip


def _phases(count, rng):
  """As many phases, each as often as the others, in random order.

  The first kills cannot meet a restore or a delete: there is no step yet.
  """
  early = [p for p in children.PHASES if p not in ("restore", "delete")]
  drawn = [rng.choice(early), "write"]
  while len(drawn) < count:
    drawn += rng.sample(children.PHASES, len(children.PHASES))
  return drawn[:count]


def _resumed(child, committed, phase, number):
  """What is wrong with where a start went on."""
  begun = phase not in ("import", "other", "restore")
  if child.resumed_at == committed or not (begun or child.resumed_at):
    return []
  return [f"start {number + 1} from {child.resumed_at}, not {committed}"]


if __name__ == "__main__":
  main()
