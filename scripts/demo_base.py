"""A demo's base model: its tokenizer and first weights, and what ships of it once it is trained.

python scripts/demo_data.py SOURCES          # writes models/demo-base-data
python scripts/demo_base.py start            # writes models/demo-base-start: tokenizer, config, random weights
burnish run recipes/demo-base.yaml           # trains it, in runs/demo-base
python scripts/demo_base.py ship             # writes src/burnish/assets/base: 16-bit weights and the tokenizer

The Chinese one: demo_verse.py, demo_base.py --language zh, recipes/demo-base-zh.yaml; its folders end in -zh.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parent.parent
SPECIAL = ["<|endoftext|>", "<|begin|>", "<|pad|>"]
END, BEGIN, PAD = 0, 1, 2
MERGED = 4096  # tokens of the English tokenizer
SEEN = 6  # occurrences from which on a Chinese character is a token; a rarer one is its bytes


def merging(texts: Iterator[str]) -> Tokenizer:
    """Byte-level BPE."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=MERGED,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return made


def characters(texts: Iterator[str]) -> Tokenizer:
    """A token a character, so that a clause of five is five tokens; what is rare is its bytes."""
    seen = Counter(character for text in texts for character in text)
    frequent = sorted((c for c, count in seen.items() if count >= SEEN), key=lambda c: (-seen[c], c))
    tokens = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *frequent]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True))
    made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    made.add_special_tokens(SPECIAL)
    return made


@dataclass(frozen=True)
class Base:
    """`ending`: of its folders' names. `copies`: how often each text counts for the tokenizer."""

    ending: str
    copies: Mapping[str, int]
    tokenizer: Callable[[Iterator[str]], Tokenizer]
    layers: int
    last_stage: str

    @property
    def start(self) -> Path:
        return ROOT / f"models/demo-base{self.ending}-start"

    @property
    def trained(self) -> Path:
        return ROOT / f"runs/demo-base{self.ending}/{self.last_stage}/model"

    @property
    def shipped(self) -> Path:
        return ROOT / f"src/burnish/assets/base{self.ending}"

    def texts(self) -> Iterator[str]:
        for name, copies in self.copies.items():
            for _ in range(copies):
                with (ROOT / f"models/demo-base{self.ending}-data" / name).open(encoding="utf-8") as lines:
                    yield from (json.loads(line)["text"] for line in lines)


BASES = {
    "en": Base(
        "", {"sentences.jsonl": 3, "plots.jsonl": 1, "reviews.jsonl": 1, "stories.jsonl": 1}, merging, 6, "movies"
    ),
    "zh": Base("-zh", {"poems.jsonl": 1, "other.jsonl": 1}, characters, 4, "quatrains"),
}


def tokenizer(base: Base) -> PreTrainedTokenizerFast:
    """Every text begins with <|begin|>, so a prompt's first word is seen as a beginning."""
    made = base.tokenizer(base.texts())
    made.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", BEGIN)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<|begin|>",  # noqa: S106 (no password)
        eos_token="<|endoftext|>",  # noqa: S106 (no password)
        pad_token="<|pad|>",  # noqa: S106 (no password)
        clean_up_tokenization_spaces=False,
    )


def start(base: Base) -> None:
    torch.manual_seed(0)
    made = tokenizer(base)
    config = LlamaConfig(
        vocab_size=len(made),
        hidden_size=192,
        num_hidden_layers=base.layers,
        intermediate_size=512,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=BEGIN,
        eos_token_id=END,
        pad_token_id=PAD,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(base.start)
    made.save_pretrained(base.start)
    print(f"{base.start}: {sum(weight.numel() for weight in model.parameters()):,} weights, {len(made):,} tokens")


def ship(trained: Path, shipped: Path) -> None:
    """Half precision keeps 11 significant bits; bfloat16 would keep 8 and cost as much."""
    model = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float16)
    model.save_pretrained(shipped)
    AutoTokenizer.from_pretrained(trained).save_pretrained(shipped)
    for path in sorted(shipped.iterdir()):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=["start", "ship"])
    parser.add_argument("--language", choices=BASES, default="en")
    parser.add_argument("--trained", type=Path)
    given = parser.parse_args()
    chosen = BASES[given.language]
    if given.what == "start":
        start(chosen)
    else:
        ship(given.trained or chosen.trained, chosen.shipped)
