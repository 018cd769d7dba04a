"""burnish beside TRL: time and peak memory of a training step, both doing the same on the same rows.

    python benchmarks/against_trl.py [sft] [reward] [dpo] [dpo-inside] [--steps 6] [--record]

Both sides train the same weights on the same token ids in the same order, in float32 on two threads, with the same
optimiser, and their losses are compared: else they would not be doing the same. Each side is a process; they take turns
step by step, so that nothing else runs beside a step. The first step is left out, the rest gives the median. Time and
peak memory are of the very same run. Between the steps a plain large matrix product shows what the machine can do.

DPO is measured three ways. `dpo`: the reference computed once for all rows before the first step, the pass counted and
spread over the steps of one epoch; and the same run with the pass left out. `dpo-inside`: computed in every step.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from turns import Worker

HERE = Path(__file__).parent
RESULTS = HERE.parent / "docs" / "benchmarks.md"
ROWS = ("sft", "reward", "dpo", "dpo-inside")
COLUMNS = ("row", "TRL s", "burnish s", "times as fast", "TRL GB", "burnish GB", "memory", "of the product", "losses")
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "PYTHONWARNINGS": "ignore",
}


@dataclass(frozen=True)
class Measured:
    """One way of training on both sides. Seconds a step; memory in GB; `product` is the machine's rate."""

    name: str
    trl: list[dict[str, Any]]
    burnish: list[dict[str, Any]]
    product: list[float]
    trl_pass: float = 0.0
    burnish_pass: float = 0.0

    def cells(self) -> tuple[str, ...]:
        """The table's row. A step's share of the product's rate leaves the pass out, which has its own."""
        theirs, own = (median(step["seconds"] for step in side[1:]) for side in (self.trl, self.burnish))
        work = [step["work"] / step["seconds"] for step in self.burnish[1:]]
        theirs, own = theirs + self.trl_pass / len(self.trl), own + self.burnish_pass / len(self.burnish)
        memory = [side[-1]["peak_gb"] for side in (self.trl, self.burnish)]
        return (
            self.name,
            f"{theirs:.2f}",
            f"{own:.2f}",
            f"{theirs / own:.2f}",
            f"{memory[0]:.2f}",
            f"{memory[1]:.2f}",
            f"{memory[1] / memory[0]:.0%}",
            f"{median(work) / median(self.product):.0%}",
            f"{self.worst_loss():.0e}",
        )

    def worst_loss(self) -> float:
        """The largest relative difference of two losses of one step."""
        pairs = [(a["loss"], b["loss"]) for a, b in zip(self.burnish, self.trl, strict=True)]
        return max(abs(a - b) / abs(b) for a, b in pairs)

    def tokens(self) -> str:
        own, theirs = (median(step["tokens"] for step in side[1:]) for side in (self.burnish, self.trl))
        return f"{self.name}: tokens computed a step, median: TRL {theirs:.0f} with padding, burnish {own:.0f}"


def measure(row: str, options: argparse.Namespace, folder: Path) -> list[Measured]:
    """Let both sides take turns on one way of training. DPO with a kept reference gives two of them."""
    note(f"{row}: preparing {options.steps * options.batch} rows")
    environment = ENVIRONMENT | {"OMP_NUM_THREADS": str(options.threads)}
    kind = row.partition("-")[0]
    given = [kind, str(options.model), str(folder), str(options.steps * options.batch), str(options.data)]
    subprocess.run([sys.executable, str(HERE / "rows.py"), *given], check=True, env=os.environ | environment)
    model = str(folder / "start") if kind == "reward" else str(options.model)
    common = [row, model, str(folder), str(options.steps), str(options.batch), str(options.rate)]
    with (
        worker("TRL", ["side_trl.py", *common], folder, environment) as trl,
        worker(
            "burnish", ["side_burnish.py", *common, str(options.micro_batch_tokens)], folder, environment
        ) as burnish,
        worker("product", ["side_product.py"], folder, environment) as product,
    ):
        for process in (trl, burnish, product):
            process.ready()
        passes = {"TRL": 0.0, "burnish": 0.0}
        if row == "dpo":
            passes = {side.name: side.turn()["seconds"] for side in (burnish, trl)}
            note(f"{row}: the reference's pass took TRL {passes['TRL']:.1f} s, burnish {passes['burnish']:.1f} s")
        steps: dict[str, list[dict[str, Any]]] = {"TRL": [], "burnish": []}
        rates: list[float] = []
        for i in range(options.steps):
            for side in (burnish, trl) if i % 2 else (trl, burnish):
                steps[side.name].append(side.turn())
                rates.append(product.turn()["rate"])
            last = {name: told[-1] for name, told in steps.items()}
            note(
                f"{row}: step {i + 1} of {options.steps}: "
                + ", ".join(f"{name} {told['seconds']:.2f} s, loss {told['loss']:.5f}" for name, told in last.items())
            )
    if row == "dpo":
        return [
            Measured("dpo, pass counted", steps["TRL"], steps["burnish"], rates, passes["TRL"], passes["burnish"]),
            Measured("dpo, reference kept", steps["TRL"], steps["burnish"], rates),
        ]
    return [Measured("dpo, reference inside" if row == "dpo-inside" else row, steps["TRL"], steps["burnish"], rates)]


