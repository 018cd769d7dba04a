"""What ships for the demo: small, well-formed, and split so that no part has seen another."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import burnish
from burnish.evaluation.splits import demo_split

DEMO = Path(burnish.__file__).parent / "assets/demo"
MEGABYTE = 1_000_000


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DEMO / name).read_text(encoding="utf-8").splitlines()]


def whole(row: dict[str, Any]) -> str:
    return row["prompt"] + row["response"]


def runs(text: str) -> set[str]:
    words = re.findall(r"[a-z0-9']+", text)
    return {" ".join(words[i : i + 8]) for i in range(max(1, len(words) - 7))}


def test_the_files_are_at_most_4_megabytes_and_name_their_authors():
    assert sum(path.stat().st_size for path in DEMO.iterdir()) <= 4 * MEGABYTE
    said = (DEMO / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert "Bo Pang and Lillian Lee" in said
    assert "CC BY 4.0" in said


def test_the_attribution_counts_the_rows():
    said = (DEMO / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for path in DEMO.glob("*.jsonl"):
        assert f"| {path.name} | {len(rows(path.name)):,} |" in said


@pytest.mark.parametrize(
    ("name", "part"), [("judge_a.jsonl", "judge_a"), ("judge_b.jsonl", "judge_b"), ("heldout_labels.jsonl", "heldout")]
)
def test_labelled_sentences_are_where_the_split_puts_them(name, part):
    assert {demo_split(whole(row)) for row in rows(name)} == {part}


def test_no_part_shares_eight_words_in_a_row_with_another():
    seen: dict[str, str] = {}
    for name in ("heldout_labels.jsonl", "judge_b.jsonl", "judge_a.jsonl", "sft.jsonl"):
        mine = set().union(*(runs(whole(row)) for row in rows(name)))
        assert not {run for run in mine if seen.get(run, name) != name}
        seen |= dict.fromkeys(mine, name)


def test_there_are_500_held_out_prompts_and_none_is_trained_on():
    heldout = {row["prompt"] for row in rows("heldout.jsonl")}
    assert len(heldout) == len(rows("heldout.jsonl")) >= 500
    assert not heldout & {row["prompt"] for name in ("sft.jsonl", "prompts.jsonl") for row in rows(name)}


def test_people_ended_every_held_out_prompt():
    ended = rows("heldout_people.jsonl")
    assert {row["prompt"] for row in ended} == {row["prompt"] for row in rows("heldout.jsonl")}
    assert all(row["response"].strip() for row in ended)
    assert {whole(row) for row in ended} <= {whole(row) for row in rows("heldout_labels.jsonl")}


def test_a_prompt_is_three_to_six_words_and_the_space_after_it_opens_the_response():
    for row in rows("sft.jsonl"):
        assert 3 <= len(row["prompt"].split(" ")) <= 6
        assert not row["prompt"].endswith(" ")
        assert re.match(r" \S", row["response"])


def test_no_label_is_rarer_than_two_in_five():
    for name in ("judge_a.jsonl", "judge_b.jsonl", "heldout_labels.jsonl"):
        labels = [row["label"] for row in rows(name)]
        assert 0.4 < sum(labels) / len(labels) < 0.6
