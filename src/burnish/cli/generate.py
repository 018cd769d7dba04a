"""Sample answers to a file of prompts."""

from typing import Annotated, Any

import typer

from burnish.cli.common import (
    AllowOption,
    FileOption,
    InsecureOption,
    PromptsOption,
    SetOption,
    command,
    settings_of,
)

app = typer.Typer()


@command(app)
def generate(
    model: Annotated[
        str,
        typer.Option("--model", help="A model's folder, hub id or OpenAI-compatible http address.", metavar="MODEL"),
    ],
    prompts: PromptsOption,
    out: FileOption,
    samples: Annotated[int | None, typer.Option("--samples", help="Answers a prompt.", min=1, metavar="N")] = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    insecure: InsecureOption = False,
    seed: int | None = None,
) -> dict[str, Any]:
    """Sample answers to prompts and write them with their tokens. Killed, the same command goes on.

    A model behind an address is asked for text: its answers have no tokens. --set server.model=NAME says which it is.

    Example: burnish generate --model runs/sft/model --prompts prompts.jsonl --samples 4 --out answers.jsonl
    """
    from burnish.recipes.load import one_stage
    from burnish.recipes.run import run_to_file

    given = settings_of([*(settings or []), *([f"samples={samples}"] if samples is not None else [])], seed)
    stage = one_stage("generate", {"model": model, "prompts": prompts}, given, insecure=insecure)
    return run_to_file(stage, out, allow_changed=allow_changed or ())
