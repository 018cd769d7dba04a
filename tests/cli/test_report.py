"""`burnish report`: a run's report again, elsewhere, in another language, or of several runs side by side."""

import json
from pathlib import Path

import pytest
from evaluation.report.made_up import write_run

from burnish.cli.main import main


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    return [str(write_run(tmp_path / name, curves=False)) for name in ("first", "second")]


def reports(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[Path]:
    assert main(["report", "--json", *arguments]) == 0
    return [Path(path) for path in json.loads(capsys.readouterr().out)["reports"]]


def test_each_run_gets_its_own_or_all_get_one(two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert reports(capsys, *two) == [Path(run) / "report.html" for run in two]
    both = tmp_path / "both.html"
    assert reports(capsys, *two, "--out", str(both), "--language", "zh") == [both]
    assert "first 和 second 对照" in both.read_text(encoding="utf-8")


def test_one_run_s_report_can_lie_elsewhere_with_its_cost(
    two: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (path,) = reports(capsys, two[0], "--out", str(tmp_path / "one.html"), "--price-per-hour", "2.5")
    assert path == tmp_path / "one.html"
    assert "At 2.50 an hour." in path.read_text(encoding="utf-8")


def test_a_language_that_there_is_not_is_a_wrong_use(two: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(["report", two[0], "--language", "fr"]) == 64
    assert 'text "fr": there is en and zh' in capsys.readouterr().err
