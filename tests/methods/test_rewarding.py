"""What PPO climbs: whoever `by` names, one alone or weighted parts, each by what it can read."""

import json
import math
import socket
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from methods.conftest import PROMPTS, short_ppo
from tiny import byte_tokenizer, tiny_llama
from torch import Tensor

from burnish.batch.pack import Key
from burnish.batch.trees import tree_of
from burnish.data.templates import resolve
from burnish.errors import ConfigError, DataError, Unreachable
from burnish.methods.ensemble import member_folder, write_ensemble
from burnish.methods.ppo import ppo
from burnish.methods.rewarding import Rewards
from burnish.methods.scoring import answered, score_groups
from burnish.models.load import load_policy, load_scorer
from burnish.models.model import Policy
from burnish.types import Prompt, Rollout


def letters(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    return [float(sum(sign.isalpha() for sign in answer)) for answer in answers]


def lengths(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    return [float(len(answer)) for answer in answers]


@pytest.fixture(scope="module")
def policy(tiny_model: Path) -> Policy:
    return load_policy(tiny_model)


@pytest.fixture(scope="module")
def ensemble(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three reward models with heads of their own, which say different things of every answer."""
    folder = tmp_path_factory.mktemp("rewarding") / "ensemble"
    folder.mkdir()
    for number in (1, 2, 3):
        load_scorer(tiny_model, fresh_head=True, seed=number).save(member_folder(folder, number))
    write_ensemble(folder, 3)
    return folder


SAID = ["four", "a1b2", "=", "no end"]
TEXTS = [f"{text}{k}" for text in SAID for k in (0, 1)]


def rollouts() -> list[Rollout]:
    """Two answers to each of the first four prompts, as the policy would write them."""
    encode = byte_tokenizer().encode
    return [Rollout(at // 2, at % 2, (*encode(text), 256), (), True, 0) for at, text in enumerate(TEXTS)]


def scored(by: Any, policy: Policy, *, samples: int = 2) -> tuple[dict[Key, Tensor], dict[str, float]]:
    """Their rewards, and the figures."""
    asked, drawn = PROMPTS[: len(SAID)], rollouts()
    template = resolve(policy.tokenizer, "auto")
    rows = [
        tree_of(template.prompt_tokens(group.prompt), drawn[2 * i : 2 * i + 2], group=i)
        for i, group in enumerate(asked)
    ]
    return Rewards(by, policy, template, short_ppo(), samples=samples)(rows, asked, drawn)


def values(table: dict[Key, Tensor]) -> list[float]:
    return [table[i, k].item() for i in range(len(SAID)) for k in (0, 1)]


def test_an_answer_that_members_differ_about_is_paid_less(policy: Policy, ensemble: Path):
    of_member = [values(scored(member_folder(ensemble, n), policy)[0]) for n in (1, 2, 3)]
    mean = [statistics.fmean(scores) for scores in zip(*of_member, strict=True)]
    deviation = [statistics.stdev(scores) for scores in zip(*of_member, strict=True)]
    alone, figures = scored(ensemble, policy)
    assert values(alone) == pytest.approx(mean)
    assert figures == {"reward_deviation": pytest.approx(statistics.fmean(deviation))}
    lowered, _ = scored([{"by": ensemble, "uncertainty_penalty": 2}], policy)
    assert values(lowered) == pytest.approx([m - 2 * d for m, d in zip(mean, deviation, strict=True)])


def test_parts_are_weighed_and_each_is_told(policy: Policy, reward_model: Path):
    total, figures = scored([{"by": reward_model, "name": "taste"}, {"by": letters, "weight": -0.5}], policy)
    taste = values(scored(reward_model, policy)[0])
    counted = letters([], TEXTS)
    assert values(total) == pytest.approx([t - 0.5 * c for t, c in zip(taste, counted, strict=True)])
    wanted = {"reward/taste": statistics.fmean(taste), "reward/letters": statistics.fmean(counted)}
    assert figures == pytest.approx(wanted)


def test_a_reward_model_with_other_tokens_reads_the_text(policy: Policy, tmp_path: Path):
    other = load_scorer(policy.source, fresh_head=True)
    other.tokenizer.add_tokens(["four"])  # one token to it and four to the policy
    other.save(tmp_path)
    sampled = answered(PROMPTS[: len(SAID)], rollouts(), resolve(policy.tokenizer, "auto"))
    texts = [replace(group, answers=tuple(replace(a, tokens=None) for a in group.answers)) for group in sampled]
    by_text = [score for row in score_groups(tmp_path, texts, short_ppo()).total for score in row]
    assert values(scored(tmp_path, policy)[0]) == pytest.approx(by_text)
    assert values(scored(load_scorer(policy.source, fresh_head=True), policy)[0])[0] != pytest.approx(by_text[0])


def test_tokens_that_another_vocabulary_wrote_are_not_taken_for_one_s_own(policy: Policy, reward_model: Path):
    """A file of samples keeps token ids; a reward model whose ids mean something else scores what is written."""
    (sampled, *_) = answered(PROMPTS[:1], rollouts()[:2], resolve(policy.tokenizer, "auto"))
    foreign = replace(
        sampled, answers=tuple(replace(a, tokens=tuple(t + 1 for t in a.tokens)) for a in sampled.answers)
    )
    assert (
        score_groups(reward_model, [foreign], short_ppo()).total
        == score_groups(reward_model, [sampled], short_ppo()).total
    )


def test_the_critic_starts_as_the_reward_model_or_expects_nothing(policy: Policy, reward_model: Path):
    template, config = resolve(policy.tokenizer, "auto"), short_ppo()
    rows = [tree_of(template.prompt_tokens(PROMPTS[0].prompt), rollouts()[:2])]
    by_model = Rewards([{"by": lengths}, {"by": reward_model}], policy, template, config, samples=2).critic()
    assert torch.equal(by_model.head.weight, load_scorer(reward_model).head.weight)
    by_function = Rewards(lengths, policy, template, config, samples=2).critic()
    assert all((value == 0).all() for value in by_function.frozen_values(rows, 64).values())


def test_ppo_learns_to_be_brief_where_a_function_pays_for_it(tiny_model: Path, tmp_path: Path):
    def brief(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        return [-float(len(answer)) for answer in answers]

    settings = short_ppo(steps=12, batch_size=8, samples=8, beta=0.0, learning_rate=3e-3, unfinished_penalty=0)
    ppo(tiny_model, PROMPTS, settings, by=brief, out=tmp_path)
    rewards = [json.loads(line)["reward"] for line in (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert statistics.fmean(rewards[-3:]) > statistics.fmean(rewards[:3]) + 0.5


def test_a_run_that_pays_otherwise_is_another_run(tiny_model: Path, reward_model: Path, tmp_path: Path):
    ppo(tiny_model, PROMPTS, short_ppo(), by=[{"by": reward_model}, {"by": letters, "weight": 0.5}], out=tmp_path)
    with pytest.raises(ConfigError, match=r"reward: .*0.5 × letters then, .*2 × letters now"):
        ppo(tiny_model, PROMPTS, short_ppo(), by=[{"by": reward_model}, {"by": letters, "weight": 2}], out=tmp_path)


@pytest.mark.parametrize(
    ("said", "error", "told"),
    [
        (lambda n: [math.nan] * n, DataError, r"broken: the score of an answer to prompt 1 .* is no finite number"),
        (lambda n: [0.0] * (n - 1), DataError, r"broken: 8 answers from prompt 1 .* found 7"),
        (lambda n: [1 / 0], ZeroDivisionError, "division by zero"),
    ],
    ids=["NaN", "too few", "an exception"],
)
def test_a_function_that_cannot_say_ends_the_run_before_a_step(
    said: Callable[[int], list[float]], error: type[Exception], told: str, tiny_model: Path, tmp_path: Path
):
    def broken(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        return said(len(answers))

    with pytest.raises(error, match=told):
        ppo(tiny_model, PROMPTS, short_ppo(), by=broken, out=tmp_path)
    assert not (tmp_path / "model").exists()
    assert (tmp_path / "metrics.jsonl").read_text("utf-8") == ""


def test_another_model_behind_the_same_address_is_another_judge(policy: Policy):
    template, judge = resolve(policy.tokenizer, "auto"), {"judge": "http://127.0.0.1:1", "rubric": "Shorter is better."}
    first, other = (
        Rewards({**judge, "model": name}, policy, template, short_ppo(), samples=2).identity() for name in ("a", "b")
    )
    assert first != other


def test_an_address_that_nobody_answers_ends_the_run_before_a_step(tiny_model: Path, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]  # free again once this is left
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port}"):
        ppo(tiny_model, PROMPTS, short_ppo(), by={"by": f"http://127.0.0.1:{port}/", "retries": 0}, out=tmp_path)
    assert (tmp_path / "metrics.jsonl").read_text("utf-8") == ""


def test_a_judge_that_compares_needs_two_answers(policy: Policy, tmp_path: Path):
    tiny_llama(max_position_embeddings=2048).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    judge = {"judge": tmp_path, "rubric": "Shorter is better."}
    with pytest.raises(ConfigError, match="compares an answer with others: set samples to 2"):
        scored(judge, policy, samples=1)
    total, figures = scored(judge, policy)
    assert figures["unreadable"] == 0.0
    assert 0 <= figures["consistency"] <= 1
    for prompt in range(len(SAID)):  # one is as much better as the other is worse
        assert total[prompt, 0].item() + total[prompt, 1].item() == pytest.approx(1)


def test_a_penalty_for_what_one_model_cannot_have_is_refused(policy: Policy, reward_model: Path):
    with pytest.raises(ConfigError, match="uncertainty_penalty is of an ensemble"):
        scored({"by": reward_model, "uncertainty_penalty": 1}, policy)
