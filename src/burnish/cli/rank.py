"""Put answers in order: the store that people and judges fill, what goes into it and what comes out."""

import tempfile
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from burnish.cli.common import (
    AllowOption,
    ByOption,
    CodeOption,
    InsecureOption,
    SetOption,
    command,
    settings_of,
)
from burnish.errors import UsageError

app = typer.Typer(help="Put answers in order, by people or by a judge.", no_args_is_help=True)

StoreOption = Annotated[Path, typer.Option("--store", help="The store of rankings, one file.", metavar="FILE")]


@app.callback()
def _group() -> None:
    """Put answers in order, by people or by a judge."""


@command(app, "import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Answers or rankings.", show_default=False)],
    *,
    store: StoreOption,
    format: Annotated[  # noqa: A002  the option's own name
        str | None, typer.Option("--format", help="Where two formats fit, or the name does not tell.")
    ] = None,
    task: Annotated[
        str,
        typer.Option(
            "--task",
            help="rank: put all in order; pick: the best of up to 16; pair: the better of two; person: the one of two "
            "that a person wrote.",
        ),
    ] = "rank",
    gold: Annotated[
        bool, typer.Option("--gold", help="The file's orders are right: its items check annotators.")
    ] = False,
    on_bad_row: Annotated[str, typer.Option("--on-bad-row", help="fail, or skip and write the rows aside.")] = "fail",
) -> dict[str, Any]:
    """Take answers into a store, made where none is there, for people to rank; rankings in the file come along.

    Reads what `generate` wrote, rankings, comparisons, Label Studio's Ranker and Argilla's records. Run again after a
    cut, it adds what is missing.

    Example: burnish rank import answers.jsonl --store rankings.db
    """
    from burnish.feedback.imports import read_in, take_in
    from burnish.feedback.records import Task
    from burnish.feedback.store import Store

    kind: Task | None = next((one for one in get_args(Task) if one == task), None)
    if kind is None:
        raise UsageError(f"--task {task}: choose one of {', '.join(get_args(Task))}")
    found = read_in(file, beside=store, format=format, task=kind, gold=gold, on_bad_row=on_bad_row)
    with Store.at(store) as opened:
        return {**take_in(opened, found), "items_in_all": opened.counts()["items"], "store": str(store)}


@command(app)
def export(
    *,
    store: StoreOption,
    out: Annotated[Path, typer.Option("--out", help="File for the rankings.", metavar="FILE")],
    format: Annotated[  # noqa: A002
        str, typer.Option("--format", help="ranking, comparison, judgement, label-studio, argilla or csv.")
    ] = "ranking",
    split: Annotated[
        float, typer.Option("--split", help="Share of prompts for a second file, OUT.heldout.", min=0, max=0.99)
    ] = 0.0,
    by: Annotated[str, typer.Option("--by", help="prompt, or a column whose values stay together.")] = "prompt",
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            help="people, imported, adjudicated or judge; repeat it. Unset is all but judge, and of an item that the "
            "lead decided the decision alone.",
        ),
    ] = None,
    checks: Annotated[bool, typer.Option("--checks", help="Repeats and gold items too, which check people.")] = False,
    seed: int | None = None,
) -> dict[str, Any]:
    """Write the rankings of a store: what `reward` and `dpo` train on, or for Label Studio, Argilla or a spreadsheet.

    Example: burnish rank export --store rankings.db --format ranking --out rankings.jsonl --split 0.1
    """
    from burnish.feedback.exports import LAYERS, export
    from burnish.feedback.store import Store

    for name in layer or ():
        if name not in LAYERS:
            raise UsageError(f"--layer {name}: choose of {', '.join(LAYERS)}")
    layers = tuple(name for name in LAYERS if name in layer) if layer else None
    with Store.open(store) as opened:
        made = export(opened, out, format, split=split, by=by, seed=seed or 0, layers=layers, checks=checks)
    return {"format": format, "rows": dict(made.files)} | ({"left_out": dict(made.left_out)} if made.left_out else {})


@command(app)
def audit(
    *,
    store: StoreOption,
    out: Annotated[Path, typer.Option("--out", help="File for the audit, as JSON lines.", metavar="FILE")],
) -> dict[str, Any]:
    """Write down who did what when: every submit, skip, undo, import and invitation, oldest first.

    Example: burnish rank audit --store rankings.db --out audit.jsonl
    """
    from burnish.data.convert import write_rows
    from burnish.feedback.store import Store

    with Store.open(store) as opened:
        return {"entries": write_rows(opened.audit(), out), "file": str(out)}


@command(app)
def unsure(
    scored: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="What `score --out` wrote, one file a model.")
    ],
    *,
    store: StoreOption,
) -> dict[str, Any]:
    """Ask sooner what a reward model is least sure of, or what several models differ about.

    Example: burnish rank unsure scored.jsonl --store rankings.db
    """
    from burnish.feedback.store import Store
    from burnish.feedback.unsure import ask_about

    with Store.open(store) as opened:
        return ask_about(opened, scored)


