"""What is saved gives equal outputs in stock transformers; adapters and recomputed activations change nothing else."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from burnish.batch.pack import TreeBatch, pack
from burnish.errors import ConfigError
from burnish.models.adapters import Lora
from burnish.models.load import Placement, load_policy, load_scorer
from burnish.models.model import Model, Policy, Scorer
from burnish.models.padding import give_pad_token, same_tokens
from burnish.types import Branch, Tree

END = 256  # the byte tokenizer's end-of-text token


def answer(text: str, k: int, *, ended: bool) -> Branch:
    tokens = (*text.encode(), END) if ended else tuple(text.encode())
    return Branch(tokens, (True,) * len(tokens), ended=ended, answer=k)


TREES = [
    Tree(
        tuple(b"How are you?"),
        (answer("Well, thanks.", 0, ended=True), answer("Cut at this le", 1, ended=False), answer("!", 2, ended=True)),
        group=0,
    ),
    Tree(tuple(b"And"), (answer("a much longer answer than all of the others", 0, ended=True),), group=1),
]


def batch() -> TreeBatch:
    return pack(TREES)


@torch.no_grad()
def shift_weights(model: Model) -> None:
    """Move every trainable weight, as training would."""
    draw = torch.Generator().manual_seed(7)
    for parameter in model.trainable().values():
        parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.05)


def rows_padded_on_the_right(pad: int) -> tuple[Tensor, Tensor]:
    rows = [list(tree.prompt + branch.tokens) for tree in TREES for branch in tree.branches]
    width = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


@torch.no_grad()
def stock_logprob_sums(model: PreTrainedModel) -> Tensor:
    sums = []
    for tree in TREES:
        for branch in tree.branches:
            ids = torch.tensor([tree.prompt + branch.tokens])
            logprobs = model(input_ids=ids).logits[0, :-1].log_softmax(1)
            told = logprobs.gather(1, ids[0, 1:, None]).squeeze(1)
            sums.append(told[len(tree.prompt) - 1 :].sum())
    return torch.stack(sums)


def gradient(model: Model, loss: Tensor) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.trainable().values()))])


def equal(ours: Tensor, theirs: Tensor, limit: float = 1e-5) -> bool:
    return ((ours - theirs).norm() / theirs.norm()).item() < limit


# A saved policy


@pytest.mark.parametrize("packed", [True, False])
def test_a_saved_policy_gives_equal_outputs_in_transformers(tiny_model: Path, tmp_path: Path, packed: bool):
    policy = load_policy(tiny_model, packed=packed)
    shift_weights(policy)
    with torch.no_grad():
        ours = policy.logprob_sums(batch())
    policy.save(tmp_path / "model")
    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert equal(ours, stock_logprob_sums(stock))
    assert AutoTokenizer.from_pretrained(tmp_path / "model").get_vocab() == policy.tokenizer.get_vocab()


def test_a_saved_config_does_not_ask_for_our_attention(tiny_model: Path, tmp_path: Path):
    load_policy(tiny_model).save(tmp_path / "model")
    assert "burnish" not in (tmp_path / "model" / "config.json").read_text()


def test_a_saved_policy_loads_here_to_the_same_outputs(tiny_model: Path, tmp_path: Path):
    policy = load_policy(tiny_model)
    shift_weights(policy)
    policy.save(tmp_path / "model")
    with torch.no_grad():
        assert torch.equal(load_policy(tmp_path / "model").logprobs(batch()), policy.logprobs(batch()))


def test_weights_are_readable_by_whoever_may_read_the_config(tiny_model: Path, tmp_path: Path):
    load_policy(tiny_model).save(tmp_path / "model")
    assert (tmp_path / "model" / "model.safetensors").stat().st_mode & 0o777 == 0o644


# A saved reward model


@pytest.fixture(params=["own pad token", "pad is the end token", "no pad token", "chat template"])
def base(request: pytest.FixtureRequest, tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with each kind of pad token that models come with."""
    folder = Path(shutil.copytree(tiny_model, tmp_path / "base"))
    pads = {"pad is the end token": ("<|end|>", END), "no pad token": (None, None)}
    if request.param in pads:
        token, number = pads[request.param]
        for file, change in (
            ("tokenizer_config.json", {"pad_token": token}),
            ("config.json", {"pad_token_id": number}),
        ):
            (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | change))
    if request.param == "chat template":  # one that ends a turn with what was the pad token
        (folder / "chat_template.jinja").write_text(
            "{% for message in messages %}{{ message.role }}: {{ message.content }}<|pad|>{% endfor %}"
            "{% if add_generation_prompt %}assistant: {% endif %}"
        )
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_a_saved_reward_model_gives_equal_scores_in_transformers(base: Path, tmp_path: Path, packed: bool):
    """On rows padded on the right, answers finished and cut; our score is theirs less score_mean."""
    scorer = load_scorer(base, fresh_head=True, packed=packed)
    shift_weights(scorer)
    scorer.model.config.score_mean = 0.7
    with torch.no_grad():
        ours_N = scorer.scores(batch())
    scorer.save(tmp_path / "model")
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    ids, mask = rows_padded_on_the_right(stock.config.pad_token_id)
    with torch.no_grad():
        theirs_N = stock(input_ids=ids, attention_mask=mask).logits[:, 0]
    assert (ours_N - (theirs_N - 0.7)).abs().max() < 1e-5
    loaded = load_scorer(tmp_path / "model")
    assert loaded.mean == 0.7
    with torch.no_grad():
        assert (loaded.scores(batch()) - ours_N).abs().max() < 1e-6


