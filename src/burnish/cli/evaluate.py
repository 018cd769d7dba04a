"""Verdicts on models, and a gate for anyone's CI."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from burnish.cli.common import (
    AllowOption,
    ByOption,
    CodeOption,
    InsecureOption,
    OutOption,
    SetOption,
    columns,
    command,
    number,
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
    out: OutOption,
    prompts: Annotated[
        list[str] | None, typer.Option("--prompts", help="A file of prompts; repeat it for several.", metavar="FILE")
    ] = None,
    by: ByOption = None,
    suite: Annotated[
        str | None,
        typer.Option(
            "--suite",
            help="Published prompts that ask for safety, beside --prompts or alone: safety, safety-zh.",
            metavar="SUITE",
        ),
    ] = None,
    people: Annotated[
        list[str] | None,
        typer.Option(
            "--people",
            help="What people answered to --prompts, to tell models from people; repeat it for several.",
            metavar="FILE",
        ),
    ] = None,
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
    """Let models answer the same prompts and judge them against the first; or ask them a suite for safety; or both.

    Example: burnish evaluate --models runs/sft/model,runs/dpo/model --prompts heldout.jsonl --by judges:favourable-b
    --out runs/verdict --require "win_rate_low > 0.5"

    Example: burnish evaluate --models runs/sft/model,runs/dpo/model --suite safety --out runs/safety
    """
    from burnish.errors import UsageError
    from burnish.evaluation import aims
    from burnish.evaluation.gate import conditions, hold, required
    from burnish.evaluation.sentence import as_lines, with_sentences
    from burnish.recipes.load import never_met, one_stage
    from burnish.recipes.run import run_stage

    wanted = conditions(require or [])  # before anything is computed
    names = [name for given in models for name in given.split(",") if name]
    inputs = {
        "models": names,
        "prompts": prompts,
        "by": by,
        "base": base,
        "text": text,
        "suite": suite,
        "people": people,
    }
    stage = one_stage("evaluate", inputs, settings_of(settings, seed), allow_code=allow_code, insecure=insecure)
    for condition in require or []:
        if why := never_met(stage, condition):
            raise UsageError(f"--require {condition!r}: {why}")
    figures = run_stage(stage, out, allow_changed=allow_changed or ())
    if as_json:
        show(with_sentences(figures), as_json=True)
    else:
        show(
            "\n".join([*as_lines(figures), *aims.as_lines(figures), *columns(_with_intervals(figures))]), as_json=False
        )
    hold([*wanted, *conditions(required(stage.config))], figures)


def _with_intervals(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each figure with its interval on one line: `win_rate_low` and `win_rate_high` stand behind `win_rate`."""
    return {model: dict(_lines(own)) for model, own in figures.items()}


def _lines(figures: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        bare, slash, of = name.partition("/")
        low, high = (figures.get(f"{bare}_{end}{slash}{of}") for end in ("low", "high"))
        if low is not None and high is not None:
            yield name, f"{number(value)} [{number(low)}–{number(high)}]"
        elif not bare.endswith(("_low", "_high")):
            yield name, value
