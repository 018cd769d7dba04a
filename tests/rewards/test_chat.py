"""A judge behind http: in which form it is asked, what its replies are worth, and what becomes of the unreadable."""

import math

import pytest
from rewards.served import chat_reply, reply, serving

from burnish.data.read import read
from burnish.errors import ConfigError, Unreachable
from burnish.methods.rank import RankConfig, rank
from burnish.methods.scoring import score_groups
from burnish.rewards.chat import FEWEST, TRIES, Chat, chat
from burnish.types import Answer, Group

CERTAIN_A, CERTAIN_B = [0.0, -math.inf], [-math.inf, 0.0]


def says(text, **choice):
    return lambda handler, _: chat_reply(handler, text, **choice)


def known(**probabilities):
    return [{"token": token, "logprob": math.log(p)} for token, p in probabilities.items()]


def ask(asked, count=1, first=0):
    numbers = range(first, first + count)
    return asked([f"Which, {n}?" for n in numbers], ["A", "B"], [f"prompt {n + 1}" for n in numbers])


# ---- how it is asked


def test_it_is_asked_at_temperature_0_for_probabilities_with_its_key(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "hush-hush")
    with serving(says(" **B**.\n")) as (url, questions):
        asked = chat(url.replace("/score", "/v1"), model="judge-7b", token_env="JUDGE_KEY")
        assert ask(asked) == [CERTAIN_B]
    body, headers = questions[0]
    assert body == {
        "messages": [{"role": "user", "content": "Which, 0?"}],
        "model": "judge-7b",
        "temperature": 0,
        "max_tokens": 8,
        "logprobs": True,
        "top_logprobs": 20,
    }
    assert headers["Authorization"] == "Bearer hush-hush"
    assert asked.url.endswith("/v1/chat/completions")
    assert "hush-hush" not in repr(asked)


@pytest.mark.parametrize("given", ["https://h", "https://h/v1", "https://h/v1/", "https://h/v1/chat/completions"])
def test_the_address_may_be_the_servers_or_the_whole(given):
    assert chat(given).url == "https://h/v1/chat/completions"


def test_without_logprobs_none_are_asked_for(capsys):
    with serving(says("A", top=known(A=0.6, B=0.4))) as (url, questions):
        ask(chat(url, logprobs="off", max_tokens=500))
    assert set(questions[0][0]) == {"messages", "temperature", "max_tokens"}
    assert questions[0][0]["max_tokens"] == 500
    assert capsys.readouterr().err == ""


def refusing(*keys, status=400, most=20):
    """A server that does not know these keys of a question, nor more than `most` top_logprobs."""

    def answer_or_refuse(handler, question):
        if set(keys) & set(question) or question.get("top_logprobs", 0) > most:
            reply(handler, b'{"error": "unknown setting"}', status=status)
        else:
            chat_reply(handler, "A")

    return answer_or_refuse


@pytest.mark.parametrize(
    ("server", "taken"),
    [
        (refusing(most=5), {"temperature": 0, "max_tokens": 9, "logprobs": True, "top_logprobs": 5}),
        (refusing("logprobs", status=403), {"temperature": 0, "max_tokens": 9}),
        (refusing("logprobs", "temperature", "max_tokens"), {"max_completion_tokens": 9}),
    ],
)
def test_the_first_question_finds_out_what_the_server_takes_and_the_others_are_asked_so(server, taken, capsys):
    with serving(server) as (url, questions):
        assert ask(chat(url, max_tokens=9), 6) == [CERTAIN_A] * 6
    first = next(
        n for n, (body, _) in enumerate(questions) if body.items() >= taken.items() and len(body) == len(taken) + 1
    )
    assert {body["messages"][0]["content"] for body, _ in questions[: first + 1]} == {"Which, 0?"}
    assert len(questions) == first + 6
    assert capsys.readouterr().err.count("tells no probabilities; a reply counts as certain") == 1


def test_a_server_that_takes_no_form_is_told_with_what_it_said():
    with (
        serving(refusing("messages")) as (url, questions),
        pytest.raises(Unreachable, match="unknown setting") as caught,
    ):
        ask(chat(url))
    assert len(questions) == 4
    assert f"{url}/v1/chat/completions: asked about prompt 1: answered 400" in str(caught.value)


