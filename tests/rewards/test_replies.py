"""What a chat's reply says, and how likely the model found each of the replies that were asked for."""

import math

import pytest

from burnish.rewards.replies import log_likelihoods, read_reply, spoken

DIGITS = tuple("123456789")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A", "A"),
        (" **B**.\n", "B"),
        ("[[A]]", "A"),
        ("Both are kind, the second more so.\n\nB", "B"),
        ("<think>\nA? No:\nB is kinder.\n</think>\n\nA", "A"),
        ("the template opened the thought\n</think>A", "A"),
        ("B\n\n**B**", "B"),
        ("Answer A, because", None),
        ("A\nB", None),
        ("A\nis kinder", None),
        ("AB", None),
        ("C", None),
        ("", None),
        ("<think>\nWhich is kinder?\nA", None),
    ],
)
def test_the_last_lines_letter_counts_once_the_thought_is_over(text, said):
    assert read_reply(text, "AB") == said


def test_a_thought_without_an_end_says_nothing():
    assert (spoken("<think>A"), spoken("<think>A</think> B ")) == ("", "B")


def place(token: str, **known: float) -> dict[str, object]:
    """A place of the reply: the token there, and P of the known ones; `_` stands for a blank."""
    top = [{"token": name.replace("_", " "), "logprob": math.log(p)} for name, p in known.items()]
    return {"token": token, "logprob": 0.0, "top_logprobs": top}


def test_a_replys_probability_is_that_of_every_token_that_reads_as_it():
    logprobs = {"content": [place("A", A=0.5, _A=0.1, B=0.2, The=0.1)]}
    assert [math.exp(p) for p in log_likelihoods("A", "AB", logprobs)] == pytest.approx([0.6, 0.2])


def test_a_reply_that_is_not_known_has_the_most_that_it_can_have():
    """The least of the known, 0.04, but not more than these leave, 0.01."""
    (roomy, tight) = ({"content": [place("A", A=0.7, The=0.04)]}, {"content": [place("A", A=0.95, The=0.04)]})
    assert [math.exp(p) for p in log_likelihoods("A", "AB", roomy)] == pytest.approx([0.7, 0.04])
    assert [math.exp(p) for p in log_likelihoods("A", "AB", tight)] == pytest.approx([0.95, 0.01])


def test_replies_that_are_not_known_share_what_is_left():
    logprobs = {"content": [{"token": "7", "top_logprobs": [{"token": "7", "logprob": math.log(0.84)}]}]}
    assert [math.exp(p) for p in log_likelihoods("7", DIGITS, logprobs)] == pytest.approx(
        [0.02] * 6 + [0.84] + [0.02] * 2
    )


def test_where_nothing_is_left_a_reply_that_is_not_known_has_none():
    assert log_likelihoods("A", "AB", {"content": [place("A", A=1.0)]}) == [0.0, -math.inf]


def test_the_letter_is_found_behind_marks_and_before_the_end_token_and_not_in_the_thought():
    thought = [place("A", A=0.9, B=0.1), place(" is", _is=1.0), place("</think>")]
    said = [place("**", A=0.5), place("B", A=0.3, B=0.6), place("**."), place("<|im_end|>")]
    found = log_likelihoods("B", "AB", {"content": thought + said})
    assert [math.exp(p) for p in found] == pytest.approx([0.3, 0.6])


def test_the_token_that_was_said_counts_also_where_it_is_not_among_the_likeliest():
    logprobs = {"content": [place("B", A=0.5) | {"logprob": math.log(0.25)}]}
    assert [math.exp(p) for p in log_likelihoods("B", "AB", logprobs)] == pytest.approx([0.5, 0.25])


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {"content": None},
        {"content": []},
        {"content": [7]},
        {"content": [{"token": "A", "logprob": -0.1, "top_logprobs": []}]},
        {"content": [place("B", A=0.4, B=0.6)]},  # another letter than the text's
        {"content": [place("A", A=0.9), place("\u0120A")]},  # a server that shows its tokenizer's own spelling
        {"content": [{"token": "A", "top_logprobs": [{"token": "A", "logprob": None}]}]},
        {"content": [{"token": "A", "top_logprobs": [{"token": "A", "logprob": -9999.0}]}]},
        {"tokens": ["A"], "token_logprobs": [-0.1]},  # of "completions"
    ],
)
def test_what_does_not_tell_the_letters_probability_is_not_made_to(logprobs):
    assert log_likelihoods("A", "AB", logprobs) is None
