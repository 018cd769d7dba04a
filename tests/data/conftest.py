"""Tiny tokenizers for the tests of the data layer, trained on the spot."""

from collections.abc import Callable, Sequence

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from burnish.data.read import read
from burnish.errors import DataError

SENTENCES = [
    "The quick brown fox jumps over the lazy dog. What is the answer to this question? It is forty-two.",
    "Human: can you tell me about the weather? Assistant: it rains, and the user asked a model.",
    "你好，请问今天天气怎么样？今天天气很好，适合出去走走。",
]
MakeTokenizer = Callable[..., PreTrainedTokenizerFast]


def byte_level(
    special: Sequence[str] = ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *,
    added: Sequence[str] = (),
    eos: str | None = "<|endoftext|>",
    bos: str | None = None,
    chat_template: str | None = None,
) -> PreTrainedTokenizerFast:
    """A byte-level BPE as GPT-2, Llama 3 and Qwen have it: any text goes through it and comes back."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in added])
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=eos, bos_token=bos)
    made.chat_template = chat_template
    return made


def sentence_piece_like(chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """A BPE that puts a space before the first word, as Llama 2 and Mistral have it."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, **{"unk_token": "<unk>"}))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    tokenizer.train_from_iterator([*SENTENCES, "\n\n"], trainer)
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)
    made.chat_template = chat_template
    return made


@pytest.fixture(scope="session")
def make_tokenizer() -> MakeTokenizer:
    return byte_level


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_level()


@pytest.fixture(scope="session")
def spaced_tokenizer() -> MakeTokenizer:
    return sentence_piece_like


@pytest.fixture
def refused(tmp_path):
    """Write bytes to a file, read it, and give the message of the refusal."""

    def told(data, name="train.jsonl", error=DataError, **wish):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(error) as caught:
            read(path, **wish)
        message = str(caught.value)
        assert str(path) in message
        assert message.count("\n") < 24  # one screen
        return message.replace(str(tmp_path) + "/", "")

    return told
