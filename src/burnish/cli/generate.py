"""Sample answers to a file of prompts."""

from typing import Annotated, Any

import typer

from burnish.cli.common import (
    AllowOption,
    CodeOption,
    FileOption,
    InsecureOption,
    PromptsOption,
    SetOption,
    WhoElseOption,
    WhoOption,
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
    best_of: Annotated[
        int | None, typer.Option("--best-of", help="Each answer is the best of so many draws.", min=2, metavar="N")
    ] = None,
    by: WhoOption = None,
    curve: Annotated[
        bool, typer.Option("--curve", help="Tell what the best of 1, 2, 4, … is worth, in FILE.best_of_n.jsonl.")
    ] = False,
    judge: WhoElseOption = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    allow_code: CodeOption = False,
    insecure: InsecureOption = False,
    seed: int | None = None,
) -> dict[str, Any]:
    """Sample answers to prompts and write them with their tokens. Killed, the same command goes on.

    A model behind an address is asked for text: its answers have no tokens. --set server.model=NAME says which it is.

    With --best-of each answer is the one that scores best by --by of so many draws; --samples is then 1 unless given.

    Example: burnish generate --model runs/sft/model --prompts prompts.jsonl --samples 4 --out answers.jsonl

    Example: burnish generate --model runs/sft/model --prompts heldout.jsonl --best-of 16 --by runs/reward/model
    --curve --judge judges:favourable-b --out best.jsonl
    """
    from burnish.methods.best_of import CURVE, curve_in
    from burnish.recipes.load import one_stage
    from burnish.recipes.run import run_to_file

    typed = {"samples": samples, "best_of": best_of, "curve": curve or None}
    pairs = [f"{key}={value}" for key, value in typed.items() if value is not None]
    given = settings_of([*(settings or []), *pairs], seed)
    inputs = {"model": model, "prompts": prompts, "by": by, "judge": judge}
    stage = one_stage("generate", inputs, given, allow_code=allow_code, insecure=insecure)
    figures = run_to_file(stage, out, beside=(CURVE,), allow_changed=allow_changed or ())
    written = out.with_name(f"{out.name}.{CURVE}")
    return figures | ({"best_of_n": curve_in(written)} if given.get("curve") else {})
