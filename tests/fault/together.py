"""Several processes that train together, started here as torchrun starts them: by their environment."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from fault.runs import LOOP, demonstrations
from forks import FORKS, Command, as_started
from torch import Tensor

from burnish import processes
from burnish.batch.pack import TreeBatch
from burnish.batch.trees import trees
from burnish.data.templates import resolve
from burnish.errors import BurnishError, Interrupted
from burnish.methods.sft import SFTConfig, next_token_loss
from burnish.models.load import load_policy
from burnish.training.loop import train_on
from burnish.training.saving import Saves
from burnish.training.update import Loss, StepLoss, WholeBatch
from burnish.types import Tree

SECONDS = "60"  # that one waits for another before it takes it for lost


def environments(count: int = 2, **more: str) -> list[dict[str, str]]:
    """What torchrun sets for each of `count` processes on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared = {**os.environ, **world, "BURNISH_PROCESS_TIMEOUT": SECONDS, **more}
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def started(*words: str, faults: Mapping[int, str] | None = None, count: int = 2, **more: str) -> list[Command]:
    """`burnish WORDS` in each of them; `faults` are those of a rank."""
    with_faults = [
        {**one, "BURNISH_FAULT": (faults or {}).get(rank, "")} for rank, one in enumerate(environments(count, **more))
    ]
    return [Command(*words, environment=one) for one in with_faults]


def ended(commands: list[Command], seconds: float = 120) -> list[tuple[int, str]]:
    """Exit code and stderr of each."""
    try:
        return [command.end(seconds) for command in commands]
    finally:
        for command in commands:
            if not command.ended:
                command.kill()


def torchrun(words: Sequence[str], *options: str, fault: str = "") -> tuple[int, str]:
    """torchrun's exit code and what all wrote, of two processes. `fault` is rank 1's, the first time it is started."""
    script = (
        "import os, sys\n"
        "from burnish.cli.main import main\n"
        "from burnish.testing import faults\n"
        "first = os.environ['RANK'] == '1' and os.environ['TORCHELASTIC_RESTART_COUNT'] == '0'\n"
        f"faults.arm({fault!r} if first else '')\n"
        "sys.exit(main())\n"
    )
    Path("typed.py").write_text(script, encoding="utf-8")
    typed = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "BURNISH_PROCESS_TIMEOUT": SECONDS}
    done = subprocess.run([*typed, "typed.py", *words], capture_output=True, text=True, env=environment, timeout=120)
    return done.returncode, done.stdout + done.stderr


# ---- functions that each process runs


def run_by(count: int, function: Callable[..., None], *given: object) -> None:
    """Run `function` in so many processes that are started together. Raises AssertionError where one fails."""
    there = environments(count) if count > 1 else [dict(os.environ)]
    running = [FORKS.Process(target=_started, args=(os.getcwd(), one, function, given)) for one in there]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
    codes = [process.exitcode for process in running]
    for process in running:
        process.kill()
    assert codes == [0] * count


def _started(folder: str, environment: Mapping[str, str], function: Callable[..., None], given: tuple[Any]) -> None:
    as_started(folder, environment)
    with processes.joined(), processes.sharing():
        function(*given)


class OwnRank:
    """What a checkpoint keeps, and each process has another one of."""

    def tensors(self) -> dict[str, Tensor]:
        return {"rank": torch.tensor(float(processes.rank()))}

    def restore(self, _: Mapping[str, Tensor]) -> None:
        raise AssertionError("nothing was saved")


def save_apart(out: Path) -> None:
    with pytest.raises(BurnishError, match="after step 1, rank 1 and rank 0 hold different weights"):
        Saves(out, {"own": OwnRank()}, {}, 1).save(1, 0)


# ---- whose rows are computed


def learn_noting(count: int, model: Path, out: Path, notes: Path, *, stop: int = 0) -> None:
    """Train in `out` with so many processes, the last of which is sent SIGTERM in its step number `stop`. Each notes in
    `notes` whose rows it computes."""
    notes.mkdir(exist_ok=True)
    run_by(count, _learn, model, out, notes, stop)


def _learn(model: Path, out: Path, notes: Path, stop: int) -> None:
    policy = load_policy(model)
    rows = trees(demonstrations(), resolve(policy.tokenizer, "none"), max_length=64).trees
    of_batch, steps = next_token_loss(policy), 0

    def loss(batch: TreeBatch) -> StepLoss:
        with (notes / str(os.getpid())).open("a", encoding="utf-8") as file:
            file.write("".join(f"{tree.group}\n" for tree in batch.trees))
        return of_batch(batch)

    def of(_: Sequence[Tree]) -> Loss:
        nonlocal steps
        steps += 1
        if steps == stop and processes.rank() == processes.count() - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss

    config = SFTConfig(**(LOOP | {"steps": 12, "micro_batch_tokens": 32}))
    with suppress(Interrupted):
        there = out if processes.leads() else notes.parent / "of_others"
        train_on(policy, rows, WholeBatch(of), config, out=there, identity={"rows": "these"})
