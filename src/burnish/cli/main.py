"""The command `burnish`: its groups, and the one place where errors become messages and exit codes."""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from errno import EDQUOT, ENOSPC
from typing import Annotated

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from burnish import processes
from burnish.cli import (
    chat,
    data,
    demo,
    doctor,
    evaluate,
    export,
    generate,
    methods,
    rank,
    rank_serve,
    rank_stats,
    recipes,
    score,
)
from burnish.data.problems import for_terminal
from burnish.data.secrets import masked
from burnish.errors import (
    INTERRUPTED,
    BurnishError,
    MissingInput,
    OutOfMemory,
    UsageError,
    WriteFailed,
    errno_in,
    kind_of,
)

app = typer.Typer(
    name="burnish",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Classical post-training of language models with people in the loop. "
    "Start with `burnish demo`: the whole chain on a tiny model, in a few minutes on a laptop.",
)
for group in (demo, recipes, methods, generate, chat, score, evaluate, export, doctor):
    app.add_typer(group.app)  # without a name: its commands stand at the top
app.add_typer(data.app, name="data")
rank.app.add_typer(rank_serve.app)
rank.app.add_typer(rank_stats.app)
app.add_typer(rank.app, name="rank")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"burnish {version('burnish')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def _share_the_machine() -> None:
    """Threads that wait soon sleep, unless the environment says otherwise; libgomp reads it when torch is loaded.

    By default it spins 300,000 times: with one other busy process on two cores, a step of the demo's DPO then took
    1.4 to 13 s, and 1.0 s with 5,000 spins. Sleeping at once (OMP_WAIT_POLICY=PASSIVE) took 0.8 s, but costs a sixth
    on a quiet machine, where 5,000 spins cost nothing that shows.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "5000"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code, with which the shell's `burnish` exits."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has not every character is no fault
    _share_the_machine()
    try:
        code = int(get_command(app).main(given, prog_name="burnish", standalone_mode=False) or 0)
        return _stopped() if code == INTERRUPTED else code  # which typer makes of a KeyboardInterrupt
    except TyperException as error:
        message = error.format_message()
        return _told(UsageError(f"{message}\nTry: burnish {_command(given)}--help"), error, debug="--debug" in given)
    except (KeyboardInterrupt, typer.Abort):
        return _stopped()
    except Exception as error:
        return _told(_as_ours(error), error, debug="--debug" in given)


def _stopped() -> int:
    print("stopped. What was saved stays: run the same command again to go on.", file=sys.stderr)
    return INTERRUPTED


def _told(error: BurnishError, cause: BaseException, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(cause)
    lines = [str(error), *getattr(cause, "__notes__", [])]
    print(for_terminal(masked(f"error{processes.of_rank()}: " + "\n".join(lines))), file=sys.stderr)
    return error.exit_code


def _as_ours(error: Exception) -> BurnishError:
    """Any failure as one with an exit code: the disk's, the memory's, and what is a fault of ours."""
    if isinstance(error, BurnishError):
        return error
    kind = kind_of(error)
    if kind is OutOfMemory:
        from burnish.training.memory import ADVICE  # here, for it loads torch

        return OutOfMemory(f"out of memory: {error}\nWhat helps: {ADVICE}")
    if isinstance(error, FileNotFoundError):
        return MissingInput(f"{error.filename}: no such file (looked from {os.getcwd()})")
    if isinstance(error, OSError):
        return WriteFailed(f"{error.filename or 'a file'}: {error.strerror or error}")
    if kind is WriteFailed:
        full = errno_in(error) in (ENOSPC, EDQUOT)
        return WriteFailed(f"{error}. Free some space and run the same command again." if full else str(error))
    last = traceback.extract_tb(error.__traceback__)[-1]
    return BurnishError(
        f"{type(error).__name__}: {error}\nThis is a fault in burnish ({last.filename}:{last.lineno}). Run the same "
        "command with --debug and report what it prints."
    )


def _command(given: Sequence[str]) -> str:
    """The command's own name, for the line that says where its options are explained."""
    here, name = get_command(app), ""
    for word in (word for word in given if not word.startswith("-")):
        commands = getattr(here, "commands", {})  # a command that is no group has none
        if word not in commands:
            break
        here, name = commands[word], f"{name}{word} "
    return name