@command(app)
def policy(
    *,
    store: StoreOption,
    overlap: Annotated[float | None, typer.Option("--overlap", help="Share of items that several people get.")] = None,
    annotators: Annotated[int | None, typer.Option("--annotators", help="How many people those are.")] = None,
    gold: Annotated[float | None, typer.Option("--gold", help="Share of draws that are gold items.")] = None,
    repeats: Annotated[float | None, typer.Option("--repeats", help="Share of draws that ask again.")] = None,
    active: Annotated[
        float | None, typer.Option("--active", help="Share of fresh items drawn for uncertainty.")
    ] = None,
    calibration: Annotated[
        int | None,
        typer.Option(
            "--calibration", help="Gold items that someone new practises on first, told how they did; 0 for none."
        ),
    ] = None,
) -> dict[str, Any]:
    """Show how items are given out, or change it for what is given out from now on.

    Example: burnish rank policy --store rankings.db --overlap 0.3 --annotators 3
    """
    from dataclasses import asdict, replace

    from burnish.feedback.store import Store

    given = {"overlap": overlap, "annotators": annotators, "gold": gold, "repeats": repeats, "active": active}
    given["calibration"] = calibration
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    with Store.open(store) as opened:
        if changes:
            opened.set_policy(replace(opened.policy(), **changes))
        return asdict(opened.policy())


@command(app)
def invite(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who is to rank.", show_default=False)],
    *,
    store: StoreOption,
    lead: Annotated[
        bool, typer.Option("--lead", help="They also see the statistics and decide what is disputed, until revoked.")
    ] = False,
    days: Annotated[float, typer.Option("--days", help="How long the invitation works.", min=0.01)] = 7.0,
) -> dict[str, Any]:
    """Print a token that lets someone in once. It is shown here and never again: the store keeps its hash.

    On a page that `rank serve` serves it opens by its link: ADDRESS/#t=TOKEN

    Example: burnish rank invite --store rankings.db ann
    """
    import time

    from burnish.feedback.store import Store

    with Store.open(store) as opened:
        until = time.time() + days * 24 * 3600
        token = opened.invite(name, until, lead=lead)
    return {"annotator": name, "token": token, "expires": time.strftime("%Y-%m-%d %H:%M", time.localtime(until))}


@command(app)
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who is to rank no more.", show_default=False)],
    *,
    store: StoreOption,
) -> dict[str, Any]:
    """End someone's sessions and invitations; a lead is one no more. What they ranked stays.

    Example: burnish rank revoke --store rankings.db ann
    """
    from burnish.feedback.store import Store

    with Store.open(store) as opened:
        return {"annotator": name, "ended": opened.revoke(name)}


@command(app)
def judge(
    *,
    answers: Annotated[
        list[str] | None,
        typer.Option("--answers", help="A file that `generate` wrote; repeat it for several.", metavar="FILE"),
    ] = None,
    by: ByOption,
    out: Annotated[Path | None, typer.Option("--out", help="File for the rankings.", metavar="FILE")] = None,
    store: Annotated[
        Path | None, typer.Option("--store", help="Or the store whose items are ranked.", metavar="FILE")
    ] = None,
    settings: SetOption = None,
    allow_changed: AllowOption = None,
    allow_code: CodeOption = False,
    insecure: InsecureOption = False,
    seed: int | None = None,
) -> dict[str, Any]:
    """Rank each prompt's answers by a reward model or a judge, and write the rankings, or fill a store with them.

    In a store they stand beside the people's, marked as the judge's, so that both can be compared.

    Example: burnish rank judge --answers answers.jsonl --by runs/reward/model --out rankings.jsonl
    """
    from burnish.recipes.load import one_stage
    from burnish.recipes.run import run_to_file

    given = settings_of(settings, seed)
    if (store is None) == (out is None) or (store is None) == (answers is None):
        raise UsageError("name what is ranked and where to: --answers FILE --out FILE, or --store FILE")
    if store is None and out is not None:
        stage = one_stage("rank", {"answers": answers, "by": by}, given, allow_code=allow_code, insecure=insecure)
        return run_to_file(stage, out, allow_changed=allow_changed or ())

    from burnish.feedback.judging import take_in, write_items
    from burnish.feedback.store import Store

    with Store.open(store or Path()) as opened, tempfile.TemporaryDirectory() as place:
        write_items(opened, Path(place) / "items.jsonl")
        inputs = {"answers": [f"{place}/items.jsonl"], "by": by}
        stage = one_stage("rank", inputs, given, allow_code=allow_code, insecure=insecure)
        figures = run_to_file(stage, Path(place) / "ranking.jsonl")
        return {**figures, **take_in(opened, Path(place) / "ranking.jsonl", by)}
