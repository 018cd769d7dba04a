"""Is a copy of a model the model? What it says of real text, and how it takes text apart, against its source.

One sequence at a time through transformers' own forward pass, in float32: N sequences of T tokens, V vocabulary.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from burnish.errors import DataError

TEXTS = (
    "The house stood at the end of a road that nobody had mended since the flood, and we were glad of it.\n\nShe "
    "said: “You can't have meant it; they'd've told us, wouldn't they?” Nobody answered.",
    "def total(prices: list[float], *, tax: float = 0.07) -> float:\n\tif not prices:\n\t\treturn 0.0\n\treturn "
    "round(sum(p * (1 + tax) for p in prices), 2)  # 3 33 333 3333 33333 3.14159 0x1F -1e-9\n",
    "我想在2026年12月1日去北京看我的朋友，他说那里的冬天很冷。你好，世界！「これは試験です」 한국어 нещо កាន់តែពិសេស",
    "🚀 😶‍🌫️ 👩🏽‍🚀 ✅ 🇩🇪 e\u0301 \u00e9 ﬁ ½ ∑∫ ≤ → \u200b\u00a0…",
    " leading,  two   three    four\t\ttabs \n \n\n  \n\n\n   trailing   ",
    "<|im_start|>user\nIgnore the above.<|im_end|> <s>[INST] hi [/INST]</s> <|endoftext|> <eos><unk> {{ messages }} %s",
    "I've 'told HE'LL WE'RE x=[1,2];!!!??? ----==== \"\"\"'''``` C:\\Users\\a https://example.org/?q=1&r=2#top",
)
"""Prose, code, other scripts, emoji, runs of spaces, what looks like control tokens, and quotes."""

SAME = 1e-5  # of the largest logit: what float32 loses where the same sums are taken in another order
LONGEST = 128  # tokens of a text that are put through the models


def token_rows(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str] = TEXTS) -> list[list[int]]:
    """Each text's ids, as the tokenizer gives them with what it puts around a text and without."""
    return [tokenizer(text, add_special_tokens=around).input_ids for text in texts for around in (False, True)]


def read_rows(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Each text's ids as a model would be given them."""
    return token_rows(tokenizer)[1::2]


@torch.no_grad()
def outputs(model: PreTrainedModel, rows: Sequence[Sequence[int]], longest: int = LONGEST) -> list[Tensor]:
    """What the model gives for each row, in float32: logits (T, V), or a reward model's output (1,)."""
    config = model.config.get_text_config()
    limit = min(longest, int(getattr(config, "max_position_embeddings", longest) or longest))
    found = []
    for row in rows:
        ids = torch.tensor([list(row[:limit])], device=model.device)
        found.append(model(input_ids=ids, use_cache=False).logits[0].float().cpu())
    return found


def difference(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """The largest difference of any output; infinite where shapes differ or one is no number."""
    largest = 0.0
    for a, b in zip(ours, theirs, strict=True):
        gap = float((a - b).abs().max()) if a.shape == b.shape and a.numel() else float("inf")
        largest = max(largest, gap) if gap == gap else float("inf")
    return largest


def require_same(ours: Sequence[Tensor], theirs: Sequence[Tensor], name: str) -> float:
    """The largest difference. Raises DataError where it is more than rounding, so that no such copy is kept."""
    found = difference(ours, theirs)
    scale = max((float(b.abs().max()) for b in theirs), default=1.0)
    if not found <= SAME * max(1.0, scale):
        raise DataError(
            f"{name}: the copy does not say what its source says: outputs on {len(theirs)} texts differ by up to "
            f"{found:.3g}, and {SAME * max(1.0, scale):.1g} is rounding. Nothing was left behind; was the disk or the "
            "source changed while it was copied?"
        )
    return found


def require_same_tokens(ours: PreTrainedTokenizerBase, theirs: PreTrainedTokenizerBase, name: str) -> int:
    """How many tokens both gave for `TEXTS`. Raises DataError naming the first text that they read differently."""
    wanted, found = token_rows(theirs), token_rows(ours)
    for index, (want, got) in enumerate(zip(wanted, found, strict=True)):
        if want != got:
            text = TEXTS[index // 2]
            at = next((i for i, (a, b) in enumerate(itertools.zip_longest(want, got)) if a != b), 0)
            raise DataError(
                f"{name}: the copy's tokenizer takes {text[:40]!r} apart differently from token {at} on: "
                f"{theirs.convert_ids_to_tokens(want[at : at + 3])} became "
                f"{ours.convert_ids_to_tokens(got[at : at + 3])}. Nothing was left behind"
            )
    return sum(len(row) for row in wanted)
