"""A judge that took part in what it judges is told, before hours are spent on its verdict."""

import pytest
from recipes.conftest import Workplace

from burnish.errors import BurnishError
from burnish.recipes.partial import warnings
from burnish.recipes.plan import lines, plan
from burnish.recipes.run import run

TEXT = """\
name: test
model: model
stages:
  sft: {method: sft, model: base, data: data.jsonl}
  answers: {method: generate, model: sft, prompts: data.jsonl}
  ranking: {method: rank, answers: answers, by: "judges:favourable-a"}
  reward: {method: reward, model: sft, data: ranking}
  best: {method: reject, model: sft, prompts: data.jsonl, by: [reward, {by: "judges:favourable-b", weight: 0}]}
  dpo: {method: dpo, model: sft, data: ranking}
  ppo: {method: ppo, model: best, prompts: data.jsonl, by: reward}
"""
VERDICT = "  compare: {method: evaluate, models: [%s], prompts: data.jsonl, by: %s}\n"
OPTIMISED = "by reward: best, ppo learned to raise its score"
RANKED = "by judges:favourable-a: it made the labels (ranking)"


def told(place: Workplace, models: str, by: str) -> list[str]:
    return warnings(place.load(TEXT + VERDICT % (models, by))).get("compare", [])


@pytest.mark.parametrize(("models", "by", "begins"), [
    ("sft, ppo", "reward", OPTIMISED),
    ("sft, ppo", "{by: reward, weight: 2}", OPTIMISED),
    ("sft, ppo", '["judges:favourable-b", reward]', OPTIMISED),
    ("sft, best", "reward", "by reward: best learned to raise its score"),
    ("sft, dpo", '"judges:favourable-a"', RANKED),
    ("sft, ppo", '"judges:favourable-a"', RANKED),
])  # fmt: skip
def test_a_judge_that_took_part_is_told(place: Workplace, models: str, by: str, begins: str):
    (line,) = told(place, models, by)
    assert line.startswith(begins)
    assert line.endswith("let another judge decide, beside which this one may stand with weight 0")


@pytest.mark.parametrize(("models", "by"), [
    ("sft, ppo", '"judges:favourable-b"'),  # it weighed nothing when best was drawn
    ("sft, ppo", '["judges:favourable-b", {by: reward, weight: 0}]'),  # its figure stands beside, and decides nothing
    ("sft, dpo", "reward"),  # dpo learned from the same labels, and raised no reward model's score
    ("base, sft", "reward"),
    ("base, sft", '"judges:favourable-a"'),
])  # fmt: skip
def test_a_judge_that_had_no_part_is_not(place: Workplace, models: str, by: str):
    assert told(place, models, by) == []


def test_a_reward_model_on_disk_is_the_same_however_its_path_is_written(place: Workplace):
    text = TEXT.replace("prompts: data.jsonl, by: reward}", "prompts: data.jsonl, by: ./model}")
    (line,) = warnings(place.load(text + VERDICT % ("sft, ppo", "model")))["compare"]
    assert "ppo learned to raise its score" in line


def test_a_plan_notes_it_and_a_run_warns_once_before_it_begins(place: Workplace):
    recipe = place.load(TEXT + VERDICT % ("sft, ppo", "reward"))
    assert any(line.startswith(f"  note: {OPTIMISED}") for line in lines(plan(recipe)))
    said: list[str] = []
    with pytest.raises(BurnishError):  # the model of this folder is none
        run(recipe, place.out, tell=said.append)
    assert said[0].startswith(f"warning: compare: {OPTIMISED}")
    assert sum(line.startswith("warning: ") for line in said) == 1
    assert said[1].startswith("sft: ")
