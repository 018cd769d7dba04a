"""Put answers in order."""

from typing import Annotated, Any

import typer

from burnish.cli.common import (
    AllowOption,
    ByOption,
    CodeOption,
    FileOption,
    InsecureOption,
    SetOption,
    command,
    settings_of,
)

app = typer.Typer(help="Put answers in order.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Put answers in order."""


@command(app)
def judge(
    answers: Annotated[
        list[str],
        typer.Option("--answers", help="A file that `generate` wrote; repeat it for several.", metavar="FILE"),
    ],
    by: ByOption,
    out: FileOption,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    allow_code: CodeOption = False,
    insecure: InsecureOption = False,
    seed: int | None = None,
) -> dict[str, Any]:
    """Rank each prompt's answers by a reward model or a judge, and write the rankings.

    Example: burnish rank judge --answers answers.jsonl --by runs/reward/model --out rankings.jsonl
    """
    from burnish.recipes.load import one_stage
    from burnish.recipes.run import run_to_file

    stage = one_stage(
        "rank", {"answers": answers, "by": by}, settings_of(settings, seed), allow_code=allow_code, insecure=insecure
    )
    return run_to_file(stage, out, allow_changed=allow_changed or ())
