"""The model that ships: small, in 16 bits, and one that a demo can start from."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

import burnish

BASE = Path(burnish.__file__).parent / "assets/base"


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(BASE)


def test_the_folder_is_at_most_10_megabytes_and_its_weights_are_16_bit_safetensors():
    assert sum(path.stat().st_size for path in BASE.iterdir()) <= 10_000_000
    assert not list(BASE.glob("*.bin"))
    with safe_open(BASE / "model.safetensors", "pt") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"F16"}  # noqa: SIM118


def test_a_model_card_says_how_it_was_made():
    card = (BASE / "README.md").read_text(encoding="utf-8")
    for said in ("recipes/demo-base.yaml", "CC BY 4.0", "Bo Pang and Lillian Lee", "Limits"):
        assert said in card


def test_a_text_begins_with_the_begin_token_and_comes_back_as_it_was(tokenizer):
    text = "the film provides some great insight, doesn't it?"
    tokens = tokenizer(text).input_ids
    assert tokens[0] == tokenizer.bos_token_id
    assert tokenizer.bos_token_id not in tokens[1:]
    assert tokenizer.decode(tokens[1:]) == text


def test_padding_is_no_token_that_ends_or_begins(tokenizer):
    assert len({tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id}) == 3


def test_it_finds_a_sentence_likelier_than_its_words_in_another_order(tokenizer):
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)

    def loss(text: str) -> float:
        tokens = torch.tensor([tokenizer(text).input_ids])
        return model(tokens, labels=tokens).loss.item()

    text = "the film is a funny and touching look at the lives of two brothers."
    shuffled = " ".join(sorted(text.split(), key=lambda word: word[::-1]))
    assert loss(text) < loss(shuffled) - 1
