"""The estimators against the exact KL of a small distribution, and the reward that carries the penalty."""

import math

import pytest
import torch

from burnish.objectives.kl import exact, k1, k2, k3, next_beta, penalty, rewards
from burnish.objectives.ratio import ratio

POLICY = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
REFERENCE = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64).log()
TRUE = 0.3 * math.log(0.5 / 0.2)  # 0.5·log(0.5/0.2) + 0.2·log(0.2/0.5)

ESTIMATORS = pytest.mark.parametrize("estimate", [k1, k2, k3])


@pytest.mark.parametrize("estimate", [k1, k3])
def test_the_estimate_is_right_on_average_over_what_the_policy_draws(estimate):
    assert (POLICY.exp() * estimate(POLICY, REFERENCE)).sum().item() == pytest.approx(TRUE, rel=1e-12)


def test_k2_is_half_the_square_of_k1():
    assert k2(torch.tensor([-1.0]), torch.tensor([-3.0])).item() == 2.0


def test_k3_by_hand():
    # π = ½, reference = ¼: r = ½
    log_half = math.log(0.5)
    estimate = k3(torch.tensor([log_half], dtype=torch.float64), torch.tensor([2 * log_half], dtype=torch.float64))
    assert estimate.item() == pytest.approx(0.5 - 1 - log_half, rel=1e-12)


@pytest.mark.parametrize("estimate", [k2, k3])
def test_the_estimate_is_never_negative(estimate):
    logprob_T = torch.linspace(-8, 0, 33, dtype=torch.float64)
    assert (estimate(logprob_T, logprob_T.flip(0)) >= 0).all()


@ESTIMATORS
def test_a_policy_that_is_its_reference_is_at_distance_0(estimate):
    assert estimate(POLICY, POLICY).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("estimate", [k2, k3])
def test_near_the_reference_the_estimates_agree_to_second_order(estimate):
    logprob_T = torch.tensor([-1.0 + 1e-3], dtype=torch.float64)
    assert estimate(logprob_T, torch.tensor([-1.0], dtype=torch.float64)).item() == pytest.approx(5e-7, rel=1e-3)


def test_in_a_loss_k1_has_no_gradient_on_average_and_k2_has_that_of_the_kl():
    def gradient(loss):
        logit_V = POLICY.clone().requires_grad_()
        loss(logit_V.log_softmax(0)).backward()
        return logit_V.grad

    weight_V = POLICY.exp()  # what is drawn does not depend on the parameters
    of_kl = gradient(lambda logprob_V: exact(logprob_V[None], REFERENCE[None]).sum())
    of_k1 = gradient(lambda logprob_V: (weight_V * k1(logprob_V, REFERENCE)).sum())
    of_k2 = gradient(lambda logprob_V: (weight_V * k2(logprob_V, REFERENCE)).sum())
    torch.testing.assert_close(of_k1, torch.zeros_like(of_k1), rtol=0, atol=1e-15)
    torch.testing.assert_close(of_k2, of_kl, rtol=1e-12, atol=1e-15)
    assert of_kl.norm() > 0.1


@ESTIMATORS
@pytest.mark.parametrize("logprob, reference", [(0.0, -1e4), (-1e4, 0.0)])
def test_ten_thousand_nats_give_finite_estimates_and_gradients(estimate, logprob, reference):
    logprob_T = torch.tensor([logprob], requires_grad=True)
    estimate_T = estimate(logprob_T, torch.tensor([reference]))
    estimate_T.sum().backward()
    assert estimate_T.isfinite().all()
    assert logprob_T.grad.isfinite().all()


@ESTIMATORS
def test_no_tokens_have_no_distance(estimate):
    assert estimate(torch.zeros(0), torch.zeros(0)).sum().item() == 0.0


@ESTIMATORS
def test_one_reference_is_not_spread_over_all_tokens(estimate):
    with pytest.raises(ValueError, match="two log-probabilities a token"):
        estimate(torch.zeros(3), torch.zeros(1))


# exact


def test_the_exact_kl_of_each_state_by_hand():
    kl_T = exact(torch.stack((POLICY, REFERENCE)), torch.stack((REFERENCE, REFERENCE)))
    assert kl_T.tolist() == pytest.approx([TRUE, 0.0], rel=1e-12)


def test_a_token_that_neither_can_give_counts_nothing():
    impossible = torch.tensor([[0.5, 0.5, 0.0]]).log()
    assert exact(impossible, impossible).item() == 0.0


def test_a_token_that_only_the_policy_can_give_is_infinitely_far():
    assert exact(torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[1.0, 0.0]]).log()).item() == math.inf


def test_an_impossible_token_leaves_the_gradient_finite():
    logit_V = torch.tensor([[0.0, 0.0, -math.inf]], requires_grad=True)
    reference_TV = torch.tensor([[0.7, 0.3, 0.0]]).log()
    exact(logit_V.log_softmax(1), reference_TV).sum().backward()
    assert logit_V.grad.isfinite().all()


def test_states_of_unlike_vocabularies_are_refused():
    with pytest.raises(ValueError, match="two rows of log-probabilities a state"):
        exact(torch.zeros(2, 3), torch.zeros(2, 4))


# rewards


