"""One turn of a chat: what was said, the answers to it, and the record that it makes for trainers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from burnish.data.problems import listed, printable
from burnish.errors import DataError, UsageError
from burnish.methods.streaming import StreamingModel, weights_of
from burnish.types import Answer, Group, Order, Prompt

MOST_RANKED = 9


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer to a turn. `model`: the number of the model that wrote it. `stopped`: the reader stopped it."""

    letter: str
    model: int
    answer: Answer
    seed: int
    sampling: Mapping[str, Any]
    stopped: bool = False


@dataclass(slots=True)
class Turn:
    """What was said, as the models read it, and the answers. `kept`: the one that the dialogue goes on with."""

    said: str
    prompt: Prompt
    replies: list[Reply] = field(default_factory=list)
    kept: int = 0
    tries: int = 0
    shortened: bool = False
    """Whether the oldest turns were left out of what a model read, for lack of room."""

    @property
    def reply(self) -> Reply:
        return self.replies[self.kept]

    def lettered(self, letter: str) -> int:
        """The place of the answer with this letter. Raises UsageError."""
        letters = [reply.letter for reply in self.replies]
        if letter.upper() not in letters:
            raise UsageError(f"{printable(letter)}: no such answer; this turn has {listed(letters)}")
        return letters.index(letter.upper())


def record_of(turn: Turn, models: Sequence[StreamingModel], order: str = "") -> tuple[str, Group]:
    """The turn as a record, and its kind.

    No `order`, or one letter: a demonstration, of the answer that the dialogue goes on with or of that one. `B > A`,
    `A = B`, `C > A = B`: a ranking of the answers that it names, best first, `=` for a tie. Raises UsageError for an
    order that is none, DataError for one of answers that say the same, and for a demonstration of nothing.
    """
    places = places_of(order, turn)
    replies = [turn.replies[at] for tied in places for at in tied]
    if len(replies) > MOST_RANKED:
        raise UsageError(f"{len(replies)} answers are ranked, and {MOST_RANKED} can be; leave some out")
    if len({reply.answer.text for reply in replies}) < len(replies):
        raise DataError("two of these answers say the same, so neither can be better; /retry draws another one")
    group = Group(turn.prompt, tuple(_said(replies, models)), extra=_lineage(replies, models))
    if len(replies) == 1:
        if not replies[0].answer.text.strip():
            raise DataError(
                f"{replies[0].letter} is blank, and would demonstrate how to say nothing; /retry draws another"
            )
        return "demonstration", group
    count = iter(range(len(replies)))
    ranking: Order = tuple(tuple(next(count) for _ in tied) for tied in places)
    return "ranking", replace(group, order=ranking)


def places_of(order: str, turn: Turn) -> list[list[int]]:
    """`B > A = C` as places of answers, best first; an empty order is the answer that is kept. Raises UsageError."""
    if not order.strip():
        return [[turn.kept]]
    if not re.fullmatch(r"\s*[A-Za-z]\s*([>=]\s*[A-Za-z]\s*)*", order):
        raise UsageError(f"{printable(order.strip())}: no order; write B > A, or A = B where neither is better")
    places = [[turn.lettered(letter.strip()) for letter in tied.split("=")] for tied in order.split(">")]
    named = [at for tied in places for at in tied]
    twice = next((at for at in named if named.count(at) > 1), None)
    if twice is not None:
        raise UsageError(f"{printable(order.strip())}: {turn.replies[twice].letter} stands in it twice; name it once")
    return places


def _said(replies: Sequence[Reply], models: Sequence[StreamingModel]) -> Sequence[Answer]:
    """The answers with their tokens, unless these are of two vocabularies: a record's tokens are of one."""
    vocabularies = [models[at].template.tokenizer.get_vocab() for at in sorted({reply.model for reply in replies})]
    if any(other != vocabularies[0] for other in vocabularies[1:]):
        if blank := next((reply.letter for reply in replies if not reply.answer.text.strip()), ""):
            raise DataError(f"{blank} is blank, and beside an answer of another vocabulary a record holds texts only")
        return [replace(reply.answer, tokens=None, logprobs=None, finished=None) for reply in replies]
    return [reply.answer for reply in replies]


def _lineage(replies: Sequence[Reply], models: Sequence[StreamingModel]) -> dict[str, Any]:
    """Which weights wrote the answers, with which seed and settings: one an answer where these differ."""
    wrote = [models[at] for at in sorted({reply.model for reply in replies})]
    seeds = [reply.seed for reply in replies]
    samplings = [dict(reply.sampling) for reply in replies]
    alike = all(other == samplings[0] for other in samplings)
    return {
        **weights_of(wrote),
        **({"seed": seeds[0]} if len(set(seeds)) == 1 else {"seeds": seeds}),
        "template": wrote[0].template.name,
        **({"sampling": samplings[0]} if alike else {"samplings": samplings}),
    }
