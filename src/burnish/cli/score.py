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
    probe: Annotated[
        bool, typer.Option("--probe", help="Also score edited twins of the answers: do worse ones win?")
    ] = False,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Score every answer of a file with a reward model.

    Of rankings and comparisons, FILE.evaluation.json beside the result says how well the scores order the answers; with
    --probe, FILE.probe.json says which edits of an answer would deceive them.

    Example: burnish score --model runs/reward/model --data heldout.jsonl --out scored.jsonl --probe
    """
    from burnish.recipes.load import one_stage
    from burnish.recipes.run import run_to_file

    given = settings_of(settings, seed) | ({"probe": True} if probe else {})
    stage = one_stage("score", {"model": model, "data": data}, given)
    with tempfile.TemporaryDirectory() as folder:
        file = out if out is not None else Path(folder) / "scores.jsonl"
        beside = ("evaluation.json", "probe.json")
        return run_to_file(stage, file, beside=beside, allow_changed=allow_changed or ())
