"""A folder in which commands are typed, with a model, records, and what each command gives when nothing happens."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault.typed import lay_out, make_scorer, results, words

from burnish.cli.main import main
from burnish.testing import faults

Unbroken = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="package")
def stocked(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typed")
    shutil.copytree(tiny_model, folder / "model")
    lay_out(folder)
    with pytest.MonkeyPatch.context() as there:
        there.chdir(folder)
        make_scorer()
    return folder


@pytest.fixture
def here(stocked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that holds what commands read, to type them in."""
    shutil.copytree(stocked, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("whole"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    faults.arm("")


@pytest.fixture(scope="package")
def unbroken(stocked: Path) -> Unbroken:
    """What a command leaves that nobody disturbs."""
    known: dict[str, dict[str, Any]] = {}

    def of(name: str) -> dict[str, Any]:
        if name not in known:
            with pytest.MonkeyPatch.context() as there:
                there.chdir(stocked)
                assert main(words(name, f"whole/{name}")) == 0
            known[name] = results(stocked / "whole" / name)
        return known[name]

    return of
