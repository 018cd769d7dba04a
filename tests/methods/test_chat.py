"""A dialogue: what streams is what is kept, both models read the same, and what is saved is what trainers read."""

import json
from collections.abc import Generator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tiny import byte_tokenizer, tiny_llama

import burnish
from burnish.data.read import examine, read
from burnish.data.templates import resolve
from burnish.errors import ConfigError, DataError, UsageError
from burnish.methods.chat import Chat, ChatConfig
from burnish.models.load import load_policy
from burnish.rollout.local import LocalEngine
from burnish.training.identity import weights_hash
from burnish.types import Message

SHORT = ChatConfig(template="dialogue", max_new_tokens=8)


def whole(answers: Generator[Sequence[str], None, None]) -> list[Sequence[str]]:
    return list(answers)


@pytest.fixture
def chat(tiny_model: Path) -> Chat:
    return Chat(tiny_model, SHORT)


@pytest.fixture
def two(tiny_model: Path, other_model: Path) -> Chat:
    return Chat(tiny_model, SHORT, against=other_model)


def test_what_streams_is_what_one_call_samples_and_what_is_kept(chat: Chat, tiny_model: Path):
    seen = whole(chat.ask("Say it"))
    (reply,) = chat.last().replies
    assert all(after[0].startswith(before[0]) for before, after in pairwise(seen))
    assert seen[-1][0] == reply.answer.text.rstrip("\ufffd")
    policy = load_policy(tiny_model)
    template = resolve(policy.tokenizer, "dialogue")
    (alone,) = LocalEngine(policy).sample(
        [template.prompt_tokens("Say it")], 1, SHORT, end_tokens=sorted(template.end_tokens), seed=reply.seed
    )
    assert (reply.answer.tokens, reply.answer.finished) == (alone.tokens, alone.finished)


def test_a_turn_is_read_behind_the_turns_before_it_as_they_were_kept(two: Chat):
    two.say_first("Be kind")
    whole(two.ask("one"))
    two.keep("B")
    whole(two.ask("two"))
    kept = two.turns[0].replies[1].answer.text
    assert two.last().prompt == (
        Message("system", "Be kind"),
        Message("user", "one"),
        Message("assistant", kept),
        Message("user", "two"),
    )
    two.undo()
    two.clear()
    two.say_first("")
    whole(two.ask("three"))
    assert two.last().prompt == "three"


def test_the_same_seed_gives_the_same_dialogue_and_a_retry_another_answer(tiny_model: Path, chat: Chat):
    again = Chat(tiny_model, SHORT)
    for one in (chat, again):
        whole(one.ask("Say it"))
        whole(one.retry())
    assert chat.told() == again.told()
    first, second = chat.last().replies
    assert first.answer.tokens != second.answer.tokens
    assert (chat.last().reply.letter, chat.last().prompt) == ("B", "Say it")


def test_an_answer_that_is_stopped_keeps_what_was_written(chat: Chat):
    answers = chat.ask("Say it")
    for _ in range(3):
        next(answers)
    answers.close()
    (reply,) = chat.last().replies
    assert reply.stopped
    assert len(reply.answer.tokens or ()) == 3
    assert reply.answer.finished is False
    whole(chat.ask("more"))  # the model computes on as if nothing had happened
    assert len(chat.turns) == 2


def test_nothing_written_is_no_turn(chat: Chat):
    answers = chat.ask("Say it")
    answers.close()
    assert not chat.turns
    for said, told in (("  ", "say something"), ("a\0", "NUL"), ("a\udcff", "half a character")):
        with pytest.raises(DataError, match=told):
            whole(chat.ask(said))


def test_a_character_is_shown_whole_or_not_at_all(tmp_path: Path, tiny_model: Path):
    """The tiny model draws bytes, most of which are halves of characters."""
    chat = Chat(tiny_model, SHORT.model_copy(update={"max_new_tokens": 40}))
    seen = whole(chat.ask("漢"))
    assert all(not texts[0].endswith("\ufffd") for texts in seen)


def test_blind_letters_hide_the_models_and_the_seed_draws_them_anew_each_time(tiny_model: Path, other_model: Path):
    chat = Chat(tiny_model, SHORT.model_copy(update={"max_new_tokens": 1}), against=other_model, blind=True)
    whole(chat.ask("Say it"))
    for _ in range(8):
        whole(chat.retry())
    firsts = {reply.model for reply in chat.last().replies[::2]}
    assert firsts == {0, 1}


def test_an_order_is_saved_as_a_ranking_with_what_it_came_from(two: Chat, tmp_path: Path, tiny_model: Path):
    whole(two.ask("Say it"))
    whole(two.retry())
    path = tmp_path / "rankings.jsonl"
    assert two.save(path, "d > a = b") == "ranking"
    assert two.last().reply.letter == "D"
    (group,) = read(path, kind="ranking")
    letters = {reply.letter: reply for reply in two.last().replies}
    assert [answer.tokens for answer in group.answers] == [letters[letter].answer.tokens for letter in "DAB"]
    assert group.order == ((0,), (1, 2))
    assert [answer.source for answer in group.answers] == ["other", tiny_model.name, "other"]
    assert group.extra["models"] == {model.name: model.version for model in two.models}
    assert group.extra["models"][tiny_model.name] == weights_hash(load_policy(tiny_model))
    assert group.extra["seeds"] == [letters[letter].seed for letter in "DAB"]
    assert group.extra["sampling"]["max_new_tokens"] == 8