def test_once_it_has_taken_a_form_a_refusal_is_of_the_question():
    def too_long(handler, question):
        refusing("messages" if "3" in question["messages"][0]["content"] else "none")(handler, question)

    with serving(too_long) as (url, questions), pytest.raises(Unreachable, match="asked about prompt 4: answered 400"):
        ask(chat(url), 5)
    assert len(questions) <= 5


def test_the_probabilities_that_are_asked_for_leave_the_answer_within_its_limit():
    with serving(says("A")) as (url, questions):
        for most in (5000, 20_000, 30_000):
            ask(chat(url, max_tokens=most))
    assert [body.get("top_logprobs") for body, _ in questions] == [20, 5, None]


def test_a_judge_that_is_busy_is_asked_again():
    busy = iter([True, True, False])

    def busy_at_first(handler, question):
        if next(busy):
            reply(handler, b"wait", status=503, kind="text/plain")
        else:
            chat_reply(handler, "A")

    pauses = []
    with serving(busy_at_first) as (url, _):
        assert ask(Chat(url, pause=pauses.append)) == [CERTAIN_A]
    assert pauses == [0.5, 1.0]


@pytest.mark.parametrize("body", [b'{"scores": [1]}', b'{"choices": []}', b'{"choices": [{"message": "A"}]}'])
def test_json_of_another_shape_is_told(body):
    with serving(lambda h, _: reply(h, body)) as (url, _), pytest.raises(Unreachable, match="choices"):
        ask(chat(url, retries=0))


# ---- what its replies are worth


def test_the_probabilities_that_are_told_are_taken():
    with serving(says("A", top=known(A=0.6, B=0.3, The=0.1))) as (url, _):
        ((a, b),) = ask(chat(url))
    assert (math.exp(a), math.exp(b)) == (pytest.approx(0.6), pytest.approx(0.3))


def test_a_token_that_is_half_a_character_or_nul_is_one_among_others():
    with serving(says("A", top=[*known(A=0.6, B=0.3), {"token": "\0", "logprob": -9.0}, {"token": "\ud83d"}])) as (
        url,
        _,
    ):
        ((a, b),) = ask(chat(url))
    assert (math.exp(a), math.exp(b)) == (pytest.approx(0.6), pytest.approx(0.3))


def test_of_a_model_that_thinks_first_the_letter_after_the_thought_counts():
    with serving(says("<think>\nA? The second is kinder.\n</think>\n\nB")) as (url, _):
        assert ask(chat(url, max_tokens=4000)) == [CERTAIN_B]


# ---- what cannot be read


def chatty(handler, question):
    """Talks at first, and does as it is told the second time."""
    chat_reply(handler, "Answer A, because" if len(question["messages"]) == 1 else "A")


def test_a_reply_that_was_not_asked_for_is_asked_again_in_so_many_words(capsys):
    with serving(chatty) as (url, questions):
        assert ask(chat(url, logprobs="off")) == [CERTAIN_A]
    assert questions[1][0]["messages"] == [
        {"role": "user", "content": "Which, 0?"},
        {"role": "assistant", "content": "Answer A, because"},
        {"role": "user", "content": "Only one of A, B is wanted: reply with one of them and nothing else."},
    ]
    assert capsys.readouterr().err == ""


def test_a_thought_is_not_shown_to_the_model_as_what_it_said():
    with serving(says("<think>Hm</think>Both")) as (url, questions):
        ask(chat(url))
    assert [turn["content"] for turn in questions[1][0]["messages"]][1] == "Both"


@pytest.mark.parametrize("text", [None, "", "<think>\nWhich of them"])
def test_where_nothing_was_said_the_question_itself_says_what_is_wanted(text, capsys):
    with serving(says(text, finish_reason="length")) as (url, questions):
        assert ask(chat(url, max_tokens=16)) == [None]
    assert len(questions) == TRIES
    (turn,) = questions[1][0]["messages"]
    assert turn["content"].startswith("Which, 0?\n\nOnly one of A, B is wanted")
    told = capsys.readouterr().err
    assert "1 of 1 questions got no reply that can be read and are undecided" in told
    assert "in 16 tokens (max_tokens)" in told


def unreadable_about(*numbers):
    def one(handler, question):
        asked = question["messages"][0]["content"]
        chat_reply(handler, "Neither" if any(f"Which, {n}?" in asked for n in numbers) else "A")

    return one


