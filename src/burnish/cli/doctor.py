"""Checks alone: what a training command proves before step one."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from burnish.cli.common import StageSetOption, columns, command, settings_of

NOTES = ("slow", "unsafe")

app = typer.Typer()


@command(app, "doctor")
def check(
    what: Annotated[
        str | None, typer.Argument(help="A model, a recipe or a run; unset checks this machine.", metavar="WHAT")
    ] = None,
    settings: StageSetOption = None,
    seed: int | None = None,
    as_json: bool = False,
) -> dict[str, Any] | str:
    """Check a machine, a model, or what a recipe's stages would find wrong, without training.

    Example: burnish doctor recipe.yaml
    """
    from burnish.recipes.doctor import doctor

    found = doctor(what, settings_of(settings, seed))
    return found if as_json else printed(found)


def printed(found: Mapping[str, Any]) -> str:
    """What was found, and a line each for what would be slow or unsafe."""
    told = columns({key: value for key, value in found.items() if key not in NOTES})
    for kind in NOTES:
        if kind in found:
            told += [f"{kind}: {line}" for line in found[kind]] or [f"{kind}: nothing found"]
    return "\n".join(told)