def test_the_pad_token_of_a_reward_model_never_ends_an_answer(base: Path):
    scorer = load_scorer(base, fresh_head=True)
    pad = scorer.model.config.pad_token_id
    written = scorer.tokenizer.chat_template or ""
    assert pad == scorer.tokenizer.pad_token_id
    assert pad != END
    assert scorer.tokenizer.convert_ids_to_tokens(pad) not in written
    assert 0 <= pad < scorer.model.get_input_embeddings().weight.shape[0]


def test_a_control_token_that_is_named_as_an_end_is_not_taken_for_padding(tiny_model: Path):
    """SmolLM2 ends turns with <|im_end|> and texts with <|endoftext|>: neither pads."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_special_tokens({"pad_token": "<|endoftext|>"})
    model = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=1)
    model.config.pad_token_id = tokenizer.pad_token_id
    give_pad_token(model, tokenizer)
    assert tokenizer.convert_ids_to_tokens(model.config.pad_token_id) == "<|pad|>"


def test_a_reward_model_that_was_given_a_pad_token_still_reads_its_policy_s_tokens(base: Path):
    policy, scorer = load_policy(base), load_scorer(base, fresh_head=True)
    assert same_tokens(policy.tokenizer, scorer.tokenizer)
    policy.tokenizer.add_tokens(["another"])
    assert not same_tokens(policy.tokenizer, scorer.tokenizer)


def test_a_pad_token_that_is_safe_is_kept(tiny_model: Path):
    assert load_scorer(tiny_model, fresh_head=True).model.config.pad_token_id == 257


def test_values_are_read_before_each_token_and_scores_at_the_last(tiny_model: Path):
    """The value before a branch's second token is the score that an answer cut after its first would get."""
    scorer = load_scorer(tiny_model, fresh_head=True)
    whole = pack([Tree((1, 2, 3), (Branch((4, 5, 6), (True, True, True)),))])
    cut = pack([Tree((1, 2, 3), (Branch((4,), (True,)),))])
    with torch.no_grad():
        assert torch.allclose(scorer.values(whole)[1:2], scorer.scores(cut), atol=1e-6)


# LoRA


@pytest.fixture
def adapted(tiny_model: Path) -> Policy:
    policy = load_policy(tiny_model, lora=Lora(rank=4))
    shift_weights(policy)
    return policy


def test_a_fresh_adapter_changes_nothing(tiny_model: Path):
    with torch.no_grad():
        assert torch.equal(
            load_policy(tiny_model, lora=Lora(rank=4)).logprobs(batch()), load_policy(tiny_model).logprobs(batch())
        )


