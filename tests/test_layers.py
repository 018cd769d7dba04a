"""Imports go one way: a module knows its own layer and those below it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import burnish

SOURCE = Path(burnish.__file__).parent
LAYERS = (
    "types",
    "data",
    "batch",
    "models",
    "training",
    "rollout",
    "rewards",
    "feedback",
    "evaluation",
    "methods",
    "recipes",
    "cli",
)


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """Line and name of everything of burnish that a file imports, also within functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names if name.name.startswith("burnish."))
        elif isinstance(node, ast.ImportFrom) and node.module == "burnish":
            yield from ((node.lineno, f"burnish.{name.name}") for name in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("burnish."):
            yield node.lineno, str(node.module)


def upward(layers: tuple[str, ...], source: Path = SOURCE) -> list[str]:
    """Every import of a layer that lies above; what is no layer (errors, an address) may be imported everywhere."""
    found = []
    for file in sorted(source.rglob("*.py")):
        own = file.relative_to(source).parts[0].removesuffix(".py")
        for line, name in imported(file):
            other = name.split(".")[1]
            if own in layers and other in layers and layers.index(other) > layers.index(own):
                found.append(f"{file.relative_to(source)}:{line}: {name}")
            if own == "objectives" and other != "objectives":
                found.append(f"{file.relative_to(source)}:{line}: {name}")
    return found


def test_no_module_imports_from_a_layer_above_it_and_objectives_nothing_of_ours():
    assert upward(LAYERS) == []


def test_an_import_that_went_up_would_be_found():
    assert any("methods/sft.py" in line for line in upward(LAYERS[::-1]))
