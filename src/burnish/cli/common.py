"""What every command shares: its options, how its result is shown, and what is prepared before it works.

Results go to stdout, as text or with `--json` as one object; everything else goes to stderr.
"""

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Annotated, Any

import typer

from burnish import processes
from burnish.cli.progress import shown_steps
from burnish.data.problems import for_terminal, json_for_terminal, printable
from burnish.errors import UsageError

ModelOption = Annotated[str, typer.Option("--model", help="A model's folder or hub id.", metavar="MODEL")]
DataOption = Annotated[
    list[str], typer.Option("--data", help="A file of records; repeat it for several.", metavar="FILE")
]
EvaluateOnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--evaluate-on", help="A file that is not learned, to measure on; repeat it for several.", metavar="FILE"
    ),
]
PromptsOption = Annotated[
    list[str], typer.Option("--prompts", help="A file of prompts; repeat it for several.", metavar="FILE")
]


def _by(text: str) -> Any:
    """What `--by` says: a name, or in braces or brackets what a recipe would have there."""
    if not text.startswith(("{", "[")):
        return text
    from burnish.training.config import typed_value

    try:
        return typed_value(text)
    except ValueError as error:
        raise UsageError(f"--by {printable(text)}: the value is not YAML ({error}); put texts in quotes") from None


JUDGES = "a reward model, module:function, an http address, {judge: MODEL, rubric: TEXT}"
ByOption = Annotated[Any, typer.Option("--by", help=f"Who judges: people, {JUDGES}.", metavar="WHO", parser=_by)]
RewardByOption = Annotated[
    Any, typer.Option("--by", help=f"Who gives the reward: {JUDGES}.", metavar="WHO", parser=_by)
]
WhoOption = Annotated[Any, typer.Option("--by", help=f"Who chooses the best: {JUDGES}.", metavar="WHO", parser=_by)]
WhoElseOption = Annotated[
    Any,
    typer.Option(
        "--judge", help="Who says what --curve tells, and chooses nothing, WHO as in --by.", metavar="WHO", parser=_by
    ),
]
JudgeOption = Annotated[
    Any,
    typer.Option(
        "--judge", help="Who else scores the answers to --evaluate-on, WHO as in --by.", metavar="WHO", parser=_by
    ),
]
MixOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mix", help="A file of texts or demonstrations to learn beside; repeat it for several.", metavar="FILE"
    ),
]
ReferenceOption = Annotated[
    str | None, typer.Option("--reference", help="What to stay close to; unset is --model.", metavar="MODEL")
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for the result.", metavar="DIR")]
FileOption = Annotated[Path, typer.Option("--out", help="File for the result.", metavar="FILE")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting, dots opening groups: lora.rank=8. Repeat it for more.", metavar="KEY=VALUE"),
]
StageSetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting of a stage: sft.epochs=2; or of all: seed=1.", metavar="STAGE.KEY=VALUE"),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-changed", help="A field that may differ from what the folder was started with.", metavar="FIELD"
    ),
]
CodeOption = Annotated[
    bool, typer.Option("--allow-code", help="Functions in files beside the recipe may judge, with your rights.")
]
InsecureOption = Annotated[bool, typer.Option("--insecure", help="An address may be asked over http, not only https.")]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="What all random numbers come from.", min=0, metavar="N")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
ThreadsOption = Annotated[int | None, typer.Option("--threads", help="Threads to compute with.", min=1, metavar="N")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Say nothing on stderr but errors.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")]

EVERYWHERE: Mapping[str, Any] = {
    "as_json": (JsonOption, False),
    "seed": (SeedOption, None),
    "threads": (ThreadsOption, None),
    "quiet": (QuietOption, False),
    "debug": (DebugOption, False),
}


def command(
    app: typer.Typer, name: str | None = None, *, shared: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Make a function that returns its result a command, with the options that every command has.

    A function that takes `seed` or `as_json` itself is handed them too. A result is a mapping, or text. Of several
    processes that torchrun started the first one tells; what is not `shared` it does alone.
    """

    def wrap(function: Callable[..., Any]) -> Callable[..., None]:
        own = inspect.signature(function).parameters
        takes = [p.replace(annotation=EVERYWHERE[p.name][0]) if p.name in EVERYWHERE else p for p in own.values()]
        takes += [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for key, (kind, default) in EVERYWHERE.items()
            if key not in own
        ]

        @functools.wraps(function)
        def run(**given: Any) -> None:
            follows = processes.rank() > 0
            if follows and not shared:
                return
            if given["threads"]:
                import torch  # here, so that --help does not wait for it

                torch.set_num_threads(given["threads"])
            with _nothing_said() if given["quiet"] or follows else shown_steps():
                result = function(**{key: value for key, value in given.items() if key in own})
            if not follows:
                show(result, as_json=given["as_json"])

        # typer reads both: the order from the signature, the options from the annotations
        run.__signature__ = inspect.Signature(takes)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in takes}
        return app.command(name)(run)

    return wrap


@contextmanager
def _nothing_said() -> Iterator[None]:
    """Nothing reaches stderr, whoever writes it: a method, a warning, a library's progress bar."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        yield


def show(result: Any, *, as_json: bool) -> None:
    """Print a result on stdout: one JSON object, or figures in columns."""
    if result is None:
        return
    if as_json:
        from burnish.data.strict_json import finite

        text = json_for_terminal(finite(result) if isinstance(result, Mapping | list) else {"text": str(result)})
    else:
        text = for_terminal("\n".join(columns(result)) if isinstance(result, Mapping) else str(result))
    try:
        print(text, flush=True)
    except BrokenPipeError:  # whoever read us (`| head`) has enough; a second write at exit would fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def columns(figures: Mapping[str, Any], indent: str = "") -> list[str]:
    """A line a figure; a mapping inside is indented under its name, and several with the same figures are a table."""
    if len(figures) > 1 and all(isinstance(inner, Mapping) and inner for inner in figures.values()):
        names = [tuple(inner) for inner in figures.values()]
        if len(set(names)) == 1 and not any(
            isinstance(v, Mapping) for inner in figures.values() for v in inner.values()
        ):
            return table(figures, names[0], indent)
    width = max((len(str(key)) for key, value in figures.items() if not isinstance(value, Mapping)), default=0)
    lines: list[str] = []
    for key, value in figures.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}", *columns(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key:<{width}}  {number(value)}")
    return lines


def table(figures: Mapping[str, Mapping[str, Any]], names: Sequence[str], indent: str) -> list[str]:
    """What is compared stands side by side, its figures below each other."""
    rows = [["", *figures], *([name, *(number(inner[name]) for inner in figures.values())] for name in names)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        indent + "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def number(value: object) -> str:
    """Short enough to read: counts whole, other numbers with four digits that count; of a list what is in it."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(number, value)) or "none"
    return str(value)


def settings_of(pairs: Sequence[str] | None, seed: int | None = None) -> dict[str, Any]:
    """`--set` and `--seed` as one mapping. Raises UsageError where both give the seed."""
    from burnish.training.config import settings_from

    settings = settings_from(pairs or [])
    if seed is not None:
        if "seed" in settings:
            raise UsageError("--seed and --set seed are both given; keep one")
        settings["seed"] = seed
    return settings
