"""Every record kind and every other tool's format becomes the same groups."""

import json
from pathlib import Path

import pytest

from burnish.data.detect import FORMATS
from burnish.data.read import examine, read
from burnish.errors import ConfigError, DataError
from burnish.types import Answer, Group, Message

REAL = Path(__file__).parent / "real"
USER, ASSISTANT = "user", "assistant"


@pytest.fixture
def rows(tmp_path):
    """Write rows to a file, read them back, and give the reading."""

    def made(*rows, name="rows.jsonl", **wish):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return examine(path, **wish)

    return made


def only(reading):
    assert reading.bad == ()
    (group,) = reading.groups
    return group


def messages(*turns):
    return [{"role": role, "content": content} for role, content in turns]


# ---- our own records


def test_text(rows):
    group = only(rows({"text": "Once upon a time.", "book": "Tales"}))
    assert (group.prompt, group.answers) == ("", (Answer("Once upon a time."),))
    assert group.extra == {"book": "Tales"}


def test_a_prompt_is_text_or_messages(rows):
    assert only(rows({"prompt": "What?"})).prompt == "What?"
    talk = only(rows({"prompt": messages((USER, "a"), (ASSISTANT, "b"), (USER, "c"))})).prompt
    assert talk == (Message(USER, "a"), Message(ASSISTANT, "b"), Message(USER, "c"))


def test_demonstration(rows):
    group = only(rows({"id": 7, "prompt": "What?", "response": "That.", "final": 3}))
    assert (group.prompt, group.answers, group.id, group.extra) == ("What?", (Answer("That."),), "7", {"final": 3})


def test_a_row_without_an_id_is_called_by_file_and_line(rows):
    group = rows({"prompt": "a", "response": "b"}, {"prompt": "c", "response": "d"}).groups[1]
    assert group.id == group.origin
    assert group.origin.endswith("rows.jsonl:2")


def test_comparison(rows):
    group = only(rows({"prompt": "What?", "chosen": "Good.", "rejected": "Bad.", "margin": 0.5}))
    assert group.answers == (Answer("Good."), Answer("Bad."))
    assert (group.order, group.margin) == (((0,), (1,)), 0.5)


def test_ranking_ties_share_a_list_and_a_lone_index_may_stand_for_its_list(rows):
    written = {"prompt": "What?", "answers": ["a", "b", "c", "d"], "ranking": [2, [0, 3], [1]], "annotator": "ann"}
    group = only(rows(written))
    assert group.order == ((2,), (0, 3), (1,))
    assert group.extra == {"annotator": "ann"}


def test_sources_of_answers(rows):
    group = only(rows({"prompt": "What?", "answers": ["a", "b"], "ranking": [0, 1], "sources": ["sft", "dpo"]}))
    assert [answer.source for answer in group.answers] == ["sft", "dpo"]


def test_systems_are_sources_where_they_name_each_answers_own(rows):
    row = {"prompt": "What?", "answers": ["a", "b"], "votes": [1]}
    assert [one.source for one in only(rows({**row, "systems": ["sft", "dpo"]})).answers] == ["sft", "dpo"]
    assert [one.source for one in only(rows({**row, "systems": ["linux"]})).answers] == [None, None]


def test_sample_keeps_token_ids(rows):
    written = {
        "prompt": "What?",
        "answers": ["a", ""],
        "tokens": [[5, 2], [2]],
        "logprobs": [[-0.5, -1.0], [-2.0]],
        "finished": [True, True],
        "scores": [0.25, -1],
        "model": "sft",
        "seed": 3,
    }
    group = only(rows(written))
    assert group.answers == (
        Answer("a", tokens=(5, 2), logprobs=(-0.5, -1.0), finished=True, score=0.25, source="sft"),
        Answer("", tokens=(2,), logprobs=(-2.0,), finished=True, score=-1.0, source="sft"),
    )
    assert group.extra == {"model": "sft", "seed": 3}


def test_a_ranked_sample_is_a_ranking_and_keeps_its_tokens(rows):
    written = {"prompt": "What?", "answers": ["a", ""], "tokens": [[5, 2], [2]], "model": "sft", "seed": 3}
    reading = rows({**written, "ranking": [[0], [1]]})
    assert reading.kind == "ranking"
    assert [answer.tokens for answer in only(reading).answers] == [(5, 2), (2,)]


