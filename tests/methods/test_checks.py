"""Each check before step one, shown by breaking what it guards."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from methods.conftest import PROMPTS, short_ppo
from pydantic import ValidationError
from safetensors.torch import load_file
from tiny import byte_tokenizer, tiny_llama

from burnish.batch.pack import TreeBatch
from burnish.data.templates import Template, resolve
from burnish.errors import ConfigError
from burnish.methods.checks import check_before_step_one, check_ratio
from burnish.methods.dpo import DPOConfig, dpo
from burnish.methods.ppo import ppo
from burnish.methods.reject import reject
from burnish.methods.reject_settings import RejectConfig
from burnish.models.adapters import Lora
from burnish.models.load import load_policy, load_scorer
from burnish.models.model import Policy, Scorer
from burnish.rollout.settings import Sampling
from burnish.training.config import Check, MethodConfig
from burnish.types import Answer, Branch, Group, Prompt, Tree

END = 256
GOOD = Tree((10, 11, 12), (Branch((20, 21, END), (True, True, True)), Branch((30, END), (True, True), answer=1)))


@pytest.fixture(scope="module")
def policy(tiny_model: Path) -> Policy:
    return load_policy(tiny_model)


@pytest.fixture(scope="module")
def template(policy: Policy) -> Template:
    return resolve(policy.tokenizer, "none")


def with_branch(*, tokens: tuple[int, ...], learned: tuple[bool, ...], ended: bool = True) -> Tree:
    return replace(GOOD, branches=(Branch(tokens, learned, ended=ended),), origin="rows.jsonl:7")


def test_a_sound_batch_passes(policy: Policy, template: Template):
    check_before_step_one(policy, [GOOD], template, MethodConfig())


@pytest.mark.parametrize(
    ("name", "broken", "told"),
    [
        ("mask", with_branch(tokens=(20, END), learned=(False, False)), "its mask is empty"),
        ("mask", with_branch(tokens=(20, END), learned=(True,)), "2 tokens and a mask of 1"),
        ("end_token", with_branch(tokens=(20, 21), learned=(True, True)), "teaches no end token"),
        ("end_token", with_branch(tokens=(20, END, END), learned=(True, True, True)), "its end token twice"),
    ],
)
def test_a_row_that_would_teach_the_wrong_thing_is_named(
    policy: Policy, template: Template, name: str, broken: Tree, told: str
):
    with pytest.raises(ConfigError, match=rf"check before step one, {name}: rows.jsonl:7.*{told}"):
        check_before_step_one(policy, [GOOD, broken], template, MethodConfig())


def test_an_answer_that_was_cut_need_not_end(policy: Policy, template: Template):
    cut = with_branch(tokens=(20, 21), learned=(True, True), ended=False)
    check_before_step_one(policy, [cut], template, MethodConfig())


def test_a_doubled_begin_token_is_refused(template: Template):
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
    begin = tokenizer.bos_token_id
    model = Policy(tiny_llama().eval(), tokenizer)
    doubled = replace(GOOD, prompt=(begin, begin, 10))
    with pytest.raises(ConfigError, match=r"begin_token.*stands twice"):
        check_before_step_one(model, [doubled], template, MethodConfig())


def test_a_forward_pass_that_is_not_transformers_own_is_refused(policy: Policy, template: Template):
    """The layout's masks are taken away: every branch then sees the ones before it."""
    from burnish.models import attention

    def all_seen(*args: object, **kwargs: object) -> torch.Tensor:
        seen = attention_visible(*args, **kwargs)
        return torch.ones_like(seen)

    attention_visible = attention._visible
    with patch.object(attention, "_visible", all_seen), pytest.raises(ConfigError, match=r"outputs: .* differ by"):
        check_before_step_one(policy, [GOOD], template, MethodConfig())


class Crowd(Scorer):
    """An answer's score depends on what else is in the batch."""

    def scores(self, batch: TreeBatch) -> torch.Tensor:
        score_N = super().scores(batch)
        return score_N - score_N.mean() if len(batch.trees) > 1 else score_N


