"""Formats of rows: one small function each, from a row's fields to a group. Other tools' formats are in foreign.py.

Which one a file has is found by its columns (detect.py). A function raises RowError where the row does not hold what
the format asks for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from burnish.data import fields
from burnish.data.fields import Row
from burnish.data.problems import RowError, described, listed
from burnish.types import Answer, Group, Message, Prompt

KINDS = ("text", "prompt", "demonstration", "comparison", "ranking", "sample", "judgement")


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write records of one kind. `needs`: the columns by which it is known; `fits` looks into them."""

    name: str
    kind: str
    needs: frozenset[str]
    read: Callable[[Row], list[Group]]
    example: str
    fits: Callable[[Row], bool] = lambda row: True


def rest(row: Row, *used: str) -> dict[str, Any]:
    """The columns that a format does not use: they travel with the group."""
    return {name: value for name, value in row.items() if name not in used and name not in ("id", *SAMPLED)}


def group_id(row: Row) -> str:
    value = row.get("id")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def group(prompt: Prompt, answers: Sequence[Answer], row: Row, *used: str, **known: Any) -> Group:
    answers = tuple(with_sampled(answers, row))
    return Group(prompt, answers, id=group_id(row), extra=rest(row, "prompt", *used), **known)


# ---- what a sampler wrote beside its answers

SAMPLED = ("tokens", "logprobs", "finished", "scores")


def with_sampled(answers: Sequence[Answer], row: Row) -> list[Answer]:
    """Answers with the token ids that a model sampled, where the row has them: they go unchanged into the loss."""
    made = list(answers)
    count = len(made)
    if row.get("tokens") is not None:
        for index, value in enumerate(fields.each(row["tokens"], "tokens", count)):
            made[index] = replace(made[index], tokens=fields.tokens(value, f"tokens[{index}]"))
    if row.get("logprobs") is not None:
        for index, value in enumerate(fields.each(row["logprobs"], "logprobs", count)):
            own = made[index].tokens
            if own is None:
                raise RowError("logprobs stand without the tokens that they belong to; add tokens")
            if not isinstance(value, list | tuple) or len(value) != len(own):
                raise RowError(f"logprobs[{index}] must have one number a token ({len(own)}), found {described(value)}")
            numbers = tuple(fields.number(inner, f"logprobs[{index}]") for inner in value)
            made[index] = replace(made[index], logprobs=numbers)
    if row.get("finished") is not None:
        for index, value in enumerate(fields.each(row["finished"], "finished", count)):
            made[index] = replace(made[index], finished=fields.truth(value, f"finished[{index}]"))
    if row.get("scores") is not None:
        for index, value in enumerate(fields.each(row["scores"], "scores", count)):
            made[index] = replace(made[index], score=fields.number(value, f"scores[{index}]"))
    return made


# ---- answers


def said(row: Row, value: object, name: str) -> str:
    """An answer's text. It may be blank only where its sampled tokens stand beside it: a model may say nothing."""
    if isinstance(value, str) and row.get("tokens") is not None:
        return value
    return fields.text(value, name)


def answer(row: Row, value: object, name: str) -> Answer:
    """A text, or the assistant's messages: the first turn answers, the others are what the conversation says later."""
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list | tuple):
        return Answer(said(row, value, name))
    return spoken(fields.messages(value, name), name)


def spoken(turns: Sequence[Message], name: str) -> Answer:
    """Turns that begin with the assistant's, as an answer. Extra fields of the first turn are kept."""
    if turns[0].role != "assistant":
        raise RowError(f"{name} must begin with an assistant turn, found {turns[0].role}; move the rest to the prompt")
    last = max(place for place, turn in enumerate(turns) if turn.role == "assistant")
    for place, turn in enumerate(turns):
        if turn.role == "assistant" and not turn.content.strip() and not turn.extra:
            raise RowError(f"{name}[{place}] is empty or blank; write it or remove the row")
    return Answer(turns[0].content, later=tuple(turns[1 : last + 1]), extra=turns[0].extra)


def conversation(turns: Sequence[Message], name: str) -> tuple[tuple[Message, ...], Answer]:
    """A whole conversation, parted before its first assistant turn. What nobody answers at its end is left out."""
    first = next((place for place, turn in enumerate(turns) if turn.role == "assistant"), None)
    if first is None:
        raise RowError(f"{name} has no assistant turn: nothing to learn; found {listed(turn.role for turn in turns)}")
    if first == 0:
        raise RowError(f"{name} begins with an assistant turn, so nothing is asked; put a user turn before it")
    return fields.asked(turns[:first], name), spoken(turns[first:], name)


