"""What every process of a run does but the first: it computes what that one orders, and leaves nothing behind."""

import signal
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from burnish import processes
from burnish.recipes.graph import Stage
from burnish.recipes.stages import METHODS
from burnish.training.signals import outlived
from burnish.training.watchdog import ending_hangs


def follow(stages: Sequence[Stage], run: Path) -> None:
    """Compute stages of the run in `run` together with the process that leads, as it orders them, until it has ended.

    What a stage writes here goes to a folder of its own that is deleted: the leading process has written the same.
    Where it hangs is kept in the run's, as hang-rank1.txt.
    """
    named = {stage.name: stage for stage in stages}
    with outlived(signal.SIGUSR1), ending_hangs(run / f"hang-rank{processes.rank()}.txt"):
        for name in processes.orders():
            stage = named[name]
            with TemporaryDirectory(prefix="burnish-rank-") as folder, processes.sharing():
                METHODS[stage.method].load()(**stage.placed(run), config=stage.config, out=Path(folder))
