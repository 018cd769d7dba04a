"""What an answer loses for its length and its end, beside its score."""

import json
from pathlib import Path

import pytest
import torch
from methods.conftest import PROMPTS, short_ppo
from pydantic import ValidationError

from burnish.methods.grpo import GRPOConfig, grpo
from burnish.methods.penalties import penalties, taken_off
from burnish.methods.ppo import PPOConfig, ppo
from burnish.objectives.length import overlong
from burnish.rollout.settings import Sampling
from burnish.types import Prompt, Rollout


def nothing(_: list[Prompt], answers: list[str]) -> list[float]:
    return [0.0] * len(answers)


def of(length: int, *, finished: bool) -> Rollout:
    return Rollout(0, 0, (1,) * length, (0.0,) * length, finished, seed=0)


def first(out: Path) -> dict[str, float]:
    line: dict[str, float] = json.loads((out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[0])
    return line


def test_the_overlong_punishment_falls_by_one_part_a_token_within_the_buffer():
    length_N = torch.tensor([1, 12, 13, 14, 15, 16, 17])
    assert overlong(length_N, longest=16, buffer=4).tolist() == [0, 0, -0.25, -0.5, -0.75, -1, -1]


@pytest.mark.parametrize("buffer", [0, 17])
def test_a_buffer_that_is_nowhere_or_longer_than_an_answer_is_refused(buffer: int):
    with pytest.raises(ValueError, match="a buffer lies within the longest answer"):
        overlong(torch.tensor([3]), longest=16, buffer=buffer)


def test_what_is_taken_adds_up():
    settings = PPOConfig(length={"price": 0.125, "overlong": 4, "penalty": 2}, sampling=Sampling(max_new_tokens=16))
    answers = [of(8, finished=True), of(14, finished=True), of(16, finished=False)]
    assert {name: taken.tolist() for name, taken in penalties(answers, settings).items()} == {
        "unfinished": [0, 0, 1],
        "length": [1, 1.75, 2],
        "overlong": [0, 1, 2],
    }
    assert taken_off(answers, settings).tolist() == [1, 2.75, 5]


def test_by_default_only_a_missing_end_costs_anything():
    assert penalties([of(16, finished=False)], PPOConfig()).keys() == {"unfinished"}


def test_a_price_on_length_is_all_that_there_is_to_climb(tiny_model: Path, tmp_path: Path):
    """A token costs a quarter, so the reward is known from the lengths; and with it answers of one score differ."""
    shape = {"steps": 1, "batch_size": 4, "max_length": 32, "samples": 4, "sampling": Sampling(max_new_tokens=6)}
    settings = GRPOConfig(**shape, unfinished_penalty=0, length={"price": 0.25})
    grpo(tiny_model, PROMPTS, settings, by=nothing, out=tmp_path, evaluate_on=PROMPTS)
    line = first(tmp_path)
    assert line["step"] == 0
    assert line["heldout_reward"] == pytest.approx(-0.25 * line["heldout_length"])
    assert line["heldout_reward/length"] == line["heldout_reward"]
    after = json.loads((tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[1])
    assert after["reward"] == pytest.approx(-0.25 * after["answer_length"])
    assert after["reward/length"] == after["reward"]


def test_an_answer_of_the_longest_length_loses_all_that_overlong_takes(tiny_model: Path, tmp_path: Path):
    """None may end before its sixth token, so each has that length."""
    shape = {"sampling": Sampling(max_new_tokens=6, min_new_tokens=6), "unfinished_penalty": 0}
    ppo(tiny_model, PROMPTS, short_ppo(**shape, length={"overlong": 3, "penalty": 2}), by=nothing, out=tmp_path)
    assert first(tmp_path)["reward/overlong"] == -2
    assert first(tmp_path)["reward"] == -2


def test_lengths_that_do_not_fit_are_refused_with_the_reason():
    with pytest.raises(ValidationError, match=r"the last 9 tokens of answers of at most 8; lower it, or raise"):
        PPOConfig(length={"overlong": 9}, sampling=Sampling(max_new_tokens=8))
    with pytest.raises(ValidationError, match=r"length.penalty is what length.overlong takes, and that is 0"):
        PPOConfig(length={"penalty": 2})
