"""Print docs/commands.md from the commands themselves: `python -m burnish.cli.reference > docs/commands.md`."""

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from burnish.cli.common import EVERYWHERE
from burnish.cli.main import app

HEAD = """\
# Commands

Made by `python -m burnish.cli.reference > docs/commands.md`; change the commands, not this page.

Results go to stdout and progress to stderr. What commands end with is in [exit-codes.md](exit-codes.md).

Every command also takes:

"""


def reference() -> str:
    """The page: what all commands share, then each command with its own options."""
    commands = list(leaves(get_command(app), "burnish"))
    shared = next(command for name, command in commands if name == "burnish plan")
    page = HEAD + table([p for p in shared.params if p.name in EVERYWHERE])
    for name, command in commands:
        page += f"\n## {name}\n\n{text(command.help)}\n\n"
        page += table([p for p in command.params if p.name not in EVERYWHERE and p.name != "help"])
    return page


def leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Commands that do something, with the words that call them."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, one in inner.items():
        yield from leaves(one, f"{name} {word}")


def text(help_: str) -> str:
    """The docstring with its example as code."""
    paragraphs = [" ".join(part.split()) for part in help_.split("\n\n")]
    return "\n\n".join(
        f"```\n{part.removeprefix('Example: ')}\n```" if part.startswith("Example: ") else part for part in paragraphs
    )


def table(parameters: list[Any]) -> str:
    if not parameters:
        return ""
    rows = "".join(f"| `{_called(p)}` | {_meaning(p)} |\n" for p in parameters)
    return f"| option | meaning |\n|---|---|\n{rows}"


def _called(parameter: Any) -> str:
    metavar = parameter.metavar or ""
    if parameter.param_type_name == "argument":
        return str(metavar)
    return f"{parameter.opts[0]} {metavar}".strip()


def _meaning(parameter: Any) -> str:
    words = str(parameter.help or "").replace("|", "\\|")
    given = "" if parameter.default in (None, False, ()) or parameter.required else f" Default: `{parameter.default}`."
    return f"{words}{' Required.' if parameter.required else ''}{given}"


if __name__ == "__main__":
    print(reference(), end="")
