"""Class prompts: complete, well-formed, and one clear line when not."""

import csv
import json

import pytest

from fgclep_jax.errors import InputError
from fgclep_jax.reports import prompts

SUPER = ("HYP", "NORM", "MI", "CD", "STTC")
COUNTS = {
  "super": 5,
  "sub": 23,
  "form": 19,
  "rhythm": 12,
  "cpsc": 9,
  "csn": 38,
}


def test_every_task_has_its_number_of_classes():
  tables = prompts.reviewed_prompts()
  assert {t: len(c) for t, c in tables.items() if c} == COUNTS
  for task, table in tables.items():
    for name, phrases in table.items():
      assert phrases, (task, name)
      assert len(set(phrases)) == len(phrases), (task, name)
      # 64 tokens is the text tower's limit; words stay far below it.
      assert all(1 <= len(p.split()) <= 12 for p in phrases)


def test_classes_of_a_task_share_no_prompt():
  for task, table in prompts.reviewed_prompts().items():
    phrases = [p.lower() for value in table.values() for p in value]
    assert len(set(phrases)) == len(phrases), task


def test_class_names_are_those_of_the_published_files(shared):
  folder = shared / "merl" / "data_split"
  tasks = {
    "super": ("ptbxl/super_class", 6),
    "sub": ("ptbxl/sub_class", 6),
    "form": ("ptbxl/form", 6),
    "rhythm": ("ptbxl/rhythm", 6),
    "cpsc": ("icbeb", 7),
    "csn": ("chapman", 3),
  }
  for task, (path, first) in tasks.items():
    (file,) = (folder / path).glob("*_train.csv")
    with open(file, encoding="utf-8") as lines:
      names = next(csv.reader(lines))[first:]
    assert list(prompts.class_prompts(task, names)) == names


def test_order_follows_the_dataset():
  found = prompts.class_prompts("super", SUPER)
  assert tuple(found) == SUPER
  assert "left ventricular hypertrophy" in found["HYP"]


def test_simulated_diagnoses_are_their_own_prompts():
  names = ("atrial fibrillation", "left_bundle_branch_block")
  found = prompts.class_prompts("simulated", names)
  assert found[names[0]] == ("atrial fibrillation",)
  assert found[names[1]] == ("left bundle branch block",)


def test_waveform_features_are_their_own_prompts():
  names = ("QRS duration > 120 ms", "flat T waves")
  for source in prompts.SOURCES:
    found = prompts.class_prompts("features", names, source=source)
    assert found == {name: (name,) for name in names}


def test_own_file_with_strings_and_lists(tmp_path):
  path = tmp_path / "own.json"
  table = {name: name.lower() for name in SUPER} | {"EXTRA": "unused"}
  table["MI"] = ["an  infarct", "an infarct", "a scar"]
  path.write_text(json.dumps(table))
  found = prompts.class_prompts("super", SUPER, path)
  assert found["HYP"] == ("hyp",)
  assert found["MI"] == ("an infarct", "a scar")
  assert "EXTRA" not in found


def test_published_prompt_file_covers_all_tasks(shared):
  path = shared / "merl" / "CKEPE_prompt.json"
  for table in prompts.reviewed_prompts().values():
    assert list(prompts.class_prompts("super", list(table), path)) == list(
      table
    )


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("{", "is no JSON"),
    ("[" * 100_000, "is no JSON"),
    ("[1]", "holds a list"),
    ('{"MI": ""}', "class 'MI'"),
    ('{"MI": []}', "class 'MI'"),
    ('{"MI": [1]}', "class 'MI'"),
    ('{"MI": "a", "MI": "b"}', "'MI' stands there twice"),
    ('{"MI": "a"}', "no prompt in"),
  ],
)
def test_malformed_files_get_one_line(tmp_path, text, message):
  path = tmp_path / "bad.json"
  path.write_text(text)
  with pytest.raises(InputError, match=message) as caught:
    prompts.class_prompts("super", SUPER, path)
  assert "\n" not in str(caught.value)


def test_missing_file_and_unknown_task():
  with pytest.raises(InputError, match="cannot read prompt file"):
    prompts.class_prompts("super", SUPER, "/nowhere/prompts.json")
  with pytest.raises(InputError, match="task 'shape'"):
    prompts.class_prompts("shape", ("A",))


def test_hash_sees_prompts_not_class_order():
  found = prompts.class_prompts("super", SUPER)
  backwards = dict(reversed(found.items()))
  assert prompts.prompt_set_hash(found) == prompts.prompt_set_hash(backwards)
  changed = found | {"MI": ("infarction",)}
  assert prompts.prompt_set_hash(found) != prompts.prompt_set_hash(changed)
