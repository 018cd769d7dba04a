"""Groups become trees: cut where they are too long, and told what was cut."""

import math
from pathlib import Path

import pytest

from burnish.batch.trees import places, prompt_trees, shorter_prompts, tree_of, trees
from burnish.data.read import read
from burnish.data.templates import resolve
from burnish.errors import ConfigError, DataError
from burnish.types import Answer, Group, Message, Rollout
from tests.data.conftest import byte_level

REAL = Path(__file__).parents[1] / "data" / "real"
TALK = (
    Message("system", "Be kind."),
    Message("user", "The first question, and it is a long one, is this."),
    Message("assistant", "The first answer."),
    Message("user", "The last question?"),
)


@pytest.fixture(scope="module")
def chat():
    return resolve(byte_level(), "chatml")


@pytest.fixture(scope="module")
def plain():
    return resolve(byte_level(), "none")


def group(prompt, *answers, order=None, **known):
    made = tuple(answer if isinstance(answer, Answer) else Answer(answer) for answer in answers)
    return Group(prompt, made, order=order, origin="rows.jsonl:7", **known)


def one(report):
    (tree,) = report.trees
    return tree


# ---- what a tree holds


def test_a_prompt_is_there_once_with_each_answer_as_a_branch(chat):
    tree = one(trees([group("What?", "Yes.", "No.", "Well.", order=((2,), (0, 1)))], chat, max_length=512))
    assert list(tree.prompt) == chat.prompt_tokens("What?")
    assert [chat.text(branch.tokens) for branch in tree.branches] == ["Yes.", "No.", "Well."]
    assert [branch.place for branch in tree.branches] == [1, 1, 0]
    assert [branch.answer for branch in tree.branches] == [0, 1, 2]
    assert all(branch.ended and branch.tokens[-1] == chat.end_token for branch in tree.branches)
    assert (tree.origin, tree.group) == ("rows.jsonl:7", 0)


def test_places_are_those_of_the_order():
    assert places(((2,), (0, 3), (1,)), 4) == (1, 2, 0, 1)
    assert places(None, 2) == (-1, -1)


def test_scores_travel_with_their_answers(chat):
    tree = one(trees([group("What?", Answer("Yes.", score=0.5), "No.")], chat, max_length=512))
    assert tree.branches[0].score == 0.5
    assert math.isnan(tree.branches[1].score)


def test_sampled_tokens_are_kept_and_an_unfinished_answer_has_not_ended(chat):
    """Also with the stop string that cut it, which its text is without."""
    tokens = tuple(chat.tokenizer.encode("It rains and"))
    for text in ("It rains and", "It rains"):
        report = trees([group("What?", Answer(text, tokens=tokens, finished=False))], chat, max_length=512)
        (branch,) = one(report).branches
        assert branch.tokens == tokens
        assert all(branch.learned)
        assert not branch.ended
        assert report.foreign == 0


def test_tokens_that_another_vocabulary_wrote_are_left_and_the_text_is_learned(chat):
    tokens = tuple(token + 1 for token in chat.tokenizer.encode("It rains."))
    foreign, own = Answer("It rains.", tokens=tokens, finished=True), Answer("It rains.")
    report = trees([group("What?", foreign)], chat, max_length=512)
    (read,), (written,) = (one(made).branches for made in (report, trees([group("What?", own)], chat, max_length=512)))
    assert (read.tokens, read.ended) == (written.tokens, True)
    assert report.foreign == 1


def test_the_text_of_an_unfinished_answer_gets_no_end_from_the_template(chat):
    tree = one(trees([group("What?", Answer("and then", finished=False), Answer("and then"))], chat, max_length=512))
    cut, whole = tree.branches
    assert (cut.ended, whole.ended) == (False, True)
    assert whole.tokens == (*cut.tokens, chat.end_token)
    assert len(cut.learned) == len(cut.tokens)


def test_rollouts_become_branches_token_for_token():
    rollouts = [Rollout(0, 0, (5, 6, 2), (-1.0,) * 3, True, 1), Rollout(0, 1, (7,), (-1.0,), False, 2)]
    tree = tree_of((1, 2), rollouts, group=3, scores=[0.5, -0.5])
    assert tree.prompt == (1, 2)
    assert [branch.tokens for branch in tree.branches] == [(5, 6, 2), (7,)]
    assert [branch.ended for branch in tree.branches] == [True, False]
    assert [branch.score for branch in tree.branches] == [0.5, -0.5]
    assert tree.group == 3


