"""The recipe that comes with burnish, with its data and its tiny model."""

from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from burnish.recipes.load import load
from burnish.recipes.run import Tell, on_stderr, run


def demo(out: Path, settings: Mapping[str, Any] | None = None, *, tell: Tell = on_stderr) -> dict[str, Any]:
    """Run the demo's recipe in `out` and return its summary; a second call does nothing."""
    with as_file(files("burnish") / "assets") as assets:  # one file of a zipped package would not find its neighbours
        return run(load(assets / "demo" / "recipe.yaml", settings), out, tell=tell)
