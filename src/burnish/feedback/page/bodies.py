"""The bodies of the page's requests. A field that is not known, or of another type, is refused by name."""

import json
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from burnish.feedback.live import LONGEST_PROMPT
from burnish.feedback.page.shown import LONGEST_FORMATTED
from burnish.feedback.records import SKIP_REASONS, Mode, Submission, Verdict

DRAFT_LIMIT = 16 * 1024

Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Letter = Annotated[str, StringConstraints(min_length=1, max_length=1)]
Short = Field(max_length=16)


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenBody(Body):
    token: Annotated[str, StringConstraints(max_length=200)]


class HeldBody(Body):
    assignment: Id


class DraftBody(HeldBody):
    """A draft is the page's own: kept and given back as it is, but not without bounds."""

    draft: dict[str, Any]

    @field_validator("draft")
    @classmethod
    def _small(cls, draft: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(draft)) > DRAFT_LIMIT:
            raise ValueError(f"more than {DRAFT_LIMIT} characters")
        return draft


class SkipBody(HeldBody):
    reason: Literal[SKIP_REASONS]  # type: ignore[valid-type]  # the records' own list
    client_ms: int | None = None


class AskBody(Body):
    """A prompt that is typed. `after`: the assignment whose conversation it goes on with."""

    text: Annotated[str, StringConstraints(max_length=LONGEST_PROMPT)]
    after: Id | None = None
    key: UUID


class AskedBody(Body):
    asked: Id


class FormattedBody(Body):
    text: Annotated[str, StringConstraints(max_length=LONGEST_FORMATTED)]


class SubmitBody(HeldBody):
    """A ranking in letters; whether it is one is the store's to say."""

    key: UUID
    order: Annotated[list[Annotated[list[Letter], Short]], Short]
    acceptable: int | None = None
    confidence: int | None = None
    flags: Annotated[dict[Letter, Annotated[list[str], Short]], Short] = {}
    seconds: float | None = None
    mode: Mode = "place"
    comparisons: Annotated[list[tuple[Letter, Letter, Verdict]], Field(max_length=256)] = []
    client_ms: int | None = None

    def submission(self) -> Submission:
        return Submission(
            order=tuple(tuple(place) for place in self.order),
            acceptable=self.acceptable,
            confidence=self.confidence,
            flags={letter: tuple(flags) for letter, flags in self.flags.items() if flags},
            seconds=self.seconds,
            mode=self.mode,
            comparisons=tuple(self.comparisons),
            client_ms=self.client_ms,
        )
