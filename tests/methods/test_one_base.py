"""`critic: {kind: adapter}`: policy, critic, reward models and reference are adapters on one copy of the weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from methods.conftest import PROMPTS, short_ppo
from methods.written import farthest, lines, weights
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from tiny import byte_tokenizer
from torch import nn

from burnish.batch.pack import TreeBatch, pack
from burnish.batch.trees import tree_of
from burnish.data.templates import resolve
from burnish.errors import ConfigError
from burnish.methods.ensemble import member_folder, write_ensemble
from burnish.methods.ppo import Critic, PPOConfig, ppo
from burnish.methods.rewarding import Rewards
from burnish.models.adapters import Lora
from burnish.models.load import Placement, load_policy, load_scorer
from burnish.models.model import Scorer
from burnish.models.one_base import critic_on, scorer_on
from burnish.rollout.gap import sampler_gap
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling
from burnish.training.update import StepLoss, Update
from burnish.types import Prompt, Rollout

LORA = Lora(rank=2)


def on_one_base(**changes: Any) -> PPOConfig:
    critic = {"kind": "adapter", "learning_rate": 1e-2} | changes.pop("critic", {})
    return short_ppo(**({"lora": LORA, "critic": Critic(**critic)} | changes))


def adapted(base: Path, *, seed: int = 0, **place: Any) -> Scorer:
    """A reward model that says something, with an adapter of four and a head of its own."""
    scorer = load_scorer(base, Placement(**place), lora=Lora(rank=4), fresh_head=True, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in scorer.trainable().values():
            weight.add_(0.1 * torch.randn(weight.shape, generator=draw))
    scorer.model.config.score_mean = 0.3
    return scorer


@pytest.fixture(scope="module")
def reward(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one_base") / "reward" / "model"
    adapted(tiny_model).save(folder)
    return folder


def batch() -> TreeBatch:
    def tokens(text: str) -> tuple[int, ...]:
        return tuple(byte_tokenizer()(text)["input_ids"])

    answers = [Rollout(0, k, tokens(text), (), True, 0) for k, text in enumerate(("yes", "no!", "perhaps"))]
    return pack([tree_of(tokens("Is it? "), answers, group=0)])


def twos(_: list[Prompt], answers: list[str]) -> list[float]:
    return [2.0] * len(answers)


# ---- one copy


def test_the_base_is_in_memory_once(tiny_model: Path, reward: Path):
    policy = load_policy(tiny_model, lora=LORA)
    scorer = scorer_on(policy, reward)
    critic = critic_on(policy, scorer)
    held = {p.data_ptr(): p.numel() for model in (policy, scorer, critic) for p in model.model.parameters()}
    base = sum(p.numel() for p in load_policy(tiny_model).model.parameters())
    adapters = [one.adapter.weights() for one in (policy, scorer, critic)]
    own = sum(p.numel() for matrices in adapters for p in matrices.values()) + 2 * 32  # two heads of D weights
    assert sum(held.values()) == base + own


def test_each_computes_what_a_model_of_its_own_would(tiny_model: Path, reward: Path):
    """In any order, the reference among them."""
    policy = load_policy(tiny_model, lora=LORA, seed=1)
    scorer = scorer_on(policy, reward)
    critic = critic_on(policy, scorer)
    alone, base = load_scorer(reward), load_policy(tiny_model)
    nn.init.ones_(next(w for name, w in policy.adapter.weights().items() if "lora_B" in name))
    with torch.no_grad():
        moved = policy.logprobs(batch())
        for _ in range(2):
            torch.testing.assert_close(scorer.scores(batch()), alone.scores(batch()), rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(critic.values(batch()), alone.values(batch()), rtol=1e-5, atol=1e-5)
            assert torch.equal(policy.logprobs(batch()), moved)
            with policy.adapter_off():
                assert torch.equal(policy.logprobs(batch()), base.logprobs(batch()))
    assert not torch.allclose(moved, base.logprobs(batch()), atol=1e-2)


def test_the_sampler_writes_by_the_policy_whoever_computed_before_it(tiny_model: Path, reward: Path):
    """Also in layers that only the reward model adapts."""
    policy = load_policy(tiny_model, lora=Lora(rank=2, targets=("q_proj",)), seed=1)
    for name, weight in policy.adapter.weights().items():
        if "lora_B" in name:
            nn.init.constant_(weight, 0.1)
    scorer = scorer_on(policy, reward)
    scorer.frozen_scores(batch().trees, 256)
    prompt = batch().trees[0].prompt
    rollouts = LocalEngine(policy).sample([prompt], 8, Sampling(max_new_tokens=6), end_tokens=[256], seed=0)
    scorer.frozen_scores(batch().trees, 256)
    worst, _ = sampler_gap(rollouts, policy.frozen_logprobs([tree_of(prompt, rollouts, group=0)], 256))
    assert worst < 1e-5


def test_a_critic_learns_alone(tiny_model: Path, reward: Path):
    policy = load_policy(tiny_model, lora=LORA)
    scorer = scorer_on(policy, reward)
    critic = critic_on(policy, scorer)
    with torch.no_grad():
        scores, logprobs, values = scorer.scores(batch()), policy.logprobs(batch()), critic.values(batch())

    def loss(part: TreeBatch) -> StepLoss:
        return StepLoss(critic.values(part).square().sum(), 1)

    Update(critic, short_ppo())(batch().trees, loss, step=0, steps=1)
    with torch.no_grad():
        assert torch.equal(scorer.scores(batch()), scores)
        assert torch.equal(policy.logprobs(batch()), logprobs)
        assert not torch.allclose(critic.values(batch()), values, atol=1e-4)
    assert not scorer.trainable()


# ---- the run


def test_it_is_the_run_that_copies_of_the_weights_give(tiny_model: Path, tmp_path: Path):
    """There the reward model is given loaded with its adapter, and the critic is a copy of all of that."""
    wide = {"dtype": "float64", "steps": 2, "minibatches": 2, "unfinished_penalty": 0}
    copies = adapted(tiny_model, dtype="float64")
    copies.save(tmp_path / "reward" / "model")
    one = on_one_base(**wide)
    several = on_one_base(**wide, critic={"kind": "separate"})
    ppo(tiny_model, PROMPTS, one, by=tmp_path / "reward" / "model", out=tmp_path / "one")
    ppo(tiny_model, PROMPTS, several, by=copies, out=tmp_path / "several")
    names = ("reward", "value_loss", "critic_grad_norm", "loss", "grad_norm", "kl_k1")
    for ours, theirs in zip(lines(tmp_path / "one"), lines(tmp_path / "several"), strict=True):
        assert [ours[n] for n in names] == pytest.approx([theirs[n] for n in names], rel=1e-9, abs=1e-12)
    assert farthest(weights(tmp_path / "one"), weights(tmp_path / "several")) < 1e-9


def cut_otherwise(model: Path, by: Path, out: Path, *, packed: bool = True, **settings: Any) -> None:
    place = Placement(dtype="float64", activation_checkpointing=settings.get("activation_checkpointing", False))
    policy = load_policy(model, place, lora=LORA, packed=packed)  # but its norms are in float32
    config = on_one_base(steps=2, minibatches=2, inner_epochs=1, dtype="float64", critic={"warmup": 1}, **settings)
    ppo(policy, PROMPTS, config, by=by, out=out)


@pytest.fixture(scope="module")
def whole(tiny_model: Path, reward: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one_base") / "whole"
    cut_otherwise(tiny_model, reward, folder)
    return folder


@pytest.mark.parametrize(
    "how",
    [{"micro_batch_tokens": 24}, {"packed": False}, {"activation_checkpointing": True}],
    ids=["cut", "padded", "activations computed again"],
)
def test_cut_otherwise_it_is_the_same_run(
    how: dict[str, Any], tiny_model: Path, reward: Path, whole: Path, tmp_path: Path
):
    cut_otherwise(tiny_model, reward, tmp_path, **how)
    names = ("value_loss", "critic_grad_norm", "reward", "kl_k1")
    for one, other in zip(lines(whole), lines(tmp_path), strict=True):
        assert [one[n] for n in names] == pytest.approx([other[n] for n in names], rel=1e-6, abs=1e-6)
    assert farthest(weights(whole), weights(tmp_path)) < 1e-5  # a step of Adam is 1e-3


def test_what_is_saved_is_the_policy_alone(tiny_model: Path, reward: Path, tmp_path: Path):
    ppo(tiny_model, PROMPTS, on_one_base(), by=reward, out=tmp_path)
    assert weights(tmp_path).keys() == load_file(tiny_model / "model.safetensors").keys()
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir() if path.suffix != ".md") == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    with torch.no_grad():
        again = load_policy(tiny_model, lora=LORA)
        for name, value in load_file(tmp_path / "adapter" / "adapter_model.safetensors").items():
            again.adapter.weights()[name].copy_(value)
        merged = load_policy(tmp_path / "model").logprobs(batch())
        torch.testing.assert_close(again.logprobs(batch()), merged, rtol=1e-5, atol=1e-5)


def test_a_checkpoint_holds_what_learns(tiny_model: Path, reward: Path, tmp_path: Path):
    ppo(tiny_model, PROMPTS, on_one_base(), by=reward, out=tmp_path)
    (checkpoint,) = (tmp_path / "checkpoints").glob("step-*")
    kept = {file.stem: load_file(file) for file in checkpoint.glob("*.safetensors")}
    assert kept.keys() == {"policy", "critic"}
    learned = {name: {key for key in tensors if key.startswith("weight//")} for name, tensors in kept.items()}
    assert all(".default." in key for key in learned["policy"])
    assert all(".critic." in key for key in learned["critic"] - {"weight//score.weight"})


def test_a_loaded_policy_has_nothing_of_its_run_after_it(tiny_model: Path, reward: Path, tmp_path: Path):
    policy = load_policy(tiny_model, lora=LORA)
    before = policy.model.state_dict().keys()
    for name in ("first", "second"):
        settings = on_one_base(skip_check=("reference",))  # the second run goes on from the first
        ppo(policy, PROMPTS, settings, by=reward, out=tmp_path / name)
    assert policy.model.state_dict().keys() == before


# ---- who scores


def test_without_a_reward_model_the_critic_expects_nothing_at_first_and_then_learns(tiny_model: Path, tmp_path: Path):
    """At KL 0 each token of an answer that scores 2 is to be followed by 2: ½·2² is what a value of 0 costs."""
    free = {"lam": 1.0, "whiten": False, "unfinished_penalty": 0, "inner_epochs": 1}
    settings = on_one_base(steps=3, critic={"clip_value": 0}, **free)
    ppo(tiny_model, PROMPTS, settings, by=twos, out=tmp_path)
    losses = [line["value_loss"] for line in lines(tmp_path)]
    assert losses[0] == pytest.approx(2)
    assert losses[0] > losses[1] > losses[2]


def test_members_of_an_ensemble_and_parts_of_a_list_lie_side_by_side(tiny_model: Path, reward: Path, tmp_path: Path):
    for number in (1, 2):
        adapted(tiny_model, seed=number).save(member_folder(tmp_path / "several", number))
    write_ensemble(tmp_path / "several", 2)
    by = [{"by": str(tmp_path / "several")}, {"by": str(reward), "weight": 2}]
    policy = load_policy(tiny_model, lora=LORA)
    readers = Rewards(by, policy, resolve(policy.tokenizer, "auto"), on_one_base(), one_base=True).readers
    assert [scorer.source for scorer in readers] == [
        str(folder) for folder in (reward, *(member_folder(tmp_path / "several", number) for number in (1, 2)))
    ]
    with torch.no_grad():
        for scorer in readers:
            alone = load_scorer(scorer.source)
            torch.testing.assert_close(scorer.scores(batch()), alone.scores(batch()), rtol=1e-5, atol=1e-5)


def test_a_judge_is_known_for_the_reward_model_that_it_is(tiny_model: Path, reward: Path, tmp_path: Path):
    policy, config = load_policy(tiny_model, lora=LORA), on_one_base()
    template = resolve(policy.tokenizer, "auto")
    on_base = Rewards(reward, policy, template, config, one_base=True)
    adapted(tiny_model, seed=1).save(tmp_path / "another" / "model")
    assert on_base.same_as(Rewards(reward, policy, template, config))
    assert not on_base.same_as(Rewards(tmp_path / "another" / "model", policy, template, config))


# ---- what cannot lie on the policy's weights


def refused(by: Any, model: Any, out: Path, match: str, **how: Any) -> None:
    with pytest.raises(ConfigError, match=match):
        ppo(model, PROMPTS, on_one_base(), by=by, out=out, **how)
    assert not (out / "metrics.jsonl").exists()


def test_a_whole_reward_model_is_refused_before_anything_is_loaded(reward_model: Path, tmp_path: Path):
    refused(reward_model, "no/such", tmp_path, r"no adapter beside it.*train it with `lora: \{rank: 16\}`")


def test_a_reward_model_trained_from_another_model_is_refused(other_model: Path, reward: Path, tmp_path: Path):
    refused(reward, other_model, tmp_path, "trained from another model than PPO starts from: model")


def test_an_adapter_that_is_not_the_reward_model_s_is_refused(tiny_model: Path, reward: Path, tmp_path: Path):
    shutil.copytree(reward.parent, tmp_path / "reward")
    file = tmp_path / "reward" / "adapter" / "adapter_model.safetensors"
    save_file({name: value * 1.0001 for name, value in load_file(file).items()}, file)
    refused(tmp_path / "reward" / "model", tiny_model, tmp_path / "ppo", r"with the adapter beside it, but .* away")


def test_an_adapter_of_other_layers_is_refused(tiny_model: Path, reward: Path, tmp_path: Path):
    shutil.copytree(reward.parent, tmp_path / "reward")
    file = tmp_path / "reward" / "adapter" / "adapter_config.json"
    settings = json.loads(file.read_text(encoding="utf-8")) | {"target_modules": ["q_proj"]}
    file.write_text(json.dumps(settings), encoding="utf-8")
    refused(tmp_path / "reward" / "model", tiny_model, tmp_path / "ppo", "is not what fits the policy's layers")


def test_a_reward_model_of_other_tokens_is_refused(tiny_model: Path, reward: Path, tmp_path: Path):
    shutil.copytree(reward.parent, tmp_path / "reward")
    other = byte_tokenizer()
    other.add_tokens(["<|another|>"])
    other.save_pretrained(tmp_path / "reward" / "model")
    refused(tmp_path / "reward" / "model", tiny_model, tmp_path / "ppo", "its tokenizer is not the policy's")


def test_a_loaded_reward_model_is_refused(tiny_model: Path, reward: Path, tmp_path: Path):
    refused(load_scorer(reward), tiny_model, tmp_path, "is loaded, with weights of its own")


def test_another_reference_is_refused(tiny_model: Path, other_model: Path, reward: Path, tmp_path: Path):
    refused(reward, tiny_model, tmp_path, "reference: with critic.kind: adapter", reference=other_model)


def test_a_policy_that_was_loaded_without_an_adapter_is_refused(tiny_model: Path, reward: Path, tmp_path: Path):
    refused(reward, load_policy(tiny_model), tmp_path, "load it with `lora`")


def test_it_needs_lora():
    with pytest.raises(ValidationError, match=r"write lora: \{rank: 16\}"):
        PPOConfig(critic={"kind": "adapter"})
