"""The command group `burnish data`: look at files of records, check them, convert and split them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from burnish.cli.common import FileOption, JsonOption, command

app = typer.Typer(help="Files of records: look at them, check them, convert and split them.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A file of records.", show_default=False)]
KindOption = Annotated[
    str | None, typer.Option("--kind", help="What the records are to be used as: prompt, demonstration, ranking …")
]
FormatOption = Annotated[
    str | None, typer.Option("--format", help="Where two formats fit, or the name does not tell: hh, alpaca, jsonl …")
]
BadRowOption = Annotated[str, typer.Option("--on-bad-row", help="fail, or skip and write the rows aside.")]


@command(app, "inspect")
def inspect_file(
    file: FileArgument,
    *,
    model: Annotated[str | None, typer.Option("--model", help="A model's folder or hub id, for its tokenizer.")] = None,
    template: Annotated[str, typer.Option("--template", help="auto, none, chat, or a template's name.")] = "auto",
    kind: KindOption = None,
    format: FormatOption = None,  # noqa: A002  the option's own name
    learn_from: Annotated[str | None, typer.Option("--learn-from", help="last or all assistant turns.")] = None,
    max_length: Annotated[
        int | None, typer.Option("--max-length", help="Tokens that a prompt and an answer get.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", help="Rows to show whole.", min=0)] = 3,
    limit: Annotated[int | None, typer.Option("--limit", help="Look at so many rows only.", min=1)] = None,
    as_json: JsonOption = False,
) -> Any:
    """Show what a model gets of a file: rendered text with the learned part marked, lengths, and rows refused.

    Example: burnish data inspect demos.jsonl --model runs/demo/sft/model --max-length 512
    """
    from burnish.data.inspect import inspect
    from burnish.data.read import examine
    from burnish.data.templates import resolve
    from burnish.data.tokenizer import load_tokenizer

    reading = examine(file, kind=kind, format=format, limit=limit)
    used = None if model is None else resolve(load_tokenizer(model), template)
    judged = None
    if used is not None and max_length is not None:
        from burnish.batch.trees import judge

        judged = judge(used, max_length=max_length, learn_from=learn_from)
    found = inspect(reading, used, rows=rows, learn_from=learn_from, judge=judged)
    return found.figures() if as_json else printed_inspection(found.figures())


def printed_inspection(found: Mapping[str, Any]) -> str:
    """An inspection as text: the learned part of a row stands between ⟦ and ⟧."""
    from burnish.data.problems import for_terminal

    lines = [f"{found['rows']} rows, {found['kind']} ({', '.join(found['formats'])}), {len(found['refused'])} refused"]
    if found["columns"]:
        lines.append("other columns: " + ", ".join(f"{name} ({count})" for name, count in found["columns"].items()))
    if found["template"]:
        told = found["template"]
        lines.append(f"template: {told['name']} ({told['hash'][:12]}), an answer ends with {told['ends_with']}")
        lines += [f"also in the tokenizer: {', '.join(told['others'])}"] if told["others"] else []
    for name, spread in found["lengths"].items():
        unit = name.replace("_", " ") if found["template"] else f"{name} characters"
        lines.append(f"{unit}: " + ", ".join(f"{key} {value:g}" for key, value in spread.items()))
    lines += [f"{name}: {count}" for name, count in found["counts"].items() if count]
    lines += [f"around the turns: {text!r}" for text in found["around"]]
    for row in found["shown"]:
        for number, path in enumerate(row["paths"]):
            lines += ["", f"--- {row['origin']}, {row['tokens'][number]} tokens, {row['learned'][number]} learned"]
            lines.append("".join(f"⟦{text}⟧" if learned else text for text, learned in path))
    lines += ["", *(f"refused: {reason}" for reason in found["refused"])] if found["refused"] else []
    lines += [f"warning: {warning}" for warning in found["warnings"]]
    return for_terminal("\n".join(lines))


@command(app, "validate")
def validate_file(
    file: FileArgument,
    *,
    against: Annotated[
        list[Path] | None, typer.Option("--against", help="A file held out: look for leaks. Repeat it.", metavar="FILE")
    ] = None,
    kind: KindOption = None,
    format: FormatOption = None,  # noqa: A002
    threshold: Annotated[float, typer.Option("--threshold", help="Likeness of near duplicates.", min=0.1, max=1)] = 0.8,
    ngram: Annotated[int, typer.Option("--ngram", help="Words in a row that count as shared.", min=3)] = 13,
    strict: Annotated[bool, typer.Option("--strict", help="Fail where anything is found.")] = False,
    as_json: JsonOption = False,
) -> Any:
    """Look for bad rows, duplicates and near duplicates, and for what a file shares with files held out.

    Example: burnish data validate train.jsonl --against heldout.jsonl --strict
    """
    from burnish.data.validate import validate

    found = validate(
        file, against=against or (), kind=kind, format=format, threshold=threshold, ngram=ngram, strict=strict
    )
    return found.figures() if as_json else printed_validation(found.figures())


def printed_validation(found: Mapping[str, Any]) -> str:
    """A validation as text."""
    from burnish.data.problems import for_terminal

    lines = [
        f"{found['rows']} rows, {found['kind']} ({', '.join(found['formats'])}), {found['prompts']} different prompts",
        f"bad rows: {len(found['bad'])}",
        f"duplicates: {found['duplicates']}",
        f"near duplicates: {found['near_duplicates']}",
    ]
    lines += [f"  {reason}" for reason in found["bad"][:10]]
    lines += [f"  {pair['row']} is like {pair['like']} ({pair['likeness']:.0%})" for pair in found["examples"]]
    for overlap in found["overlaps"]:
        lines.append(
            f"shared with {overlap['file']}: {overlap['same_prompt']} same prompts, {overlap['near_prompt']} nearly, "
            f"{overlap['shared_ngram']} runs of words"
        )
        lines += [f"  {pair['row']} and {pair['like']}: {pair['text']}" for pair in overlap["examples"]]
    lines += [f"warning: {warning}" for warning in found["warnings"]]
    return for_terminal("\n".join(lines))


@command(app, "convert")
def convert_file(
    file: FileArgument,
    *,
    to: Annotated[str, typer.Option("--to", help="The kind of record to write.", metavar="KIND")],
    out: FileOption,
    format: FormatOption = None,  # noqa: A002
    on_bad_row: BadRowOption = "fail",
) -> Any:
    """Write a file's records as another kind, as JSON lines (gzipped where the name ends in .gz).

    Example: burnish data convert hh.jsonl.gz --to ranking --out rankings.jsonl
    """
    from burnish.data.convert import write
    from burnish.data.read import read

    groups = read(file, kind=to, format=format, on_bad_row=on_bad_row, rejected=_beside(out))
    return {"rows": write(groups, to, out), "kind": to, "file": str(out)}


@command(app, "split")
def split_file(
    file: FileArgument,
    *,
    held_out: Annotated[float, typer.Option("--held-out", help="A share of the prompts, or from 1 on rows.", min=0)],
    out: Annotated[Path, typer.Option("--out", help="Folder for train.jsonl and heldout.jsonl.", metavar="DIR")],
    by: Annotated[str, typer.Option("--by", help="prompt, or a column whose values stay together.")] = "prompt",
    format: FormatOption = None,  # noqa: A002
    on_bad_row: BadRowOption = "fail",
    seed: int | None = None,
) -> Any:
    """Part a file by its prompts: no prompt stands on both sides.

    Example: burnish data split hh.jsonl.gz --held-out 200 --out data/hh --on-bad-row skip
    """
    from burnish.data.convert import write
    from burnish.data.read import examine, refuse, set_aside
    from burnish.data.split import split_by_prompt

    reading = examine(file, format=format)
    out.mkdir(parents=True, exist_ok=True)
    refuse(reading, on_bad_row)
    set_aside(reading, out / "rejected.jsonl")
    train, held = split_by_prompt(reading.groups, held_out, by=by, seed=seed or 0)
    return {
        "train": write(train, reading.kind, out / "train.jsonl"),
        "held_out": write(held, reading.kind, out / "heldout.jsonl"),
        "kind": reading.kind,
    }


def _beside(out: Path) -> Path:
    return out.with_name(f"{out.name.split('.')[0]}.rejected.jsonl")
