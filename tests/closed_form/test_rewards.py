"""Bradley-Terry and Plackett-Luce find the rewards from which rankings were drawn, up to a constant of each prompt."""

import pytest
import torch
from enumerable import minimise
from torch import Tensor

from burnish.objectives.ranking import bradley_terry, plackett_luce

PROMPTS, ANSWERS, SHOWN = 3, 8, 4
RANKINGS = 6000

REWARD_GA = torch.randn(PROMPTS, ANSWERS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def drawn_rankings(seed: int) -> tuple[Tensor, Tensor]:
    """Prompts, and four of their answers from best to last: the order of r + Gumbel noise has Plackett-Luce's law."""
    generator = torch.Generator().manual_seed(seed)
    prompt_R = torch.arange(RANKINGS) % PROMPTS
    shown_RK = torch.rand(RANKINGS, ANSWERS, generator=generator).argsort(dim=1)[:, :SHOWN]
    uniform_RK = torch.rand(RANKINGS, SHOWN, dtype=torch.float64, generator=generator)
    drawn_RK = REWARD_GA[prompt_R[:, None], shown_RK] - (-uniform_RK.log()).log()
    return prompt_R, shown_RK.gather(1, drawn_RK.argsort(dim=1, descending=True))


def recovered(loss, places: list[int]) -> Tensor:
    """Scores that fit the rankings best, centred in each prompt; `places` says what the learner is told of an order."""
    prompt_R, ranked_RK = drawn_rankings(seed=1)
    score_GA = torch.zeros(PROMPTS, ANSWERS, dtype=torch.float64, requires_grad=True)
    place_N = torch.tensor(places).repeat(RANKINGS)
    group_N = torch.arange(RANKINGS).repeat_interleave(SHOWN)

    def mean() -> Tensor:
        score_N = score_GA[prompt_R[:, None], ranked_RK].flatten()
        return loss(score_N, place_N, group_N).sum() / RANKINGS

    minimise(mean, [score_GA], rounds=12)
    return (score_GA - score_GA.mean(dim=1, keepdim=True)).detach()


def fit(score_GA: Tensor) -> tuple[float, float]:
    """Least correlation within a prompt, and the slope of scores against rewards."""
    true_GA = REWARD_GA - REWARD_GA.mean(dim=1, keepdim=True)
    pairs = zip(score_GA, true_GA, strict=True)
    correlation = min(torch.corrcoef(torch.stack(pair))[0, 1].item() for pair in pairs)
    return correlation, ((score_GA * true_GA).sum() / true_GA.square().sum()).item()


@pytest.mark.parametrize("loss, places", [
    (plackett_luce, [0, 1, 2, 3]),
    (bradley_terry, [0, 1, 2, 3]),  # two of a Plackett-Luce order stand as Bradley-Terry has it
    (plackett_luce, [0, 0, 1, 1]),  # told only which two are better: a tie is "either order"
    (plackett_luce, [0, 0, 0, 1]),
])  # fmt: skip
def test_the_rewards_behind_the_rankings_are_recovered(loss, places):
    correlation, slope = fit(recovered(loss, places))
    assert correlation >= 0.99
    assert slope == pytest.approx(1, abs=0.05)
