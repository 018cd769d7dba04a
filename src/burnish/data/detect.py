"""Which format a file has, told from the columns of its first rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from burnish.data import foreign, formats
from burnish.data.formats import KINDS, Format
from burnish.data.problems import listed
from burnish.data.sources import CONTAINERS
from burnish.errors import ConfigError, DataError

LOOKED_AT = 100  # rows from which the format is told


def _format(name: str, kind: str, needs: str, read: Any, example: str, **more: Any) -> Format:
    return Format(name, kind, frozenset(needs.split()), read, example, **more)


FORMATS = {
    made.name: made
    for made in (
        _format("text", "text", "text", formats.read_text, '{"text": "…"}'),
        _format("prompt", "prompt", "prompt", formats.read_prompt, '{"prompt": "…"}'),
        _format(
            "demonstration",
            "demonstration",
            "prompt response",
            formats.read_demonstration,
            '{"prompt": "…", "response": "…"}',
        ),
        _format(
            "comparison",
            "comparison",
            "prompt chosen rejected",
            formats.read_comparison,
            '{"prompt": "…", "chosen": "…", "rejected": "…"}',
        ),
        _format(
            "ranking",
            "ranking",
            "prompt answers ranking",
            formats.read_ranking,
            '{"prompt": "…", "answers": ["…", "…", "…"], "ranking": [[2], [0, 1]]}',
        ),
        _format(
            "sample",
            "sample",
            "prompt answers model seed",
            formats.read_sample,
            '{"prompt": "…", "answers": ["…", "…"], "model": "…", "seed": 0}',
        ),
        _format(
            "judgement",
            "judgement",
            "prompt response label",
            formats.read_judgement,
            '{"prompt": "…", "response": "…", "label": true}',
        ),
        _format(
            "scored",
            "judgement",
            "prompt response score",
            formats.read_judgement,
            '{"prompt": "…", "response": "…", "score": 0.7}',
        ),
        _format(
            "kto",
            "judgement",
            "prompt completion label",
            formats.read_judgement,
            '{"prompt": "…", "completion": "…", "label": true}',
        ),
        _format(
            "messages",
            "demonstration",
            "messages",
            foreign.read_messages,
            '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}',
            fits=foreign.ends_with_assistant,
        ),
        _format(
            "messages-prompt",
            "prompt",
            "messages",
            foreign.read_messages_prompt,
            '{"messages": [{"role": "user", "content": "…"}]}',
            fits=lambda row: not foreign.ends_with_assistant(row),
        ),
        _format(
            "alpaca",
            "demonstration",
            "instruction output",
            foreign.read_alpaca,
            '{"instruction": "…", "input": "…", "output": "…"}',
        ),
        _format(
            "sharegpt",
            "demonstration",
            "conversations",
            foreign.read_sharegpt,
            '{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}',
        ),
        _format(
            "prompt-completion",
            "demonstration",
            "prompt completion",
            foreign.read_prompt_completion,
            '{"prompt": "…", "completion": "…"}',
        ),
        _format(
            "hh",
            "comparison",
            "chosen rejected",
            foreign.read_hh,
            r'{"chosen": "\n\nHuman: …\n\nAssistant: …", "rejected": "\n\nHuman: …\n\nAssistant: …"}',
            fits=foreign.is_transcript,
        ),
        _format(
            "implicit",
            "comparison",
            "chosen rejected",
            foreign.read_implicit,
            '{"chosen": "The sky is blue.", "rejected": "The sky is green."}',
            fits=foreign.is_no_transcript,
        ),
        _format(
            "votes",
            "ranking",
            "prompt answers votes",
            foreign.read_votes,
            '{"id": 7, "prompt": "…", "answers": ["…", "…"], "votes": [1, 1, 0]}',
        ),
        _format(
            "label-studio",
            "ranking",
            "data annotations",
            foreign.read_label_studio,
            '{"data": {"prompt": "…", "items": [{"id": "a", "body": "…"}, …]}, "annotations": [{"result": […]}]}',
        ),
        _format(
            "argilla",
            "ranking",
            "fields responses",
            foreign.read_argilla,
            '{"fields": {"prompt": "…", "response-1": "…", …}, "responses": …}',
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user said of a file: how its rows are kept, which format they have, which kind of record is wanted."""

    container: str | None
    format: str | None
    kind: str | None


def asked(kind: str | None, format: str | None) -> Asked:  # noqa: A002  the option's own name
    """Check `kind` and `format`. `format` names a container (jsonl, csv …) or a format of records (hh, alpaca …)."""
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"kind: {kind}: no such kind; choose one of {', '.join(KINDS)}")
    if format is None or (format in CONTAINERS and format not in FORMATS):
        return Asked(format, None, kind)
    if format not in FORMATS:
        raise ConfigError(f"format: {format}: no such format; choose one of {', '.join([*CONTAINERS, *FORMATS])}")
    return Asked(None, format, kind)


def _specific(found: Sequence[Format]) -> list[Format]:
    """Without the formats whose columns are a part of another's: prompt alone is a part of everything."""
    return [one for one in found if not any(one.needs < other.needs for other in found)]


def fitting(row: dict[str, Any], kind: str | None) -> list[str]:
    """The formats that a row could be, the ones of the wanted kind before all others."""
    columns = {name for name, value in row.items() if value is not None}
    found = [one for one in FORMATS.values() if one.needs <= columns]
    exact = [one for one in found if one.fits(row)] or found
    if kind is not None:
        exact = [one for one in exact if one.kind == kind] or [one for one in found if one.kind == kind] or exact
    names = {one.name for one in _specific(exact)}
    if "ranking" in names:  # a ranked sample keeps the columns of a sample
        names.discard("sample")
    if "judgement" in names:  # a label and a score may stand together
        names.discard("scored")
    return [name for name in FORMATS if name in names]


def detect(rows: Sequence[dict[str, Any]], name: str, kind: str | None) -> Format:
    """The one format that most of the rows have. Raises DataError where none fits, or two."""
    counts = Counter(tuple(fitting(row, kind)) for row in rows)
    counts.pop((), None)
    if not counts:
        raise DataError(_unknown(rows[0] if rows else {}, name, kind))
    (most, _), *_ = counts.most_common(1)
    if len(most) > 1:
        raise DataError(
            f"{name}: its columns {listed(rows[0])} fit {' and '.join(most)}; say which with `format: {most[0]}` "
            f"or `format: {most[1]}`"
        )
    return FORMATS[most[0]]


def _unknown(row: dict[str, Any], name: str, kind: str | None) -> str:
    def likeness(one: Format) -> tuple[float, int]:
        return len(one.needs & row.keys()) / len(one.needs), -len(one.needs)

    near = max((one for one in FORMATS.values() if kind in (None, one.kind)), key=likeness)
    return (
        f"{name}: no known format has these columns; found {listed(row) or 'none'}; the nearest is {near.name}, "
        f"which wants {listed(sorted(near.needs))}: {near.example}"
    )
