"""Over all answers that exist, the sampler draws each as often as the model's own probabilities say."""

import itertools
from collections import Counter

import pytest
import torch
from scipy.stats import chisquare
from transformers import LlamaConfig, LlamaForCausalLM

from burnish.models.model import Policy
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling

VOCABULARY, LONGEST, END = 6, 4, 0
DRAWS = 100_000
PROMPT = [1, 2, 3]


def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=VOCABULARY, initializer_range=0.6, max_position_embeddings=16, **shape)
    return LlamaForCausalLM(config).double().eval()


def every_answer() -> list[tuple[int, ...]]:
    """Those that end with the end token, and those that are cut."""
    others = [token for token in range(VOCABULARY) if token != END]
    ended = [(*start, END) for size in range(LONGEST) for start in itertools.product(others, repeat=size)]
    return ended + list(itertools.product(others, repeat=LONGEST))


@torch.no_grad()
def probabilities(answers: list[tuple[int, ...]]) -> torch.Tensor:
    """From transformers' own forward pass, one answer a row."""
    stock = model()
    chances = torch.zeros(len(answers), dtype=torch.float64)
    for size in range(1, LONGEST + 1):
        rows = [i for i, answer in enumerate(answers) if len(answer) == size]
        token_NS = torch.tensor([PROMPT + list(answers[i]) for i in rows])
        logprob_NSV = stock(input_ids=token_NS, use_cache=False).logits.log_softmax(2)[:, len(PROMPT) - 1 : -1]
        chances[rows] = logprob_NSV.gather(2, token_NS[:, len(PROMPT) :, None]).sum((1, 2)).exp()
    return chances


@pytest.mark.parametrize(("temperature", "right"), [(1.0, True), (1.05, False)])
def test_answers_are_drawn_with_their_probabilities_and_a_warmer_sampler_is_found_out(temperature: float, right: bool):
    policy = Policy(model(), None)  # type: ignore[arg-type]  # no text is read here
    settings = Sampling(temperature=temperature, max_new_tokens=LONGEST)
    rollouts = LocalEngine(policy, slots=4096).sample([PROMPT], DRAWS, settings, end_tokens=[END], seed=0)
    answers = every_answer()
    expected = probabilities(answers) * DRAWS
    assert expected.sum().item() == pytest.approx(DRAWS)
    count = Counter(rollout.tokens for rollout in rollouts)
    seen = torch.tensor([count[answer] for answer in answers], dtype=torch.float64)
    rare = expected < 10  # the test's distribution is only known for cells that are not
    cells = [torch.cat((value[~rare], value[rare].sum()[None])) for value in (seen, expected)]
    chance = chisquare(cells[0].numpy(), cells[1].numpy()).pvalue
    assert chance > 0.01 if right else chance < 1e-6
