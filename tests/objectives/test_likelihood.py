"""Cross-entropy of tokens and sums over answers."""

import math

import pytest
import torch

from burnish.objectives.likelihood import answer_sums, cross_entropy


def test_a_token_of_probability_one_half_costs_log_2():
    assert cross_entropy(torch.tensor([0.5, 1.0]).log()).tolist() == pytest.approx([math.log(2), 0.0])


def test_the_summed_loss_is_that_of_torch_on_logits():
    logit_TV = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target_T = torch.arange(7) % 5
    logprob_T = logit_TV.log_softmax(1).gather(1, target_T[:, None])[:, 0]
    expected = torch.nn.functional.cross_entropy(logit_TV, target_T, reduction="sum")
    torch.testing.assert_close(cross_entropy(logprob_T).sum(), expected, rtol=1e-12, atol=0)


def test_a_hardly_possible_token_has_a_finite_loss_and_gradient():
    logprob_L = torch.tensor([-1e4, 0.0], requires_grad=True)
    loss_L = cross_entropy(logprob_L)
    loss_L.sum().backward()
    assert loss_L.tolist() == [1e4, 0.0]
    assert logprob_L.grad.tolist() == [-1.0, -1.0]


def test_no_learned_tokens_is_a_loss_of_zero_that_a_backward_pass_may_start_from():
    logprob_L = torch.zeros(0, requires_grad=True)
    total = cross_entropy(logprob_L).sum()
    total.backward()
    assert total.item() == 0.0


def test_a_padded_batch_is_refused():
    with pytest.raises(ValueError, match=r"one log-probability a learned token.*\(2, 3\)"):
        cross_entropy(torch.zeros(2, 3))


def test_an_answer_is_worth_the_sum_of_its_tokens_wherever_they_lie():
    value_L = torch.tensor([1.0, 10.0, 2.0, 20.0])
    assert answer_sums(value_L, torch.tensor([0, 2, 0, 2]), 3).tolist() == [3.0, 0.0, 30.0]


def test_no_tokens_give_every_answer_the_sum_zero():
    assert answer_sums(torch.zeros(0), torch.zeros(0, dtype=torch.int64), 2).tolist() == [0.0, 0.0]


def test_the_gradient_of_a_sum_reaches_its_own_tokens_only():
    value_L = torch.zeros(3, requires_grad=True)
    answer_sums(value_L, torch.tensor([0, 1, 1]), 2)[1].backward()
    assert value_L.grad.tolist() == [0.0, 1.0, 1.0]


def test_a_sum_does_not_depend_on_the_other_answers():
    alone = answer_sums(torch.tensor([0.1, 0.2]), torch.tensor([0, 0]), 1)
    beside = answer_sums(torch.tensor([1e4, 0.1, 0.2, -1e4]), torch.tensor([0, 1, 1, 2]), 3)
    assert beside[1].item() == alone[0].item()


def test_a_value_without_an_answer_is_refused():
    with pytest.raises(ValueError, match="one value and one answer a token"):
        answer_sums(torch.zeros(3), torch.zeros(2, dtype=torch.int64), 1)
