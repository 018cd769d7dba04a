"""Score the answers of a file with a reward model."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from burnish.cli.common import AllowOption, DataOption, ModelOption, SetOption, command, settings_of

app = typer.Typer()


@command(app)
def score(
    model: ModelOption,
    data: DataOption,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File for the scored answers; unset prints figures only.", metavar="FILE"),
    ] = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Score every answer of a file with a reward model.

    Example: burnish score --model runs/reward/model --data answers.jsonl --out scored.jsonl
    """
    from burnish.recipes.load import one_stage
    from burnish.recipes.run import run_to_file

    stage = one_stage("score", {"model": model, "data": data}, settings_of(settings, seed))
    with tempfile.TemporaryDirectory() as folder:
        file = out if out is not None else Path(folder) / "scores.jsonl"
        return run_to_file(stage, file, allow_changed=allow_changed or ())
