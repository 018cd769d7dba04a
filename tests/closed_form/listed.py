"""Models of transformers on disk whose answers can all be listed, for what is asked of the methods themselves.

GPT-2 of two layers over the letters a, b, c and an end token, in float64. It has learned positions: under rotary ones
alone the states `a`, `aa` and `aaa` are the same, for attention over equal tokens gives the same whatever its weights.
"""

from pathlib import Path

import torch
from enumerable import Answers, causal
from tokenizers import Tokenizer, decoders, models
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from burnish.models.adapters import Lora
from burnish.models.load import Placement, load_scorer
from burnish.types import Answer

LETTERS = "abc"
END = len(LETTERS)
PLACE = {"template": "none", "dtype": "float64", "max_length": 16, "micro_batch_tokens": 8192, "max_grad_norm": 0}
"""Settings of every method here: the model's precision, no template, and no clipping, which would bend a gradient."""


def answers(longest: int) -> Answers:
    return Answers(vocabulary=END + 1, longest=longest, ends=frozenset({END}))


def tokens(text: str) -> tuple[int, ...]:
    return tuple(LETTERS.index(letter) for letter in text)


def text(answer: tuple[int, ...]) -> str:
    return "".join(LETTERS[token] for token in answer if token != END)


def answer(sampled: tuple[int, ...]) -> Answer:
    return Answer(text(sampled), tokens=sampled, finished=sampled[-1] == END)


def language_model(folder: Path) -> Path:
    """A reference that is neither uniform nor sure of anything."""
    inner = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(LETTERS)}, merges=[]))
    inner.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>").save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"vocab_size": END + 1, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 16}
    GPT2LMHeadModel(
        GPT2Config(**shape, initializer_range=0.3, bos_token_id=None, eos_token_id=END, pad_token_id=None)
    ).save_pretrained(folder)
    return folder


def reward_model(base: Path, folder: Path, listed: Answers, prompt: str, *, lora: Lora | None = None) -> Path:
    """A reward model on the trunk of `base` whose scores have mean 0 and deviation 1 over its answers to `prompt`.

    With `lora` it has an adapter, which is not 0, beside `folder`.
    """
    scorer = load_scorer(base, Placement(dtype="float64"), fresh_head=True, seed=1, lora=lora)
    draw = torch.Generator().manual_seed(1)
    for name, weight in scorer.trainable().items():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1, generator=draw)
    scorer.save(folder)
    probability_A, score_A = logprobs(base, listed, prompt).exp(), scores(folder, listed, prompt)
    mean = probability_A @ score_A
    deviation = (probability_A @ (score_A - mean) ** 2).sqrt()
    scorer.score_head.weight.data.div_(deviation)
    scorer.model.config.score_mean = (mean / deviation).item()
    scorer.save(folder)
    return folder


@torch.no_grad()
def logprobs(folder: Path, listed: Answers, prompt: str) -> Tensor:
    """log π of every answer, by transformers alone."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    return listed.logprobs(causal(model), tokens(prompt))


@torch.no_grad()
def scores(folder: Path, listed: Answers, prompt: str) -> Tensor:
    """The score of every answer, by transformers alone, one row at a time, less the model's `score_mean`."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float64)
    mean = getattr(model.config, "score_mean", 0.0)
    rows = (torch.tensor([tokens(prompt) + sampled]) for sampled in listed.tokens)
    return torch.stack([model(input_ids=row_1S).logits.reshape(()) for row_1S in rows]) - mean
