"""Whatever a recipe or a setting holds, it is read or refused with an error of ours."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzz import bounded, damaged, edits, fuzzed
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import BurnishError
from burnish.recipes.load import load
from burnish.recipes.plan import lines, plan
from burnish.recipes.stages import METHODS
from burnish.training.config import settings_from

WHOLE = """\
name: chain
model: model
seed: 1
adam: &adam {beta1: 0.9, beta2: 0.95}
stages:
  sft: {method: sft, model: base, data: data.jsonl, epochs: 2, learning_rate: 2e-5, adam: *adam}
  answers: {method: generate, model: sft, prompts: data.jsonl, samples: 4, stop: ["a", "b"]}
  ranking: {method: rank, answers: answers, by: judges:favourable-a}
  reward: {method: reward, model: sft, data: ranking, members: 2}
  ppo: {method: ppo, model: sft, by: [{by: reward, weight: 2}], prompts: [data.jsonl], sampling: {max_new_tokens: 4}}
  dpo: {method: dpo, model: sft, data: ranking, each: {beta: [0.1, 0.3], lora.rank: [4, 8]}}
  compare: {method: evaluate, models: [sft, dpo, ppo], by: {judge: base, rubric: kind.md}, prompts: data.jsonl}
"""
KEYS = sorted({key for one in METHODS.values() for key in (*one.inputs, *one.config_class().model_fields)})
WORDS = [*KEYS, *METHODS, "method", "each", "name", "stages", "roots", "base", "data.jsonl", "../..", "judges:x", "a:b"]
words = st.sampled_from([*WORDS, "", "1e-5", "yes", "http://[", "https://h/?token=1", "\0", "x" * 300]) | st.text(
    max_size=6
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
stage = st.dictionaries(st.sampled_from([*KEYS, "each"]), values, max_size=4)
stages = st.dictionaries(words, st.builds(lambda method, keys: {"method": method, **keys}, words, stage), max_size=3)
recipes = st.builds(
    lambda top, inner: {**top, "stages": inner}, st.dictionaries(words, values, max_size=3), stages | values
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    shutil.copytree(tiny_model, folder / "model")
    (folder / "data.jsonl").write_text('{"prompt": "a", "response": "b"}\n')
    (folder / "kind.md").write_text("Kinder is better.\n")
    return folder


def read(place: Path, text: bytes) -> bool:
    """Whether it was read, and could be planned."""
    (place / "recipe.yaml").write_bytes(text)
    with bounded("recipes"):
        try:
            lines(plan(load(place / "recipe.yaml", insecure=True)))
        except BurnishError:
            return False
    return True


def test_the_whole_recipe_is_read(place: Path):
    assert read(place, WHOLE.encode())


@fuzzed(100)
@given(recipe=recipes)
def test_any_keys_and_values(place: Path, recipe: dict[str, Any]):
    read(place, yaml.safe_dump(recipe, allow_unicode=True).encode("utf-8", "surrogatepass"))


@fuzzed(150)
@given(harm=edits)
def test_a_good_recipe_that_was_damaged(place: Path, harm):
    read(place, damaged(WHOLE.encode(), harm))


@fuzzed(50)
@given(text=st.text(st.sampled_from("{}[]&*!|>-:?#%@,'\"\\\n\t aé0~<"), max_size=60))
def test_almost_yaml(place: Path, text: str):
    read(place, text.encode())


@fuzzed(50)
@given(pairs=st.lists(st.text(max_size=12) | st.builds("{}={}".format, words, words), max_size=3))
def test_any_settings(pairs: list[str]):
    with bounded("settings"):
        try:
            settings_from(pairs)
        except BurnishError:
            return
