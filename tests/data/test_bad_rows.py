"""Rows that cannot be learned from: each gets a message with line, what was found and what to do."""

import json
import re

import pytest

from burnish.data.read import examine


def talk(*turns):
    return [{"role": role, "content": content} for role, content in turns]


ASK, SAY = ("user", "a"), ("assistant", "b")
PAIR = {"prompt": "a", "answers": ["b", "c"]}
CALL = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}

CASES = [
    # messages
    ("messages", {"messages": []}, "messages is an empty list"),
    ("messages", {"messages": "a"}, 'messages must be a list of {"role", "content"}, found text "a"'),
    (
        "messages",
        {"messages": talk(ASK, ("asistant", "b"))},
        'role text "asistant" is unknown.*did you mean assistant?',
    ),
    ("messages", {"messages": talk(ASK, ("gpt", "b"))}, "did you mean assistant?"),
    ("messages", {"messages": talk(ASK, ("Assistant", "b"))}, "did you mean assistant?"),
    ("messages", {"messages": [{"role": 3, "content": "a"}]}, "role must be text, found number 3"),
    ("messages", {"messages": [{"content": "a"}]}, r"messages\[0\] has no role"),
    ("messages", {"messages": talk(ASK)}, "messages has no assistant turn: nothing to learn; found user"),
    ("messages", {"messages": talk(SAY, ASK, SAY)}, "begins with an assistant turn"),
    ("messages", {"messages": talk(("system", "s"), SAY)}, "must end with a user turn; found system last"),
    ("messages", {"messages": talk(ASK, ("assistant", " \n"))}, r"messages\[0\] is empty or blank"),
    ("messages", {"messages": talk(("user", " "), SAY)}, "messages is empty or blank"),
    ("messages", {"messages": [*talk(ASK), {"role": "assistant", "content": None}]}, "content is null or missing"),
    ("messages", {"messages": talk(("user", 3), SAY)}, "content must be text or a list of parts, found number 3"),
    (
        "messages",
        {"messages": talk(("user", [{"type": "image_url", "image_url": {"url": "x"}}]), SAY)},
        "images, sound and files are not supported",
    ),
    ("messages", {"messages": talk(("user", [{"type": "video", "path": "x"}]), SAY)}, "not supported"),
    ("messages", {"messages": [*talk(ASK), {**CALL, "tool_calls": "f"}]}, "tool_calls must be a list of objects"),
    (
        "messages",
        {"messages": [{"from": "human", "value": "a"}, *talk(SAY)]},
        "has `from` beside turns that have `role`",
    ),
    ("messages", {"messages": [1]}, 'must be an object with "role" and "content", found number 1'),
    # ShareGPT
    (
        "sharegpt",
        {"conversations": [{"from": "human", "value": "a"}, *talk(SAY)]},
        "conversations mixes `from` and `role`",
    ),
    (
        "sharegpt",
        {"conversations": [{"from": "humn", "value": "a"}]},
        'from text "humn" is unknown; choose one of system',
    ),
    ("sharegpt", {"conversations": [{"from": "human", "value": None}]}, "value must be text, found null"),
    ("sharegpt", {"conversations": []}, "conversations must be a list of turns"),
    # Alpaca
    ("alpaca", {"instruction": "a", "input": "b"}, "output is missing; found columns instruction, input"),
    ("alpaca", {"instruction": "a", "output": " "}, "output is empty or blank"),
    ("alpaca", {"instruction": "a", "output": "b", "input": 3}, "input must be text, found number 3"),
    ("alpaca", {"instruction": "a", "output": "b", "history": [["x"]]}, r"history\[0\] must be \[question, answer\]"),
    # demonstrations
    ("demonstration", {"prompt": "a", "response": "\n"}, "response is empty or blank"),
    ("demonstration", {"prompt": " ", "response": "b"}, "prompt is empty or blank"),
    ("demonstration", {"prompt": "a", "response": 3}, "response must be text, found number 3"),
    ("demonstration", {"prompt": {"a": 1}, "response": "b"}, "prompt must be text or a list .*found an object with a"),
    (
        "demonstration",
        {"prompt": talk(ASK, SAY), "response": "b"},
        "prompt must end with a user turn; found assistant last",
    ),
    ("demonstration", {"prompt": "a"}, "response is missing"),
    ("prompt-completion", {"prompt": "a", "completion": ""}, "completion is empty or blank"),
    ("prompt-completion", {"prompt": "a", "completion": talk(ASK)}, "must begin with an assistant turn, found user"),
    ("text", {"text": " \t"}, "text is empty or blank"),
    # comparisons
    (
        "comparison",
        {"prompt": "a", "chosen": "b", "rejected": "b"},
        'chosen and rejected are equal; found text "b" twice',
    ),
    ("comparison", {"prompt": "a", "chosen": "b", "rejected": None}, "rejected is missing"),
    ("comparison", {"prompt": "a", "chosen": "b", "rejected": ""}, "rejected is empty or blank"),
    (
        "comparison",
        {"prompt": "a", "chosen": "b", "rejected": "c", "margin": "2"},
        "margin must be a number, found text",
    ),
    ("hh", {"chosen": "Hello", "rejected": "\n\nHuman: a\n\nAssistant: b"}, 'chosen must begin with "Human:"'),
    ("hh", dict.fromkeys(("chosen", "rejected"), "\n\nHuman: a\n\nAssistant: b"), "chosen and rejected are equal"),
    (
        "hh",
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: x\n\nAssistant: c"},
        "share no user turn to answer",
    ),
    (
        "hh",
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: "},
        "rejected is empty or blank",
    ),
    ("implicit", {"chosen": "one", "rejected": "two"}, "share no beginning that could be the prompt"),
    ("implicit", {"chosen": talk(ASK, SAY), "rejected": talk(("user", "x"), SAY)}, "share no user turn to answer"),
    # rankings
    ("ranking", {**PAIR, "ranking": [[0]]}, "ranking: answer 1 is not ranked"),
    ("ranking", {**PAIR, "ranking": [[0], [0, 1]]}, "ranking: answer 0 stands 2 times; write it once"),
    ("ranking", {**PAIR, "ranking": [[0], [2]]}, "ranking: unknown answer 2; there are 2 answers, 0 to 1"),
    ("ranking", {**PAIR, "ranking": [0, -1]}, "ranking: unknown answer -1"),
    ("ranking", {**PAIR, "ranking": [[], [0, 1]]}, "ranking: an empty place"),
    ("ranking", {**PAIR, "ranking": [True, False]}, "ranking must hold answers' indices, found true"),
    ("ranking", {**PAIR, "ranking": [0.0, 1.0]}, "ranking must hold answers' indices, found number 0.0"),
    ("ranking", {**PAIR, "ranking": "01"}, "ranking must be a list of answers' indices"),
    ("ranking", {"prompt": "a", "answers": ["b"], "ranking": [0]}, "answers must be at least 2, found 1"),
    ("ranking", {"prompt": "a", "answers": ["b", " "], "ranking": [0, 1]}, r"answers\[1\] is empty or blank"),
    ("ranking", {"prompt": "a", "answers": "bc", "ranking": [0, 1]}, "answers must be a list of texts"),
    ("ranking", {**PAIR, "ranking": [0, 1], "sources": ["x"]}, "sources must have one entry an answer; found 1 for 2"),
    ("votes", {**PAIR, "votes": [3]}, r"votes\[0\] must be 1 \(the first\), 2 \(the second\) or 0 \(a tie\)"),
    ("votes", {**PAIR, "votes": [[1]]}, r"votes\[0\] must be 1"),
    ("votes", {**PAIR, "votes": []}, "votes must be a list on two answers"),
    ("label-studio", {"data": {"prompt": "a"}, "annotations": []}, "data has no list of items with ids to rank"),
    (
        "argilla",
        {"fields": {"prompt": "a", "x": "b", "y": "c"}, "responses": {"q": [{"value": ["x", "z"]}]}},
        "ranking: unknown answer z; the fields are prompt, x, y",
    ),
    (
        "argilla",
        {"fields": {"prompt": "a", "x": "b"}, "responses": [{"values": {"q": {"value": [{"value": "x"}]}}}]},
        'answer text "x" has no rank',
    ),
    (
        "argilla",
        {"fields": {"prompt": "a", "x": "b"}, "responses": []},
        "no submitted response answers a ranking question",
    ),
    # samples
    ("sample", {**PAIR, "tokens": [[1]]}, "tokens must have one entry an answer; found 1 for 2 answers"),
    ("sample", {**PAIR, "tokens": [[1], [-2]]}, r"tokens\[1\] must be token ids, found number -2"),
    ("sample", {**PAIR, "tokens": [[1], [2.5]]}, "must be token ids, found number 2.5"),
    ("sample", {**PAIR, "logprobs": [[-1.0], [-1.0]]}, "logprobs stand without the tokens"),
    (
        "sample",
        {**PAIR, "tokens": [[1], [2]], "logprobs": [[-1.0], []]},
        r"logprobs\[1\] must have one number a token \(1\)",
    ),
    ("sample", {**PAIR, "finished": [1, 0]}, r"finished\[0\] must be true or false, found number 1"),
    ("sample", {**PAIR, "scores": ["1", "2"]}, r"scores\[0\] must be a number"),
    # judgements
    (
        "judgement",
        {"prompt": "a", "response": "b", "label": "true"},
        'label must be true or false, found text "true"; write it without quotes',
    ),
    ("judgement", {"prompt": "a", "response": "b", "label": 1}, "label must be true or false, found number 1"),
    ("scored", {"prompt": "a", "response": "b", "score": True}, "score must be a number, found true"),
    ("judgement", {"prompt": "a", "response": "b"}, "label and score are both missing"),
]