def test_a_conversation_is_one_branch_with_what_the_user_says_not_learned(chat):
    later = (Message("user", "And the fox?"), Message("assistant", "It jumps."))
    (branch,) = one(trees([group("What?", Answer("Yes.", later=later))], chat, max_length=512)).branches
    said = [token for token, learned in zip(branch.tokens, branch.learned, strict=True) if learned]
    assert chat.tokenizer.decode(said) == "Yes.<|im_end|>It jumps.<|im_end|>"
    (last,) = one(
        trees([group("What?", Answer("Yes.", later=later))], chat, max_length=512, learn_from="last")
    ).branches
    assert chat.text(last.tokens) == "It jumps."


# ---- cutting


def test_the_oldest_exchange_goes_first_and_the_system_turn_stays():
    assert list(shorter_prompts(TALK)) == [TALK, (TALK[0], TALK[3])]
    assert list(shorter_prompts("text")) == ["text"]
    assert list(shorter_prompts(TALK[3:])) == [TALK[3:]]


def test_a_prompt_is_shortened_before_an_answer_is_cut(chat):
    whole = one(trees([group(TALK, "Yes.")], chat, max_length=512))
    length = len(whole.prompt) + len(whole.branches[0].tokens)
    assert trees([group(TALK, "Yes.")], chat, max_length=length).shortened == 0
    report = trees([group(TALK, "Yes.")], chat, max_length=length - 1)
    assert (report.shortened, report.cut) == (1, 0)
    assert list(one(report).prompt) == chat.prompt_tokens((TALK[0], TALK[3]))
    assert one(report).branches[0].tokens == whole.branches[0].tokens


def test_the_longest_answer_decides_for_all_and_the_prompt_stays_one(chat):
    long = "The quick brown fox jumps over the lazy dog. " * 3
    short_prompt = len(chat.prompt_tokens((TALK[0], TALK[3])))
    room = len(chat.answer_tokens("x", Answer(long))[0][1])
    report = trees([group(TALK, "Yes.", long, order=((0,), (1,)))], chat, max_length=short_prompt + room)
    assert list(one(report).prompt) == chat.prompt_tokens((TALK[0], TALK[3]))
    assert all(branch.ended for branch in one(report).branches)


def test_an_answer_that_was_cut_teaches_no_end_and_is_counted(chat):
    prompt = len(chat.prompt_tokens("What?"))
    report = trees([group("What?", "The quick brown fox jumps over the lazy dog.")], chat, max_length=prompt + 4)
    (branch,) = one(report).branches
    assert len(branch.tokens) == 4
    assert not branch.ended
    assert branch.tokens[-1] != chat.end_token
    assert report.cut == 1


def test_answers_that_become_equal_by_cutting_make_no_pair(chat):
    prompt = len(chat.prompt_tokens("What?"))
    texts = ("The quick brown fox.", "The quick brown dog.")
    same = [len(chat.answer_tokens("x", Answer(text))[0][1]) for text in texts]
    report = trees([group("What?", *texts, order=((0,), (1,)))], chat, max_length=prompt + min(same) - 4)
    assert report.equal == 1
    assert [branch.place for branch in one(report).branches] == [0, 0]


def test_equal_answers_with_another_between_them_have_no_known_place(chat):
    """A > B > C, and A and C became one text: people said of it that it is better and worse than B."""
    prompt = len(chat.prompt_tokens("What?"))
    answers = ("aaaa bbbb", "cccc", "aaaa dddd")
    ranked = group("What?", *answers, order=((0,), (1,), (2,)))
    report = trees([ranked], chat, max_length=prompt + 3)
    assert [branch.place for branch in one(report).branches] == [-1, 1, -1]
    assert report.equal == 1


def test_a_text_after_the_last_learned_token_is_left_out(chat):
    later = (Message("user", "And the fox?"), Message("assistant", "It jumps."))
    conversation = group("What?", Answer("Yes.", later=later))
    first = len(chat.answer_tokens("What?", Answer("Yes."))[0][1])
    prompt = len(chat.prompt_tokens("What?"))
    (branch,) = one(trees([conversation], chat, max_length=prompt + first + 3)).branches
    assert chat.tokenizer.decode(branch.tokens) == "Yes.<|im_end|>"
    assert branch.ended


# ---- rows that cannot be used


