"""The list of answers is complete, and its exact figures are right: what the closed forms stand on."""

import pytest
import torch
from enumerable import Answers, Optimum, Table, best_of, best_of_bound, causal, kl, objective
from transformers import LlamaConfig, LlamaForCausalLM

ANSWERS = Answers(vocabulary=4, longest=3)


def test_the_answers_are_those_that_end_in_time_and_those_that_are_cut():
    # ended: 1 + 3 + 9; cut: 27
    assert len(ANSWERS.tokens) == 1 + 3 + 9 + 27
    assert len(set(ANSWERS.tokens)) == len(ANSWERS.tokens)
    assert all(0 not in answer[:-1] for answer in ANSWERS.tokens)


@pytest.mark.parametrize("ends", [{0}, {0, 3}])
def test_the_probabilities_of_all_answers_add_up_to_1(ends):
    answers = Answers(vocabulary=4, longest=3, ends=frozenset(ends))
    table = Table.drawn(4, 5, seed=0, deviation=2.0)
    assert answers.logprobs(table, (1, 2)).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_the_probabilities_of_all_answers_of_a_transformer_add_up_to_1():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        initializer_range=0.5,
        pad_token_id=None,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        assert ANSWERS.logprobs(causal(model), (1, 2)).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_an_answer_has_the_probability_of_its_tokens_one_after_the_other():
    table = Table.drawn(4, 4, seed=0, deviation=1.0)
    with torch.no_grad():
        first = table(torch.tensor([[3]]))[0, -1].log_softmax(0)[2]
        second = table(torch.tensor([[3, 2]]))[0, -1].log_softmax(0)[0]
        logprob_A = ANSWERS.logprobs(table, (3,))
    assert logprob_A[ANSWERS.number[2, 0]].item() == pytest.approx((first + second).item(), rel=1e-12)


def test_states_of_a_table_are_free_of_each_other():
    table = Table(4, 4)
    with torch.no_grad():
        table(torch.tensor([[1, 2]]))
        before = ANSWERS.logprobs(table, (1,))
        table.row[(1 + 1) * 5 + 2 + 1] += torch.tensor([5.0, 0.0, 0.0, 0.0])
        changed = (ANSWERS.logprobs(table, (1,)) != before).nonzero()[:, 0].tolist()
    assert {ANSWERS.tokens[index][0] for index in changed} == {2}
    assert len(changed) == 1 + 3 + 9  # every answer that goes on after 2


def test_nothing_is_better_than_the_optimum():
    reference_A = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).log_softmax(0)
    reward_A = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    optimum = Optimum.of(reference_A, reward_A, beta=0.5)
    assert objective(optimum.logprob_A, reference_A, reward_A, 0.5) == pytest.approx(optimum.best, rel=1e-12)
    assert optimum.share(objective(reference_A, reference_A, reward_A, 0.5)) == pytest.approx(0, abs=1e-12)
    for scale in (0.9, 1.1):
        other = Optimum.of(reference_A, scale * reward_A, beta=0.5).logprob_A
        assert optimum.share(objective(other, reference_A, reward_A, 0.5)) < 1


def test_the_best_of_two_by_hand():
    # rewards 0, 1, 1 with probabilities ½, ¼, ¼: both draws worst ¼, else one of the two that tie
    best_A = best_of(2, torch.tensor([0.5, 0.25, 0.25]).log(), torch.tensor([0.0, 1.0, 1.0]))
    assert best_A.tolist() == pytest.approx([0.25, 0.375, 0.375])


def test_the_best_of_one_is_the_reference():
    reference_A = torch.tensor([0.5, 0.25, 0.25]).log()
    assert best_of(1, reference_A, torch.tensor([2.0, 1.0, 0.0])).tolist() == pytest.approx([0.5, 0.25, 0.25])


@pytest.mark.parametrize("n", [2, 4, 16])
def test_the_best_of_n_among_many_answers_is_as_far_as_its_bound(n):
    reference_A = torch.zeros(5000, dtype=torch.float64).log_softmax(0)
    best_A = best_of(n, reference_A, torch.arange(5000))
    assert kl(best_A.clamp(min=1e-300).log(), reference_A) == pytest.approx(best_of_bound(n), rel=0.01)
    assert kl(best_A.clamp(min=1e-300).log(), reference_A) <= best_of_bound(n)
