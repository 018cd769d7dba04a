"""Build the Chinese demo's data from the classical verse of chinese-poetry, and the text for its base model.

    pip install opencc
    python scripts/demo_verse.py SOURCES [--out src/burnish/assets/demo-zh] [--pretraining models/demo-base-zh-data]

SOURCES holds zh_classical_text.jsonl.gz. The same source gives the same bytes. Every poem is written in simplified
characters (OpenCC, t2s). Tang poems of one measure are split first, each as a whole (burnish.evaluation.splits); a poem
that shares a clause with a poem of another part is left out of the less important one, and no text of the pretraining
holds a clause of a judge's poem, of a prompt's or of a held-out one.
"""

import argparse
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from demo_data import ordered, rows_of, write

from burnish.evaluation.splits import VERSE_SHARES, Part, demo_split
from burnish.rewards.prosody import clauses
from burnish.rewards.verse import couplets, followed

TANG = ("御定全唐詩", "唐诗三百首")
OTHER = ("宋词三百首", "诗经", "楚辞", "纳兰性德", "曹操诗集", "元曲")  # prose of the same source is left out
REGULAR = re.compile(r"(?:\w{5}，\w{5}。)+|(?:\w{7}，\w{7}。)+")
LONG = 5  # characters of a clause that makes two poems alike
DEMONSTRATIONS, PROMPTS, HELD_OUT, TEXT = 2000, 1200, 500, 400

IMPORTANT: tuple[Part, ...] = ("heldout", "judge_b", "judge_a", "prompts", "train")
"""What the verdict rests on comes first, the rest gives way."""


def simplified(texts: Iterable[str]) -> list[str]:
    try:
        from opencc import OpenCC
    except ImportError:
        raise SystemExit("demo_verse.py writes simplified characters with OpenCC: pip install opencc") from None
    convert = OpenCC("t2s").convert
    return [convert(text) for text in texts]


def marked(text: str) -> str:
    """One way of writing a poem: no line ends, 「。」 for 「；？！」."""
    return re.sub("[；？！]", "。", text.replace("\n", ""))


def body(text: str) -> str:
    """A poem without the lines of its title and author."""
    return text.split("\n", 2)[-1]


def long_clauses(text: str) -> set[str]:
    return {clause for clause in clauses(text) if len(clause) >= LONG}


def split(poems: Iterable[str]) -> tuple[dict[Part, list[str]], set[str]]:
    """The poems by part, and the clauses that no training text may hold."""
    parts: dict[Part, list[str]] = {part: [] for part in IMPORTANT}
    for poem in ordered(poems):
        parts[demo_split(poem, VERSE_SHARES)].append(poem)
    taken: set[str] = set()
    for name in IMPORTANT:
        before = len(parts[name])
        parts[name] = [poem for poem in parts[name] if not long_clauses(poem) & taken]
        print(f"{name}: {len(parts[name])} poems, {before - len(parts[name])} left out for a clause of another part's")
        if name != "train":
            taken |= set().union(*map(long_clauses, parts[name]))
    return parts, taken


def quatrains(poems: Iterable[str]) -> list[tuple[str, str]]:
    """Openings and what follows, each opening once, in an order that tells nothing."""
    found = {opening: (opening, couplet) for poem in poems for opening, couplet in followed(couplets(poem))}
    return [found[opening] for opening in ordered(found)]


def overlapping(poem: str) -> list[str]:
    """Every couplet of a poem with the one that follows."""
    row = couplets(poem)
    return [first + second for first, second in pairwise(row)]


def build(sources: Path, out: Path, pretraining: Path) -> None:
    rows = rows_of(sources / "zh_classical_text.jsonl.gz")
    tang = [marked(text) for text in simplified(body(row["text"]) for row in rows if row["kind"] in TANG)]
    regular = [poem for poem in tang if REGULAR.fullmatch(poem) and len(couplets(poem)) > 1]
    parts, taken = split(regular)

    shown = quatrains(parts["train"])[:DEMONSTRATIONS]
    write(out / "sft.jsonl", [{"prompt": opening, "response": couplet} for opening, couplet in shown])
    write(out / "prompts.jsonl", [{"prompt": opening} for opening, _ in quatrains(parts["prompts"])[:PROMPTS]])
    firsts = dict(quatrains([poem])[0] for poem in parts["heldout"])
    pairs = [{"prompt": opening, "response": couplet} for opening, couplet in list(firsts.items())[:HELD_OUT]]
    write(out / "heldout.jsonl", [{"prompt": pair["prompt"]} for pair in pairs])
    write(out / "heldout_couplets.jsonl", pairs)
    told = {row["prompt"] + row["response"] for row in pairs}
    rest = ["".join(pair) for pair in quatrains(parts["heldout"]) if "".join(pair) not in told]
    write(out / "heldout_text.jsonl", [{"text": text} for text in rest[:TEXT]])
    for judge in ("judge_a", "judge_b"):
        write(pretraining / f"{judge}.jsonl", [{"text": poem} for poem in parts[judge]])

    other = simplified(body(row["text"]) for row in rows if row["kind"] in OTHER)
    whole = set(regular)
    irregular = [poem for poem in tang if poem not in whole]
    kept = ("\n".join(line for line in poem.split("\n") if not long_clauses(line) & taken) for poem in other)
    pretraining_texts = {
        "poems": parts["train"],
        "other": ordered([*(poem for poem in irregular if not long_clauses(poem) & taken), *filter(None, kept)]),
        "quatrains": ordered(text for poem in parts["train"] for text in overlapping(poem)),
    }
    for name, texts in pretraining_texts.items():
        write(pretraining / f"{name}.jsonl", [{"text": text} for text in texts])
        print(f"  {sum(map(len, texts)):,} characters")


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sources", type=Path)
    parser.add_argument("--out", type=Path, default=root / "src/burnish/assets/demo-zh")
    parser.add_argument("--pretraining", type=Path, default=root / "models/demo-base-zh-data")
    given = parser.parse_args()
    build(given.sources, given.out, given.pretraining)