# ---- our own records


def read_text(row: Row) -> list[Group]:
    return [group("", [Answer(fields.text(fields.need(row, "text"), "text"))], row, "text")]


def read_prompt(row: Row) -> list[Group]:
    return [group(fields.prompt(fields.need(row, "prompt")), [], row)]


def read_demonstration(row: Row) -> list[Group]:
    prompt = fields.prompt(fields.need(row, "prompt"))
    return [group(prompt, [answer(row, fields.need(row, "response"), "response")], row, "response")]


def read_comparison(row: Row) -> list[Group]:
    prompt = fields.prompt(fields.need(row, "prompt"))
    return [compared(prompt, answer_or_whole(row, "chosen", prompt), answer_or_whole(row, "rejected", prompt), row)]


def answer_or_whole(row: Row, name: str, prompt: Prompt) -> Answer:
    """The field as an answer; a conversation that repeats the prompt's turns is taken from after them."""
    value = fields.need(row, name)
    if isinstance(value, list | tuple):
        turns = fields.messages(value, name)
        asked = (Message("user", prompt),) if isinstance(prompt, str) else prompt
        if turns[: len(asked)] == asked and len(turns) > len(asked):
            turns = turns[len(asked) :]
        return spoken(turns, name)
    return answer(row, value, name)


def compared(prompt: Prompt, chosen: Answer, rejected: Answer, row: Row) -> Group:
    """Two answers of which the first is preferred."""
    if (chosen.text, chosen.later) == (rejected.text, rejected.later):
        raise RowError(f"chosen and rejected are equal; found {described(chosen.text)} twice; remove the row")
    margin = None if row.get("margin") is None else fields.number(row["margin"], "margin")
    return group(prompt, [chosen, rejected], row, "chosen", "rejected", "margin", order=((0,), (1,)), margin=margin)


def answers_of(row: Row, least: int = 2) -> list[Answer]:
    value = fields.need(row, "answers")
    if not isinstance(value, list | tuple):
        raise RowError(f"answers must be a list of texts, found {described(value)}")
    if len(value) < least:
        raise RowError(f"answers must be at least {least}, found {len(value)}")
    texts = [said(row, text, f"answers[{index}]") for index, text in enumerate(value)]
    if row.get("sources") is not None or _names_systems(row, len(texts)):
        given = fields.each(row.get("sources") or row["systems"], "sources", len(texts))
        sources: list[str | None] = [fields.text(name, "sources") for name in given]
    else:
        model = row.get("model")
        sources = [model if isinstance(model, str) else None] * len(texts)
    return [Answer(text, source=source) for text, source in zip(texts, sources, strict=True)]


def _names_systems(row: Row, count: int) -> bool:
    """Whether `systems` says which system wrote each answer, as PandaLM's files do; it may mean anything elsewhere."""
    systems = row.get("systems")
    return isinstance(systems, list | tuple) and len(systems) == count and all(isinstance(one, str) for one in systems)


def read_ranking(row: Row) -> list[Group]:
    prompt = fields.prompt(fields.need(row, "prompt"))
    answers = answers_of(row)
    order = fields.order(fields.need(row, "ranking"), len(answers))
    return [group(prompt, answers, row, "answers", "ranking", "sources", order=order)]


def read_sample(row: Row) -> list[Group]:
    prompt = fields.prompt(fields.need(row, "prompt"))
    sampled = {**row, "tokens": row.get("tokens") or ()}  # a model may say nothing, with its tokens or without
    answers = answers_of(sampled, least=1)
    return [group(prompt, answers, row, "answers", "sources")]


def read_judgement(row: Row) -> list[Group]:
    prompt = fields.prompt(fields.need(row, "prompt"))
    name = "response" if row.get("response") is not None else "completion"
    judged = answer_or_whole(row, name, prompt)
    if row.get("label") is not None:
        judged = replace(judged, label=fields.truth(row["label"], "label"))
    if row.get("score") is not None:
        judged = replace(judged, score=fields.number(row["score"], "score"))
    if judged.label is None and judged.score is None:
        raise RowError("label and score are both missing; write label: true or false, or a score")
    return [group(prompt, [judged], row, name, "label", "score")]