def test_a_fresh_adapter_is_drawn_from_its_seed(tiny_model: Path):
    one, same, other = (load_policy(tiny_model, lora=Lora(rank=4), seed=seed).trainable() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_with_its_adapter_off_a_policy_is_exactly_the_one_that_came_in(adapted: Policy, tiny_model: Path):
    incoming = load_policy(tiny_model)
    with torch.no_grad():
        with adapted.adapter_off():
            assert torch.equal(adapted.logprobs(batch()), incoming.logprobs(batch()))
        assert not torch.allclose(adapted.logprobs(batch()), incoming.logprobs(batch()), atol=1e-2)


def test_only_the_adapter_learns(adapted: Policy):
    assert all("lora_" in name for name in adapted.trainable())


def test_a_merged_model_and_its_adapter_are_saved(adapted: Policy, tiny_model: Path, tmp_path: Path):
    with torch.no_grad():
        ours = adapted.logprob_sums(batch())
    adapted.save(tmp_path / "model")
    assert equal(ours, stock_logprob_sums(AutoModelForCausalLM.from_pretrained(tmp_path / "model")))
    stock = AutoModelForCausalLM.from_pretrained(tiny_model)
    stock.load_adapter(str(tmp_path / "adapter"))  # what peft's users do
    assert equal(ours, stock_logprob_sums(stock))


def test_saving_leaves_the_adapter_in_place(adapted: Policy, tmp_path: Path):
    with torch.no_grad():
        before = adapted.logprobs(batch())
        adapted.save(tmp_path / "model")
        assert torch.equal(adapted.logprobs(batch()), before)
        with adapted.adapter_off():
            assert not torch.allclose(adapted.logprobs(batch()), before, atol=1e-2)


def test_a_reward_model_with_an_adapter_learns_its_head_too_and_saves_both(tiny_model: Path, tmp_path: Path):
    scorer = load_scorer(tiny_model, fresh_head=True, lora=Lora(rank=4))
    shift_weights(scorer)
    assert any("score" in name for name in scorer.trainable())
    with torch.no_grad():
        ours_N = scorer.scores(batch())
    scorer.save(tmp_path / "model")
    with torch.no_grad():
        assert equal(load_scorer(tmp_path / "model").scores(batch()), ours_N)


def test_the_next_stage_starts_from_the_merged_weights_with_a_fresh_adapter(adapted: Policy, tmp_path: Path):
    adapted.save(tmp_path / "model")
    following = load_policy(tmp_path / "model", lora=Lora(rank=2))
    with torch.no_grad(), following.adapter_off():
        assert equal(following.logprobs(batch()), adapted.logprobs(batch()))


@pytest.mark.parametrize("targets", [("no_such_layer",), ("lm_head",)])
def test_targets_that_cannot_be_adapted_are_refused(tiny_model: Path, targets: tuple[str, ...]):
    with pytest.raises(ConfigError, match=r"lora\.targets: "):
        load_policy(tiny_model, lora=Lora(targets=targets))


def test_without_an_adapter_none_can_be_switched_off(tiny_model: Path):
    with pytest.raises(ConfigError, match="no adapter to switch off"), load_policy(tiny_model).adapter_off():
        pass


# Activation checkpointing


@pytest.mark.parametrize("lora", [None, Lora(rank=4)], ids=["all weights", "adapter"])
@pytest.mark.parametrize("packed", [True, False])
def test_activations_that_are_computed_again_give_equal_gradients(tiny_model: Path, packed: bool, lora: Lora | None):
    told = []
    for again in (False, True):
        policy = load_policy(tiny_model, Placement(activation_checkpointing=again), packed=packed, lora=lora)
        shift_weights(policy)
        policy.model.train()  # as the loop does: transformers recomputes in training mode alone
        kept: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: kept.append(t.numel()) or t, lambda t: t):
            loss = policy.logprob_sums(batch()).sum()
        told.append((gradient(policy, loss), sum(kept)))
    (plain, much), (recomputed, little) = told
    assert equal(recomputed, plain, 1e-6)
    assert little < much / 2


# Tables


def test_frozen_logprobs_are_those_of_the_batch_whatever_the_budget(tiny_model: Path):
    policy = load_policy(tiny_model)
    with torch.no_grad():
        whole_L = policy.logprobs(batch())
    for budget in (20, 60, 1000):
        table = policy.frozen_logprobs(TREES, budget)
        assert torch.allclose(batch().gather(table), whole_L, atol=1e-5)


def test_frozen_scores_are_those_of_the_batch(tiny_model: Path):
    scorer = load_scorer(tiny_model, fresh_head=True)
    with torch.no_grad():
        assert torch.allclose(batch().gather(scorer.frozen_scores(TREES, 60)), scorer.scores(batch()), atol=1e-5)


def test_a_forbidden_end_token_has_no_probability_before_its_time(tiny_model: Path):
    policy = load_policy(tiny_model)
    tree = [Tree((1,), (Branch((5, END), (True, True)),))]
    with torch.no_grad():
        told = policy.logprobs(pack(tree), min_new_tokens=2, end_tokens=[END])
        free = policy.logprobs(pack(tree))
    assert told[1] == float("-inf")
    assert told[0] > free[0]  # the end token's share goes to the others


def test_a_row_beyond_a_rope_that_changes_for_the_whole_batch_is_refused(tiny_model: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny_model, tmp_path / "dynamic"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}}
    config["max_position_embeddings"] = 64
    (folder / "config.json").write_text(json.dumps(config))
    policy = load_policy(folder)
    fits = Tree((1,) * 32, (Branch((2,) * 32, (True,) * 32),))
    beyond = Tree((1,) * 32, (Branch((2,) * 33, (True,) * 33),))
    assert policy.packed
    with torch.no_grad():
        assert policy.logprobs(pack([fits])).shape == (32,)
        with pytest.raises(ConfigError, match=r"a row of 65 tokens.*set max_length to 64 or less"):
            policy.logprobs(pack([beyond]))


def test_scorers_and_policies_know_their_path(tiny_model: Path):
    assert load_policy(tiny_model, packed=False).padded_because == "asked for"
    assert isinstance(load_scorer(tiny_model, fresh_head=True), Scorer)
