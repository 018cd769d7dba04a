"""The local engine samples from the policy that the training pass computes, and computes nothing twice."""

from collections.abc import Callable, Sequence

import pytest
import torch
from transformers import PreTrainedModel

import burnish.rollout.local
from burnish.batch.pack import pack
from burnish.batch.trees import tree_of
from burnish.errors import ConfigError
from burnish.models.model import Policy
from burnish.rollout.gap import sampler_gap, training_logprobs
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling
from burnish.types import Rollout

MakePolicy = Callable[..., Policy]
ENDS = tuple(range(4, 14))  # one token in ten ends an answer, so that answers have many lengths


def drawn_prompts(*sizes: int) -> list[list[int]]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randint(14, 97, (size,), generator=draw).tolist() for size in sizes]


PROMPTS = drawn_prompts(5, 13, 9, 13, 1)  # longer and shorter than the windows of 6
SETTINGS = Sampling(max_new_tokens=14, min_new_tokens=2, temperature=1.5)


def sample(
    policy: Policy,
    *,
    prompts: Sequence[Sequence[int]] = PROMPTS,
    n: int = 3,
    settings: Sampling = SETTINGS,
    slots: int = 64,
    seed: int = 1,
    ends: Sequence[int] = ENDS,
) -> list[Rollout]:
    return LocalEngine(policy, slots=slots).sample(prompts, n, settings, end_tokens=ends, seed=seed)


def gap(policy: Policy, rollouts: Sequence[Rollout], settings: Sampling = SETTINGS) -> float:
    worst, mean = sampler_gap(rollouts, training_logprobs(policy, PROMPTS, rollouts, settings, end_tokens=ENDS))
    assert mean <= worst
    return worst


def test_sampler_and_training_pass_agree(policy: MakePolicy, architecture: str):
    made = policy(architecture)
    assert gap(made, sample(made, slots=7)) <= 1e-4


@pytest.mark.parametrize("name", ["llama", "lfm2"])
def test_streamed_answers_are_those_of_sample_token_by_token(policy: MakePolicy, name: str):
    made = policy(name)
    streaming = LocalEngine(made, slots=4).stream(PROMPTS, 3, SETTINGS, end_tokens=ENDS, seed=1)
    heard: dict[tuple[int, int], list[int]] = {}
    while True:
        try:
            drawn = next(streaming)
        except StopIteration as over:
            rollouts = over.value
            break
        for prompt, k, token in drawn:
            heard.setdefault((prompt, k), []).append(token)
    assert rollouts == sample(made, slots=4)
    assert {(r.prompt, r.sample): list(r.tokens) for r in rollouts} == heard


def test_a_stream_that_is_closed_half_way_leaves_the_policy_as_it_was(policy: MakePolicy):
    made = policy("llama")
    streaming = LocalEngine(made).stream(PROMPTS, 3, SETTINGS, end_tokens=ENDS, seed=1)
    next(streaming)
    streaming.close()
    assert not torch.is_inference_mode_enabled()
    assert gap(made, sample(made)) <= 1e-4


@pytest.mark.parametrize(("name", "other"), [("mistral", {"sliding_window": 64}), ("gemma2", {"sliding_window": 64})])
def test_a_forgotten_window_would_show(policy: MakePolicy, name: str, other: dict[str, int]):
    assert gap(policy(name, **other), sample(policy(name))) > 1e-2


def test_a_forgotten_soft_cap_would_show(policy: MakePolicy):
    assert gap(policy("gemma2", attn_logit_softcapping=50.0), sample(policy("gemma2"))) > 1e-2


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2"])
def test_packed_and_padded_path_draw_the_same_answers(policy: MakePolicy, name: str):
    packed, padded = sample(policy(name), slots=7), sample(policy(name, padded=True), slots=7)
    assert [r.tokens for r in packed] == [r.tokens for r in padded]
    assert [r.finished for r in packed] == [r.finished for r in padded]


