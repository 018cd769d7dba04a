"""The command that makes a run again: a report and a model's card both end with it."""

import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from burnish.evaluation.language import Language
from burnish.training.config import as_typed

RECIPES: Mapping[Language, str] = {"en": "demo/recipe.yaml", "zh": "demo-zh/recipe.yaml"}
"""The recipes that ship, by the language of their texts, as they lie among the package's assets."""


def command(recipe: str, settings: Mapping[str, Any], out: str, *, folders: bool = True) -> str:
    """What to type for a run of the file `recipe` into `out` with everything that was set on it.

    One that ships is run by its own command, wherever it is installed. Without `folders` another is named alone: where
    it lay is nothing to whoever reads of it elsewhere.
    """
    place = PurePath(recipe.replace("\\", "/"))
    typed = _demo(place) or ["burnish", "run", (recipe if folders else place.name) or "recipe.yaml"]
    return shlex.join([*typed, *as_typed(settings), "--out", out])


def _demo(recipe: PurePath) -> list[str]:
    """How a recipe that ships is run; empty for any other."""
    shipped = recipe.as_posix().partition("burnish/assets/")[2]
    language = next((language for language, path in RECIPES.items() if path == shipped), None)
    if language is None:
        return []
    return ["burnish", "demo", *([] if language == "en" else ["--language", language])]
