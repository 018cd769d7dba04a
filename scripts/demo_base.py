"""The demo's base model: its tokenizer and first weights, and what ships of it once it is trained.

python scripts/demo_data.py SOURCES          # writes models/demo-base-data
python scripts/demo_base.py start            # writes models/demo-base-start: tokenizer, config, random weights
burnish run recipes/demo-base.yaml           # trains it, in runs/demo-base
python scripts/demo_base.py ship             # writes src/burnish/assets/base: 16-bit weights and the tokenizer
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "models/demo-base-data"
START = ROOT / "models/demo-base-start"
TRAINED = ROOT / "runs/demo-base/movies/model"
SHIPPED = ROOT / "src/burnish/assets/base"

VOCABULARY = 4096
END, BEGIN, PAD = 0, 1, 2
COPIES = {
    "sentences.jsonl": 3,
    "plots.jsonl": 1,
    "reviews.jsonl": 1,
    "stories.jsonl": 1,
}  # what the merges should serve


def texts() -> Iterator[str]:
    for name, copies in COPIES.items():
        for _ in range(copies):
            with (DATA / name).open(encoding="utf-8") as lines:
                yield from (json.loads(line)["text"] for line in lines)


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE. Every text begins with <|begin|>, so a prompt's first word is seen as a beginning."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>", "<|begin|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts(), trainer)
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


def start() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        num_hidden_layers=6,
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
    model.save_pretrained(START)
    tokenizer().save_pretrained(START)
    print(f"{START}: {sum(weight.numel() for weight in model.parameters()):,} weights")


def ship(trained: Path) -> None:
    """Half precision keeps 11 significant bits; bfloat16 would keep 8 and cost as much."""
    model = AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float16)
    model.save_pretrained(SHIPPED)
    AutoTokenizer.from_pretrained(trained).save_pretrained(SHIPPED)
    for path in sorted(SHIPPED.iterdir()):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=["start", "ship"])
    parser.add_argument("--trained", type=Path, default=TRAINED)
    given = parser.parse_args()
    if given.what == "start":
        start()
    else:
        ship(given.trained)