def test_a_prompt_that_fills_the_length_is_refused_by_name(chat):
    long = group("The quick brown fox jumps over the lazy dog. " * 20, "Yes.")
    with pytest.raises(
        DataError, match=r"1 of 2 rows.*0 loss tokens[\s\S]*rows.jsonl:7: the prompt alone has \d+ tokens"
    ):
        trees([long, group("What?", "Yes.")], chat, max_length=64)


def test_or_left_out_and_counted(chat):
    long = group("The quick brown fox jumps over the lazy dog. " * 20, "Yes.")
    report = trees([long, group("What?", "Yes.")], chat, max_length=64, on_too_long="skip")
    assert [tree.group for tree in report.trees] == [1]
    assert len(report.skipped) == 1
    with pytest.raises(DataError, match=r"1 of 1 rows"):
        trees([long], chat, max_length=64, on_too_long="skip")


def test_an_answer_of_nothing_but_control_tokens_is_refused(chat):
    with pytest.raises(DataError, match=r"rows.jsonl:7: answer 1 holds nothing but control tokens"):
        trees([group("What?", "<|im_end|> <|endoftext|>")], chat, max_length=64)


def test_a_sampled_answer_may_be_its_end_token_alone(chat):
    silent = Answer("", tokens=(chat.end_token,), finished=True)
    (branch,) = one(trees([group("What?", silent)], chat, max_length=64)).branches
    assert branch.tokens == (chat.end_token,)
    assert branch.ended


def test_a_prompt_without_answers_is_refused(chat):
    with pytest.raises(DataError, match=r"a prompt without answers"):
        trees([group("What?")], chat, max_length=64)


def test_settings_are_checked(chat):
    with pytest.raises(ConfigError, match="on_too_long: drop: choose fail or skip"):
        trees([group("What?", "Yes.")], chat, max_length=64, on_too_long="drop")
    with pytest.raises(ConfigError, match="learn_from: first"):
        trees([group("What?", "Yes.")], chat, max_length=64, learn_from="first")


# ---- prompts to sample from


def test_a_prompt_leaves_room_for_its_answer(chat):
    whole = len(chat.prompt_tokens(TALK))
    fits = prompt_trees([group(TALK)], chat, max_length=whole + 16, room=16)
    assert len(one(fits).prompt) == whole
    assert one(fits).branches == ()
    shorter = prompt_trees([group(TALK)], chat, max_length=whole + 15, room=16)
    assert shorter.shortened == 1
    assert list(one(shorter).prompt) == chat.prompt_tokens((TALK[0], TALK[3]))
    with pytest.raises(DataError, match=r"rows.jsonl:7: the prompt has .* an answer needs 16"):
        prompt_trees([group(TALK)], chat, max_length=20, room=16)


# ---- real rows


@pytest.mark.parametrize("file", ["kdconv_zh_messages", "crosswoz_zh_messages", "oasst_demos", "cmrc_zh_demos"])
def test_real_conversations_learn_every_assistant_turn(chat, file):
    groups = read(REAL / f"{file}.jsonl", kind="demonstration")
    report = trees(groups, chat, max_length=20_000)
    assert (report.cut, report.joint_differs, report.rewritten) == (0, 0, 0)
    for row, tree in zip(groups, report.trees, strict=True):
        (branch,) = tree.branches
        answers = [row.answers[0].text, *(turn.content for turn in row.answers[0].later if turn.role == "assistant")]
        learned = [token for token, wanted in zip(branch.tokens, branch.learned, strict=True) if wanted]
        assert chat.tokenizer.decode(learned) == "".join(f"{text}<|im_end|>" for text in answers)
        assert branch.learned.count(True) < len(branch.learned) or len(answers) == 1


@pytest.mark.parametrize("file", ["hh_harmless", "oasst_rankings", "pandalm_rankings", "pandalm_votes"])
def test_real_rankings_become_trees_of_their_answers(chat, file):
    groups = read(REAL / f"{file}.jsonl", kind="ranking")
    report = trees(groups, chat, max_length=20_000)
    for row, tree in zip(groups, report.trees, strict=True):
        assert [chat.text(branch.tokens) for branch in tree.branches] == [answer.text for answer in row.answers]
        assert tuple(branch.place for branch in tree.branches) == places(row.order, len(row.answers))
        assert all(branch.ended and all(branch.learned) for branch in tree.branches)
