"""Folders of runs, made up once a test."""

import pytest
from evaluation.report.made_up import write_more, write_run


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
