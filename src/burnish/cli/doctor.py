"""Checks alone: what a training command proves before step one."""

from typing import Annotated, Any

import typer

from burnish.cli.common import StageSetOption, command, settings_of

app = typer.Typer()


@command(app, "doctor")
def check(
    what: Annotated[
        str | None, typer.Argument(help="A model, a recipe or a run; unset checks this machine.", metavar="WHAT")
    ] = None,
    settings: StageSetOption = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Check a machine, a model, or what a recipe's stages would find wrong, without training.

    Example: burnish doctor recipe.yaml
    """
    from burnish.recipes.doctor import doctor

    return doctor(what, settings_of(settings, seed))
