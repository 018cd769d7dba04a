"""Sample answers to a file of prompts."""

from typing import Annotated, Any

import typer

from burnish.cli.common import (
    AllowOption,
    FileOption,
    ModelOption,
    PromptsOption,
    SetOption,
    command,
    settings_of,
)

app = typer.Typer()


@command(app)
def generate(
    model: ModelOption,
    prompts: PromptsOption,
    out: FileOption,
    samples: Annotated[int | None, typer.Option("--samples", help="Answers a prompt.", min=1, metavar="N")] = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Sample answers to prompts and write them with their tokens. Killed, the same command goes on.

    Example: burnish generate --model runs/sft/model --prompts prompts.jsonl --samples 4 --out answers.jsonl
    """
    from burnish.recipes.load import one_stage
    from burnish.recipes.run import run_to_file

    given = settings_of([*(settings or []), *([f"samples={samples}"] if samples is not None else [])], seed)
    stage = one_stage("generate", {"model": model, "prompts": prompts}, given)
    return run_to_file(stage, out, allow_changed=allow_changed or ())