def test_the_score_comes_with_the_last_token_and_the_penalty_with_each():
    reward_T = rewards(
        torch.tensor([10.0, 20.0]),
        torch.tensor([-1.0, -1.0, -2.0]),
        torch.tensor([-3.0, -1.0, -1.0]),
        torch.tensor([2, 1]),
        beta=0.5,
    )
    assert reward_T.tolist() == [-0.5 * 2.0, 10.0, 20.0 + 0.5 * 1.0]


def test_with_beta_0_the_reward_is_the_score():
    reward_T = rewards(torch.tensor([3.0]), torch.tensor([-1.0, -2.0]), torch.zeros(2), torch.tensor([2]), beta=0.0)
    assert reward_T.tolist() == [0.0, 3.0]


def test_an_answers_rewards_add_up_to_its_score_less_beta_times_k1():
    generator = torch.Generator().manual_seed(0)
    logprob_T, reference_T = -torch.rand(2, 9, dtype=torch.float64, generator=generator)
    score_N = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    reward_T = rewards(score_N, logprob_T, reference_T, torch.tensor([4, 2, 3]), beta=0.3)
    for answer, (reward, gap) in enumerate(
        zip(reward_T.split([4, 2, 3]), (logprob_T - reference_T).split([4, 2, 3]), strict=True)
    ):
        assert reward.sum().item() == pytest.approx(score_N[answer].item() - 0.3 * gap.sum().item(), rel=1e-12)


def test_a_reward_carries_no_gradient():
    logprob_T = torch.zeros(1, requires_grad=True)
    assert not rewards(torch.ones(1), logprob_T, torch.zeros(1), torch.tensor([1]), beta=1.0).requires_grad


def test_an_answer_without_tokens_has_no_place_for_its_score():
    with pytest.raises(ValueError, match="answer 1 has no token"):
        rewards(torch.zeros(2), torch.zeros(3), torch.zeros(3), torch.tensor([3, 0]), beta=1.0)


def test_lengths_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="2 tokens for 3 log-probabilities"):
        rewards(torch.zeros(1), torch.zeros(3), torch.zeros(3), torch.tensor([2]), beta=1.0)


# ratio


def test_the_ratio_of_two_probabilities():
    assert ratio(torch.tensor([0.5]).log(), torch.tensor([0.25]).log()).item() == pytest.approx(2.0)


def test_beyond_twenty_nats_value_and_slope_stay_those_at_twenty():
    above_T = torch.tensor([19.0, 20.0, 1e4], dtype=torch.float64, requires_grad=True)
    ratio_T = ratio(above_T, torch.zeros(3, dtype=torch.float64))
    ratio_T.sum().backward()
    expected = [math.exp(19), math.exp(20), math.exp(20)]
    assert ratio_T.tolist() == pytest.approx(expected)
    assert above_T.grad.tolist() == pytest.approx(expected)


# in the loss


def test_k2_of_an_answer_is_shared_among_its_tokens():
    # gaps of the answers: 1 + 2 = 3 and -4; ½·9/2 a token, ½·16
    logprob_T = torch.tensor([1.0, 2.0, -4.0])
    penalty_T = penalty(logprob_T, torch.zeros(3), torch.tensor([2, 1]), "sequence_k2")
    assert penalty_T.tolist() == [2.25, 2.25, 8.0]


@pytest.mark.parametrize("kind, estimate", [("token_k2", k2), ("token_k3", k3)])
def test_a_token_at_a_time_it_is_the_estimate_itself(kind, estimate):
    logprob_T, reference_T = torch.tensor([-1.0, -2.0, -4.0]), torch.tensor([-2.0, -2.0, -1.0])
    found = penalty(logprob_T, reference_T, torch.tensor([2, 1]), kind)
    assert torch.equal(found, estimate(logprob_T, reference_T))


def test_over_answers_of_one_token_k2_is_the_same_either_way():
    logprob_T, reference_T, one_each = torch.tensor([-1.0, -2.0]), torch.tensor([-3.0, 0.0]), torch.tensor([1, 1])
    of_answers = penalty(logprob_T, reference_T, one_each, "sequence_k2")
    assert torch.equal(of_answers, penalty(logprob_T, reference_T, one_each, "token_k2"))


# β that follows


def test_beta_rises_where_the_policy_is_too_far_and_falls_where_it_is_too_near():
    assert next_beta(1.0, kl=6.6, target=6.0) == pytest.approx(1.01)  # a tenth too far: 0.1 · 0.1
    assert next_beta(1.0, kl=5.4, target=6.0) == pytest.approx(0.99)
    assert next_beta(0.5, kl=6.0, target=6.0) == 0.5


@pytest.mark.parametrize("kl, factor", [(1e9, 1.02), (0.0, 0.98), (-3.0, 0.98)])
def test_one_iteration_moves_beta_by_two_percent_at_most(kl, factor):
    assert next_beta(1.0, kl=kl, target=6.0) == pytest.approx(factor)


@pytest.mark.parametrize("beta, target", [(0.0, 6.0), (0.1, 0.0)])
def test_beta_cannot_follow_from_0_or_to_0(beta, target):
    with pytest.raises(ValueError, match="must be above 0"):
        next_beta(beta, kl=1.0, target=target)
