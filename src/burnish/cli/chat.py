"""Talk with a model."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from burnish.cli.common import JsonOption, SetOption, command, settings_of

app = typer.Typer()


@command(app)
def chat(
    model: Annotated[str, typer.Argument(help="A model's folder or hub id.", metavar="MODEL")],
    against: Annotated[
        str | None, typer.Option("--against", help="A second model, whose answers stand beside.", metavar="MODEL")
    ] = None,
    blind: Annotated[
        bool, typer.Option("--blind", help="With --against: which answer is whose is hidden until /reveal.")
    ] = False,
    system: Annotated[
        str | None, typer.Option("--system", help="What the models are told first.", metavar="TEXT")
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            help="Where /save puts records. Unset is demonstrations.jsonl and rankings.jsonl here.",
            metavar="FILE",
        ),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="Divides the logits; 0 takes the likeliest.", metavar="X")
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option("--max-new-tokens", help="An answer is cut after these.", metavar="N")
    ] = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    seed: int | None = None,
) -> dict[str, Any] | None:
    """Talk with a model in the terminal, alone or beside another one; /help tells the commands.

    /save appends what is worth learning to a file that `sft`, `reward` and `dpo` read. Piped in, a line is a turn.
    --json tells the dialogue as one object in the end, and answers stream to stderr.

    Example: burnish chat runs/sft/model --against runs/dpo/model
    """
    from burnish.cli.dialogue import Dialogue
    from burnish.data.durable import check_name
    from burnish.methods.chat import Chat, ChatConfig
    from burnish.training.config import resolve

    if save is not None:
        check_name(save)
    short = {"temperature": temperature, "max_new_tokens": max_new_tokens}
    pairs = [*(settings or []), *(f"{name}={value}" for name, value in short.items() if value is not None)]
    config = resolve(ChatConfig, settings_of(pairs, seed))
    talk = Chat(model, config, against=against, system=system or "", blind=blind)
    Dialogue(talk, save=save, out=sys.stderr if as_json else sys.stdout).run()
    return talk.told() if as_json else None
