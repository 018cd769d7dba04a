"""Fit the demo's two judges on their own parts of its data, and measure them on the part that nothing was fitted on.

python scripts/demo_judges.py          # writes src/burnish/assets/judges

judges:favourable-a   naive Bayes, on judge_a.jsonl: ranks the answers
judges:favourable-b   logistic regression, on judge_b.jsonl: gives the verdict
"""

import json
import random
from pathlib import Path

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
    texts, labels = labelled("heldout_labels.jsonl")
    favourable = [text for text, label in zip(texts, labels, strict=True) if label]
    unfavourable = [text for text, label in zip(texts, labels, strict=True) if not label]
    (ASSETS / "judges").mkdir(exist_ok=True)
    for name, kind in (("a", "naive_bayes"), ("b", "regression")):
        judge = fit_judge(kind, *labelled(f"judge_{name}.jsonl"))  # type: ignore[arg-type]
        path = ASSETS / f"judges/favourable-{name}.json.gz"
        save_judge(judge, path)
        found = proportion([[value] for value in right(judge, texts, labels)])
        print(f"\njudges:favourable-{name}: {kind}, {path.stat().st_size:,} bytes")
        print(f"right on {found.mean:.1%} of {found.prompts} held-out labels ({found.low:.1%} to {found.high:.1%})")
        liked = [judge.score(text) for text in favourable]
        disliked = [judge.score(text) for text in unfavourable]
        print("\n| sentences | score | favour | well formed | beat a favourable one | beat an unfavourable one |")
        print("|---|---:|---:|---:|---:|---:|")
        groups = {"favourable, as critics wrote": favourable, "unfavourable, as critics wrote": unfavourable}
        for what, group in (groups | attacks(judge, favourable)).items():
            scores = [judge.score(text) for text in group]
            beat = [mean([float(s > other) for s in scores for other in others[::5]]) for others in (liked, disliked)]
            favour = mean([judge.favourable(text) for text in group])
            formed = mean([judge.well_formed.log_odds(text) for text in group])
            print(f"| {what} | {mean(scores):.2f} | {favour:.2f} | {formed:.2f} | {beat[0]:.0%} | {beat[1]:.0%} |")


if __name__ == "__main__":
    main()
