"""Two processes of one thread beside one process of two threads: how long a step takes, and how far losses lie apart.

python benchmarks/processes.py [MODEL] [STEPS]      by default the demo's base model and 20 steps of SFT

They run in turns, TURNS times each, on the same rows; the time is the median over steps but the first.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ASSETS = Path(__file__).parents[1] / "src/burnish/assets"
TURNS = 3
ALONE = [sys.executable, "-m", "burnish"]
TOGETHER = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", "burnish"]
SETTINGS = {"template": "none", "max_length": 96, "batch_size": 32, "learning_rate": 2e-4, "save_every": 0}


def steps_of(command: list[str], threads: int, model: Path, steps: int) -> list[dict[str, float]]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        typed = ["sft", "--model", str(model), "--data", str(ASSETS / "demo/sft.jsonl"), "--out", str(out), "--quiet"]
        typed += ["--threads", str(threads)]
        for key, value in {**SETTINGS, "steps": steps}.items():
            typed += ["--set", f"{key}={value}"]
        subprocess.run(
            [*command, *typed], check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)}
        )
        return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def main() -> None:
    model = Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS / "base"
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    seconds: dict[str, list[float]] = {"one": [], "two": []}
    for _ in range(TURNS):
        one, two = steps_of(ALONE, 2, model, steps), steps_of(TOGETHER, 1, model, steps)
        seconds["one"] += [line["seconds"] for line in one[1:]]
        seconds["two"] += [line["seconds"] for line in two[1:]]
    apart = {
        name: max(abs(a[name] - b[name]) / abs(a[name]) for a, b in zip(one, two, strict=True))
        for name in ("loss", "grad_norm")
    }
    medians = {name: statistics.median(some) for name, some in seconds.items()}
    print(f"{model.name}: {steps} steps of {SETTINGS['batch_size']} rows, {one[0]['tokens']} tokens in the first")
    print(f"one process of two threads: {medians['one']:.3f} s a step; two of one thread: {medians['two']:.3f} s")
    print(f"farthest apart, relative: loss {apart['loss']:.1e}, gradient norm {apart['grad_norm']:.1e}")


if __name__ == "__main__":
    main()
