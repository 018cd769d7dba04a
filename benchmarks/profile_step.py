"""Where the time of one of burnish's steps goes: the operators that take most of it.

    python benchmarks/profile_step.py [sft|reward|dpo]

The second step of the benchmark's rows under torch's profiler, each operator's own share of the processor's time.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from side_burnish import CONFIGS, RATE, sums, trees_of
from torch.profiler import ProfilerActivity, profile

from burnish.batch.pack import Key
from burnish.methods.dpo import dpo_loss
from burnish.methods.reward import order_loss
from burnish.methods.sft import next_token_loss
from burnish.models.load import Placement, load_policy, load_scorer
from burnish.models.model import Scorer
from burnish.training.config import MethodConfig
from burnish.training.loop import Loss, Update

HERE = Path(__file__).parent
MODEL = HERE.parent / "models" / "smollm2"
BATCH = 8


def main(kind: str = "sft") -> None:
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        given = [kind, str(MODEL), folder, str(2 * BATCH)]
        subprocess.run([sys.executable, str(HERE / "rows.py"), *given], check=True)
        trees = trees_of(kind, Path(folder) / "rows.jsonl")
        place = Placement(device="cpu", dtype="float32")
        learner = load_scorer(Path(folder) / "start", place) if kind == "reward" else load_policy(MODEL, place)
    settings = {} if kind == "sft" else {"weight": "pair"}
    config: MethodConfig = CONFIGS[kind](learning_rate=RATE, schedule="constant", batch_size=BATCH, **settings)
    reference_N: dict[Key, torch.Tensor] = {}
    loss: Loss
    if isinstance(learner, Scorer):
        loss = order_loss(learner, config)
    elif kind == "sft":
        loss = next_token_loss(learner)
    else:
        reference_N.update(sums(learner, trees, config.micro_batch_tokens))
        loss = dpo_loss(learner, reference_N, config)
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