def test_judgement_by_label_and_by_score(rows):
    assert only(rows({"prompt": "a", "response": "b", "label": False})).answers == (Answer("b", label=False),)
    assert only(rows({"prompt": "a", "response": "b", "score": 0.7})).answers == (Answer("b", score=0.7),)
    assert only(rows({"prompt": "a", "completion": "b", "label": True})).answers == (Answer("b", label=True),)


# ---- other tools'


def test_messages_that_end_with_the_assistant_are_a_demonstration(rows):
    talk = messages(("system", "s"), (USER, "a"), (ASSISTANT, "b"), (USER, "c"), (ASSISTANT, "d"))
    reading = rows({"messages": talk})
    group = only(reading)
    assert reading.kind == "demonstration"
    assert group.prompt == (Message("system", "s"), Message(USER, "a"))
    assert group.answers == (Answer("b", later=(Message(USER, "c"), Message(ASSISTANT, "d"))),)


def test_messages_that_end_with_the_user_are_a_prompt(rows):
    reading = rows({"messages": messages((USER, "a"), (ASSISTANT, "b"), (USER, "c"))})
    assert reading.kind == "prompt"
    assert len(only(reading).prompt) == 3


def test_messages_keep_what_a_template_may_read(rows):
    call = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]
    turns = [
        {"role": USER, "content": "a"},
        {"role": ASSISTANT, "content": None, "tool_calls": call},
        {"role": "tool", "content": "1", "tool_call_id": "x"},
        {"role": ASSISTANT, "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
    ]
    group = only(rows({"messages": turns, "tools": [{"name": "f"}]}))
    assert group.prompt == (Message(USER, "a", {"tools": [{"name": "f"}]}),)
    (answer,) = group.answers
    assert (answer.text, answer.extra) == ("", {"tool_calls": call})
    assert answer.later[-1].content == "bc"


def test_alpaca_joins_instruction_and_input_by_an_empty_line(rows):
    assert only(rows({"instruction": "Add.", "input": "1 2", "output": "3"})).prompt == "Add.\n\n1 2"
    assert only(rows({"instruction": "Add.", "input": " ", "output": "3"})).prompt == "Add."
    past = {"instruction": "c", "output": "d", "system": "s", "history": [["a", "b"]]}
    assert [turn.content for turn in only(rows(past)).prompt] == ["s", "a", "b", "c"]


def test_sharegpt(rows):
    said = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    group = only(rows({"conversations": said, "system": "s"}))
    assert group.prompt == (Message("system", "s"), Message(USER, "a"))
    assert group.answers == (Answer("b"),)


def test_conversations_with_roles_are_messages(rows):
    assert only(rows({"conversations": messages((USER, "a"), (ASSISTANT, "b"))})).answers == (Answer("b"),)


def test_prompt_and_completion_plain_and_conversational(rows):
    assert only(rows({"prompt": "a", "completion": "b"})).answers == (Answer("b"),)
    talk = {"prompt": messages((USER, "a")), "completion": messages((ASSISTANT, "b"))}
    group = only(rows(talk))
    assert (group.prompt, group.answers) == ((Message(USER, "a"),), (Answer("b"),))


def test_hh_parts_at_the_last_turn_that_both_share(rows):
    start = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: How?"
    group = only(rows({"chosen": f"{start}\n\nAssistant: Well.", "rejected": f"{start}\n\nAssistant: Badly."}))
    assert group.prompt == (Message(USER, "Hi"), Message(ASSISTANT, "Hello."), Message(USER, "How?"))
    assert [answer.text for answer in group.answers] == ["Well.", "Badly."]
    assert group.order == ((0,), (1,))


def test_hh_may_part_before_the_last_turn(rows):
    chosen = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: How?\n\nAssistant: Well."
    group = only(rows({"chosen": chosen, "rejected": "\n\nHuman: Hi\n\nAssistant: Go away."}))
    assert group.prompt == (Message(USER, "Hi"),)
    assert group.answers[0].later == (Message(USER, "How?"), Message(ASSISTANT, "Well."))
    assert group.answers[1] == Answer("Go away.")


def test_trl_explicit_prompt_conversational(rows):
    written = {
        "prompt": messages((USER, "a")),
        "chosen": messages((ASSISTANT, "b")),
        "rejected": messages((ASSISTANT, "c")),
    }
    group = only(rows(written))
    assert group.prompt == (Message(USER, "a"),)
    assert [answer.text for answer in group.answers] == ["b", "c"]


def test_a_prompt_that_the_answers_repeat_is_taken_off_them(rows):
    """UltraFeedback's way: the prompt as text, and chosen and rejected as whole conversations."""
    whole = [messages((USER, "a"), (ASSISTANT, text)) for text in "bc"]
    group = only(rows({"prompt": "a", "chosen": whole[0], "rejected": whole[1]}))
    assert [answer.text for answer in group.answers] == ["b", "c"]


def test_trl_implicit_prompt_conversational_and_plain(rows):
    talk = only(
        rows(dict(zip(("chosen", "rejected"), (messages((USER, "a"), (ASSISTANT, x)) for x in "bc"), strict=True)))
    )
    assert (talk.prompt, talk.answers) == ((Message(USER, "a"),), (Answer("b"), Answer("c")))
    text = only(rows({"chosen": "The sky is green.", "rejected": "The sky is grey."}))  # they part inside a word
    assert (text.prompt, text.answers) == ("The sky is", (Answer(" green."), Answer(" grey.")))


def test_votes_are_one_group_each_of_one_id(rows):
    reading = rows({"id": 4, "prompt": "a", "answers": ["b", "c"], "votes": [1, 2, 0]})
    assert [group.order for group in reading.groups] == [((0,), (1,)), ((1,), (0,)), ((0, 1),)]
    assert [group.extra["annotator"] for group in reading.groups] == ["0", "1", "2"]
    assert {group.id for group in reading.groups} == {"4"}


def test_rankings_of_several_people_share_an_id(rows):
    item = {"id": "x", "prompt": "a", "answers": ["b", "c"]}
    reading = rows({**item, "ranking": [0, 1], "annotator": "ann"}, {**item, "ranking": [1, 0], "annotator": "bob"})
    assert [(group.id, group.extra["annotator"]) for group in reading.groups] == [("x", "ann"), ("x", "bob")]


ITEMS = [{"id": "p", "title": "1", "body": "b"}, {"id": "q", "title": "2", "body": "c"}]


def studio(ranker, **annotation):
    result = [{"from_name": "rank", "to_name": "answers", "type": "ranker", "value": {"ranker": ranker}}]
    done = {"completed_by": 3, "lead_time": 12.5, "result": result, **annotation}
    return {"id": 9, "data": {"prompt": "a", "items": ITEMS}, "annotations": [done]}


def test_label_studios_ranker(rows):
    group = only(rows(studio({"rank": ["q", "p"]})))
    assert (group.prompt, group.order, group.id) == ("a", ((1,), (0,)), "9")
    assert group.answers == (Answer("b", source="p"), Answer("c", source="q"))
    assert group.extra == {"annotator": "3", "seconds": 12.5}
    assert only(rows(studio(["p", "q"]))).order == ((0,), (1,))
    assert only(rows(studio({"1": ["q", "p"], "2": []}))).order == ((1,), (0,))


def test_label_studios_numbered_buckets_are_places(rows):
    task = studio({"1": ["r"], "2": ["p", "q"]})
    task["data"]["items"] = [*ITEMS, {"id": "r", "body": "d"}]
    assert only(rows(task)).order == ((2,), (0, 1))


def test_label_studios_other_buckets_are_no_ranking(rows):
    (bad,) = rows(studio({"relevant": ["p"], "biased": ["q"]})).bad
    assert "sorts into buckets relevant, biased: that is no ranking" in bad.reason


def test_cancelled_annotations_do_not_count(rows):
    (bad,) = rows(studio(["p", "q"], was_cancelled=True)).bad
    assert "no annotation holds a ranker's result" in bad.reason


FIELDS = {"prompt": "a", "reply-1": "b", "reply-2": "c", "reply-3": "d"}


def test_argilla_version_1(rows):
    ranked = [{"value": "reply-2", "rank": 1}, {"value": "reply-1", "rank": 2}, {"value": "reply-3", "rank": 2}]
    response = {"user_id": "u", "status": "submitted", "values": {"preference": {"value": ranked}}}
    draft = {**response, "status": "draft"}
    group = only(rows({"id": "r", "fields": FIELDS, "responses": [response, draft]}))
    assert (group.prompt, group.order) == ("a", ((1,), (0, 2)))
    assert [answer.text for answer in group.answers] == ["b", "c", "d"]
    assert group.extra == {"annotator": "u"}


def test_argilla_version_2(rows):
    responses = {
        "preference": [{"value": ["reply-3", "reply-1", "reply-2"], "user_id": "u"}],
        "remark": [{"value": "x"}],
    }
    group = only(rows({"fields": FIELDS, "responses": responses, "metadata": {}}))
    assert group.order == ((2,), (0,), (1,))


# ---- which format


def test_two_formats_that_fit_are_refused_and_format_decides(rows):
    both = {"prompt": "a", "response": "b", "messages": messages((USER, "c"), (ASSISTANT, "d"))}
    with pytest.raises(DataError, match=r"fit demonstration and messages; say which with `format: demonstration`"):
        rows(both)
    assert only(rows(both, format="messages")).answers == (Answer("d"),)


def test_the_kind_that_is_wanted_decides_too(rows):
    row = {"prompt": "a", "chosen": "b", "rejected": "c", "messages": messages((USER, "a"), (ASSISTANT, "b"))}
    assert rows(row, kind="comparison").formats == ("comparison",)
    assert rows(row, kind="demonstration").formats == ("messages",)


def test_the_reading_says_what_it_took(rows):
    reading = rows({"instruction": "a", "output": "b"})
    assert (reading.kind, reading.formats) == ("demonstration", ("alpaca",))


def test_an_unknown_format_or_kind_lists_those_that_exist(rows):
    with pytest.raises(ConfigError, match=r"format: alpacca: no such format; .*alpaca"):
        rows({"text": "a"}, format="alpacca")
    with pytest.raises(ConfigError, match=r"kind: pairs: no such kind; .*comparison"):
        rows({"text": "a"}, kind="pairs")


def test_unknown_columns_name_the_nearest_format_with_an_example(rows):
    with pytest.raises(DataError, match=r'found instruction, answer; the nearest is alpaca, .*"output"'):
        rows({"instruction": "a", "answer": "b"})


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_has_an_example_that_names_its_columns(name):
    assert all(f'"{column}"' in FORMATS[name].example for column in FORMATS[name].needs)


# ---- real rows


@pytest.mark.parametrize(
    ("file", "kind", "name", "groups"),
    [
        ("hh_harmless.jsonl", "comparison", "hh", 8),
        ("oasst_rankings.jsonl", "ranking", "ranking", 6),
        ("oasst_demos.jsonl", "demonstration", "messages", 5),
        ("pandalm_votes.jsonl", "ranking", "votes", 18),
        ("pandalm_rankings.jsonl", "ranking", "ranking", 6),
        ("gsm8k_demos.jsonl", "demonstration", "demonstration", 6),
        ("self_instruct_alpaca.jsonl", "demonstration", "alpaca", 8),
        ("dolly_demos.jsonl", "demonstration", "demonstration", 5),
        ("cmrc_zh_demos.jsonl", "demonstration", "demonstration", 4),
        ("kdconv_zh_messages.jsonl", "demonstration", "messages", 3),
        ("crosswoz_zh_messages.jsonl", "demonstration", "messages", 3),
        ("movie_sentences.jsonl", "text", "text", 8),
        ("zh_classical_text.jsonl", "text", "text", 6),
        ("zh_luxun_text.jsonl", "text", "text", 2),
        ("mt_bench_prompts.jsonl", "prompt", "prompt", 4),
        ("cvalues_zh_prompts.jsonl", "prompt", "prompt", 6),
        ("xstest_prompts.jsonl", "prompt", "prompt", 5),
        ("truthfulqa_prompts.jsonl", "prompt", "prompt", 3),
        ("tiny_shakespeare.txt", "text", "text", 1),
    ],
)
def test_real_files_are_read_whole(file, kind, name, groups):
    reading = examine(REAL / file)
    assert (reading.kind, reading.formats, len(reading.groups), reading.bad) == (kind, (name,), groups, ())


def test_a_blank_answer_of_hh_is_told():
    with pytest.raises(DataError, match=r"hh_blank_answer.jsonl:1: chosen is empty or blank"):
        read(REAL / "hh_blank_answer.jsonl")


def test_a_speakers_mark_inside_an_answer_of_hh_stays_in_its_turn():
    """Row 8 says "Assistant:" twice in a row; it is one turn."""
    group = read(REAL / "hh_harmless.jsonl")[7]
    assert [answer.later for answer in group.answers] == [(), ()]
    assert group.answers[0].text.endswith("I think they call them that because")


def test_every_prompt_of_hh_is_shared_and_ends_with_the_user():
    for group in read(REAL / "hh_harmless.jsonl"):
        assert isinstance(group, Group)
        assert group.prompt[-1].role == USER
        assert all(answer.text.strip() == answer.text for answer in group.answers)