@pytest.mark.parametrize("padded", [False, True])
def test_an_answer_does_not_depend_on_what_is_computed_beside_it(policy: MakePolicy, padded: bool):
    model = policy("llama", padded=padded)
    wanted = [r.tokens for r in sample(model, n=4)]
    for slots in (1, 2, 5, 16):
        assert [r.tokens for r in sample(model, n=4, slots=slots)] == wanted
    first = [r.tokens for r in sample(model, n=2)]
    assert first == [tokens for i, tokens in enumerate(wanted) if i % 4 < 2]
    others = [PROMPTS[0], *drawn_prompts(3, 20)]
    assert [r.tokens for r in sample(model, n=4, prompts=others)][:4] == wanted[:4]


@pytest.mark.parametrize("padded", [False, True])
def test_prompts_that_are_sampled_part_by_part_get_the_answers_that_they_get_at_once(policy: MakePolicy, padded: bool):
    model = policy("llama", padded=padded)
    parts = [
        LocalEngine(model).sample(PROMPTS[at : at + 2], 3, SETTINGS, end_tokens=ENDS, seed=1, first=at)
        for at in (0, 2, 4)
    ]
    assert [(r.tokens, r.seed) for part in parts for r in part] == [(r.tokens, r.seed) for r in sample(model)]


@pytest.mark.parametrize("padded", [False, True])
def test_a_second_call_gives_the_same_bits(policy: MakePolicy, padded: bool):
    model = policy("gemma2", padded=padded)
    assert sample(model, slots=5) == sample(model, slots=5)


def test_other_seeds_other_answers(policy: MakePolicy):
    model = policy("llama")
    one, other = sample(model, seed=1), sample(model, seed=2)
    assert len({r.tokens for r in one + other}) > 25  # of 30: no sample repeats another


def test_answers_come_prompt_by_prompt_with_their_seeds(policy: MakePolicy):
    rollouts = sample(policy("llama"), n=2)
    assert [(r.prompt, r.sample) for r in rollouts] == [(i, k) for i in range(5) for k in range(2)]
    assert len({r.seed for r in rollouts}) == 10
    assert all(len(r.tokens) == len(r.logprobs) for r in rollouts)


def test_every_token_is_computed_once(policy: MakePolicy):
    """A prompt once for all its answers, and of an answer every token but the last, which predicts nothing."""
    model = policy("llama")
    computed: list[int] = []
    hook = model.model.get_input_embeddings().register_forward_hook(
        lambda _, inputs, __: computed.append(inputs[0].numel())
    )
    rollouts = sample(model, slots=4)
    hook.remove()
    assert sum(computed) == sum(map(len, PROMPTS)) + sum(len(r.tokens) - 1 for r in rollouts)
    assert max(computed[1:]) == 4  # the slots


def test_as_many_answers_are_written_side_by_side_as_the_cache_may_hold(
    policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
):
    model = policy("llama")
    text = model.model.config
    token = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * 4  # float32 keys and values
    answer = SETTINGS.max_new_tokens + max(map(len, PROMPTS)) / 3  # three answers share a prompt
    monkeypatch.setattr(burnish.rollout.local, "CACHE_BYTES", 5.5 * token * answer)
    widest: list[int] = []
    hook = model.model.get_input_embeddings().register_forward_hook(
        lambda _, inputs, __: widest.append(inputs[0].numel())
    )
    rollouts = LocalEngine(model).sample(PROMPTS, 3, SETTINGS, end_tokens=ENDS, seed=1)
    hook.remove()
    assert max(widest[1:]) == 5
    assert rollouts == sample(model, slots=5)


def test_an_answer_ends_with_the_first_end_token_or_at_its_longest(policy: MakePolicy):
    rollouts = sample(policy("llama"), n=20)
    assert {r.finished for r in rollouts} == {True, False}
    for rollout in rollouts:
        assert rollout.finished == (rollout.tokens[-1] in ENDS)
        assert not set(rollout.tokens[:-1]) & set(ENDS)
        assert rollout.finished or len(rollout.tokens) == SETTINGS.max_new_tokens


