"""The models that ship, English and Chinese: small, in 16 bits, and such that a demo can start from them."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

import burnish

ASSETS = Path(burnish.__file__).parent / "assets"
CARDS = {
    "base": ("recipes/demo-base.yaml", "CC BY 4.0", "Bo Pang and Lillian Lee", "Limits"),
    "base-zh": ("recipes/demo-base-zh.yaml", "MIT", "chinese-poetry", "Limits"),
}
MOST = {"base": 10_000_000, "base-zh": 6_000_000}
TEXTS = {
    "base": "the film provides some great insight, doesn't it?",
    "base-zh": "秦川雄帝宅，函谷壮皇居。𬸚 and\n",
}


@pytest.fixture(scope="module", params=CARDS)
def base(request):
    return ASSETS / request.param


@pytest.fixture(scope="module")
def tokenizer(base):
    return AutoTokenizer.from_pretrained(base)


def test_the_folder_is_small_and_its_weights_are_16_bit_safetensors(base):
    assert sum(path.stat().st_size for path in base.iterdir()) <= MOST[base.name]
    assert not list(base.glob("*.bin"))
    with safe_open(base / "model.safetensors", "pt") as weights:
        assert {weights.get_slice(name).get_dtype() for name in weights.keys()} == {"F16"}  # noqa: SIM118


def test_a_model_card_says_how_it_was_made(base):
    card = (base / "README.md").read_text(encoding="utf-8")
    for said in CARDS[base.name]:
        assert said in card


def test_a_text_begins_with_the_begin_token_and_comes_back_as_it_was(base, tokenizer):
    text = TEXTS[base.name]
    tokens = tokenizer(text).input_ids
    assert tokens[0] == tokenizer.bos_token_id
    assert tokenizer.bos_token_id not in tokens[1:]
    assert tokenizer.decode(tokens[1:]) == text


def test_padding_is_no_token_that_ends_or_begins(tokenizer):
    assert len({tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id}) == 3


def test_in_chinese_a_character_is_a_token():
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "base-zh")
    assert tokenizer.tokenize("白日依山尽，") == list("白日依山尽，")


def test_it_finds_a_sentence_likelier_than_its_words_in_another_order():
    """Chinese: its characters."""
    text = "the film is a funny and touching look at the lives of two brothers."
    shuffled = " ".join(sorted(text.split(), key=lambda word: word[::-1]))
    assert loss(ASSETS / "base", text) < loss(ASSETS / "base", shuffled) - 1
    text = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"
    assert loss(ASSETS / "base-zh", text) < loss(ASSETS / "base-zh", "".join(sorted(text))) - 1


def loss(base: Path, text: str) -> float:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokens = torch.tensor([AutoTokenizer.from_pretrained(base)(text).input_ids])
    return model(tokens, labels=tokens).loss.item()
