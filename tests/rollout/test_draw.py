"""Tokens are drawn with the probabilities that the settings leave."""

import math

import pytest
import torch
from torch import Tensor

from burnish.rollout.draw import draw, likeliest, shaped, uniforms
from burnish.rollout.settings import Sampling

CHANCE = torch.tensor([0.1, 0.5, 0.15, 0.25])


def left(
    settings: Sampling, logits_V: Tensor | None = None, *, step: int = 0, ends: tuple[int, ...] = ()
) -> list[float]:
    """Probabilities after the settings have shaped log(CHANCE), to four digits."""
    logits_V = CHANCE.log() if logits_V is None else logits_V
    shaped_SV = shaped(logits_V[None].clone(), torch.tensor([step]), settings, torch.tensor(ends, dtype=torch.int64))
    return [round(value, 4) for value in shaped_SV.softmax(1)[0].tolist()]


def test_without_settings_nothing_changes():
    assert left(Sampling()) == [0.1, 0.5, 0.15, 0.25]


def test_temperature_is_an_exponent():
    assert left(Sampling(temperature=0.5)) == [round(p * p / 0.345, 4) for p in (0.1, 0.5, 0.15, 0.25)]


def test_top_k_keeps_the_k_likeliest():
    assert left(Sampling(top_k=2)) == [0, round(0.5 / 0.75, 4), 0, round(0.25 / 0.75, 4)]
    assert left(Sampling(top_k=9)) == [0.1, 0.5, 0.15, 0.25]


@pytest.mark.parametrize(("top_p", "kept"), [(0.3, [1]), (0.6, [1, 3]), (0.8, [1, 2, 3]), (0.95, [0, 1, 2, 3])])
def test_top_p_keeps_the_fewest_tokens_that_hold_it(top_p: float, kept: list[int]):
    assert [i for i, p in enumerate(left(Sampling(top_p=top_p))) if p] == kept


@pytest.mark.parametrize(("min_p", "kept"), [(0.6, [1]), (0.4, [1, 3]), (0.29, [1, 2, 3]), (0.1, [0, 1, 2, 3])])
def test_min_p_is_a_share_of_the_likeliest(min_p: float, kept: list[int]):
    assert [i for i, p in enumerate(left(Sampling(min_p=min_p))) if p] == kept


def test_end_tokens_wait_for_the_shortest_length():
    settings = Sampling(min_new_tokens=3)
    assert left(settings, step=2, ends=(1, 3)) == [0.4, 0, 0.6, 0]
    assert left(settings, step=3, ends=(1, 3)) == [0.1, 0.5, 0.15, 0.25]


def test_a_repetition_penalty_weakens_what_was_seen_on_both_sides_of_zero():
    logits_SV = torch.tensor([[2.0, -2.0, 2.0, -2.0]])
    seen_SV = torch.tensor([[True, True, False, False]])
    none = torch.tensor([], dtype=torch.int64)
    out = shaped(logits_SV, torch.tensor([0]), Sampling(repetition_penalty=2.0), none, seen_SV)
    assert out.tolist() == [[1.0, -4.0, 2.0, -2.0]]


@pytest.mark.parametrize("vocabulary", [4, 64, 65, 1000])
def test_evenly_spread_numbers_draw_each_token_as_often_as_its_probability(vocabulary: int):
    """Wherever among the blocks of the sum the four tokens stand; the others have probability 0."""
    places = torch.tensor([0, vocabulary // 3, vocabulary // 2, vocabulary - 1])
    logits_V = torch.full((vocabulary,), -math.inf)
    logits_V[places] = CHANCE.log()
    spread_S = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    token_S, logprob_S = draw(logits_V.expand(2000, -1), spread_S)
    count_V = torch.bincount(token_S, minlength=vocabulary)
    assert count_V[places].tolist() == [200, 1000, 300, 500]
    torch.testing.assert_close(logprob_S.exp(), (count_V / 2000)[token_S].double(), atol=1e-6, rtol=0)


def test_a_token_of_probability_0_is_never_drawn():
    logits_SV = torch.full((2, 300), -math.inf)
    logits_SV[:, 100:200] = torch.randn(100, generator=torch.Generator().manual_seed(0))
    token_S, logprob_S = draw(logits_SV, torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64))
    assert token_S.tolist() == [100, 199]
    assert logprob_S.isfinite().all()


def test_the_likeliest_token_carries_its_log_probability():
    token_S, logprob_S = likeliest(CHANCE.log()[None])
    assert token_S.tolist() == [1]
    assert logprob_S.item() == pytest.approx(math.log(0.5))


def test_a_longer_answer_begins_with_the_same_numbers():
    assert torch.equal(uniforms(7, 100)[:10], uniforms(7, 10))
    assert not torch.equal(uniforms(7, 10), uniforms(7 + 2**32, 10))  # all bits of a seed count