def test_what_stays_unreadable_is_undecided_up_to_a_share():
    with serving(unreadable_about(3)) as (url, _):
        found = ask(chat(url), 20)
    assert [n for n, row in enumerate(found) if row is None] == [3]


def test_above_that_share_the_run_ends_and_says_where_about_what_and_what_was_found():
    with serving(unreadable_about(3, 17)) as (url, _):
        assert ask(chat(url, max_unreadable=0.1), 20).count(None) == 2
        with pytest.raises(Unreachable, match="2 of 20 questions got no reply that can be read") as caught:
            ask(chat(url), 20)
    for told in (f"{url}/v1/chat/completions", 'about prompt 18: "Neither"', "none of A, B", "max_unreadable is 0.05"):
        assert told in str(caught.value)


def test_a_few_replies_end_nothing_and_the_share_is_that_of_all_calls():
    with serving(unreadable_about(3, 17)) as (url, _):
        asked = chat(url)
        assert ask(asked, 10).count(None) == 1
        with pytest.raises(Unreachable, match="2 of 20"):
            ask(asked, 10, first=10)


def test_a_judge_of_whom_nothing_can_be_read_is_not_asked_all():
    with serving(says("I think that both are fine.")) as (url, questions):
        with pytest.raises(Unreachable, match=f"{FEWEST} of {FEWEST} questions"):
            ask(chat(url, at_once=1), 500)
        assert len(questions) < TRIES * (FEWEST + 10)  # some were under way
        assert ask(chat(url, max_unreadable=1.0), 30) == [None] * 30


def test_a_share_that_will_surely_be_passed_is_not_waited_for():
    """Of 100 questions 5 may be unreadable; with the sixth it is over."""
    with serving(unreadable_about(*range(20, 100))) as (url, questions), pytest.raises(Unreachable, match="6 of 26"):
        ask(chat(url, at_once=1), 100)
    assert len(questions) < 20 + TRIES * 16


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"max_tokens": 0}, "max_tokens must be above 0"),
        ({"logprobs": "on"}, "logprobs must be auto or off"),
        ({"max_unreadable": 5}, "max_unreadable is a share"),
    ],
)
def test_settings_that_mean_nothing_are_told(settings, told):
    with pytest.raises(ConfigError, match=told):
        chat("https://host", **settings)


# ---- in the stages

RUBRIC = "The later letter is kinder."
GROUPS = [Group("p", (Answer("a"), Answer("b"), Answer("c")), id="one"), Group("q", (Answer("d"), Answer("e")))]


def silent_about(letter):
    """Prefers the second answer, or grades by the letter's place; talks where `letter` stands first, or alone."""

    def one(handler, question):
        said = [part[0] for part in question["messages"][0]["content"].split(" begins\n")[3:]]
        if said[0] == letter:
            chat_reply(handler, "Hard to say.")
        elif len(said) == 1:
            chat_reply(handler, str(ord(said[0]) - 96))
        else:
            chat_reply(handler, "A" if said[0] > said[1] else "B")

    return one


def test_an_undecided_pair_ties_and_is_told_in_its_row_and_among_the_figures(tmp_path):
    """Where b stands first nothing is read: 2 of the 8 questions, and c beats b in no order."""
    with serving(silent_about("b")) as (url, _):
        figures = rank(RankConfig(), answers=GROUPS, by={"judge": url, "rubric": RUBRIC}, out=tmp_path)
    first, second = read(tmp_path / "ranking.jsonl", kind="ranking")
    assert first.order == ((2,), (1,), (0,))  # of two others c beats one and ties one, b ties both, a loses to one
    assert first.extra["undecided"] == [1, 2, 1]
    assert "undecided" not in second.extra
    assert (figures["unreadable"], figures["consistency"]) == (2 / 8, 1.0)


def test_an_undecided_grade_is_the_middle_of_the_scale():
    by = [{"judge": "", "rubric": RUBRIC, "ask": "score", "name": "late", "logprobs": False}, "judges:favourable-a"]
    with serving(silent_about("b")) as (url, _):
        scores = score_groups([by[0] | {"judge": url}, by[1]], GROUPS, RankConfig())
    assert scores.parts["late"] == [[1.0, 5.0, 3.0], [4.0, 5.0]]
    assert (scores.of(0)["undecided"], "undecided" in scores.of(1)) == ([0, 1, 0], False)
    assert scores.reliability() == {"unreadable/late": 1 / 5}
