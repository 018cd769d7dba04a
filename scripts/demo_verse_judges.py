"""Fit the Chinese demo's two judges on their own poems, and measure them on poems that nothing was fitted on.

python scripts/demo_verse_judges.py          # after demo_verse.py; writes src/burnish/assets/judges
python scripts/demo_verse_judges.py --samples runs/demo-zh/compare/samples.jsonl   # what each model still gets wrong
python scripts/demo_verse_judges.py --spread runs/demo-zh/answers/answers.jsonl   # what parts answers to one prompt

judges:verse-a   ranks the answers
judges:verse-b   knows more poems, and of company; gives the verdict
"""

import argparse
import json
import random
from collections import Counter
from itertools import combinations
from pathlib import Path
from statistics import fmean, variance
from typing import Any

from burnish.rewards.judges import save_judge, shipped
from burnish.rewards.prosody import clauses, measure, readings
from burnish.rewards.verse import SIGNS, SPOILERS, Verse, couplets, fit_verse

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "src/burnish/assets"
Pair = tuple[str, str]
NAMES = {
    "_shuffled": "characters of each clause shuffled",
    "_elsewhere": "another poem's couplet",
    "_replaced": "every sixth character replaced",
    "_paired": "pieces of other couplets, glued",
    "_uneven": "a character too few or too many",
    "_cut_off": "cut off",
    "_said_again": "opening or clause said again",
    "_one_word": "one word again and again",
}