def test_a_score_that_depends_on_its_neighbours_is_refused(tiny_model: Path, template: Template):
    scorer = load_scorer(tiny_model, fresh_head=True)
    scorer.__class__ = Crowd
    other = replace(GOOD, prompt=(40, 41, 42, 43), group=1)
    with pytest.raises(ConfigError, match="score: an answer's score changes"):
        check_before_step_one(scorer, [GOOD, other], template, MethodConfig())


def test_a_head_that_was_not_loaded_is_refused(tiny_model: Path):
    with pytest.raises(ConfigError, match="not a reward model"):
        load_scorer(tiny_model)


def test_dpo_does_not_start_away_from_its_reference(tiny_model: Path, tmp_path: Path):
    """The kept log-probabilities are of other weights: their tag says so, or else the check finds it."""
    pair = Group("a", (Answer("b"), Answer("c")), order=((0,), (1,)), origin="rows:1")
    policy = load_policy(tiny_model)
    honest = policy.frozen_logprobs

    def off_by_one(*args: object, **kwargs: object) -> dict[tuple[int, int], torch.Tensor]:
        policy.frozen_logprobs = honest  # type: ignore[method-assign]
        return {key: value + 1 for key, value in honest(*args, **kwargs).items()}  # type: ignore[arg-type]

    policy.frozen_logprobs = off_by_one  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match=r"reference: rows:1: policy and reference differ by \d"):
        dpo(policy, [pair], DPOConfig(template="none"), out=tmp_path)


def test_log_probabilities_that_were_kept_of_another_reference_are_not_taken(
    tiny_model: Path, other_model: Path, tmp_path: Path
):
    pair = Group("a", (Answer("b"), Answer("c")), order=((0,), (1,)), origin="rows:1")
    settings = DPOConfig(template="none", steps=1)
    taken = {}
    for reference in (tiny_model, other_model, tiny_model):
        dpo(tiny_model, [pair], settings, out=tmp_path, reference=reference)
        sums = load_file(tmp_path / "reference.safetensors")["values"].tolist()
        assert taken.setdefault(reference, sums) == sums
        shutil.rmtree(tmp_path / "checkpoints")
    assert taken[tiny_model] != taken[other_model]


def test_a_check_that_is_left_out_is_left_out(policy: Policy, template: Template):
    broken = with_branch(tokens=(20, 21), learned=(True, True))
    check_before_step_one(policy, [broken], template, MethodConfig(skip_check=("end_token",)))


# PPO, whose first answers show whether its models fit together


class MovesBeforeOld(Policy):
    """Its weights change between sampling and the pass that takes log π_old."""

    def frozen_logprobs(self, *args: Any, **named: Any) -> dict[tuple[int, int], torch.Tensor]:
        move(self)
        return super().frozen_logprobs(*args, **named)


class MovesAfterOld(Policy):
    """Its weights change between that pass and the first step."""

    def frozen_logprobs(self, *args: Any, **named: Any) -> dict[tuple[int, int], torch.Tensor]:
        table = super().frozen_logprobs(*args, **named)
        move(self)
        return table


class Flattered(Policy):
    """Its own forward pass thinks better of every token than transformers' does."""

    def logprobs(self, *args: Any, **named: Any) -> torch.Tensor:
        return super().logprobs(*args, **named) + 0.01


@torch.no_grad()
def move(policy: Policy) -> None:
    """One weight of 30,000: the second of the token that ends an answer."""
    policy.model.get_output_embeddings().weight[256, 1] += 0.1


@pytest.mark.parametrize(
    ("kind", "check"), [(MovesBeforeOld, "sampler"), (MovesAfterOld, "ratio"), (Flattered, "outputs")]
)
def test_a_policy_whose_log_probabilities_are_not_its_own_is_refused(
    tiny_model: Path, reward_model: Path, tmp_path: Path, kind: type[Policy], check: str
):
    policy = load_policy(tiny_model)
    policy.__class__ = kind
    with pytest.raises(ConfigError, match=rf"check before step one, {check}: .*\d at worst"):
        ppo(policy, PROMPTS, short_ppo(), by=reward_model, out=tmp_path)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("kind", [MovesBeforeOld, MovesAfterOld])