def test_an_order_that_is_none_saves_nothing(two: Chat, tmp_path: Path):
    whole(two.ask("Say it"))
    for order in ("A >", "A B", "A > A", "A > Q", "> A", "A < B"):
        with pytest.raises(UsageError):
            two.save(tmp_path / "rankings.jsonl", order)
    assert not list(tmp_path.iterdir())


def test_equal_answers_cannot_be_ranked(chat: Chat, tmp_path: Path):
    chat.set({"temperature": 0})
    whole(chat.ask("Say it"))
    whole(chat.retry())
    with pytest.raises(DataError, match="say the same"):
        chat.save(tmp_path / "rankings.jsonl", "B > A")


def test_nothing_is_no_demonstration_but_may_be_the_worse_answer(tiny_model: Path, other_model: Path, tmp_path: Path):
    flat = load_policy(tiny_model)
    with torch.no_grad():
        flat.head.weight_VD.zero_()  # every token is as likely as another, and the first is taken: !
    chat = Chat(flat, SHORT.model_copy(update={"temperature": 0, "stop": ("!",)}), against=other_model)
    whole(chat.ask("Say it"))
    assert chat.last().reply.answer.text == ""
    with pytest.raises(DataError, match="A is blank"):
        chat.save(tmp_path / "demonstrations.jsonl")
    chat.save(tmp_path / "rankings.jsonl", "B > A")
    (group,) = read(tmp_path / "rankings.jsonl", kind="ranking")
    assert group.answers[1].text == ""


def test_tokens_of_two_vocabularies_are_not_put_into_one_record(tiny_model: Path, tmp_path: Path):
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["extra"])
    tiny_llama(seed=2).save_pretrained(tmp_path / "foreign")
    tokenizer.save_pretrained(tmp_path / "foreign")
    chat = Chat(tiny_model, SHORT, against=tmp_path / "foreign")
    whole(chat.ask("Say it"))
    chat.save(tmp_path / "rankings.jsonl", "A > B")
    row = json.loads((tmp_path / "rankings.jsonl").read_text())
    assert "tokens" not in row
    assert len(row["answers"]) == 2


def test_trainers_read_what_was_saved(two: Chat, tiny_model: Path, tmp_path: Path):
    demonstrations, rankings = tmp_path / "demonstrations.jsonl", tmp_path / "rankings.jsonl"
    for said in ("one", "two"):
        whole(two.ask(said))
        two.save(demonstrations)
        two.save(rankings, "B > A")
    step = {"steps": 1, "batch_size": 2, "template": "dialogue", "max_length": 200}
    assert examine(demonstrations).formats == ("demonstration",)
    sft = burnish.sft(tiny_model, demonstrations, burnish.SFTConfig(**step), out=tmp_path / "sft")
    dpo = burnish.dpo(tiny_model, rankings, burnish.DPOConfig(**step), out=tmp_path / "dpo")
    assert sft["loss"] > 0
    assert dpo["loss"] == pytest.approx(0.6931, abs=1e-3)  # at the reference, log 2


def test_settings_change_how_the_next_answer_is_drawn(chat: Chat):
    chat.set({"max_new_tokens": 3, "temperature": 0.5})
    whole(chat.ask("Say it"))
    assert len(chat.last().reply.answer.tokens or ()) <= 3
    assert chat.last().reply.sampling["temperature"] == 0.5
    for wrong, told in (({"temprature": 1}, "did you mean temperature"), ({"dtype": "float64"}, "fixed since")):
        with pytest.raises(ConfigError, match=told):
            chat.set(wrong)
    assert chat.config.temperature == 0.5


def test_defaults_fit_a_small_model_and_what_is_asked_too_much_is_refused(tiny_model: Path):
    chat = Chat(tiny_model, ChatConfig(template="dialogue"))  # 256 positions
    assert (chat.config.max_new_tokens, chat.config.max_length) == (128, 256)
    with pytest.raises(ConfigError, match="256 positions"):
        Chat(tiny_model, ChatConfig(max_new_tokens=256))


def test_the_oldest_turns_go_where_there_is_no_room(tiny_model: Path):
    chat = Chat(tiny_model, SHORT.model_copy(update={"max_length": 100}))
    for turn in range(4):
        whole(chat.ask(f"{turn}" * 20))
    assert not chat.turns[0].shortened
    assert chat.last().shortened


def test_a_model_without_a_template_continues_each_turn_by_itself(tiny_model: Path):
    chat = Chat(tiny_model, ChatConfig(max_new_tokens=4))
    assert not chat.dialogue
    whole(chat.ask("one"))
    whole(chat.ask("two"))
    assert chat.last().prompt == "two"
    with pytest.raises(ConfigError, match="no chat template"):
        chat.say_first("Be kind")


def test_what_makes_no_chat_is_refused(tiny_model: Path):
    with pytest.raises(ConfigError, match="nothing to hide"):
        Chat(tiny_model, SHORT, blind=True)
    with pytest.raises(ConfigError, match="named twice"):
        Chat(tiny_model, SHORT, against=tiny_model)
