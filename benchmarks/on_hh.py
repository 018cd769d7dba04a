"""A reward model, or DPO, on HH's harmless pairs beside TRL's: the same steps in turns, then both on pairs never seen.

    python benchmarks/on_hh.py reward|dpo [--steps 50] [--batch 8] [--rate 2e-5]

Needs `make smollm2` and `python scripts/hh_harmless.py`. Both sides train the same weights on the same rows in the same
order with the same optimiser and rate, step by step in turns as in fixed_rows.py. Then burnish measures the held-out
pairs with both models. Printed: how far the first 20 losses differ, the time of all steps (with DPO that of the
reference's pass too), and both models' accuracy with interval; the difference is taken pair by pair. Of a reward model
calibration, length share and probes besides; of DPO what log-probabilities have gained.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

from fixed_rows import measure
from table import COLUMNS, HERE, Measured, commit, machine
from turns import note

ALIKE = 20  # first losses that are held to each other
BUDGET = 2048
PARTED = HERE.parent / "models" / "hh-harmless"


HeldOut = tuple[dict[str, float], list[float]]
"""Figures, and for each held-out pair whether it is right: 1, 0, or 0.5 where the two are equal."""


def trained(options: argparse.Namespace, folder: Path) -> Measured:
    """Both sides' steps; their models are left in FOLDER/TRL-trained and FOLDER/burnish-trained."""
    (folder / "keep").touch()
    measured = measure(options.method, options, folder)[0]  # of DPO's two the one whose pass is counted
    start = folder / "start" if options.method == "reward" else options.model
    for file in start.iterdir():
        if not (folder / "TRL-trained" / file.name).exists():  # TRL's side saves the model without its tokenizer
            shutil.copy(file, folder / "TRL-trained")
    return measured


def by_score(model: Path, start: Path, folder: Path) -> HeldOut:
    """The figures of `burnish score --probe` on the held-out pairs."""
    from burnish.methods.score import ScoreConfig, score  # after the steps: the process that leads them stays small

    out = folder / f"{model.name}-scores"
    figures = score(model, PARTED / "heldout.jsonl", ScoreConfig(probe=True), out=out)
    rows = [json.loads(line) for line in (out / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    return figures, [right(*row["scores"]) for row in rows]  # a comparison's first answer is the chosen one


def by_gain(model: Path, start: Path, folder: Path) -> HeldOut:
    """What the chosen and the rejected answers' log-probabilities gained since `start`, and which gained more."""
    from side_burnish import sums

    from burnish.batch.trees import trees
    from burnish.data.read import read
    from burnish.data.templates import resolve
    from burnish.evaluation.intervals import proportion
    from burnish.models.load import Placement, load_policy

    trained, before = (load_policy(str(path), Placement(device="cpu", dtype="float32")) for path in (model, start))
    pairs = read(PARTED / "heldout.jsonl", kind="comparison")
    rows = trees(pairs, resolve(trained.tokenizer, "auto"), max_length=1024, on_too_long="skip").trees
    new_N, old_N = (sums(policy, rows, BUDGET) for policy in (trained, before))
    gain = {key: (new_N[key] - old_N[key]).item() for key in new_N}
    chosen, rejected = ([gain[tree.group, answer] for tree in rows] for answer in (0, 1))
    hits = [right(*both) for both in zip(chosen, rejected, strict=True)]
    accuracy = proportion([[hit] for hit in hits])
    figures = {"accuracy": accuracy.mean, "accuracy_low": accuracy.low, "accuracy_high": accuracy.high}
    return figures | {"gain_chosen": fmean(chosen), "gain_rejected": fmean(rejected)}, hits


def right(chosen: float, rejected: float) -> float:
    return 0.5 + 0.5 * ((chosen > rejected) - (chosen < rejected))


HELD_OUT: dict[str, Callable[[Path, Path, Path], HeldOut]] = {"reward": by_score, "dpo": by_gain}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("method", choices=HELD_OUT)
    parser.add_argument("--model", type=Path, default=HERE.parent / "models" / "smollm2")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=8, help="pairs a step")
    parser.add_argument("--rate", type=float, default=2e-5, help="learning rate, constant")
    parser.add_argument("--micro-batch-tokens", type=int, default=BUDGET)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.data = PARTED / "policy.jsonl"
    for wanted, way in ((options.model, "make smollm2"), (options.data, "python scripts/hh_harmless.py")):
        if not wanted.exists():
            parser.error(f"{wanted}: not there; `{way}` makes it")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured = trained(options, folder)
        held_out = HELD_OUT[options.method]
        both = {side: held_out(folder / f"{side}-trained", options.model, folder) for side in ("TRL", "burnish")}
    report(measured, both)


def report(measured: Measured, both: dict[str, HeldOut]) -> None:
    from burnish.evaluation.intervals import mean_and_error

    first = Measured("first", measured.theirs[:ALIKE], measured.burnish[:ALIKE], measured.product, measured.shape)
    theirs = measured.their_pass + sum(turn["seconds"] for turn in measured.theirs)
    own = measured.burnish_pass + sum(turn["seconds"] for turn in measured.burnish)
    note("")
    print(f"first {len(first.theirs)} losses differ by {first.worst_loss():.1e} of themselves at most")
    print(f"all {len(measured.theirs)} differ by {measured.worst_loss():.1e} at most")
    print(f"all steps: TRL {theirs:.0f} s, burnish {own:.0f} s, {theirs / own:.2f} times as fast")
    if measured.their_pass:
        print(f"of them the reference's pass: TRL {measured.their_pass:.0f} s, burnish {measured.burnish_pass:.0f} s")
    print(f"step by median, times as fast: {measured.cells()[COLUMNS.index('times as fast')]}")
    print(f"| held out | {' | '.join(both)} |\n|---|{'---:|' * len(both)}")
    for key in both["burnish"][0]:
        print(f"| {key} | " + " | ".join(f"{figures[key]:.4f}" for figures, _ in both.values()) + " |")
    apart = [[own - theirs] for own, theirs in zip(both["burnish"][1], both["TRL"][1], strict=True)]
    mean, error = mean_and_error(apart)
    print(f"accuracy, burnish less TRL, pair by pair: {mean:+.3f} ± {1.96 * error:.3f}")
    print(f"commit {commit()}; {machine()}")


if __name__ == "__main__":
    main()
