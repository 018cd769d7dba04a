"""`module:function`: a reward that the user wrote, in a file beside the recipe. It runs with the user's rights.

    def score(prompts, answers):
        return [float(len(answer)) for answer in answers]

Only the recipe's own folder is searched, never what is installed, and only where the command line allows code.
"""

import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from burnish.data.problems import nearest
from burnish.errors import ConfigError, DataError, MissingInput
from burnish.rewards.scores import score_trouble
from burnish.types import Prompt

NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Function:
    """Call it as any reward. Raises DataError where it does not give one finite number an answer."""

    name: str
    function: Callable[[list[Prompt], list[str]], Any]

    def __call__(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        try:
            scores = self.function(list(prompts), list(answers))
        except Exception as error:
            error.add_note(f"raised in the reward function {self.name}, on {len(answers)} answers")
            raise
        if trouble := score_trouble(scores, prompts):
            raise DataError(f"{self.name}: {trouble}")
        return [float(score) for score in scores]


def source(name: str, place: Path, *, allow_code: bool) -> Path:
    """The file behind `module:function`, without running it.

    Raises ConfigError where code is not allowed or the file is not in `place`, MissingInput where there is none.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"{name}: a reward function is named module:function, such as rewards:score")
    if not allow_code:
        raise ConfigError(
            f"{name}: would run code from {place.resolve()} with your rights; allow it on the command line: "
            "--allow-code"
        )
    path = place.joinpath(*name.split(":")[0].split(".")).with_suffix(".py")
    if not path.is_file():
        near = nearest(path.name, [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else [])
        raise MissingInput(f"{name}: no such file {path}; reward functions are looked for beside the recipe{near}")
    if not path.resolve().is_relative_to(place.resolve()):
        raise ConfigError(f"{name}: {path} leads to {path.resolve()}, outside the recipe's folder; put the file there")
    return path


def load_function(name: str, place: Path, *, allow_code: bool) -> Function:
    """Import `module:function` from `place`, and say so on stderr. Raises as `source`, and for what is no function."""
    path = source(name, place, allow_code=allow_code)
    print(f"{name}: runs with your rights, from {path.resolve()}", file=sys.stderr)
    module = _imported(path, place)
    wanted = name.split(":")[1]
    function = getattr(module, wanted, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(f"{name}: {path} has no function {wanted}{nearest(wanted, known)}")
    return Function(name, function)


def _imported(path: Path, place: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"burnish_reward_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.append(str(place.resolve()))  # last, so that a file beside the recipe never hides an installed module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ConfigError(f"{path}:{error.lineno}: {error.msg}") from None
    finally:
        sys.path.remove(str(place.resolve()))
    return module
