"""What somebody at a terminal sees of iterations that are told, without a model that has to be trained for it."""

import os
import re
import sys
from pathlib import Path

from burnish.cli.progress import shown_steps
from burnish.training.progress import tell

STEPS = 12
FIGURES = {
    "reward": 1.25,
    "kl_k1": 2.5,
    "answer_length": 23.4,
    "ended": 0.93,
    "entropy": 2.31,
    "clip_fraction": 0.012,
    "explained_variance": 0.4,
    "seconds": 41.0,
}
EVALUATED = {"heldout_reward": 1.5, "heldout_judge": 0.625, "heldout_kl": 3.0, "heldout_kl_se": 0.25}


def iterations(_: Path, __: Path) -> None:
    """Twelve, evaluated before the first and after every fourth; after the eighth a warning is written."""
    with shown_steps():
        tell(0, STEPS, EVALUATED, 4)
        for step in range(1, STEPS + 1):
            told = FIGURES | (EVALUATED if step % 4 == 0 else {})
            if step == 8:
                print("warning: step 8: over-optimised", file=sys.stderr)
            tell(step, STEPS, told, 0 if step == STEPS else (step // 4 + 1) * 4)


def narrow(model: Path, out: Path) -> None:
    os.environ["COLUMNS"] = "40"
    iterations(model, out)


def colourless(model: Path, out: Path) -> None:
    os.environ["NO_COLOR"] = "1"
    iterations(model, out)


def dumb(model: Path, out: Path) -> None:
    os.environ["TERM"] = "dumb"
    iterations(model, out)


def screen(written: str) -> list[str]:
    """What stands on the screen after all that was written: a terminal that knows as much as a table needs."""
    lines, row, column = [""], 0, 0
    for control, argument, letter, text in re.findall(r"(\x1b\[([?\d;]*)([A-Za-z]))|([^\x1b])", written):
        if control:
            if letter == "A":
                row = max(0, row - int(argument or 1))
            elif letter == "K":
                assert argument == "2"
                lines[row] = ""
        elif text == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif text == "\r":
            column = 0
        else:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]
