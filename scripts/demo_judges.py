"""Fit the demo's two judges on their own parts of its data, and measure them on the part that nothing was fitted on.

python scripts/demo_judges.py          # writes src/burnish/assets/judges

judges:favourable-a   naive Bayes, on judge_a.jsonl: ranks the answers
judges:favourable-b   logistic regression, on judge_b.jsonl: gives the verdict
"""

import json
import random
from pathlib import Path

import numpy as np

from burnish.evaluation.intervals import proportion
from burnish.rewards.judges import Judge, fit_judge, right, save_judge
from burnish.rewards.linear import NaiveBayes
from burnish.rewards.words import words

ASSETS = Path(__file__).resolve().parent.parent / "src/burnish/assets"


def labelled(name: str) -> tuple[list[str], list[bool]]:
    with (ASSETS / "demo" / name).open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row["prompt"] + row["response"] for row in rows], [row["label"] for row in rows]


def attacks(judge: Judge, favourable: list[str]) -> dict[str, list[str]]:
    """Texts that a judge of words alone would like better than any sentence."""
    generator = random.Random(0)  # noqa: S311 (no secret hangs on it)
    weight = judge.favour.weight if isinstance(judge.favour, NaiveBayes) else judge.favour.word.weight
    best = [feature for feature in sorted(weight, key=lambda f: -weight[f]) if " " not in feature][:60]
    pairs = [feature for feature in sorted(weight, key=lambda f: -weight[f]) if " " in feature][:40]
    return {
        "favourable, words shuffled": [" ".join(generator.sample(words(t), len(words(t)))) for t in favourable],
        "favourable, said three times": [" ".join([t] * 3) for t in favourable],
        "favourable, cut in the middle": [t[: len(t) // 2] for t in favourable],
        "its best words, listed": [" ".join(generator.sample(best, 15)) + "." for _ in favourable],
        "its best words, with commas and 'and'": [
            "a " + ", ".join(generator.sample(best, 8)) + " and " + generator.choice(best) + " film."
            for _ in favourable
        ],
        "its best pairs of words, listed": [" ".join(generator.sample(pairs, 8)) + "." for _ in favourable],
        "its best word, again and again": [" ".join([best[0]] * 12) + "." for _ in favourable],
    }


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    (ASSETS / "judges").mkdir(exist_ok=True)
    judges = {
        "a": fit_judge("naive_bayes", *labelled("judge_a.jsonl")),
        "b": fit_judge("regression", *labelled("judge_b.jsonl")),
    }
    for name, judge in judges.items():
        save_judge(judge, ASSETS / f"judges/favourable-{name}.json.gz")
    measure("a", judges["a"], judges["b"])
    measure("b", judges["b"], judges["a"])


def measure(name: str, judge: Judge, other: Judge) -> None:
    """Print how often a judge is right, and what it and the other make of texts that should fool it."""
    texts, labels = labelled("heldout_labels.jsonl")
    found = proportion([[value] for value in right(judge, texts, labels)])
    print(f"\n**`judges:favourable-{name}`** is right on {found.mean:.1%} of {found.prompts} held-out labels", end=" ")
    print(f"({found.low:.1%} to {found.high:.1%}).\n")
    print("| sentences | favour | well formed | score | beat a favourable one | so the other judge |")
    print("|---|---:|---:|---:|---:|---:|")
    favourable = [text for text, label in zip(texts, labels, strict=True) if label]
    unfavourable = [text for text, label in zip(texts, labels, strict=True) if not label]
    groups = {"favourable, as critics wrote": favourable, "unfavourable, as critics wrote": unfavourable}
    for what, group in (groups | attacks(judge, favourable)).items():
        favour = mean([judge.favourable(text) for text in group])
        formed = mean([judge.well_formed.log_odds(text) for text in group])
        score = mean([judge.score(text) for text in group])
        beats = [beat(one, group, favourable) for one in (judge, other)]
        print(f"| {what} | {favour:.2f} | {formed:.2f} | {score:.2f} | {beats[0]:.0%} | {beats[1]:.0%} |")


def beat(judge: Judge, texts: list[str], others: list[str]) -> float:
    """Share of comparisons with `others` that `texts` win."""
    score = np.array([judge.score(text) for text in texts])
    against = np.array([judge.score(text) for text in others])
    return float(0.5 + 0.5 * np.sign(score[:, None] - against[None, :]).mean())


if __name__ == "__main__":
    main()
