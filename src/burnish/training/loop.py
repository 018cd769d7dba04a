"""The one loop of all methods: step → record → save, from the newest checkpoint on.

A method hands it a function `step(i)` that makes one line of figures, by one or more calls of an `Update` (update.py).
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from burnish import processes
from burnish.data.problems import listed
from burnish.errors import ConfigError, Interrupted, NonFiniteLoss
from burnish.models.model import Model
from burnish.testing.faults import reach
from burnish.training.bad_batch import Skips, leaving_out
from burnish.training.config import MethodConfig
from burnish.training.memory import peak_gb
from burnish.training.metrics import Figures, MetricsFile, last_figures
from burnish.training.order import Order
from burnish.training.progress import tell
from burnish.training.saving import Kept, Saves
from burnish.training.signals import signals
from burnish.training.trackers import tracked
from burnish.training.update import Loss, Update, WholeBatch, loss_on
from burnish.training.watchdog import Watchdog
from burnish.types import Tree

STOPPING = "stopping once this step is done and saved; Ctrl-C once more stops now"
NOTHING = "nothing was saved yet"
Evaluate = Callable[[int], Figures]
"""Figures of held-out rows, by the model as it is after so many steps."""


class Follower(Kept, Protocol):
    """What follows the model that learns: a reference that is refreshed."""

    def after(self, steps: int) -> None: ...


def train(
    kept: Mapping[str, Kept],
    steps: int,
    step: Callable[[int], Figures],
    config: MethodConfig,
    *,
    out: Path,
    identity: Mapping[str, str],
    evaluate: Evaluate | None = None,
    from_start: bool = False,
) -> Figures:
    """Run `step(0) … step(steps - 1)`, recording and saving, from the newest checkpoint on; return the last figures.

    `kept` is what a checkpoint holds, by the name of its file.
    `evaluate` gives figures of held-out rows, every `evaluate_every` steps and after the last one; `from_start` also
    before the first, in a line of its own as step 0.
    `identity` names what must be the same for a resume to mean anything (hashes of config, data, model). Raises
    ConfigError where a checkpoint has another one, Interrupted after a clean save on SIGTERM or SIGINT. SIGUSR1 saves
    after the step, and the run goes on.
    """
    _refuse_apart(identity)
    saves = Saves(out / "checkpoints", kept, identity, config.save_every)
    offset = saves.resume()
    skips = Skips(out, config.max_skipped if config.on_nonfinite == "skip" else 0, saves.skipped)
    with (
        leaving_out(skips),
        MetricsFile(out / "metrics.jsonl", offset) as metrics,
        tracked(config.track if processes.leads() else (), out, resumed=saves.last > 0),
        signals(STOPPING) as asked,
        Watchdog(out) as watchdog,
    ):

        def evaluated(after: int) -> Figures:
            due = after == steps or (config.evaluate_every and after % config.evaluate_every == 0)
            return evaluate(after) if evaluate and due else {}

        def recorded(done: int, line: Figures) -> list[bool]:
            """Whether this process is to stop, and to save, once it has written what step `done` gave."""
            metrics.write({"step": done, **line})
            reach("step.end", done)
            tell(done, steps, line, _next_evaluation(done, steps, config) if evaluate else 0)
            return [bool(asked), asked.to_save() or saves.due(done)]

        if evaluate and from_start and not saves.last:
            before = evaluate(0)
            metrics.write({"step": 0, **before})
            tell(0, steps, before, _next_evaluation(0, steps, config))
        try:
            for i in range(saves.last, steps):
                began = time.perf_counter()
                with watchdog.step(i + 1):
                    figures = _told_if_bad(step, i, metrics)
                seconds = time.perf_counter() - began
                figures |= evaluated(i + 1) | ({"skipped": skips.count} if skips.count else {})
                speed = {"seconds": seconds, "tokens_per_second": figures["tokens"] / seconds, "peak_gb": peak_gb()}
                # signals come to one process, and clocks differ: what one of them wants all do, after the same step
                wishes = processes.together(partial(recorded, i + 1, figures | speed))
                stops = any(stop for stop, _ in wishes)
                if i + 1 == steps or stops or any(save for _, save in wishes):
                    saves.save(i + 1, processes.led(lambda: metrics.offset), skipped=skips.count)
                    stops = any(processes.gathered(bool(asked)))  # a signal may have come in the meantime
                if stops:  # after the last step too: a recipe's next stage is not what was wished
                    raise Interrupted(
                        f"stopped after step {i + 1} of {steps}, saved. Run the same command again to go on."
                    )
        except KeyboardInterrupt:
            print(f"the last save is of step {saves.last} of {steps}" if saves.last else NOTHING, file=sys.stderr)
            raise
    return last_figures(out / "metrics.jsonl")


def _refuse_apart(identity: Mapping[str, str]) -> None:
    """Raise ConfigError where processes that are to train one model read other settings, rows or weights."""
    for rank, other in enumerate(told := processes.gathered(dict(identity))):
        if apart := [key for key in told[0] if other.get(key) != told[0][key]]:
            raise ConfigError(
                f"rank {rank} has other {listed(apart)} than rank 0; start all processes with the same command, on the "
                "same files"
            )


def _told_if_bad(step: Callable[[int], Figures], i: int, metrics: MetricsFile) -> Figures:
    """The figures of step i. Where they are not finite and end the run, they are its last line."""
    try:
        return step(i)
    except NonFiniteLoss as error:
        figures = {name: value for name, value in error.facts.items() if isinstance(value, int | float)}
        metrics.write({"step": i + 1, **figures})
        raise


def train_on(
    learner: Model,
    trees: Sequence[Tree],
    loss: Loss | WholeBatch,
    config: MethodConfig,
    *,
    out: Path,
    identity: Mapping[str, str],
    whole: bool = False,
    evaluate: Evaluate | None = None,
    beside: Mapping[str, Follower] | None = None,
) -> Figures:
    """`train` for a method whose steps are one update from fixed rows: SFT, reward model, DPO, pretraining.

    `beside`: what else changes from step to step, by the name that it has in checkpoints.
    """
    update = Update(learner, config)
    rows = Order.of(len(trees), config)
    followers = beside or {}

    def step(i: int) -> Figures:
        batch = rows.take(trees, i)
        figures = update(batch, loss_on(batch, loss), step=i, steps=rows.steps, whole=whole)
        for follower in followers.values():
            follower.after(i + 1)
        return figures

    kept = {"model": update, **followers}
    return train(kept, rows.steps, step, config, out=out, identity=identity, evaluate=evaluate)


def _next_evaluation(done: int, steps: int, config: MethodConfig) -> int:
    """The step after which held-out rows are measured next; 0 after the last."""
    if done == steps:
        return 0
    every = config.evaluate_every or steps
    return min(steps, (done // every + 1) * every)
