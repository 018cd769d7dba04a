"""The methods as they are called reach what theory says, found by listing every answer of the model that they wrote."""

from pathlib import Path
from typing import Any

import pytest
import torch
from enumerable import Optimum, best_of, expected_distance, kl, preferences, total_variation
from listed import END, PLACE, answer, answers, language_model, logprobs, scores, text
from steered import BETA, CUT, PROMPTS, SETTINGS, STEERED, groups, paid, share, shares, steering, within_reach
from torch import Tensor
from transformers import AutoConfig

from burnish.methods.dpo import DPOConfig, dpo
from burnish.methods.online_dpo import OnlineDPOConfig, online_dpo
from burnish.methods.ppo import Critic, PPOConfig, ppo
from burnish.methods.reject import reject
from burnish.methods.reject_settings import RejectConfig
from burnish.methods.reward import RewardConfig, reward
from burnish.methods.rloo import RLOOConfig, rloo
from burnish.models.load import Placement, load_policy
from burnish.models.model import Policy
from burnish.rollout.settings import Sampling
from burnish.types import Group, Prompt


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return language_model(tmp_path_factory.mktemp("listed") / "base")


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# PPO, RLOO and online DPO


@pytest.fixture(scope="module")
def judge(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return steering(base, tmp_path_factory.mktemp("listed") / "reward")


@pytest.mark.parametrize(
    "estimate",
    [
        {"critic": Critic(learning_rate=5e-3)},  # as it is by default
        {"lam": 1.0, "whiten": False, "critic": Critic(kind="shared", learning_rate=5e-3, clip_value=0)},  # unbiased
    ],
    ids=["default", "shared"],
)
def test_ppo_goes_97_percent_of_the_way_to_the_optimum(
    base: Path, judge: Path, tmp_path: Path, estimate: dict[str, Any]
):
    ppo(base, groups(), PPOConfig(**SETTINGS, **estimate), by=judge, out=tmp_path)
    for reached in shares(tmp_path / "model", base, judge):
        assert 0.97 <= reached < 1


def test_rloo_goes_98_percent_of_the_way_to_the_optimum(base: Path, judge: Path, tmp_path: Path):
    rloo(base, groups(), RLOOConfig(**SETTINGS, inner_epochs=3), by=judge, out=tmp_path)
    for reached in shares(tmp_path / "model", base, judge):
        assert 0.98 <= reached < 1


def test_online_dpo_with_soft_labels_goes_98_percent_of_the_way_to_the_same_optimum(
    base: Path, judge: Path, tmp_path: Path
):
    config = OnlineDPOConfig(**SETTINGS, labels="soft", inner_epochs=3)
    online_dpo(base, groups(), config, by=judge, out=tmp_path)
    for reached in shares(tmp_path / "model", base, judge):
        assert 0.98 <= reached < 1


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_97_percent_tells_another_beta_apart(base: Path, judge: Path, scale: float, prompt: str):
    other = Optimum.of(logprobs(base, STEERED, prompt), paid(judge, prompt), scale * BETA)
    assert share(other.logprob_A, base, judge, prompt) < 0.97


# DPO

PAIRED = answers(longest=2)
COMPARISONS, PREFERENCE_BETA = 20_000, 0.5


def test_dpo_comes_as_close_as_twenty_thousand_comparisons_can(base: Path, judge: Path, tmp_path: Path):
    generator = torch.Generator().manual_seed(1)
    rows, optima, bounds = [], [], []
    for prompt in PROMPTS:
        reference_A, reward_A = logprobs(base, PAIRED, prompt), scores(judge, PAIRED, prompt)
        optimum = within_reach(Optimum.of(reference_A, reward_A, PREFERENCE_BETA), reference_A)
        weight_AA, count = preferences(reference_A, reward_A), COMPARISONS // len(PROMPTS)
        optima.append(optimum)
        bounds.append(4 * expected_distance(weight_AA, optimum, count, beta=PREFERENCE_BETA))
        pair_P = torch.multinomial(weight_AA.flatten(), count, replacement=True, generator=generator)
        for chosen, rejected in torch.stack((pair_P // len(reward_A), pair_P % len(reward_A)), dim=1).tolist():
            both = (answer(PAIRED.tokens[chosen]), answer(PAIRED.tokens[rejected]))
            rows.append(Group(prompt, both, order=((0,), (1,))))
    assert max(bounds) < 0.012  # nats; the optimum is more than 1 away from the reference
    settings = DPOConfig(**PLACE, beta=PREFERENCE_BETA, batch_size=100, learning_rate=5e-3)
    dpo(padded(base), rows, settings, out=tmp_path)
    for prompt, optimum, bound in zip(PROMPTS, optima, bounds, strict=True):
        assert kl(optimum.logprob_A, logprobs(tmp_path / "model", PAIRED, prompt)) < bound


def padded(base: Path) -> Policy:
    """On rows this short the padded path takes half the time that trees take, and gives the same."""
    return load_policy(base, Placement(dtype="float64"), packed=False)


# reward model

RANKED, SHOWN, RANKINGS = 8, 4, 6000


@pytest.mark.parametrize("loss", ["pairwise", "plackett_luce"])
def test_reward_recovers_the_scores_behind_the_rankings(base: Path, tmp_path: Path, loss: str):
    """The order of r + Gumbel noise has Plackett-Luce's law, and two places of it have Bradley-Terry's."""
    prompts, listed = "abc", answers(longest=3)
    true_GA, generator = drawn(len(prompts), RANKED, seed=0), torch.Generator().manual_seed(1)
    known_GA = torch.rand(len(prompts), len(listed.tokens), generator=generator).argsort(dim=1)[:, :RANKED]
    rows = []
    for number in range(RANKINGS):
        g = number % len(prompts)
        shown_K = torch.randperm(RANKED, generator=generator)[:SHOWN]
        uniform_K = torch.rand(SHOWN, dtype=torch.float64, generator=generator)
        order = (true_GA[g, shown_K] - (-uniform_K.log()).log()).argsort(descending=True).tolist()
        given = tuple(answer(listed.tokens[known_GA[g, k]]) for k in shown_K)
        rows.append(Group(prompts[g], given, order=tuple((k,) for k in order)))
    settings = RewardConfig(**PLACE, loss=loss, heldout=0, batch_size=60, learning_rate=5e-3)
    reward(base, rows, settings, out=tmp_path)
    deviation = deviation_of(tmp_path / "model")
    found = [scores(tmp_path / "model", listed, p)[known_GA[g]] * deviation for g, p in enumerate(prompts)]
    found_GA = torch.stack(found)
    found_GA = found_GA - found_GA.mean(dim=1, keepdim=True)
    true_GA = true_GA - true_GA.mean(dim=1, keepdim=True)
    for pair in zip(found_GA, true_GA, strict=True):
        assert torch.corrcoef(torch.stack(pair))[0, 1].item() >= 0.99
    assert ((found_GA * true_GA).sum() / true_GA.square().sum()).item() == pytest.approx(1, abs=0.05)


def deviation_of(model: Path) -> float:
    """What a score is multiplied by to be the scale that the loss learned."""
    return float(AutoConfig.from_pretrained(model).score_deviation)


# rejection sampling


def test_reject_comes_within_two_percent_of_the_exact_best_of_n(base: Path, tmp_path: Path):
    n, asked = 4, 10_000
    texts = sorted({text(sampled) for sampled in PAIRED.tokens})
    given = dict(zip(texts, drawn(len(texts), seed=5).tolist(), strict=True))

    def by(_: list[Prompt], answered: list[str]) -> list[float]:
        return [given[one] for one in answered]

    settings = {"samples": n, "unfinished_penalty": CUT, "sampling": Sampling(max_new_tokens=PAIRED.longest)}
    settings |= {"batch_size": 200, "epochs": 2, "learning_rate": 5e-3}
    reject(padded(base), [Group("a")] * asked, RejectConfig(**PLACE, **settings), by=by, out=tmp_path)
    cost = [given[text(sampled)] - CUT * (sampled[-1] != END) for sampled in PAIRED.tokens]
    exact_A = best_of(n, logprobs(base, PAIRED, "a"), torch.tensor(cost, dtype=torch.float64))
    assert total_variation(logprobs(base, PAIRED, "a").exp(), exact_A) > 0.3  # where it comes from
    assert total_variation(logprobs(tmp_path / "model", PAIRED, "a").exp(), exact_A) < 0.02
