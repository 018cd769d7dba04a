"""Folders of runs, made up once a test, and what is written of one with all its curves, once for all."""

import pytest
from evaluation.report.made_up import write_more, write_run

from burnish.evaluation.report.write import write_report


@pytest.fixture
def run_folder(tmp_path):
    """A finished run without the figures of single steps: its report has two pictures."""
    return write_run(tmp_path / "runs/demo", curves=False)


@pytest.fixture
def whole_run(tmp_path):
    """A finished run with the curves of all stages."""
    return write_run(tmp_path / "runs/whole")


@pytest.fixture
def full_run(run_folder):
    """A finished run with everything that a report may show but the curves."""
    write_more(run_folder)
    return run_folder


@pytest.fixture(scope="package")
def read_only_run(tmp_path_factory):
    """A finished run with the curves of all stages, whose report is written at a price of 36 an hour."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "whole")
    write_report(folder, price=36)
    return folder


@pytest.fixture(scope="package")
def whole_html(read_only_run):
    """That report: drawing its pictures takes longer than all the rest."""
    return (read_only_run / "report.html").read_text(encoding="utf-8")