def test_a_check_that_is_left_out_lets_it_start(
    tiny_model: Path, reward_model: Path, tmp_path: Path, kind: type[Policy]
):
    policy = load_policy(tiny_model)
    policy.__class__ = kind
    figures = ppo(policy, PROMPTS, short_ppo(skip_check=("sampler", "ratio")), by=reward_model, out=tmp_path)
    assert max(figures["sampler_gap"], abs(figures["ratio_first"] - 1)) > 1e-4


def len_of(_: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    return [float(len(answer)) for answer in answers]


@pytest.mark.parametrize(
    ("kind", "left_out", "check"), [(MovesBeforeOld, (), "sampler"), (Flattered, ("sampler",), "outputs")]
)
def test_rejection_sampling_learns_from_no_such_policy_either(
    tiny_model: Path, tmp_path: Path, kind: type[Policy], left_out: tuple[Check, ...], check: str
):
    policy = load_policy(tiny_model)
    policy.__class__ = kind
    config = RejectConfig(samples=2, steps=1, sampling=Sampling(max_new_tokens=4), template="none", skip_check=left_out)
    with pytest.raises(ConfigError, match=rf"check before step one, {check}: .*\d at worst"):
        reject(policy, PROMPTS, config, by=len_of, out=tmp_path)
    assert not (tmp_path / "model").exists()


def test_answers_of_a_cut_distribution_have_no_log_probabilities_to_compare(tiny_model: Path, tmp_path: Path):
    policy = load_policy(tiny_model)
    policy.__class__ = MovesBeforeOld
    cut = Sampling(max_new_tokens=4, top_p=0.5)
    config = RejectConfig(samples=2, steps=1, sampling=cut, template="none")
    assert reject(policy, PROMPTS, config, by=len_of, out=tmp_path)["prompts"] == len(PROMPTS)


def test_a_check_that_does_not_exist_cannot_be_left_out():
    with pytest.raises(ValidationError, match="'begin_token'"):
        MethodConfig(skip_check=("begin_tokens",))  # type: ignore[arg-type]


def test_ppo_refuses_a_reward_model_whose_scores_do(tiny_model: Path, reward_model: Path, tmp_path: Path):
    judge = load_scorer(reward_model)
    judge.__class__ = Crowd
    with pytest.raises(ConfigError, match="check before step one, score: an answer's score changes"):
        ppo(tiny_model, PROMPTS, short_ppo(), by=judge, out=tmp_path)


@pytest.mark.parametrize("lora", [None, Lora(rank=2)])
def test_a_reference_that_is_another_model_is_refused_unless_it_is_meant(
    tiny_model: Path, other_model: Path, reward_model: Path, tmp_path: Path, lora: Lora | None
):
    with pytest.raises(ConfigError, match=r"check before step one, reference: .* differ by \d"):
        ppo(tiny_model, PROMPTS, short_ppo(lora=lora), by=reward_model, out=tmp_path, reference=other_model)
    meant = short_ppo(lora=lora, skip_check=("reference",))
    assert ppo(tiny_model, PROMPTS, meant, by=reward_model, out=tmp_path, reference=other_model)["kl_k1"] > 1e-3


@pytest.mark.parametrize(
    ("dtype", "off", "refused"),
    [
        (torch.float32, 5e-5, False),
        (torch.float32, 1e-2, True),
        (torch.float64, 5e-5, True),
        (torch.bfloat16, 1e-2, False),
        (torch.float32, float("nan"), True),
    ],
)
def test_one_wrong_token_among_ten_thousand_is_seen(dtype: torch.dtype, off: float, refused: bool):
    ratio_L = torch.ones(10_000, dtype=torch.float64)
    ratio_L[1234] += off
    if not refused:
        return check_ratio(ratio_L, dtype, MethodConfig())
    with pytest.raises(ConfigError, match="check before step one, ratio: "):
        check_ratio(ratio_L, dtype, MethodConfig())
