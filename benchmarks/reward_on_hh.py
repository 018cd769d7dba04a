"""A reward model on HH's harmless pairs beside TRL's: the same steps in turns, then both held to pairs never seen.

    python benchmarks/reward_on_hh.py [--steps 50] [--batch 8] [--rate 2e-5]

Needs `make smollm2` and `python scripts/hh_harmless.py`. Both sides train the same weights on the same rows in the same
order with the same optimiser and rate, step by step in turns as in fixed_rows.py. Then burnish scores the held-out
pairs with both models. Printed: how far the first 20 losses differ, the time of all steps, and both models' accuracy
with interval, calibration, length share and probes; the difference of their accuracies is taken pair by pair.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from fixed_rows import measure
from table import COLUMNS, HERE, Measured, commit, machine
from turns import note

ALIKE = 20  # first losses that are held to each other
PARTED = HERE.parent / "models" / "hh-harmless"


def trained(options: argparse.Namespace, folder: Path) -> Measured:
    """Both sides' steps; their models are left in FOLDER/TRL-trained and FOLDER/burnish-trained."""
    (folder / "keep").touch()
    (measured,) = measure("reward", options, folder)
    for file in (folder / "start").iterdir():
        if not (folder / "TRL-trained" / file.name).exists():  # TRL's side saves the model without its tokenizer
            shutil.copy(file, folder / "TRL-trained")
    return measured


def held_out(model: Path, folder: Path) -> tuple[dict[str, float], list[float]]:
    """The figures of `burnish score --probe` on the held-out pairs, and for each pair whether it is right."""
    from burnish.methods.score import ScoreConfig, score  # after the steps: the process that leads them stays small

    out = folder / f"{model.name}-scores"
    figures = score(model, PARTED / "heldout.jsonl", ScoreConfig(probe=True), out=out)
    rows = [json.loads(line) for line in (out / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    gaps = [row["scores"][0] - row["scores"][1] for row in rows]  # a comparison's first answer is the chosen one
    return figures, [0.5 + 0.5 * ((gap > 0) - (gap < 0)) for gap in gaps]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE.parent / "models" / "smollm2")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=8, help="pairs a step")
    parser.add_argument("--rate", type=float, default=2e-5, help="learning rate, constant")
    parser.add_argument("--micro-batch-tokens", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.data = PARTED / "policy.jsonl"
    for wanted, way in ((options.model, "make smollm2"), (options.data, "python scripts/hh_harmless.py")):
        if not wanted.exists():
            parser.error(f"{wanted}: not there; `{way}` makes it")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured = trained(options, folder)
        both = {side: held_out(folder / f"{side}-trained", folder) for side in ("TRL", "burnish")}
    report(measured, both)


def report(measured: Measured, both: dict[str, tuple[dict[str, float], list[float]]]) -> None:
    from burnish.evaluation.intervals import mean_and_error

    first = Measured("first", measured.theirs[:ALIKE], measured.burnish[:ALIKE], measured.product, measured.shape)
    seconds = {name: sum(step["seconds"] for step in side) for name, side in sides(measured)}
    note("")
    print(f"first {len(first.theirs)} losses differ by {first.worst_loss():.1e} of themselves at most")
    print(f"all {len(measured.theirs)} differ by {measured.worst_loss():.1e} at most")
    print(f"all steps: TRL {seconds['TRL']:.0f} s, burnish {seconds['burnish']:.0f} s")
    print(f"step by median, times as fast: {measured.cells()[COLUMNS.index('times as fast')]}")
    print(f"| held out | {' | '.join(both)} |\n|---|{'---:|' * len(both)}")
    for key in both["burnish"][0]:
        print(f"| {key} | " + " | ".join(f"{figures[key]:.4f}" for figures, _ in both.values()) + " |")
    apart = [[own - theirs] for own, theirs in zip(both["burnish"][1], both["TRL"][1], strict=True)]
    mean, error = mean_and_error(apart)
    print(f"accuracy, burnish less TRL, pair by pair: {mean:+.3f} ± {1.96 * error:.3f}")
    print(f"commit {commit()}; {machine()}")


def sides(measured: Measured) -> list[tuple[str, list[dict[str, Any]]]]:
    return [("TRL", measured.theirs), ("burnish", measured.burnish)]


if __name__ == "__main__":
    main()