@contextmanager
def worker(name: str, command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[Worker]:
    process = Worker(name, [str(HERE / command[0]), *command[1:]], folder / f"{name}.log", environment)
    try:
        yield process
    finally:
        process.stop()


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def machine() -> str:
    """The processor, cores, memory and versions that the figures belong to."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        fields = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        named = {key.strip(): value.strip() for key, value in fields.items()}
        vectors = (
            "AVX-512"
            if "avx512f" in named.get("flags", "")
            else "AVX2"
            if "avx2" in named.get("flags", "")
            else platform.machine()
        )
        processor = f"{named.get('model name', processor)} ({vectors})"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
    return f"{processor}, {os.cpu_count()} cores, {memory:.0f} GB; {packages}"


def commit() -> str:
    """The short hash of what is checked out, with a + where files differ from it."""
    git = ["git", "-C", str(HERE.parent)]
    short = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    changed = subprocess.run([*git, "status", "--porcelain", "src", "benchmarks"], capture_output=True, text=True)
    return short.stdout.strip() + ("+" if changed.stdout.strip() else "")


def table(rows: list[tuple[str, ...]]) -> str:
    """Columns set under each other, for a terminal and for Markdown."""
    widths = [max(len(row[i]) for row in [COLUMNS, *rows]) for i in range(len(COLUMNS))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in [COLUMNS, *rows]]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def record(rows: list[tuple[str, ...]], options: argparse.Namespace) -> None:
    """Append to the table that closes docs/benchmarks.md, a line for each way of training."""
    with RESULTS.open("a", encoding="utf-8") as file:
        for row in rows:
            settings = (f"{options.steps} × {options.batch}", str(options.micro_batch_tokens), commit(), machine())
            file.write("| " + " | ".join((*row, *settings)) + " |\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", help=f"which of {', '.join(ROWS)}; all where none is named")
    parser.add_argument("--model", type=Path, default=HERE.parent / "models" / "smollm2")
    parser.add_argument("--steps", type=int, default=6, help="steps on each side; the first is left out")
    parser.add_argument("--batch", type=int, default=8, help="rows a step")
    parser.add_argument("--rate", type=float, default=1e-6, help="learning rate of both sides, constant")
    parser.add_argument("--data", type=Path, default=HERE.parent / "data" / "hh_harmless.jsonl.gz", help="comparisons")
    parser.add_argument("--micro-batch-tokens", type=int, default=2048, help="burnish's key of that name")
    parser.add_argument("--threads", type=int, default=2, help="threads of each side")
    parser.add_argument("--record", action="store_true", help="append the figures to docs/benchmarks.md")
    options = parser.parse_args()
    wanted = options.rows or list(ROWS)
    if unknown := [row for row in wanted if row not in ROWS]:
        parser.error(f"{unknown[0]}: no such row; choose from {', '.join(ROWS)}")
    if options.steps < 2:
        parser.error("--steps: the first step is left out, so at least 2 are needed")
    if not (options.model / "model.safetensors").exists():
        parser.error(f"{options.model}: no model there; `make smollm2` brings it, or name another with --model")
    measured: list[Measured] = []
    for row in wanted:
        with tempfile.TemporaryDirectory() as folder:
            measured += measure(row, options, Path(folder))
    rows = [each.cells() for each in measured]
    print(table(rows))
    print("\n".join(each.tokens() for each in measured))
    rate = median(rate for each in measured for rate in each.product)
    print(f"product of two 2048 × 2048 matrices: {rate / 1e9:.0f} GFLOP/s, median of the same runs")
    print(f"commit {commit()}; {machine()}")
    if options.record:
        record(rows, options)


if __name__ == "__main__":
    main()