@pytest.mark.parametrize(("name", "row", "reason"), CASES, ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)])
def test_a_row_that_does_not_hold_what_its_format_asks_for(tmp_path, name, row, reason):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n" + json.dumps(row) + "\n", encoding="utf-8")
    (bad,) = examine(path, format=name).bad
    assert bad.origin == f"{path}:2"
    assert bad.value == row
    assert re.search(reason, bad.reason), bad.reason


def test_a_conversation_that_goes_on_after_its_last_answer_is_learned_up_to_it(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": talk(ASK, SAY, ASK)}), encoding="utf-8")
    (group,) = examine(path, format="messages").groups
    assert (group.answers[0].text, group.answers[0].later) == ("b", ())


def test_demonstrations_are_wanted_and_there_are_only_prompts(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": talk(ASK)}), encoding="utf-8")
    (bad,) = examine(path, kind="demonstration").bad
    assert "nothing to learn" in bad.reason


def test_a_row_of_another_format_than_the_file_is_told_with_the_format(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": "a", "response": "b"}] * 3 + [{"instruction": "a", "output": "b"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (bad,) = examine(path).bad
    assert "prompt is missing; found columns instruction, output" in bad.reason
    assert "(format demonstration)" in bad.reason


def test_what_is_shown_of_a_row_cannot_drive_the_terminal(tmp_path):
    path = tmp_path / "rows.jsonl"
    row = {"prompt": "a", "response": "b", "label": "\x1b[2J\x9b1m\u202etxt.exe"}
    path.write_text(json.dumps(row), encoding="utf-8")
    (bad,) = examine(path, format="judgement").bad
    assert "\\x1b[2J\\x9b1m\\u202e" in bad.reason
    assert bad.reason.isprintable()