def rows_of(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def poems(judge: str) -> list[list[str]]:
    return [couplets(row["text"]) for row in rows_of(ROOT / f"models/demo-base-zh-data/{judge}.jsonl")]


def listed(judge: Verse, pairs: list[Pair], generator: random.Random) -> list[str]:
    """The words that begin or follow most often in the judge's own poems, with a rhyme put at the end."""
    seen = Counter(
        clause[at : at + 2]
        for poem in judge.poems
        for couplet in poem
        for clause in clauses(couplet)
        for at in range(0, len(clause) - 1, 2)
    )
    words = [word for word, _ in seen.most_common(200)]
    ends = Counter(clauses(couplet)[-1][-1] for poem in judge.poems for couplet in poem)
    found = []
    for opening, _ in pairs:
        size, last = measure(opening), clauses(opening)[-1][-1]
        rhymes = readings().get(last, frozenset())
        rhyming = [c for c in ends if c not in opening and readings().get(c, frozenset()) & rhymes]
        best = max(rhyming, key=ends.__getitem__, default="山")
        row = ["".join(generator.sample(words, 4))[:size] for _ in (0, 1)]
        found.append(f"{row[0]}，{row[1][:-1]}{best}。")
    return found


def measured(name: str, judge: Verse, other: Verse, pairs: list[Pair]) -> None:
    """Print what a judge and the other make of poets' couplets, and of texts that should fool it."""
    generator = random.Random(0)  # noqa: S311 (no secret hangs on it)
    pool = [couplet for _, couplet in pairs]
    print(f"\n**`judges:verse-{name}`**, {len(judge.poems):,} poems, weights", end=" ")
    print(", ".join(f"{sign} {weight:.2f}" for sign, weight in zip(SIGNS, judge.weight, strict=True) if weight))
    print(f"\n| couplets | score | {' | '.join(SIGNS)} | beat the poet's | by the other judge |")
    print(f"|---|{'---:|' * (len(SIGNS) + 3)}")
    groups = {"as poets went on": pool}
    for spoil in SPOILERS:
        groups[NAMES[spoil.__name__]] = [spoil(opening, couplet, pool, generator) for opening, couplet in pairs]
    groups["its commonest words, rhymed"] = listed(judge, pairs, generator)
    for what, group in groups.items():
        signs = [judge.signs(opening, text) for (opening, _), text in zip(pairs, group, strict=True)]
        score = fmean(judge.score(opening, text) for (opening, _), text in zip(pairs, group, strict=True))
        figures = " | ".join(f"{fmean(row):.3f}" for row in zip(*signs, strict=True))
        beats = " | ".join(f"{beat(one, pairs, group):.0%}" for one in (judge, other))
        print(f"| {what} | {score:.2f} | {figures} | {beats} |")


def beat(judge: Verse, pairs: list[Pair], group: list[str]) -> float:
    """Share of openings to which a text is scored above what the poet wrote, a tie counting half."""
    scores = [(judge.score(o, text), judge.score(o, c)) for (o, c), text in zip(pairs, group, strict=True)]
    return fmean(0.5 * (1 + (mine > poets) - (mine < poets)) for mine, poets in scores)


def told(samples: Path) -> None:
    """Print each model's signs in the eyes of judge B, and poets' for the same openings."""
    judge = shipped("verse-b")
    answers_of: dict[str, list[Pair]] = {}
    for row in rows_of(samples):
        answers_of.setdefault(row["model"], []).extend((row["prompt"], answer) for answer in row["answers"])
    answers_of["poets"] = [
        (row["prompt"], row["response"]) for row in rows_of(ASSETS / "demo-zh/heldout_couplets.jsonl")
    ]
    print(f"| model | rhymes | in form | score | {' | '.join(SIGNS)} |")
    print(f"|---|{'---:|' * (len(SIGNS) + 3)}")
    for model, pairs in answers_of.items():
        signs = [judge.signs(opening, answer) for opening, answer in pairs]
        score = fmean(judge.score(opening, answer) for opening, answer in pairs)
        rhymes, formed = (fmean(row[SIGNS.index(sign)] == 0 for row in signs) for sign in ("rhyme", "shape"))
        figures = " | ".join(f"{fmean(row):.3f}" for row in zip(*signs, strict=True))
        print(f"| {model} | {rhymes:.0%} | {formed:.0%} | {score:.2f} | {figures} |")


def spread(answers: Path) -> None:
    """Print how far answers to one prompt lie apart in each of judge B's signs: what has no spread is not learned.

    Within-prompt deviations are pooled. A sign decides a pair where its weighted difference is the largest.
    """
    judge = shipped("verse-b")
    groups = [[judge.signs(row["prompt"], answer) for answer in row["answers"]] for row in rows_of(answers)]
    decides: Counter[str] = Counter()
    pairs = 0
    for group in groups:
        for first, second in combinations(group, 2):
            gaps = [abs(w * (x - y)) for w, x, y in zip(judge.weight, first, second, strict=True)]
            pairs += 1
            if max(gaps) > 0:
                decides[SIGNS[gaps.index(max(gaps))]] += 1
    print("| sign | mean | spread | spread by its weight | decides |")
    print("|---|---:|---:|---:|---:|")
    for i, sign in enumerate(SIGNS):
        apart = fmean(variance(signs[i] for signs in group) for group in groups) ** 0.5
        mean = fmean(signs[i] for group in groups for signs in group)
        weighted = abs(judge.weight[i]) * apart
        print(f"| {sign} | {mean:.3f} | {apart:.3f} | {weighted:.2f} | {decides[sign] / pairs:.0%} |")


def main() -> None:
    judges = {"a": fit_verse(poems("judge_a"), company=False), "b": fit_verse(poems("judge_b"), company=True)}
    for name, judge in judges.items():
        save_judge(judge, ASSETS / f"judges/verse-{name}.json.gz")
    pairs = [(row["prompt"], row["response"]) for row in rows_of(ASSETS / "demo-zh/heldout_couplets.jsonl")]
    measured("a", judges["a"], judges["b"], pairs)
    measured("b", judges["b"], judges["a"], pairs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--spread", type=Path)
    given = parser.parse_args()
    if given.samples:
        told(given.samples)
    elif given.spread:
        spread(given.spread)
    else:
        main()
