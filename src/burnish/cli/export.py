"""Give a model away: merged, checked, with its card."""

from typing import Annotated, Any

import typer

from burnish.cli.common import OutOption, command

app = typer.Typer()


@command(app, "export")
def export_model(
    model: Annotated[
        str,
        typer.Argument(help="A model's folder or hub id, a stage's folder, or an adapter's.", metavar="MODEL"),
    ],
    out: OutOption,
    format: Annotated[  # noqa: A002  # the option's name
        str, typer.Option("--format", help="hf (for transformers) or gguf (for llama.cpp).", metavar="FORMAT")
    ] = "hf",
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            help="hf: float32, bfloat16 or float16, unset as it is stored. gguf: f32, f16, bf16 or q8_0, unset f16.",
            metavar="TYPE",
        ),
    ] = None,
    shard_size: Annotated[
        str, typer.Option("--shard-size", help="hf: largest file of weights.", metavar="SIZE")
    ] = "5GB",
    base: Annotated[
        str | None,
        typer.Option("--base", help="What an adapter was trained on, if not what its config names.", metavar="MODEL"),
    ] = None,
) -> dict[str, Any]:
    """Write a model into a new folder of its own, adapters merged, with a card of where it came from, and check it.

    The copy is read back and held against the model: tokens, weights and what it says of real text. A copy that differs
    is not left behind.

    Example: burnish export runs/demo/dpo --format gguf --out exports/dpo-gguf
    """
    from burnish.recipes.export import export

    return export(model, out, format=format, dtype=dtype, shard_size=shard_size, base=base)
