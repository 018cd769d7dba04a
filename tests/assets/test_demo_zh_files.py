"""What ships for the Chinese demo: small, regular, simplified, and split so that no part has seen another."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import burnish
from burnish.evaluation.splits import VERSE_SHARES, demo_split
from burnish.rewards.judges import shipped
from burnish.rewards.prosody import clauses, shape

ASSETS = Path(burnish.__file__).parent / "assets"
DEMO = ASSETS / "demo-zh"
MEGABYTE = 1_000_000


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DEMO / name).read_text(encoding="utf-8").splitlines()]


def test_all_that_is_chinese_is_at_most_8_megabytes_and_names_where_it_is_from():
    folders = [*DEMO.iterdir(), *(ASSETS / "base-zh").iterdir(), *(ASSETS / "judges").glob("verse-*")]
    assert sum(path.stat().st_size for path in [*folders, ASSETS / "judges/pingshui.json"]) <= 8 * MEGABYTE
    said = (DEMO / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for source in ("chinese-poetry/chinese-poetry", "charlesix59/chinese_word_rhyme", "MIT licence", "public domain"):
        assert source in said


def test_the_attribution_counts_the_rows():
    said = (DEMO / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for path in DEMO.glob("*.jsonl"):
        assert f"| {path.name} | {len(rows(path.name)):,} |" in said
    for judge in ("verse-a", "verse-b"):
        assert re.search(rf"\b{len(shipped(judge).poems):,}\b", said)


def test_no_part_has_a_clause_of_another():
    parts = {
        "heldout": {"heldout.jsonl", "heldout_couplets.jsonl", "heldout_text.jsonl"},
        "prompts": {"prompts.jsonl"},
        "train": {"sft.jsonl"},
    }
    known = {
        part: {clause for name in names for row in rows(name) for value in row.values() for clause in clauses(value)}
        for part, names in parts.items()
    }
    for judge in ("verse-a", "verse-b"):
        known[judge] = {clause for poem in shipped(judge).poems for clause in clauses("".join(poem))}
    for part, mine in known.items():
        for other, theirs in known.items():
            assert part == other or not mine & theirs


@pytest.mark.parametrize(("name", "least"), [("sft.jsonl", 2000), ("prompts.jsonl", 1200), ("heldout.jsonl", 500)])
def test_prompts_are_many_and_distinct(name, least):
    prompts = [row["prompt"] for row in rows(name)]
    assert len(set(prompts)) == len(prompts) >= least


def test_every_couplet_has_the_measure_of_its_opening():
    for row in rows("sft.jsonl") + rows("heldout_couplets.jsonl"):
        assert shape(row["prompt"], row["prompt"]) == shape(row["prompt"], row["response"]) == 0


def test_characters_are_simplified():
    text = "".join(value for path in DEMO.glob("*.jsonl") for row in rows(path.name) for value in row.values())
    assert not set("來雲風龍鳥時東門馬還") & set(text)


def test_judges_poems_are_where_the_split_puts_them():
    for judge, part in (("verse-a", "judge_a"), ("verse-b", "judge_b")):
        assert {demo_split("".join(poem), VERSE_SHARES) for poem in shipped(judge).poems} == {part}
