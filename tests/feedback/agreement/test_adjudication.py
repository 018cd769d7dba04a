"""Which items are disputed."""

import pytest
from feedback.ranked import ranking

from burnish.feedback.agreement.adjudication import adjudication_queue, decided_items
from burnish.feedback.agreement.verdicts import readings


def both(item, first, second):
    return [ranking(item, "ann", first), ranking(item, "bob", second)]


def test_low_tau_or_another_best_answer_puts_an_item_into_the_queue_the_worst_first():
    ranked = [
        *both("opposed", (0, 1, 2), (2, 1, 0)),
        *both("agreed", (0, 1, 2), (0, 2, 1)),  # τ = 1/3 and one best answer
        *both("other top", (0, 1, 2, 3), (1, 0, 2, 3)),  # τ = 2/3
        *both("alike", (0, 1), (0, 1)),
    ]
    queue = adjudication_queue(readings(ranked))
    assert [one.item for one in queue] == ["opposed", "other top"]
    assert (queue[0].tau_b, queue[1].tau_b) == (pytest.approx(-1.0), pytest.approx(2 / 3))
    assert queue[1].other_top
    assert queue[1].places == {"ann": (0, 1, 2, 3), "bob": (1, 0, 2, 3)}


def test_a_tie_that_holds_the_others_best_is_no_dispute():
    assert adjudication_queue(readings(both("i", (0, 0), (0, 1)))) == []


def test_one_opinion_is_no_dispute_and_a_decided_item_is_done():
    assert adjudication_queue(readings([ranking()])) == []
    ranked = both("i", (0, 1), (1, 0))
    decision = ranking("i", "lead", layer="adjudicated")
    assert adjudication_queue(readings(ranked))[0].tau_b == -1.0
    assert adjudication_queue(readings(ranked), decided_items([*ranked, decision])) == []
