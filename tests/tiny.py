"""A model and a tokenizer that are whole and tiny, made anew from a seed."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A token a byte, an end-of-text token (256) that also opens nothing, and a pad token (257)."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>", pad_token="<|pad|>")


def tiny_llama(seed: int = 0, **changes: int) -> LlamaForCausalLM:
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
