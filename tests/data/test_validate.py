"""Duplicates, near duplicates and leaks are found, and honest rows are left alone."""

import json
import random

import pytest

from burnish.data.shingles import likeness, near_duplicates, shingles, words
from burnish.data.validate import validate
from burnish.errors import DataError

WORDS = [
    "river",
    "stone",
    "light",
    "window",
    "garden",
    "bread",
    "winter",
    "paper",
    "silver",
    "morning",
    "bridge",
    "letter",
    "music",
    "ocean",
    "candle",
]


def sentence(seed, length=40):
    return " ".join(random.Random(seed).choices(WORDS, k=length))


@pytest.fixture
def file(tmp_path):
    def write(name, rows):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


def test_words_are_found_in_languages_without_spaces():
    assert words("Hello, WORLD-3! 今天天气") == ["hello", "world", "3", "今", "天", "天", "气"]


def test_likeness_is_what_two_texts_share_of_all_their_shingles():
    one, other = shingles("a b c d e f"), shingles("a b c d e g")
    assert likeness(one, other) == 1 / 3  # abcde of abcde, bcdef, bcdeg
    assert likeness(one, one) == 1
    assert likeness(one, shingles("")) == 0


def test_near_duplicates_are_those_that_comparing_all_with_all_finds():
    texts = []
    for number in range(60):
        base = sentence(number).split()
        texts += [
            " ".join(base),
            " ".join([*base[:-1], "changed"]),
            " ".join([*base[:20], *sentence(-number - 1).split()]),
        ]
    found = {one for one, _, _ in near_duplicates(texts, 0.8)}
    held = [shingles(text) for text in texts]
    expected = {
        one for one in range(len(texts)) if any(likeness(held[one], held[other]) >= 0.8 for other in range(one))
    }
    assert found == expected
    assert len(expected) == 60


def test_rows_that_say_the_same_are_counted(file):
    rows = [{"prompt": f"p {n}", "response": sentence(n)} for n in range(20)]
    path = file("train.jsonl", [*rows, rows[3], {"prompt": "p  3", "response": sentence(3)}])
    found = validate(path)
    assert (found.rows, found.duplicates, found.near_duplicates, found.prompts) == (22, 2, 0, 20)
    assert found.examples[0].row.endswith(":21")
    assert found.examples[0].like.endswith(":4")


def test_rows_that_nearly_say_the_same_are_counted(file):
    rows = [{"prompt": f"p {n}", "response": sentence(n)} for n in range(20)]
    found = validate(file("train.jsonl", [*rows, {"prompt": "p 3", "response": sentence(3) + " indeed"}]))
    assert (found.duplicates, found.near_duplicates) == (0, 1)


def test_chinese_near_duplicates_are_found(file):
    text = "今天天气很好，我们去公园散步，看见许多花开了，孩子们在草地上跑来跑去，老人们坐在树下下棋。"
    other = "明年的会议将在北京举行，来自各国的学者会讨论新的方法，并且发表他们最近几年的研究成果。"
    rows = [{"prompt": "写一段话", "response": said} for said in (text, other, text.replace("许多", "很多"))]
    assert validate(file("zh.jsonl", rows), threshold=0.7).near_duplicates == 1


def test_votes_on_one_item_are_no_duplicates(file):
    item = {"id": "x", "prompt": "a", "answers": ["b", "c"]}
    rows = [{**item, "ranking": [0, 1], "annotator": name} for name in ("ann", "bob", "eve")]
    assert validate(file("votes.jsonl", rows)).duplicates == 0


def test_leaks_are_found_three_ways(file):
    train = file(
        "train.jsonl",
        [
            {"prompt": sentence(1), "response": "a"},  # asked in the test too
            {"prompt": sentence(2) + " please", "response": "b"},  # nearly
            {"prompt": "Tell me.", "response": "So: " + sentence(3, 20)},  # an answer of the test
            {"prompt": sentence(4), "response": sentence(5)},
        ],
    )
    held = file(
        "held.jsonl",
        [
            {"prompt": sentence(1)},
            {"prompt": sentence(2)},
            {"prompt": "What?" + " " + sentence(3, 20)},
            {"prompt": "No."},
        ],
    )
    (overlap,) = validate(train, against=[held]).overlaps
    assert (overlap.same_prompt, overlap.near_prompt, overlap.shared_ngram) == (1, 1, 1)
    assert [pair.row[-2:] for pair in overlap.examples] == [":1", ":2", ":3"]


def test_strict_refuses_what_was_found_and_says_what(file):
    clean = file("clean.jsonl", [{"prompt": f"p {n}", "response": sentence(n)} for n in range(5)])
    assert validate(clean, strict=True).problems == []
    twice = file("twice.jsonl", [{"prompt": "a", "response": "b"}] * 2 + [{"prompt": "a", "response": ""}])
    with pytest.raises(
        DataError, match=r"1 bad rows; 1 rows repeat an earlier one\n.*twice.jsonl:3: response is empty"
    ):
        validate(twice, strict=True)
    with pytest.raises(DataError, match="5 rows share a prompt"):
        validate(clean, against=[clean], strict=True)
