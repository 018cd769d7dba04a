"""The parts that recipes/smollm2-harmless.yaml learns from, is judged by and is measured on share no dialogue."""

import itertools
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from burnish.data.read import read
from burnish.data.split import prompt_key
from burnish.types import Group

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Group]]:
    folder = tmp_path_factory.mktemp("hh")
    runpy.run_path(str(ROOT / "scripts/hh_harmless.py"))["main"](folder)
    return lambda name: read(folder / f"{name}.jsonl", kind="text" if "text" in name else "prompt")


def openings(groups: list[Group]) -> set[str]:
    return {prompt_key(group) for group in groups}


def test_no_first_human_turn_stands_in_two_parts(parts: Callable[[str], list[Group]]):
    for one, other in itertools.combinations(("policy", "judge", "heldout"), 2):
        assert not openings(parts(one)) & openings(parts(other))


def test_what_policies_sample_and_compare_is_of_their_own_part(parts: Callable[[str], list[Group]]):
    assert openings(parts("prompts")) <= openings(parts("policy"))
    assert openings(parts("policy_600")) <= openings(parts("policy"))


def test_every_usable_row_is_in_one_part(parts: Callable[[str], list[Group]]):
    """Four of the 2,000 have an empty answer."""
    assert sum(len(parts(name)) for name in ("policy", "judge", "heldout")) == 1996
    assert len(parts("heldout")) == len(parts("heldout_text")) >= 200
