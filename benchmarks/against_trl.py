"""burnish beside others: time and peak memory, both doing the same on the same rows.

    python benchmarks/against_trl.py [ROW …] [--steps 6] [--record]

Each side is a process; they take turns, so that nothing else runs beside a turn. The first is left out, the rest gives
the median. Time and peak memory are of the very same run. Between the turns a plain large matrix product shows what the
machine can do. What the rows are is in fixed_rows.py (training on given answers) and drawn_rows.py (answers that each
side draws itself); what was measured, in docs/benchmarks.md.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import drawn_rows
import fixed_rows
from table import HERE, Measured, commit, machine, record, table

ROWS = dict.fromkeys(fixed_rows.ROWS, fixed_rows.measure) | drawn_rows.ROWS


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", help=f"which of {', '.join(ROWS)}; all where none is named")
    parser.add_argument("--model", type=Path, default=HERE.parent / "models" / "smollm2")
    parser.add_argument("--steps", type=int, default=6, help="turns of each side; the first is left out")
    parser.add_argument("--batch", type=int, default=8, help="rows a step of sft, reward and dpo")
    parser.add_argument("--rate", type=float, default=1e-6, help="learning rate of both sides, constant")
    parser.add_argument("--data", type=Path, default=HERE.parent / "data" / "hh_harmless.jsonl.gz", help="comparisons")
    parser.add_argument("--micro-batch-tokens", type=int, default=2048, help="burnish's key of that name")
    parser.add_argument("--threads", type=int, default=2, help="threads of each side")
    parser.add_argument("--generate", default="sdpa,dynamic,1", help=drawn_rows.GENERATE)
    parser.add_argument(
        "--samples", type=int, default=1, choices=(1, 2, 4, 8), help="answers to a prompt in ppo's rows"
    )
    parser.add_argument("--record", action="store_true", help="append the figures to docs/benchmarks.md")
    options = parser.parse_args()
    wanted = options.rows or list(ROWS)
    if unknown := [row for row in wanted if row not in ROWS]:
        parser.error(f"{unknown[0]}: no such row; choose from {', '.join(ROWS)}")
    if options.steps < 2:
        parser.error("--steps: the first turn is left out, so at least 2 are needed")
    if not (options.model / "model.safetensors").exists():
        parser.error(f"{options.model}: no model there; `make smollm2` brings it, or name another with --model")
    measured: list[Measured] = []
    for row in wanted:
        with tempfile.TemporaryDirectory() as folder:
            measured += ROWS[row](row, options, Path(folder))
    rows = [each.cells() for each in measured]
    print(table(rows))
    print("\n".join(each.tokens() for each in measured))
    rate = median(rate for each in measured for rate in each.product)
    print(f"product of two 2048 × 2048 matrices: {rate / 1e9:.0f} GFLOP/s, median of the same runs")
    print(f"commit {commit()}; {machine()}")
    if options.record:
        record(rows, [str(options.micro_batch_tokens)])


if __name__ == "__main__":
    main()
