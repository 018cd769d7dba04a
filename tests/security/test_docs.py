"""SECURITY.md and docs/reliability.md claim what a test shows: each test that they name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`([\w/]+)::(test_\w+)`")


@pytest.mark.parametrize(("page", "least"), [("SECURITY.md", 60), ("docs/reliability.md", 30)])
def test_every_test_that_a_page_names_is_there(page: str, least: int):
    named = NAMED.findall((ROOT / page).read_text(encoding="utf-8"))
    assert len(named) >= least
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (source := ROOT / f"tests/{file}.py").is_file()
        or f"def {name}(" not in source.read_text(encoding="utf-8")
    ]
    assert missing == []


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/reliability.md"])
def test_every_promise_names_a_test_or_says_not_yet(page: str):
    tables = (ROOT / page).read_text(encoding="utf-8").split("| shown by |\n")[1:]
    promises = [row for table in tables for row in table.split("\n\n")[0].splitlines()[1:]]
    assert len(promises) > 30
    assert [row for row in promises if "::test_" not in row and "**not yet**" not in row] == []
