"""The table that docs/benchmarks.md keeps: what two sides took for the same work, in one run."""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE.parent / "docs" / "benchmarks.md"
COLUMNS = (
    "row",
    "beside",
    "its s",
    "burnish s",
    "times as fast",
    "its GB",
    "burnish GB",
    "memory",
    "of the product",
    "apart",
    "turns × rows",
)


@dataclass(frozen=True)
class Measured:
    """One way of working on both sides. Seconds a turn; memory in GB; `product` is the machine's rate.

    A pass before the first turn is spread over all. `apart`: how far the two sides' results were from each other, in a
    turn that both were given the same for, NaN where nothing is the same; without it the largest relative difference of
    two losses of one turn.
    """

    name: str
    theirs: Sequence[dict[str, Any]]
    burnish: Sequence[dict[str, Any]]
    product: Sequence[float]
    shape: str
    """Turns × rows of one."""
    their_pass: float = 0.0
    burnish_pass: float = 0.0
    beside: str = f"TRL {version('trl')}"
    apart: float | None = None

    def cells(self) -> tuple[str, ...]:
        """The table's row. A turn's share of the product's rate leaves the pass out, which has its own."""
        theirs, own = (median(turn["seconds"] for turn in side[1:]) for side in (self.theirs, self.burnish))
        work = [turn["work"] / turn["seconds"] for turn in self.burnish[1:]]
        theirs, own = theirs + self.their_pass / len(self.theirs), own + self.burnish_pass / len(self.burnish)
        memory = [side[-1]["peak_gb"] for side in (self.theirs, self.burnish)]
        return (
            self.name,
            self.beside,
            f"{theirs:.2f}",
            f"{own:.2f}",
            f"{theirs / own:.2f}",
            f"{memory[0]:.2f}",
            f"{memory[1]:.2f}",
            f"{memory[1] / memory[0]:.0%}",
            f"{median(work) / median(self.product):.0%}",
            f"{self.worst_loss() if self.apart is None else self.apart:.0e}".replace("nan", "–"),
            self.shape,
        )

    def worst_loss(self) -> float:
        """The largest relative difference of two losses of one turn."""
        pairs = [(a["loss"], b["loss"]) for a, b in zip(self.burnish, self.theirs, strict=True)]
        return max(abs(a - b) / abs(b) for a, b in pairs)

    def tokens(self) -> str:
        own, theirs = (median(turn["tokens"] for turn in side[1:]) for side in (self.burnish, self.theirs))
        return (
            f"{self.name}: tokens computed a turn, median: {self.beside} {theirs:.0f} with padding, burnish {own:.0f}"
        )


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
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
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


def record(rows: list[tuple[str, ...]], settings: Sequence[str]) -> None:
    """Append to the table that closes docs/benchmarks.md, a line for each way of working."""
    with RESULTS.open("a", encoding="utf-8") as file:
        for row in rows:
            file.write("| " + " | ".join((*row, *settings, commit(), machine())) + " |\n")
