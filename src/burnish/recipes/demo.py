"""The recipes that come with burnish, each with its data and its tiny model: English, and Chinese."""

from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from burnish.evaluation.again import RECIPES
from burnish.evaluation.language import Language
from burnish.recipes.load import load
from burnish.recipes.run import Tell, on_stderr, run

RUNS: Mapping[Language, Path] = {"en": Path("runs/demo"), "zh": Path("runs/demo-zh")}
"""Where a demo runs unless it is told."""

WITH_PEOPLE: dict[str, dict[str, Any]] = {
    "ranking": {"by": "people", "items": 12},
    # twelve rankings are a single batch: as many steps are made of them as teach something, and no more
    "reward": {"batch_size": 4, "epochs": 8},
    "dpo": {"batch_size": 4, "epochs": 8},
}
"""The same chain with twelve prompts' answers ranked by whoever sits there, in place of judge A's 1,200."""


def demo(
    out: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    language: Language = "en",
    people: bool = False,
    tell: Tell = on_stderr,
) -> dict[str, Any]:
    """Run the demo's recipe in `out` and return its summary; a second call does nothing.

    `language`: `en` continues sentences about films, `zh` classical verse in Chinese.
    `people`: the stage `ranking` serves its page, and the chain goes on with what was ranked there.
    """
    if people:
        settings = ranked_by_people(settings or {})
    with as_file(files("burnish") / "assets") as assets:  # one file of a zipped package would not find its neighbours
        return run(load(assets / RECIPES[language], settings), out, tell=tell)


def ranked_by_people(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` and those of WITH_PEOPLE; what was given stands."""
    return {**settings, **{stage: {**keys, **settings.get(stage, {})} for stage, keys in WITH_PEOPLE.items()}}
