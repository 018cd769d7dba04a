"""What `burnish plan --time` says of stages beside what they then take: seconds, memory and disk, stage by stage.

    python benchmarks/planned.py demo       the demo's chain on its tiny model, with fewer steps of PPO and one round
    python benchmarks/planned.py smollm2    a few steps of SmolLM2-135M (make smollm2, scripts/hh_harmless.py)

Each stage is planned and then run, each in a process of its own, one right after the other: both meet the same machine.
Seconds are the stage's own (DONE.json); memory is the most that the process had (`getrusage`), Python and libraries
included; disk is the most that the stage's folder held, looked at every 20 ms.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from burnish.recipes.load import Recipe, load
from burnish.recipes.plan import plan
from burnish.recipes.run import run

HERE = Path(__file__).resolve()
MODELS = HERE.parent.parent / "models"
SMOLLM2 = """\
name: smollm2
model: {models}/smollm2
roots: [{models}]
max_length: 256
batch_size: 4
save_every: 0
stages:
  sft:    {{method: sft, model: base, data: {models}/hh-harmless/policy.jsonl, steps: 6}}
  reward: {{method: reward, model: sft, data: {models}/hh-harmless/policy_600.jsonl, steps: 4, heldout: 0.02}}
  dpo:    {{method: dpo, model: sft, data: pairs.jsonl, epochs: 1}}
"""
PAIRS = 24
SHORTER = {"ppo": {"steps": 8}, "best": {"rounds": 1}}


def recipe_of(name: str, folder: Path) -> Recipe:
    if name == "demo":
        return load(Path(str(files("burnish") / "assets" / "demo/recipe.yaml")), SHORTER)
    file = folder / "recipe.yaml"
    if not file.exists():
        models = Path(os.environ.get("BURNISH_MODELS", MODELS)).resolve()
        file.write_text(SMOLLM2.format(models=models))
        pairs = (models / "hh-harmless/policy_600.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / "pairs.jsonl").write_text("".join(pairs[:PAIRS]), encoding="utf-8")
    return load(file)


def upto(recipe: Recipe, stage: str) -> Recipe:
    """The recipe as far as this stage; what stands before it is done."""
    names = [one.name for one in recipe.stages]
    return replace(recipe, stages=recipe.stages[: names.index(stage) + 1])


def child(what: str, name: str, stage: str, folder: Path) -> tuple[str, float, float]:
    """What a process of its own prints, its most memory in GB, and the most disk in GB."""
    typed = [sys.executable, str(HERE), what, name, stage, str(folder)]
    process = subprocess.Popen(typed, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    over, most = threading.Event(), [0]

    def look() -> None:
        while not over.wait(0.02):
            most[0] = max(most[0], size(folder / "run" / stage))

    watch = threading.Thread(target=look)
    watch.start()
    printed = process.stdout.read() if process.stdout is not None else ""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    over.set()
    watch.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(typed)}: ended with {process.returncode}")
    return printed, used.ru_maxrss * 1024 / 1e9, most[0] / 1e9


def size(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:  # it was just renamed or removed
            continue
    return total


def beside(name: str, folder: Path) -> list[dict[str, Any]]:
    rows = []
    for stage in recipe_of(name, folder).stages:
        planned = json.loads(child("plan", name, stage.name, folder)[0])
        _, memory, disk = child("run", name, stage.name, folder)
        done = json.loads((folder / "run" / stage.name / "DONE.json").read_text())
        rows.append({"stage": stage.name, "planned": planned, "s": done["seconds"], "memory": memory, "disk": disk})
        print(line(rows[-1]), flush=True)
    return rows


def line(row: dict[str, Any]) -> str:
    told = row["planned"]["time"]
    pairs = ((told["seconds"], row["s"]), (told["peak_gb"], row["memory"]), (told["disk_gb"], row["disk"]))
    cells = [f"{p:.2f} | {m:.2f} | {p / m:.2f}" if m > 0.001 else "– | – | –" for p, m in pairs]
    return f"| {row['stage']} | {' | '.join(cells)} |"


HEAD = """\
| stage | planned s | took s | ratio | planned GB of memory | had | ratio | planned GB of disk | had | ratio |
|---|---|---|---|---|---|---|---|---|---|"""


def main(what: str, name: str = "", stage: str = "", folder: str = "") -> None:
    if what in ("demo", "smollm2"):
        with tempfile.TemporaryDirectory() as there:
            print(HEAD)
            beside(what, Path(there))
        return
    recipe = upto(recipe_of(name, Path(folder)), stage)
    out = Path(folder) / "run"
    if what == "plan":
        print(json.dumps(plan(recipe, out=out, with_time=True)["stages"][stage]))
    else:
        run(recipe, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
