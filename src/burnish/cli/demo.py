"""The whole chain on the tiny model that comes with burnish."""

from pathlib import Path
from typing import Annotated, Any

import typer

from burnish.cli.common import StageSetOption, command, settings_of
from burnish.evaluation.language import Language

app = typer.Typer()


@command(app, "demo", shared=True)
def run_demo(
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The run's folder; runs/demo, in Chinese runs/demo-zh.", metavar="DIR"),
    ] = None,
    language: Annotated[
        Language,
        typer.Option("--language", help="en: sentences about films; zh: classical verse, in Chinese.", metavar="LANG"),
    ] = "en",
    people: Annotated[bool, typer.Option("--people", help="Rank twelve prompts' answers yourself, on a page.")] = False,
    settings: StageSetOption = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Run the whole chain on a tiny model: SFT, ranking, reward model, then PPO, DPO and rejection sampling.

    Example: burnish demo
    """
    from burnish.recipes.demo import RUNS, demo

    return demo(out or RUNS[language], settings_of(settings, seed), language=language, people=people)
