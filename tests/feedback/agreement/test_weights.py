"""Rankings weigh by who made them."""

import json

import numpy as np
import pytest

from burnish.data.read import read
from burnish.errors import ConfigError
from burnish.feedback.agreement.weights import annotator_weights
from burnish.types import Answer, Group, Message


def ranked(prompt, annotator, best, answers=("yes", "no")):
    order = ((best,), (1 - best,))
    return Group(prompt, tuple(map(Answer, answers)), order=order, extra={"annotator": annotator} if annotator else {})


def crowd(items=300):
    """ann is right nine times in ten, bob three times in four, cy half the time; the better answer is a coin."""
    chance = np.random.default_rng(8)
    for n in range(items):
        better = int(chance.integers(2))
        for name, right in (("ann", 0.9), ("bob", 0.75), ("cy", 0.5)):
            yield ranked(f"question {n}", name, better if chance.random() < right else 1 - better)


def test_who_guesses_weighs_nothing_and_who_is_right_weighs_most():
    groups = list(crowd())
    weights = annotator_weights(groups)
    of = {group.extra["annotator"]: weight for group, weight in zip(groups, weights, strict=True)}
    assert of["ann"] > of["bob"] > 3 * of["cy"]
    assert np.mean(weights) == pytest.approx(1.0)


def test_the_order_in_which_a_row_lists_its_answers_does_not_matter():
    groups = list(crowd(60))
    turned = [
        ranked(one.prompt, one.extra["annotator"], 1 - one.order[0][0], ("no", "yes")) if n % 2 else one
        for n, one in enumerate(groups)
    ]
    assert annotator_weights(turned) == pytest.approx(annotator_weights(groups))


def test_a_conversation_is_an_item_too():
    asked = (Message("user", "hello?"),)
    assert annotator_weights([ranked(asked, "ann", 0), ranked(asked, "bob", 0)]) == pytest.approx([1.0, 1.0])


def test_who_shares_nothing_and_who_is_not_named_weigh_one():
    groups = [*crowd(60), ranked("alone", "dee", 0), ranked("alone too", None, 0)]
    assert annotator_weights(groups)[-2:] == [1.0, 1.0]


def test_without_overlap_nobody_can_be_weighed():
    with pytest.raises(ConfigError, match="2 annotators are named in 3 rankings"):
        annotator_weights([ranked("a", "ann", 0), ranked("b", "bob", 0), ranked("c", None, 0)])


def test_a_file_of_votes_names_its_annotators(tmp_path):
    file = tmp_path / "votes.jsonl"
    row = {"answers": ["a", "b"], "votes": [1, 1, 2]}
    rows = [json.dumps({"id": n, "prompt": f"question {n}", **row}) + "\n" for n in range(9)]
    file.write_text("".join(rows))
    first, second, third = annotator_weights(read(file))[:3]
    assert first == pytest.approx(second)
    assert third < first
