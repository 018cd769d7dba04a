"""Serve the page on which people rank."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli.common import JsonOption, SetOption, command, settings_of, show
from burnish.data.problems import json_for_terminal
from burnish.errors import DataError, MissingInput, UsageError

if TYPE_CHECKING:
    from burnish.feedback.page.reckoning import ModelFiles
    from burnish.feedback.page.serving import Links
    from burnish.methods.live import LiveModels

app = typer.Typer()


@command(app)
def serve(
    store: Annotated[
        Path | None, typer.Option("--store", help="The store of rankings, as `rank import` made it.", metavar="FILE")
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="A run's folder, whose store is found.", metavar="DIR")
    ] = None,
    annotator: Annotated[
        list[str] | None,
        typer.Option("--annotator", help="Someone who may rank; repeat it for several.", metavar="NAME"),
    ] = None,
    lead: Annotated[
        list[str] | None,
        typer.Option(
            "--lead", help="Someone who sees the statistics and decides what is disputed; repeat it.", metavar="NAME"
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.", metavar="HOST")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", help="Port; unset is 8765 or the next free.", min=1, max=65535, metavar="N")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="A further name of this server, behind a proxy say.", metavar="NAME"),
    ] = None,
    guidelines: Annotated[
        Path | None, typer.Option("--guidelines", help="What annotators are to look at, as Markdown.", metavar="FILE")
    ] = None,
    live: Annotated[
        list[str] | None,
        typer.Option(
            "--live",
            help="A model that answers what annotators type; repeat it to have two compared. The store is made where "
            "none is there, and its other items wait.",
            metavar="MODEL",
        ),
    ] = None,
    answers: Annotated[
        int | None,
        typer.Option("--answers", help="With --live: answers a prompt. Unset is 4.", min=2, max=9, metavar="K"),
    ] = None,
    reveal: Annotated[
        bool,
        typer.Option(
            "--reveal",
            help="Tell annotators which model wrote what once they have ranked it; it cannot be undone then, and "
            "nothing checks them.",
        ),
    ] = False,
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores", help="What `score` wrote of the store's answers: a lead sees it beside people.", metavar="FILE"
        ),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option("--curve", help="As of `rank stats`: a lead sees what more rankings would bring.", metavar="FILE"),
    ] = None,
    settings: SetOption = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser.")] = False,
    as_json: JsonOption = False,
    seed: int | None = None,
) -> None:
    """Serve the page on which people rank, until Ctrl-C. Prints a link for each person; a link works once.

    With --live they type prompts themselves and rank what one or two models answer. --set takes what it takes in
    `generate`: temperature, max_new_tokens, template and so on.

    Example: burnish rank serve --store rankings.db --annotator ann --annotator bo
    """
    from burnish.feedback.live import Live
    from burnish.feedback.page.reckoning import ModelFiles
    from burnish.feedback.page.serving import serve, store_of
    from burnish.feedback.store import Store

    if (store is None) == (run is None):
        raise UsageError("name what is to be ranked: --store FILE, or --run FOLDER")
    path = store if store is not None else store_of(run or Path())
    words = _read(guidelines) if guidelines is not None else ""
    if (scores or curve) and not lead:
        raise UsageError("--scores and --curve are for a lead's statistics; name who leads: --lead NAME")
    if (settings or answers is not None) and not live:
        raise UsageError("--set and --answers say how answers are sampled; name who samples them: --live MODEL")
    models = _models(live, settings, answers, seed) if live else None  # before a store is made for them
    with ExitStack() as opening:
        opened = opening.enter_context(Store.at(path) if live else Store.open(path))
        beside = ModelFiles(scores, curve)
        if scores or curve:
            _readable(path, beside)
        serve(
            opened,
            annotator or (),
            leads=lead or (),
            host=host,
            port=port,
            allowed_hosts=allow_host or (),
            guidelines=words,
            live=opening.enter_context(Live(opened, models)) if models else None,
            browser=not no_open and not as_json,
            reveal=reveal,
            beside=beside,
            told=partial(_tell, as_json=as_json),
        )
        saved = opened.counts()
    print(f"stopped. {path} holds {saved.get('rankings_people', 0)} rankings by people.", file=sys.stderr)


def _readable(path: Path, beside: "ModelFiles") -> None:
    """Raise what is wrong with a reward model's files, before a lead finds it out. In a process of its own, as the page
    does it: a server that had read them would keep scipy."""
    from burnish.feedback.page.reckoning import command

    tried = subprocess.run(command(path, beside), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if tried.returncode:
        raise DataError(tried.stderr.strip())


def _models(models: Sequence[str], settings: list[str] | None, answers: int | None, seed: int | None) -> "LiveModels":
    """Who answers, loaded. Nothing else here needs torch, and a server without it stays small."""
    from burnish.methods.live import LiveConfig, LiveModels
    from burnish.training.config import resolve

    given = settings_of([*(settings or []), *([f"answers={answers}"] if answers is not None else [])], seed)
    return LiveModels(models, resolve(LiveConfig, given))


def _tell(links: "Links", *, as_json: bool) -> None:
    """Say on stdout where the page is, with a link for each person."""
    if as_json:
        # not by show(), which loads torch to make figures finite: a server would keep 400 MB for it
        print(json_for_terminal({"address": links.address, "links": links.links}), flush=True)
    else:
        show("\n".join([*_lines(links.links), _over_ssh(links.address)]).strip(), as_json=False)
    if links.warning:
        print(f"warning: {links.warning}", file=sys.stderr, flush=True)


def _lines(links: Mapping[str, str]) -> list[str]:
    width = max(len(name) for name in links)
    return [f"{name:<{width}}  {link}" for name, link in links.items()]


def _over_ssh(address: str) -> str:
    """How to reach a page on loopback from the machine that one sits at."""
    connection = os.environ.get("SSH_CONNECTION", "").split()
    if len(connection) != 4 or "//127.0.0.1:" not in address:
        return ""
    port = address.rsplit(":", 1)[1]
    return f"on your own machine first: ssh -L {port}:127.0.0.1:{port} {connection[2]}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MissingInput(f"--guidelines {path}: cannot be read as UTF-8 text ({error})") from None
