"""Figures of held-out rows. Held out here are the very rows that are learned, all of them in one batch, so that what
is measured after a step is what the next step sees before it."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from methods.written import lines
from safetensors.torch import load_file

from burnish.errors import ConfigError
from burnish.evaluation.intervals import proportion
from burnish.methods.dpo import DPOConfig, dpo
from burnish.methods.kto import KTOConfig, kto
from burnish.methods.pretrain import PretrainConfig, pretrain
from burnish.methods.reward import RewardConfig, reward
from burnish.methods.sft import SFTConfig, sft
from burnish.training.config import MethodConfig
from burnish.types import Answer, Group, Message

NOWHERE = Path("no/such/model")


def pairs(count: int = 6) -> list[Group]:
    """Three answers in order: more pairs than prompts."""
    return [
        Group(
            f"{i} + {i} = ", (Answer(f"{2 * i}."), Answer("x"), Answer("?!")), ((0,), (1,), (2,)), origin=f"pairs:{i}"
        )
        for i in range(count)
    ]


def demos(count: int = 6) -> list[Group]:
    return [Group(group.prompt, group.answers[:1], origin=group.origin) for group in pairs(count)]


def judgements(count: int = 6) -> list[Group]:
    return [
        Group(group.prompt, (replace(group.answers[i % 2], label=i % 2 == 0),), origin=group.origin)
        for i, group in enumerate(pairs(count))
    ]


def texts(count: int = 6) -> list[Group]:
    return [Group("", (Answer(f"{i} plus {i} is {2 * i}, and so on"),), origin=f"texts:{i}") for i in range(count)]


METHODS: dict[str, tuple[Callable[..., dict[str, Any]], type[MethodConfig], list[Group]]] = {
    "sft": (sft, SFTConfig, demos()),
    "dpo": (dpo, DPOConfig, pairs()),
    "kto": (kto, KTOConfig, judgements()),
    "reward": (reward, RewardConfig, pairs()),
    "pretrain": (pretrain, PretrainConfig, texts()),
}
STEPS = {"steps": 3, "batch_size": 6, "learning_rate": 1e-2, "max_length": 64, "micro_batch_tokens": 64}


@pytest.mark.parametrize("name", METHODS)
def test_what_is_held_out_is_measured_by_the_loss_that_trains(name: str, tiny_model: Path, tmp_path: Path):
    method, config, rows = METHODS[name]
    figures = method(tiny_model, rows, config(**STEPS, evaluate_every=1), out=tmp_path, evaluate_on=rows)
    steps = lines(tmp_path)
    for before, after in itertools.pairwise(steps):
        assert before["heldout_loss"] == pytest.approx(after["loss"], rel=1e-5)
    assert figures["heldout_loss"] == steps[-1]["heldout_loss"] < steps[0]["loss"]


@pytest.mark.parametrize("name", ["dpo", "reward"])
def test_pairs_that_come_out_right_are_counted_by_prompt_with_an_interval(name: str, tiny_model: Path, tmp_path: Path):
    method, config, rows = METHODS[name]
    figures = method(tiny_model, rows, config(**STEPS | {"steps": 30}), out=tmp_path, evaluate_on=rows)
    assert (figures["heldout_pairs"], figures["heldout_prompts"]) == (18, 6)
    assert figures["heldout_accuracy"] == 1.0  # it was shown all of them, thirty times
    share = proportion([[1.0]] * 6)
    assert (figures["heldout_accuracy_low"], figures["heldout_accuracy_high"]) == (share.low, share.high)


def test_judgements_that_come_out_right_are_counted_by_prompt_with_an_interval(tiny_model: Path, tmp_path: Path):
    """Two judgements each of three prompts, which were learned in thirty steps."""
    twice = [replace(group, prompt=f"{i // 2} + 1 = ") for i, group in enumerate(judgements())]
    figures = kto(tiny_model, twice, KTOConfig(**STEPS | {"steps": 30}), out=tmp_path, evaluate_on=twice)
    assert (figures["heldout_judgements"], figures["heldout_prompts"]) == (6, 3)
    assert figures["heldout_accuracy"] == 1.0


def test_before_kto_moves_no_judgement_has_gained_anything(tiny_model: Path, tmp_path: Path):
    settings = KTOConfig(**STEPS | {"steps": 1, "learning_rate": 1e-30})
    figures = kto(tiny_model, judgements(), settings, out=tmp_path, evaluate_on=judgements())
    assert figures["heldout_loss"] == pytest.approx(0.5, abs=1e-5)
    assert figures["gain_good"] == pytest.approx(0.0, abs=1e-4)
    assert figures["gain_bad"] == pytest.approx(0.0, abs=1e-4)


def test_a_prompt_that_several_people_ranked_is_one_observation(tiny_model: Path, tmp_path: Path):
    """Three people rank six prompts: 54 pairs, and the interval is that of six prompts."""
    three = [replace(group, extra={"annotator": who}) for group in pairs() for who in ("ann", "bo", "cy")]
    config = RewardConfig(**STEPS | {"steps": 30})
    figures = reward(tiny_model, pairs(), config, out=tmp_path, evaluate_on=three)
    assert (figures["heldout_pairs"], figures["heldout_prompts"]) == (54, 6)
    assert figures["heldout_accuracy"] == 1.0
    share = proportion([[1.0]] * 6)
    assert (figures["heldout_accuracy_low"], figures["heldout_accuracy_high"]) == (share.low, share.high)


@pytest.mark.parametrize("name", ["dpo", "reward"])
def test_dialogues_on_one_opening_are_one_observation(name: str, tiny_model: Path, tmp_path: Path):
    """As the split has it, which puts them on one side: two ways to go on from each of three first turns."""
    method, config, _ = METHODS[name]
    later = [
        replace(
            group,
            prompt=(Message("user", f"{n // 2} + 1 = "), Message("assistant", f"way {n}"), Message("user", "Go on.")),
        )
        for n, group in enumerate(pairs())
    ]
    settings = config(**STEPS | {"max_length": 128, "template": "dialogue"})
    figures = method(tiny_model, later, settings, out=tmp_path, evaluate_on=later)
    assert (figures["heldout_pairs"], figures["heldout_prompts"]) == (18, 3)


def test_before_dpo_moves_every_held_out_pair_is_half_right(tiny_model: Path, tmp_path: Path):
    """A learning rate so small that no weight moves in float32: policy and reference stay equal."""
    settings = DPOConfig(**STEPS | {"steps": 1, "learning_rate": 1e-30})
    figures = dpo(tiny_model, pairs(), settings, out=tmp_path, evaluate_on=pairs(3))
    assert figures["heldout_accuracy"] == 0.5
    assert figures["heldout_loss"] == pytest.approx(torch.tensor(2.0).log().item())


@pytest.mark.parametrize("name", METHODS)
def test_measuring_changes_no_weight(name: str, tiny_model: Path, tmp_path: Path):
    method, config, rows = METHODS[name]
    settings = STEPS | {"dropout": 0.1} | ({"heldout": 0} if name == "reward" else {})
    method(tiny_model, rows, config(**settings), out=tmp_path / "without")
    settings = {key: value for key, value in settings.items() if key != "heldout"}
    method(tiny_model, rows, config(**settings, evaluate_every=2), out=tmp_path / "with", evaluate_on=rows)
    assert [line["loss"] for line in lines(tmp_path / "with")] == [line["loss"] for line in lines(tmp_path / "without")]
    assert ["heldout_loss" in line for line in lines(tmp_path / "with")] == [False, True, True]
    if name != "reward":  # whose head is scaled by what was held out
        one, other = (load_file(tmp_path / run / "model/model.safetensors") for run in ("with", "without"))
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", METHODS)
def test_nothing_to_evaluate_on_is_told_before_a_model_is_loaded(name: str, tmp_path: Path):
    method, config, rows = METHODS[name]
    settings = {"evaluate_every": 5} | ({"heldout": 0} if name == "reward" else {})
    with pytest.raises(ConfigError, match="evaluate_every: 5, and there is nothing to evaluate on"):
        method(NOWHERE, rows, config(**settings), out=tmp_path)


def test_a_reward_model_is_measured_on_the_share_that_it_keeps_where_no_rows_are_named(
    tiny_model: Path, tmp_path: Path
):
    figures = reward(tiny_model, pairs(20), RewardConfig(**STEPS, heldout=0.25, evaluate_every=1), out=tmp_path)
    assert all("heldout_accuracy" in line for line in lines(tmp_path))
    assert 0 < figures["heldout_prompts"] < 20


def test_a_share_and_a_file_to_measure_on_are_one_too_many(tmp_path: Path):
    with pytest.raises(ConfigError, match="heldout, evaluate_on: each says what is not learned; keep one"):
        reward(NOWHERE, pairs(), RewardConfig(heldout=0.1), out=tmp_path, evaluate_on=pairs())


def test_rows_that_are_learned_and_measured_on_are_told(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    sft(tiny_model, demos(4), SFTConfig(**STEPS), out=tmp_path, evaluate_on=demos(6)[3:])
    assert "warning: 1 of 3 held-out rows ask what a row of the training data asks" in capsys.readouterr().err
