"""What saves cost on this disk, how much of a run's time `save_every: auto` gives them, and how long a resume takes.

python scripts/saving.py MODEL [FOLDER]      FOLDER: where to write, a temporary one by default
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from burnish.models.load import load_policy
from burnish.training.checkpoint import tensor_bytes
from burnish.training.config import MethodConfig
from burnish.training.saving import Saves, pause
from burnish.training.update import Update

ROWS = [{"prompt": f"{i} + {i} = ", "response": f"{2 * i}."} for i in range(8)]
SAVES = 3


def cost(model: Path, folder: Path) -> None:
    """A save of weights and both moments, as the loop makes it: written, synced, hashed, pruned."""
    update = Update(load_policy(model), MethodConfig())
    for parameter in update.parameters.values():
        parameter.grad = torch.ones_like(parameter)
    update.optimiser.step()
    saves = Saves(folder / "checkpoints", {"model": update}, {}, "auto")
    size = tensor_bytes({"model": update.tensors()})
    seconds = []
    for number in range(1, SAVES + 1):
        began = time.perf_counter()
        saves.save(number, 0)
        seconds.append(time.perf_counter() - began)
    worst = max(seconds)
    wait = pause(worst)
    print(f"a checkpoint has {size / 1e9:.2f} GB; saves took {', '.join(f'{one:.1f}' for one in seconds)} s")
    print(f"save_every: auto waits {wait:.0f} s between them: {worst / (worst + wait):.1%} of the time")


def resume(model: Path, folder: Path) -> None:
    """From the start of a process to the loss of the step that comes next, the step's own forward included."""
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "burnish",
        "sft",
        "--model",
        str(model),
        "--data",
        str(data),
    ]
    command += ["--out", str(folder / "run"), "--set", "steps=3", "--set", "save_every=1", "--set", "batch_size=2"]
    for fault in ("exit:0@step.end:2", "exit:0@loss:2"):
        began = time.perf_counter()
        subprocess.run(command, env={**os.environ, "BURNISH_FAULT": fault}, check=True)
        seconds = time.perf_counter() - began
    print(f"resumed: {seconds:.1f} s from the start of the process to the next step's loss")


def main() -> None:
    model = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        cost(model, Path(folder))
        resume(model, Path(folder))


if __name__ == "__main__":
    main()
