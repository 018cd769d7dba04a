"""A model and tokenizers that are whole and tiny, made anew from a seed."""

import io
from typing import Any

import sentencepiece
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaTokenizer, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import generate_merges

from burnish.models.copies import TEXTS
from burnish.models.gguf_vocab import PRE


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A token a byte, an end-of-text token (256) that also opens nothing, and a pad token (257)."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>", pad_token="<|pad|>")


def bpe_tokenizer(pre: str = "gpt-2") -> PreTrainedTokenizerFast:
    """Byte-level BPE of some 400 pieces, that cuts text up as llama.cpp's `pre` does and begins it with `<|begin|>`."""
    steps, whole = PRE[pre]
    inner = Tokenizer(models.BPE(ignore_merges=whole))
    cut = {
        "digits": lambda _: [pre_tokenizers.Digits(individual_digits=True)],
        "split": lambda rule: [pre_tokenizers.Split(Regex(rule), "isolated")],
        "words": lambda _: [],
    }
    parts = [part for kind, rule in steps for part in cut[kind](rule)]
    words = any(kind == "words" for kind, _ in steps)
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [*parts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words)]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    inner.train_from_iterator(TEXTS * 3, trainer)
    inner.add_special_tokens(["<|begin|>", "<|end|>", "<|pad|>"])
    inner.add_tokens([AddedToken("<think>", normalized=False)])
    begin = inner.token_to_id("<|begin|>")
    inner.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", begin)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<|begin|>", eos_token="<|end|>", pad_token="<|pad|>"
    )


def spm_tokenizer() -> LlamaTokenizer:
    """BPE with bytes to fall back on, of some 450 pieces, as SentencePiece makes it and transformers converts it."""
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for text in TEXTS for line in text.splitlines() if line.strip()]),
        model_writer=made,
        model_type="bpe",
        vocab_size=450,
        character_coverage=0.98,
        byte_fallback=True,
        minloglevel=2,
    )
    read = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())
    pieces = [read.id_to_piece(i) for i in range(read.get_piece_size())]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    plain = {p: read.get_score(i) for p, i in vocab.items() if not (read.is_control(i) or read.is_unknown(i))}
    return LlamaTokenizer(vocab=vocab, merges=generate_merges(vocab, plain))


def tiny_llama(seed: int = 0, **changes: Any) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    shape = {
        "vocab_size": 264,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.1,  # the default 0.02 gives a model this small next to no opinion
        "bos_token_id": None,
        "eos_token_id": 256,
        "pad_token_id": 257,
    }
    return LlamaForCausalLM(LlamaConfig(**(shape | changes)))