def test_no_answer_is_shorter_than_the_shortest_allowed(policy: MakePolicy):
    lengths = [
        len(r.tokens) for r in sample(policy("llama"), n=20, settings=Sampling(max_new_tokens=9, min_new_tokens=4))
    ]
    assert min(lengths) == 5  # four tokens that cannot end it, then an end
    assert max(lengths) == 9


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_at_temperature_0_it_is_transformers_greedy_search(
    policy: MakePolicy, build: Callable[..., PreTrainedModel], name: str, padded: bool
):
    stock = build(name)
    rollouts = sample(policy(name, padded=padded), n=1, settings=Sampling(max_new_tokens=14, temperature=0), ends=(2,))
    for prompt, rollout in zip(PROMPTS, rollouts, strict=True):
        ids = torch.tensor([prompt])
        said = stock.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=14)
        assert rollout.tokens == tuple(said[0, len(prompt) :].tolist())
    assert gap(policy(name), rollouts, Sampling()) <= 1e-4


def test_a_repetition_penalty_is_transformers_own(policy: MakePolicy, build: Callable[..., PreTrainedModel]):
    settings = Sampling(max_new_tokens=14, temperature=0, repetition_penalty=1.7)
    stock = build("llama")
    for padded in (False, True):
        rollouts = sample(policy("llama", padded=padded), n=1, settings=settings, ends=(2,), slots=2)
        for prompt, rollout in zip(PROMPTS, rollouts, strict=True):
            ids = torch.tensor([prompt])
            said = stock.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=14, repetition_penalty=1.7
            )
            assert rollout.tokens == tuple(said[0, len(prompt) :].tolist())


def test_answers_outgrow_their_first_room(policy: MakePolicy):
    model = policy("mistral")
    rollouts = sample(model, n=2, settings=Sampling(max_new_tokens=150), ends=())
    assert {len(r.tokens) for r in rollouts} == {150}
    assert gap(model, rollouts, Sampling()) <= 1e-4


def test_it_runs_in_bfloat16(policy: MakePolicy):
    model = policy("llama")
    model.model.bfloat16()
    assert gap(model, sample(model)) < 0.5  # what is left of the digits, summed up by weights this large


def test_sampling_leaves_the_policy_as_it_was(policy: MakePolicy):
    model = policy("llama")
    model.model.train()
    version = LocalEngine(model).weights_version
    rollouts = sample(model)
    assert model.model.training
    assert LocalEngine(model).weights_version == version
    assert gap(model, rollouts) <= 1e-4  # which takes the tree attention again


@pytest.mark.parametrize("name", ["llama", "gemma2", "mamba", "recurrent-gemma"])
def test_a_policy_learns_after_it_has_sampled(policy: MakePolicy, name: str):
    model = policy(name)
    rollouts = sample(model, n=1)
    trees = [tree_of(prompt, [rollout]) for prompt, rollout in zip(PROMPTS, rollouts, strict=True)]
    model.logprobs(pack(trees)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.model.parameters())


def test_other_weights_have_another_version(policy: MakePolicy):
    model = policy("llama")
    engine = LocalEngine(model)
    before = engine.weights_version
    with torch.no_grad():
        next(model.model.parameters()).view(-1)[0].add_(1.0)
    assert engine.weights_version != before


def test_no_prompts_no_answers(policy: MakePolicy):
    assert sample(policy("llama"), prompts=[]) == []


def test_an_empty_prompt_is_refused(policy: MakePolicy):
    with pytest.raises(ValueError, match="prompt 1 has no tokens"):
        sample(policy("llama"), prompts=[[5], []])


def test_what_exceeds_the_models_positions_is_refused(policy: MakePolicy):
    with pytest.raises(ConfigError, match=r"prompt 2 has 250 tokens .* 14: more than the model's 256 positions"):
        sample(policy("llama"), prompts=drawn_prompts(3, 250))
