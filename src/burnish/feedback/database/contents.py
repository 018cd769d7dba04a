"""An item's content as the store keeps it: JSON of the prompt and the answers, from which the same group comes back."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from burnish.data.split import prompt_key
from burnish.types import Answer, Group, Message, Order, Prompt

PERSONAL = (
    "annotator", "acceptable", "confidence", "seconds", "flags", "layer", "kind", "propensity", "mode", "weight",
)  # fmt: skip
"""Columns of a row that belong to the ranking and not to the item."""


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str).encode


def packed(group: Group) -> str:
    """The group without its order, and without what a person said of it."""
    extra = {name: value for name, value in group.extra.items() if name not in PERSONAL and name != "gold"}
    made = {"prompt": _packed_prompt(group.prompt), "answers": [_packed_answer(answer) for answer in group.answers]}
    return _encode(made | {"extra": extra})


def unpacked(body: str, id: str = "", origin: str = "") -> Group:  # noqa: A002  the field's own name
    """The group that `packed` was given."""
    value = json.loads(body)
    return Group(
        prompt=_unpacked_prompt(value["prompt"]),
        answers=tuple(_unpacked_answer(answer) for answer in value["answers"]),
        id=id,
        origin=origin,
        extra=value["extra"],
    )


def content_hash(group: Group) -> bytes:
    """What is asked: equal for the same prompt, answers and sources, whatever scores or columns stand beside them."""
    said = [group.prompt if isinstance(group.prompt, str) else _encode(_packed_prompt(group.prompt))]
    for answer in group.answers:
        said += [answer.text, answer.source or "\0"]
        if answer.later or answer.tokens is not None or answer.extra:
            made = _packed_answer(answer)
            said.append(_encode({name: value for name, value in made.items() if name not in ("score", "label")}))
    encoded = [text.encode("utf-8") for text in said]
    parts = [b"%d:%b" % (len(data), data) for data in encoded]  # so that no text can be parted in two ways
    return hashlib.blake2b(b"".join(parts), digest_size=16).digest()


def prompt_hash(group: Group) -> str:
    """Equal where the same is asked, as data.split tells: such rows never stand on both sides of a split."""
    return hashlib.blake2b(prompt_key(group).encode("utf-8"), digest_size=8).hexdigest()


def shown_text(answer: Answer) -> str:
    """What an annotator reads of an answer: its text, and what the conversation says after it."""
    later = "".join(f"\n\n[{turn.role}]\n{turn.content}" for turn in answer.later)
    return answer.text + later


def order_of(text: str) -> Order:
    return tuple(tuple(tied) for tied in json.loads(text))


def places_of(order: Order, count: int) -> tuple[int, ...]:
    """The place of each answer, 0 is best."""
    where = {answer: place for place, tied in enumerate(order) for answer in tied}
    return tuple(where[answer] for answer in range(count))


def _packed_message(message: Message) -> dict[str, Any]:
    made: dict[str, Any] = {"role": message.role, "content": message.content}
    return made | {"extra": dict(message.extra)} if message.extra else made


def _unpacked_message(value: Mapping[str, Any]) -> Message:
    return Message(value["role"], value["content"], value.get("extra", {}))


def _packed_prompt(prompt: Prompt) -> Any:
    return prompt if isinstance(prompt, str) else [_packed_message(message) for message in prompt]


def _unpacked_prompt(value: Any) -> Prompt:
    return value if isinstance(value, str) else tuple(_unpacked_message(message) for message in value)


def _packed_answer(answer: Answer) -> dict[str, Any]:
    """Only the fields that hold something."""
    made: dict[str, Any] = {"text": answer.text}
    if answer.later:
        made["later"] = [_packed_message(message) for message in answer.later]
    for name in ("tokens", "logprobs", "finished", "score", "label", "source"):
        value = getattr(answer, name)
        if value is not None:
            made[name] = value
    return made | {"extra": dict(answer.extra)} if answer.extra else made


def _unpacked_answer(value: Mapping[str, Any]) -> Answer:
    return Answer(
        value["text"],
        later=tuple(_unpacked_message(message) for message in value.get("later", ())),
        tokens=tuple(value["tokens"]) if "tokens" in value else None,
        logprobs=tuple(value["logprobs"]) if "logprobs" in value else None,
        finished=value.get("finished"),
        score=value.get("score"),
        label=value.get("label"),
        source=value.get("source"),
        extra=value.get("extra", {}),
    )
