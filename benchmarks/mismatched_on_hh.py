"""What answers to other prompts in training do to a reward model on HH's harmless pairs: the same run with and without.

    python benchmarks/mismatched_on_hh.py WITHOUT WITH

WITHOUT and WITH are reward models that were trained alike but for `mismatched`; docs/results/reward-on-hh.md has the
commands. Both score the held-out pairs (`make smollm2`, `python scripts/hh_harmless.py`). Printed: how often an own
answer stands above an answer to another held-out prompt, the same for both models, and how often the chosen one stands
above the rejected one; and the differences, WITH less WITHOUT, prompt by prompt. All with 95 % intervals.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from table import HERE, commit, machine

PARTED = HERE.parent / "models" / "hh-harmless"


def held_out(model: Path) -> dict[str, list[list[float]]]:
    """By prompt: 1 where an own answer is above another prompt's, and where the chosen is above the rejected."""
    from burnish.data.read import read
    from burnish.methods.mismatched import with_mismatched
    from burnish.methods.ordered import OTHERS, ranked
    from burnish.methods.score import ScoreConfig
    from burnish.methods.scoring import whole_trees
    from burnish.models.load import load_scorer

    config, groups, scorer = ScoreConfig(), read(PARTED / "heldout.jsonl", kind="ranking"), load_scorer(model)
    rows = whole_trees(scorer, groups, config)
    rows = with_mismatched(rows, groups, OTHERS, max_length=config.max_length, seed=config.seed)
    found = ranked(rows, groups, scorer.frozen_scores(rows, config.micro_batch_tokens))
    return {
        "own answer above another prompt's": [
            [_won(s, other) for s in one.score for other in one.others] for one in found
        ],
        "held-out accuracy": [[_won(one.score[one.place.index(0)], one.score[one.place.index(1)])] for one in found],
    }


def _won(one: float, other: float) -> float:
    return 0.5 * (1 + (one > other) - (one < other))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs=2, type=Path, metavar="MODEL", help="without `mismatched`, then with it")
    options = parser.parse_args()
    if not (PARTED / "heldout.jsonl").exists():
        parser.error(f"{PARTED}: not there; `python scripts/hh_harmless.py` makes it")
    without, with_ = (held_out(model) for model in options.models)
    print("| | without | with | difference |\n|---|---:|---:|---:|")
    for name in without:
        print(f"| {name} | {share(without[name])} | {share(with_[name])} | {difference(without[name], with_[name])} |")
    print(f"{len(without[name])} prompts; commit {commit()}; {machine()}")


def share(rows: Sequence[Sequence[float]]) -> str:
    from burnish.evaluation.intervals import proportion

    found = proportion(rows)
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"


def difference(without: Sequence[Sequence[float]], with_: Sequence[Sequence[float]]) -> str:
    """Of the prompts' means, with minus without."""
    from burnish.evaluation.intervals import mean_and_error

    mean, error = mean_and_error([[sum(b) / len(b) - sum(a) / len(a)] for a, b in zip(without, with_, strict=True)])
    return f"{mean:+.3f} ± {1.96 * error:.3f}"


if __name__ == "__main__":
    main()
