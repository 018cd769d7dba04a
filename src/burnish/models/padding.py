"""The pad token of a reward model: one that can never end an answer.

Stock transformers reads a row's score at its last token that is not padding. Were the pad token also an end token, it
would read the score of a finished answer one token too early.
"""

import re
from collections.abc import Mapping

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from burnish.data.builtin_templates import BUILTIN

_END = re.compile(r"end|eo[stm]|</s>|stop", re.IGNORECASE)  # SmolLM2 ends turns with one token and texts with another
_NAMES = ("<|pad|>", "<|padding|>", "<|burnish_padding|>")


def give_pad_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Keep the pad token where it is safe, else take another control token that no template writes, else add one."""
    rows: int = model.get_input_embeddings().weight.shape[0]  # type: ignore[assignment,index]  # an embedding's
    taken = _may_stand_in_an_answer(tokenizer)
    pad: int | None = model.config.pad_token_id
    if pad is None or pad in taken or not 0 <= pad < rows:
        control = {
            i: token.content for i, token in tokenizer.added_tokens_decoder.items() if token.special and i < rows
        }
        free = sorted(control.keys() - taken, key=lambda i: ("pad" not in control[i].lower(), i))
        pad = free[0] if free else None
    if pad is None:
        name = next(name for name in _NAMES if name not in tokenizer.get_vocab())
        tokenizer.add_special_tokens({"pad_token": name})
        pad = tokenizer.get_vocab()[name]
        if pad >= rows:
            model.resize_token_embeddings(pad + 1)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)
    model.config.pad_token_id = pad
    model.config.get_text_config().pad_token_id = pad


def same_tokens(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Do two tokenizers give every token the same id, a pad token that one of them was given aside?"""
    return all(token in _NAMES for token, _ in one.get_vocab().items() ^ other.get_vocab().items())


def _may_stand_in_an_answer(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The begin and end of a text, every token that its own templates or ours write, and what is named as an end."""
    own = tokenizer.chat_template or {}
    sources = list(own.values()) if isinstance(own, Mapping) else [own]
    written = {
        i
        for i, token in tokenizer.added_tokens_decoder.items()
        if any(token.content in source for source in sources)
        or any(token.content in template.needs for template in BUILTIN.values())
    }
    written |= {i for i, token in tokenizer.added_tokens_decoder.items() if _END.search(token.content)}
    return written | {i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if isinstance(i, int)}
