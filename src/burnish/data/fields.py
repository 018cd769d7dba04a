"""What one field of a row must be: texts, messages, orders, numbers. Each function raises RowError naming the field."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.data.problems import RowError, described, listed, nearest
from burnish.types import Message, Order, Prompt

ROLES = ("system", "developer", "user", "assistant", "tool")
_OTHER_NAMES = {
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "ai": "assistant",
    "function": "tool",
    "observation": "tool",
}
_NOT_TEXT = ("image", "image_url", "input_image", "audio", "input_audio", "video", "file")

Row = Mapping[str, Any]


def need(row: Row, name: str) -> Any:
    """The field's value, which must be there and not null."""
    if row.get(name) is None:
        raise RowError(f"{name} is missing; found columns {listed(row)}; add it")
    return row[name]


def text(value: object, name: str) -> str:
    """A text with something in it."""
    if not isinstance(value, str):
        raise RowError(f"{name} must be text, found {described(value)}")
    if not value.strip():
        raise RowError(f"{name} is empty or blank; found {described(value)}; write it or remove the row")
    return value


def number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RowError(f"{name} must be a number, found {described(value)}; write it without quotes")
    try:
        made = float(value)
    except OverflowError:
        made = math.inf
    if not math.isfinite(made):
        raise RowError(f"{name} must be a finite number, found {described(value)}")
    return made


def truth(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        fix = "; write it without quotes" if isinstance(value, str) else ""
        raise RowError(f"{name} must be true or false, found {described(value)}{fix}")
    return value


def each(value: object, name: str, count: int) -> list[Any]:
    """A list with one entry an answer."""
    if not isinstance(value, list | tuple):
        raise RowError(f"{name} must be a list with one entry an answer, found {described(value)}")
    if len(value) != count:
        raise RowError(f"{name} must have one entry an answer; found {len(value)} for {count} answers")
    return list(value)


def tokens(value: object, name: str) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise RowError(f"{name} must be a list of token ids, found {described(value)}")
    for token in value:
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < 1 << 31:
            raise RowError(f"{name} must be token ids, found {described(token)} among them")
    return tuple(value)


# ---- messages


def messages(value: object, name: str = "messages") -> tuple[Message, ...]:
    """A list of {"role", "content"}, as OpenAI and transformers have it."""
    if not isinstance(value, list | tuple):
        raise RowError(f'{name} must be a list of {{"role", "content"}}, found {described(value)}')
    if not value:
        raise RowError(f"{name} is an empty list; write the turns or remove the row")
    return tuple(_message(item, f"{name}[{index}]") for index, item in enumerate(value))


def _message(item: object, name: str) -> Message:
    if not isinstance(item, Mapping):
        raise RowError(f'{name} must be an object with "role" and "content", found {described(item)}')
    if "role" not in item:
        if "from" in item:
            raise RowError(f"{name} has `from` beside turns that have `role`; use one of the two in the whole row")
        raise RowError(f"{name} has no role; found {listed(item) or 'nothing'}; add one of {', '.join(ROLES)}")
    role = item["role"]
    if role not in ROLES:
        if not isinstance(role, str):
            raise RowError(f"{name}: role must be text, found {described(role)}")
        hint = f"; did you mean {_OTHER_NAMES[role.lower()]}?" if role.lower() in _OTHER_NAMES else nearest(role, ROLES)
        raise RowError(f"{name}: role {described(role)} is unknown; choose one of {', '.join(ROLES)}{hint}")
    calls = item.get("tool_calls")
    if calls and (not isinstance(calls, list | tuple) or not all(isinstance(call, Mapping) for call in calls)):
        raise RowError(f"{name}: tool_calls must be a list of objects, found {described(calls)}")
    extra = {key: inner for key, inner in item.items() if key not in ("role", "content") and inner is not None}
    return Message(role, _content(item.get("content"), name, bool(calls)), extra)


def _content(value: object, name: str, calls: bool) -> str:
    if value is None:
        if not calls:
            raise RowError(f"{name}: content is null or missing, and there are no tool_calls; write it")
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return "".join(_part(part, f"{name}: content[{index}]") for index, part in enumerate(value))
    raise RowError(f"{name}: content must be text or a list of parts, found {described(value)}")


def _part(part: object, name: str) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise RowError(f"{name} must be a part with a type, found {described(part)}")
    if part.get("type") in _NOT_TEXT or any(kind in part for kind in _NOT_TEXT):
        raise RowError(
            f"{name} is {part.get('type', 'not text')}: images, sound and files are not supported; remove it"
        )
    inner = part.get("text")
    if not isinstance(inner, str):
        raise RowError(f"{name} has no text; found {listed(part) or 'nothing'}")
    return inner


def asked(turns: Sequence[Message], name: str) -> tuple[Message, ...]:
    """Turns that can stand before an answer: they say something, and end with a user's or a tool's turn."""
    if turns[-1].role not in ("user", "tool"):
        raise RowError(f"{name} must end with a user turn; found {turns[-1].role} last; move the answer out of it")
    if not any(turn.content.strip() for turn in turns if turn.role in ("user", "tool")):
        raise RowError(f"{name} is empty or blank; write it or remove the row")
    return tuple(turns)


def prompt(value: object, name: str = "prompt") -> Prompt:
    """A text, or messages that end with a user turn."""
    if isinstance(value, str):
        return text(value, name)
    if isinstance(value, list | tuple):
        return asked(messages(value, name), name)
    raise RowError(f'{name} must be text or a list of {{"role", "content"}}, found {described(value)}')


# ---- orders


def order(value: object, count: int, name: str = "ranking") -> Order:
    """Answers by index, best first, ties in a list: every answer once. Names the answer that is missing or repeated."""
    if not isinstance(value, list | tuple):
        raise RowError(f"{name} must be a list of answers' indices, best first, found {described(value)}")
    places = tuple(_tied(item, name) for item in value)
    said = [answer for tied in places for answer in tied]
    for answer in said:
        if not 0 <= answer < count:
            raise RowError(f"{name}: unknown answer {answer}; there are {count} answers, 0 to {count - 1}")
        if said.count(answer) > 1:
            raise RowError(f"{name}: answer {answer} stands {said.count(answer)} times; write it once")
    missing = sorted(set(range(count)) - set(said))
    if missing:
        raise RowError(f"{name}: answer {listed(missing)} is not ranked; every answer must stand in it once")
    return places


def _tied(item: object, name: str) -> tuple[int, ...]:
    inside = item if isinstance(item, list | tuple) else [item]
    if not inside:
        raise RowError(f"{name}: an empty place; remove it")
    for answer in inside:
        if isinstance(answer, bool) or not isinstance(answer, int):
            raise RowError(f"{name} must hold answers' indices, found {described(answer)}")
    return tuple(inside)


def order_of_ranks(ranks: Sequence[float]) -> Order:
    """The weak order that ranks say: 1 is best, equal ranks tie."""
    return tuple(tuple(answer for answer, rank in enumerate(ranks) if rank == level) for level in sorted(set(ranks)))
