"""PPO-ptx: rows of text or demonstrations that learn beside the answers."""

import json
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from methods.conftest import PROMPTS, short_ppo
from safetensors.torch import load_file

from burnish.data.templates import resolve
from burnish.errors import ConfigError
from burnish.methods.mixing import Mixing
from burnish.methods.ppo import ppo
from burnish.methods.rloo import RLOOConfig, rloo
from burnish.methods.sft import SFTConfig, sft
from burnish.models.load import load_policy
from burnish.rollout.settings import Sampling
from burnish.types import Answer, Group, Prompt

DEMOS = [Group(f"{i} + {i} = ", (Answer(f"{2 * i}."),), origin=f"demos:{i + 1}") for i in range(8)]
TEXTS = [Group("", (Answer(f"{i} and {i} make {2 * i}"),), origin=f"texts:{i + 1}") for i in range(8)]
NOTHING_TO_CLIMB = {"beta": 0, "unfinished_penalty": 0, "inner_epochs": 1, "dtype": "float64"}


def nothing(_: list[Prompt], answers: list[str]) -> list[float]:
    return [0.0] * len(answers)


def farthest(one: Path, other: Path) -> float:
    a, b = (load_file(folder / "model" / "model.safetensors") for folder in (one, other))
    return max((a[name].double() - b[name].double()).abs().max().item() for name in a)


def last(out: Path) -> dict[str, float]:
    line: dict[str, float] = json.loads((out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return line


def test_where_there_is_nothing_to_climb_it_is_sft(tiny_model: Path, tmp_path: Path):
    """Every row learns in every step, by the same mean, the same optimiser and the same rate."""
    shared: dict[str, Any] = {"steps": 3, "learning_rate": 1e-3, "max_length": 32, "schedule": "constant"}
    settings = short_ppo(**shared, **NOTHING_TO_CLIMB, mix_rows=8, mix_weight=1)
    ppo(tiny_model, PROMPTS, settings, by=nothing, out=tmp_path / "ppo", mix=DEMOS)
    sft(tiny_model, DEMOS, SFTConfig(**shared, batch_size=8, dtype="float64"), out=tmp_path / "sft")
    assert farthest(tmp_path / "ppo", tmp_path / "sft") < 1e-6
    assert last(tmp_path / "ppo")["mix_loss"] == pytest.approx(last(tmp_path / "sft")["loss"], rel=1e-6)
    assert last(tmp_path / "ppo")["own_grad_norm"] == 0


def test_texts_are_read_as_pretraining_reads_them(tiny_model: Path, tmp_path: Path):
    """Joined into rows of max_length, whose first token nothing foretells; RLOO has it as PPO does."""
    settings = RLOOConfig(steps=1, batch_size=4, max_length=32, sampling=Sampling(max_new_tokens=6), mix_rows=2)
    rloo(tiny_model, PROMPTS, settings, by=nothing, out=tmp_path, mix=TEXTS)
    mixing = Mixing(TEXTS, policy := load_policy(tiny_model), resolve(policy.tokenizer, "none"), settings, tmp_path)
    assert {row.prompt for row in mixing.rows} == {()}
    assert {row.size for row in mixing.rows[:-1]} == {32}
    part = mixing.part(0, 0)
    assert part.units == sum(row.size for row in part.trees) - 2
    assert last(tmp_path)["mix_loss"] > 1


def test_which_rows_join_depends_on_the_place_alone_and_none_is_passed_over(tiny_model: Path, tmp_path: Path):
    settings = short_ppo(inner_epochs=2, minibatches=2, mix_rows=2)
    mixing = Mixing(DEMOS, policy := load_policy(tiny_model), resolve(policy.tokenizer, "none"), settings, tmp_path)

    def taken(iteration: int) -> list[list[str]]:
        return [[row.origin for row in mixing.part(iteration, part).trees] for part in range(4)]

    first, second = taken(0), taken(1)
    assert Counter(chain(*first)) == Counter(group.origin for group in DEMOS)
    assert Counter(chain(*second)) == Counter(group.origin for group in DEMOS)
    assert first != second  # another order each pass
    assert taken(0) == first


def test_a_run_does_not_go_on_with_other_rows(tiny_model: Path, tmp_path: Path):
    ppo(tiny_model, PROMPTS, short_ppo(), by=nothing, out=tmp_path, mix=DEMOS)
    with pytest.raises(ConfigError, match="written by another run:\n  mix: "):
        ppo(tiny_model, PROMPTS, short_ppo(), by=nothing, out=tmp_path, mix=DEMOS[1:])


def test_what_is_no_text_and_no_demonstration_is_refused(tiny_model: Path, tmp_path: Path):
    ranking = Group("1 + 1 = ", (Answer("2"), Answer("3")), order=((0,), (1,)), origin="rankings:7")
    with pytest.raises(ConfigError, match=r"mix: rankings:7: .* found 2 answers, judged"):
        ppo(tiny_model, PROMPTS, short_ppo(), by=nothing, out=tmp_path, mix=[*DEMOS, ranking])


def test_keys_that_have_no_rows_to_work_on_are_refused(tiny_model: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="mix_weight: of rows that are mixed in"):
        ppo(tiny_model, PROMPTS, short_ppo(mix_weight=2), by=nothing, out=tmp_path)
