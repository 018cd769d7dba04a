"""Verdicts on models, and a gate for anyone's CI."""

from typing import Annotated

import typer

from burnish.cli.common import (
    AllowOption,
    ByOption,
    CodeOption,
    InsecureOption,
    OutOption,
    PromptsOption,
    SetOption,
    columns,
    command,
    settings_of,
    show,
)

app = typer.Typer()


@command(app)
def evaluate(
    models: Annotated[
        list[str],
        typer.Option("--models", help="Models, with commas between; the first is the one to beat.", metavar="A,B"),
    ],
    prompts: PromptsOption,
    by: ByOption,
    out: OutOption,
    base: Annotated[
        str | None, typer.Option("--base", help="The pretrained model that fluency is measured with.", metavar="MODEL")
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", help="Held-out text for perplexity.", metavar="FILE")
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            help="Exit with 1 unless this holds, of every model but the first or of one: 'ppo.kl <= 8'.",
            metavar="CONDITION",
        ),
    ] = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    allow_code: CodeOption = False,
    insecure: InsecureOption = False,
    seed: int | None = None,
    as_json: bool = False,
) -> None:
    """Let models answer the same prompts and judge them against the first.

    Example: burnish evaluate --models runs/sft/model,runs/dpo/model --prompts heldout.jsonl --by judges:helpful
    --out runs/verdict --require "win_rate_low > 0.5"
    """
    from burnish.evaluation.gate import conditions, hold, required
    from burnish.evaluation.sentence import as_lines, with_sentences
    from burnish.recipes.load import one_stage
    from burnish.recipes.run import run_stage

    wanted = conditions(require or [])  # before anything is computed
    names = [name for given in models for name in given.split(",") if name]
    inputs = {"models": names, "prompts": prompts, "by": by, "base": base, "text": text}
    stage = one_stage("evaluate", inputs, settings_of(settings, seed), allow_code=allow_code, insecure=insecure)
    figures = run_stage(stage, out, allow_changed=allow_changed or ())
    if as_json:
        show(with_sentences(figures), as_json=True)
    else:
        show("\n".join([*as_lines(figures), *columns(figures)]), as_json=False)
    hold([*wanted, *conditions(required(stage.config))], figures)
