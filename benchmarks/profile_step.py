"""Where the time of one of burnish's steps goes: the operators that take most of it.

    python benchmarks/profile_step.py [sft|reward|dpo]

The second step of the benchmark's rows under torch's profiler, each operator's own share of the processor's time.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from side_burnish import prepared, sums, trees_of
from torch.profiler import ProfilerActivity, profile

from burnish.training.update import Update

HERE = Path(__file__).parent
MODEL = HERE.parent / "models" / "smollm2"
DATA = HERE.parent / "data" / "hh_harmless.jsonl.gz"
BATCH = 8


def main(kind: str = "sft") -> None:
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        given = [kind, str(MODEL), folder, str(2 * BATCH), str(DATA)]
        subprocess.run([sys.executable, str(HERE / "rows.py"), *given], check=True)
        trees = trees_of(kind, Path(folder) / "rows.jsonl")
        start = str(Path(folder) / "start") if kind == "reward" else str(MODEL)
        learner, config, reference_N, loss = prepared(kind, start, BATCH, 1e-6, 2048)
    if kind == "dpo":
        reference_N.update(sums(learner, trees, config.micro_batch_tokens))
    update = Update(learner, config)
    update(trees[:BATCH], loss, step=0, steps=2, whole=kind != "sft")
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        update(trees[BATCH:], loss, step=1, steps=2, whole=kind != "sft")
    times = sorted(((row.self_cpu_time_total, row.count, row.key) for row in seen.key_averages()), reverse=True)
    whole = sum(time for time, _, _ in times)
    for time, count, name in times[:15]:
        print(f"{time / whole:6.1%}  {count:6,} calls  {name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
