"""Ten kills at random times, always the same ten; `make test-faults` has 140 more."""

from pathlib import Path
from random import Random

import pytest
from fault.conftest import Unbroken
from fault.random_kills import Twin, kill, kill_server

SECONDS = 0.4
"""Between first step and end; a kill that comes too late is drawn again."""


@pytest.mark.parametrize(
    ("name", "seed", "in_save"),
    [
        ("sft", 1, False),
        ("sft", 2, True),
        ("reward", 3, False),
        ("dpo", 4, False),
        ("ppo", 5, False),
        ("ppo", 6, True),
        ("reject", 7, False),
        ("reject", 8, True),
    ],
)
def test_killed_at_a_random_time_it_gives_what_an_unbroken_run_gives(
    name: str, seed: int, in_save: bool, here: Path, unbroken: Unbroken
):
    assert kill(name, Twin(unbroken(name), SECONDS), Random(seed), in_save=in_save).lost == ""


@pytest.mark.parametrize("seed", [9, 10])
def test_a_server_that_is_killed_has_all_that_it_called_saved(seed: int, here: Path):
    assert kill_server(Random(seed)).lost == ""
