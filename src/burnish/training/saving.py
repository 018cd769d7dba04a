"""When a run saves and where it goes on from: every so many steps, by the clock, when it is asked to, and at its end.

By the clock a save is made once the pause since the last one is long enough:

    pause = max(60 s, min(600 s, c / 0.02), c / 0.03)        c: seconds that the last save took

so that at most ten minutes are lost and saving takes no more than a fiftieth of the time; a save of more than 12 s may
take up to 3 %, and one of more than 18 s waits longer than ten minutes. The clock decides when, never what: whichever
steps were saved, a run that goes on from one computes the same.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from burnish import processes
from burnish.errors import BurnishError, CheckpointError
from burnish.training.checkpoint import (
    Checkpoint,
    newest_checkpoint,
    remove_unfinished,
    save_checkpoint,
    tensor_bytes,
)
from burnish.training.config import SaveEvery
from burnish.training.identity import refuse_another
from burnish.training.machine import machine, machine_changes, still_to_tell, warning

SHORTEST, LONGEST = 60.0, 600.0  # seconds between saves
USUAL, MOST = 0.02, 0.03  # of the time
ASSUMED = 100e6  # bytes a second that a disk is taken to write before the first save has shown it


class Kept(Protocol):
    """Whatever a checkpoint keeps: weights with their optimiser, and what else a method carries from step to step."""

    def tensors(self) -> Mapping[str, Tensor]: ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None: ...


def pause(cost: float) -> float:
    """Seconds between two saves of `cost` seconds each."""
    return max(SHORTEST, min(LONGEST, cost / USUAL), cost / MOST)


class Saves:
    """The checkpoints of one run in `folder`. `kept` is what they hold, by the name of its file; `last` the newest's
    step, `skipped` how many batches were left out until then."""

    def __init__(
        self,
        folder: Path,
        kept: Mapping[str, Kept],
        identity: Mapping[str, str],
        every: SaveEvery,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.last = self.skipped = 0
        self._folder, self._kept, self._identity, self._every = folder, kept, identity, every
        self._clock = clock
        self._since = clock()
        self._cost: float | None = None

    def resume(self) -> int:
        """Put back what the newest whole checkpoint holds, and return the bytes of metrics.jsonl that belong to it.

        Raises CheckpointError where there are only broken ones, ConfigError where it is another run's.
        """
        self.last, offset, self.skipped = processes.led(self._resumed)
        if self.last and processes.count() > 1:
            for one in self._kept.values():
                tensors = processes.from_rank_0(one.tensors())
                if not processes.leads():
                    one.restore(tensors)
        return int(offset)

    def _resumed(self) -> tuple[int, int, int]:
        """The newest checkpoint's step, 0 where there is none, the bytes, and the batches that were left out."""
        found, troubles = newest_checkpoint(self._folder)
        for trouble in troubles:
            _say(f"warning: a checkpoint is broken and was put aside: {trouble}")
        for name in remove_unfinished(self._folder):
            _say(f"{self._folder / name}: left by a process that was killed, and removed")
        if found is None:
            return 0, 0, 0
        refuse_another(found.facts["identity"], self._identity, f"{found.path} was written by another run")
        self._restore(found)
        for change in still_to_tell(machine_changes(found.facts.get("machine", {}), _machine())):
            _say(warning(change))
        return found.step, int(found.facts["metrics_offset"]), int(found.facts.get("skipped", 0))

    def due(self, step: int) -> bool:
        """Whether `save_every` asks for a save after `step`."""
        if self._every != "auto":
            return bool(self._every) and step % self._every == 0
        waited = self._clock() - self._since
        if waited < SHORTEST:
            return False
        if self._cost is None:
            self._cost = tensor_bytes(self._shards()) / ASSUMED
        return waited >= pause(self._cost)

    def save(self, step: int, metrics_offset: int, *, skipped: int = 0) -> None:
        """Commit what there is after `step`. Raises WriteFailed.

        Of several processes the first one writes, once it is known that all hold the same; raises BurnishError else.
        """
        began = self._clock()
        shards = self._shards()
        if processes.count() > 1:
            _refuse_apart(step, processes.gathered(_hashed(shards)))
        facts = {
            "metrics_offset": metrics_offset,
            "identity": dict(self._identity),
            "machine": _machine(),
            "skipped": skipped,
        }
        processes.led(lambda: str(save_checkpoint(self._folder, step, shards, facts)))
        self.last = step
        self._since = self._clock()
        self._cost = self._since - began

    def _shards(self) -> dict[str, Mapping[str, Tensor]]:
        return {name: one.tensors() for name, one in self._kept.items()}

    def _restore(self, found: Checkpoint) -> None:
        for name, one in self._kept.items():
            try:
                tensors = found.tensors(name)
            except FileNotFoundError:
                raise CheckpointError(
                    f"{found.path}: holds no {name}.safetensors, which this version of burnish goes on from; go on "
                    "with the version that wrote it, or choose another --out"
                ) from None
            one.restore(tensors)


def _machine() -> dict[str, Any]:
    """Of the processes that were started only those that compute this run: where there is one, others only wait."""
    return machine() | {"processes": processes.count()}


def _hashed(shards: Mapping[str, Mapping[str, Tensor]]) -> str:
    digest = sha256()
    for name, tensors in sorted(shards.items()):
        for key, tensor in sorted(tensors.items()):
            digest.update(f"{name}{key}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _refuse_apart(step: int, hashes: Sequence[str]) -> None:
    """Raise BurnishError where processes that took the same steps hold other weights: what one computes is not true."""
    apart = [rank for rank, one in enumerate(hashes) if one != hashes[0]]
    if apart:
        raise BurnishError(
            f"after step {step}, {', '.join(f'rank {rank}' for rank in apart)} and rank 0 hold different weights, and "
            "nothing was saved: memory or a GPU that errs, other versions, or a fault in burnish. Run the same command "
            "again to go on from the last save."
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
