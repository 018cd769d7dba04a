"""Recipes: run, plan, status, report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from burnish.cli.common import AllowOption, CodeOption, InsecureOption, StageSetOption, command, settings_of

app = typer.Typer()

RecipeArgument = Annotated[Path, typer.Argument(help="A recipe's YAML file.", metavar="RECIPE")]
RunArgument = Annotated[Path, typer.Argument(help="A run's folder.", metavar="RUN")]
RunOption = Annotated[Path | None, typer.Option("--out", help="The run's folder; unset is runs/NAME.", metavar="DIR")]
PowerOption = Annotated[
    bool, typer.Option("--power", help="Say how many prompts or held-out rankings tell 55 % from 50 %.")
]
TimeOption = Annotated[
    bool,
    typer.Option("--time", help="Time each model's steps on this machine and say how long each stage takes."),
]
ReportOption = Annotated[
    Path | None,
    typer.Option("--out", help="A file for the report, of several runs side by side; unset: one in each run's folder."),
]
LanguageOption = Annotated[
    str | None, typer.Option("--language", help="en or zh; unset is the recipe's.", metavar="LANGUAGE")
]
PriceOption = Annotated[
    float | None,
    typer.Option("--price-per-hour", help="What an hour of the machine costs, to be told of each stage.", min=0),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Start although memory or disk may not be enough.")]


@command(app, "run", shared=True)
def run_recipe(
    recipe: RecipeArgument,
    out: RunOption = None,
    settings: StageSetOption = None,
    allow_changed: AllowOption = None,
    force: ForceOption = False,
    allow_code: CodeOption = False,
    insecure: InsecureOption = False,
    seed: int | None = None,
) -> dict[str, Any]:
    """Run what is not done of a recipe, in order. A second call goes on, or does nothing.

    Example: burnish run recipe.yaml --set sft.epochs=2
    """
    from burnish.recipes.load import load
    from burnish.recipes.run import run

    loaded = load(recipe, settings_of(settings, seed), allow_code=allow_code, insecure=insecure)
    return run(loaded, out, allow_changed=allow_changed or (), force=force)


@command(app, "plan")
def plan_recipe(
    recipe: RecipeArgument,
    out: RunOption = None,
    settings: StageSetOption = None,
    power: PowerOption = False,
    time: TimeOption = False,
    seed: int | None = None,
    as_json: bool = False,
) -> dict[str, Any] | str:
    """Show what a recipe would do: every setting with where it came from, memory and disk. Nothing is run.

    Example: burnish plan recipe.yaml --time
    """
    from burnish.recipes.load import load
    from burnish.recipes.plan import lines, plan

    loaded = load(recipe, settings_of(settings, seed), allow_code=True, insecure=True)
    planned = plan(loaded, out, with_power=power, with_time=time)
    return planned if as_json else "\n".join(lines(planned))


@command(app, "status")
def run_status(run: RunArgument, as_json: bool = False) -> dict[str, Any] | str:
    """Show how far a run is, and why each stage would be reused, resumed or run.

    Example: burnish status runs/demo
    """
    from burnish.recipes.status import lines, status

    told = status(run)
    return told if as_json else "\n".join(lines(told))


@command(app, "report")
def write_reports(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.", metavar="RUN...")],
    out: ReportOption = None,
    language: LanguageOption = None,
    price: PriceOption = None,
) -> dict[str, Any]:
    """Write a run's report again: one HTML file that opens anywhere; or one of several runs side by side.

    Example: burnish report runs/demo runs/other --out both.html
    """
    from burnish.evaluation.language import language_of
    from burnish.evaluation.report.write import write_report, write_side_by_side

    spoken = language_of(language) if language is not None else None
    if out is not None and len(runs) > 1:
        return {"reports": [str(write_side_by_side(runs, out, language=spoken, price=price))]}
    return {"reports": [str(write_report(run, out=out, language=spoken, price=price)) for run in runs]}
